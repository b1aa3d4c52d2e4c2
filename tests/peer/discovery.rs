//! Nodes that do not know each other's address any more find each other on the LAN.

use std::net::UdpSocket;

use super::Clinic;
use super::support::{Node, islet};

fn serve(clinic: &Clinic, name: &str) -> Node {
    let mut command = islet();
    command.env("ISLET_DISCOVERY", "true");
    Node::start(&mut command, &clinic.data(name), &["--peer", "127.0.0.1:0"])
}

/// Whether a packet to the multicast group comes back on loopback.
fn multicast_works() -> bool {
    let heard = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let (group, loopback) = ([224, 0, 0, 251].into(), [127, 0, 0, 1].into());
        socket.join_multicast_v4(&group, &loopback)?;
        socket.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        sender.send_to(b"x", (group, socket.local_addr()?.port()))?;
        socket.recv(&mut [0; 8])
    };
    heard().is_ok()
}

#[test]
fn members_find_each_other_by_multicast() {
    if !multicast_works() {
        skipped("members_find_each_other_by_multicast: no multicast on loopback");
        return;
    }
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    // b knows a's old address only, and a knows none of b.
    a.stop();
    let _b = serve(&clinic, "b");
    let _a = serve(&clinic, "a");
    clinic.until_linked("a", "b");
}

fn skipped(why: &str) {
    use std::io::Write;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/skipped-tests.txt");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).unwrap();
    writeln!(file, "{why}").unwrap();
    eprintln!("SKIPPED {why}");
}
