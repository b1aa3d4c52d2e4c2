//! `kill -9` while phones hand in readings: the process dies, the page cache lives.

use crate::check;
use crate::disk;
use crate::lab::{self, Moments, ROUNDS_PER_NODE};
use crate::load::{self, Ledger, Load};
use crate::support::{Client, Node};

const ROUNDS: u32 = 10;

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let (mut moments, rounds) = (Moments::new(), lab::rounds(ROUNDS));
    let mut acknowledged = 0;
    for first in (0..rounds).step_by(ROUNDS_PER_NODE as usize) {
        let dir = disk::directory();
        let data = dir.path().join("node");
        lab::seed(&data);
        let ledger = Ledger::default();
        let mut phone: Option<Client> = None;
        for round in first..rounds.min(first + ROUNDS_PER_NODE) {
            let node = Node::start(&mut lab::islet(), &data, &[]);
            let client = load::phone(&node, phone.as_ref()).await;
            check::served(&client, &ledger).await;
            let load = Load::start(&client, &ledger);
            tokio::time::sleep(moments.next()).await;
            // Dropping a node kills it with SIGKILL.
            drop(node);
            load.finish().await;
            check::stored(&data, &ledger).must_be_empty(&format!("kill {round}"));
            phone = Some(client);
        }
        acknowledged += ledger.acknowledged();
    }
    println!("kill: {rounds} kills, {acknowledged} readings acknowledged, none lost");
    assert!(
        acknowledged > 0,
        "no reading was acknowledged before a kill"
    );
}
