//! A full disk: writes are refused with 507, nothing that was acknowledged is lost, reads go on,
//! and writes work again as soon as there is room, without a restart.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::check;
use crate::disk::Disk;
use crate::lab;
use crate::load::{self, Ledger, Load, PHONES};
use crate::support::{self, Client, Node, OTHER_PATIENT, PATIENT};

/// Several times what a node sets aside for such a day.
const DISK_MIB: u32 = 96;
/// Room that is left at first, in KiB: none, and enough for the end to come in the middle of a
/// write, of a checkpoint, or when the index of the write-ahead log grows.
const ROOM_KIB: [u32; 4] = [0, 36, 700, 3_000];
/// Refusals that show that the disk stays full.
const REFUSALS: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_recovers_by_itself() {
    for room_kib in ROOM_KIB {
        let disk = match Disk::new(DISK_MIB) {
            Ok(disk) => disk,
            Err(reason) => return lab::skip("full disk", &reason),
        };
        fill_up(&disk, room_kib).await;
    }
}

/// The start itself writes. A disk on which it cannot must not keep people from what is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_and_reads_on_a_full_disk() {
    let disk = match Disk::new(DISK_MIB) {
        Ok(disk) => disk,
        Err(reason) => return lab::skip("full disk", &reason),
    };
    let data = disk.mount_point().join("node");
    lab::seed(&data);
    let ledger = Ledger::default();
    let node = Node::start(&mut lab::islet(), &data, &[]);
    let phone = load::phone(&node, None).await;
    assert!(ledger.post_one(&phone).await);
    drop(node);

    let filler = disk.mount_point().join("filler");
    fill(&filler, 0);
    let node = Node::start(&mut lab::islet(), &data, &[]);
    let phone = load::phone(&node, Some(&phone)).await;
    check::served(&phone, &ledger).await;
    std::fs::remove_file(&filler).unwrap();
    assert!(ledger.post_one(&phone).await, "once there is room");
    drop(node);
    check::stored(&data, &ledger).must_be_empty("started on a full disk");
}

/// A stolen phone does not wait until somebody has tidied up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_can_be_put_out_on_a_full_disk() {
    let disk = match Disk::new(DISK_MIB) {
        Ok(disk) => disk,
        Err(reason) => return lab::skip("full disk", &reason),
    };
    let data = disk.mount_point().join("node");
    lab::seed(&data);
    let node = Node::start(&mut lab::islet(), &data, &[]);
    let (phone, admin) = (node.patient().await, node.admin().await);
    fill(&disk.mount_point().join("filler"), 0);
    let edit = json!({"name": "Ana"});
    while admin.patch_json("/users/user/2", &edit).await.status != 507 {}

    let code = admin.post("/users/desk-code/1").await.expect(200);
    let reset = json!({"token": code["code"], "new_password": "otra clave 77"});
    node.anonymous()
        .post_json("/reset-password", &reset)
        .await
        .expect(200);
    phone.get("/users/me").await.expect(401);
    let phone = Client::log_in(&node.patient_url, (PATIENT.0, "otra clave 77")).await;
    let change = json!({"current_password": "otra clave 77", "new_password": "tercera clave 9"});
    phone
        .put_json("/users/me/password", &change)
        .await
        .expect(200);
    admin.post("/users/block/1").await.expect(200);
    phone.get("/users/me").await.expect(401);
    let phone = node.other_patient().await;
    let words = ["user", "block", OTHER_PATIENT.0, "--role", "patient"];
    support::run(lab::islet().args(words).arg("--data").arg(&data));
    phone.get("/users/me").await.expect(401);
    admin.patch_json("/users/user/2", &edit).await.expect(507);
    let doctor = lab::islet().arg("doctor").arg("--data").arg(&data).output();
    let said = String::from_utf8(doctor.unwrap().stdout).unwrap();
    assert!(said.contains("writes are refused"), "{said}");
}

async fn fill_up(disk: &Disk, room_kib: u32) {
    let data = disk.mount_point().join("node");
    lab::seed(&data);
    let ledger = Ledger::default();
    let mut node = Node::start(&mut lab::islet(), &data, &[]);
    let phone = load::phone(&node, None).await;
    assert!(ledger.post_one(&phone).await);

    let filler = disk.mount_point().join("filler");
    fill(&filler, room_kib);
    let load = Load::start(&phone, &ledger);
    while ledger.open().refused.values().sum::<u32>() < REFUSALS {
        assert_eq!(node.exit_status(), None, "room for {room_kib} KiB");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    load.finish().await;
    let refused = std::mem::take(&mut ledger.open().refused);
    assert!(
        refused.keys().all(|status| [503, 507].contains(status)) && refused.contains_key(&507),
        "room for {room_kib} KiB: {refused:?}"
    );
    check::served(&phone, &ledger).await;

    std::fs::remove_file(&filler).unwrap();
    let full = ledger.acknowledged();
    for _ in 0..PHONES {
        assert!(ledger.post_one(&phone).await);
    }
    assert_eq!(ledger.acknowledged(), full + PHONES, "once there is room");
    assert_eq!(node.exit_status(), None);
    drop(node);
    check::stored(&data, &ledger).must_be_empty(&format!("room for {room_kib} KiB"));
}

/// Fills the disk with a file and then frees `room_kib`.
fn fill(filler: &Path, room_kib: u32) {
    let mut file = std::fs::File::create(filler).unwrap();
    for chunk in [1 << 16, 1 << 12] {
        while file.write_all(&vec![b'x'; chunk]).is_ok() {}
    }
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes.saturating_sub(u64::from(room_kib) << 10))
        .unwrap();
    file.sync_all().unwrap();
}
