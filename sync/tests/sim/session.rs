//! What two nodes say to each other, as bytes in packets: the conversation of [`islet_sync::exchange`].
//!
//! ```text
//! packet := HELLO frame*        frame := kind(1) length(varint) payload
//! run    := number first_seq count (hlc(8) length ops)*
//! ```

use std::rc::Rc;

use islet_sync::causality::Mark;
use islet_sync::chain::SIGNATURE_LEN;
use islet_sync::dot::VersionVector;
use islet_sync::exchange::{Hello, Introduction, PROTOCOL, Seal, Vector};
use islet_sync::hlc::Hlc;
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::incarnation::Reason;
use islet_sync::varint::{put_u64, take_u64};

use super::logs::{Change, Taken};
use super::node::Node;
use super::replica::Replica;
use super::rng::Rng;

const HELLO: u8 = 1;
/// A vector that asks for what is missing and for a vector; one that asks for what is missing; one that asks nothing.
const ASK: u8 = 2;
const GIVE: u8 = 3;
const ACK: u8 = 4;
const INTRODUCTION: u8 = 5;
const RUN: u8 = 6;
const SEAL: u8 = 7;
const RIGHTS: u8 = 8;

pub(crate) const NETWORK: [u8; 16] = [77; 16];
/// Changes in one packet, more or less.
const PACKET_CHANGES: usize = 64;

/// What is left to do after a packet was taken in.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) replies: Vec<Vec<u8>>,
    pub(crate) forged: usize,
    pub(crate) forked: usize,
}

fn put_frame(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.push(kind);
    put_u64(out, payload.len() as u64);
    out.extend(payload);
}

fn take_frame<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (kind, rest) = input.split_first()?;
    *input = rest;
    let len = usize::try_from(take_u64(input)?).ok()?;
    let (payload, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some((*kind, payload))
}

fn hello(replica: &Replica, vector: &Vector) -> Vec<u8> {
    let hello = Hello {
        protocols: (PROTOCOL, PROTOCOL),
        network: NETWORK,
        replica: replica.db.id,
        number: replica.me(),
        digest: vector.digest(),
        wall_ms: 0,
    };
    let mut out = Vec::new();
    put_frame(&mut out, HELLO, &hello.bytes());
    out
}

fn with_vector(replica: &Replica, kind: u8) -> Vec<u8> {
    let vector = replica.vector();
    let mut out = hello(replica, &vector);
    let mut payload = Vec::new();
    vector.put(&mut payload);
    put_frame(&mut out, kind, &payload);
    out
}

/// The first packet of a conversation.
pub(crate) fn call(replica: &Replica) -> Vec<u8> {
    hello(replica, &replica.vector())
}

/// Asks a peer for rights to a day.
pub(crate) fn ask_rights(replica: &Replica, day: RowId, wanted: u64) -> Vec<u8> {
    let mut out = hello(replica, &replica.vector());
    let mut payload = Vec::new();
    put_u64(&mut payload, day.get().cast_unsigned());
    put_u64(&mut payload, wanted);
    put_frame(&mut out, RIGHTS, &payload);
    out
}

/// A run of a log with what introduces and seals it.
pub(crate) fn put_run(
    out: &mut Vec<u8>,
    who: &Introduction,
    first_seq: u64,
    changes: &[Rc<Change>],
    signature: &[u8; SIGNATURE_LEN],
) {
    put_frame(out, INTRODUCTION, &who.bytes());
    let mut payload = Vec::new();
    put_u64(&mut payload, first_seq);
    put_u64(&mut payload, changes.len() as u64);
    for change in changes {
        payload.extend(change.hlc.to_i64().to_be_bytes());
        put_u64(&mut payload, change.ops.len() as u64);
        payload.extend(&change.ops);
    }
    put_frame(out, RUN, &payload);
    let seal = Seal {
        number: who.number,
        signature: *signature,
    };
    put_frame(out, SEAL, &seal.bytes());
}

fn read_run(mut input: &[u8]) -> Option<(u64, Vec<Rc<Change>>)> {
    let (first_seq, count) = (take_u64(&mut input)?, take_u64(&mut input)?);
    let mut changes = Vec::new();
    for _ in 0..count {
        let (hlc, rest) = input.split_first_chunk::<8>()?;
        input = rest;
        let len = usize::try_from(take_u64(&mut input)?).ok()?;
        let (ops, rest) = input.split_at_checked(len)?;
        input = rest;
        changes.push(Change::new(
            Hlc::from_i64(i64::from_be_bytes(*hlc)),
            ops.to_vec(),
        ));
    }
    input.is_empty().then_some((first_seq, changes))
}

/// Packets with all that a node with this vector lacks, as far as it is sealed here.
pub(crate) fn runs_for(replica: &mut Replica, vector: &Vector) -> Vec<Vec<u8>> {
    replica.seal();
    let greeting = hello(replica, &replica.vector());
    let mut packets = Vec::new();
    let (mut packet, mut count) = (greeting.clone(), 0);
    for log in replica.db.logs.iter() {
        let known = replica.db.logs.known_to(vector, log.who.number);
        let mut from = known;
        while let Some((upto, signature)) = next_seal(log, from) {
            let part = (from - log.base.seq) as usize..(upto - log.base.seq) as usize;
            let changes = &log.changes()[part];
            put_run(&mut packet, &log.who, from + 1, changes, signature);
            count += changes.len();
            from = upto;
            if count >= PACKET_CHANGES {
                packets.push(std::mem::replace(&mut packet, greeting.clone()));
                count = 0;
            }
        }
    }
    if count > 0 {
        packets.push(packet);
    }
    packets
}

/// The furthest seal that fits a packet, or else the next one.
fn next_seal(log: &super::logs::Log, from: u64) -> Option<(u64, &[u8; SIGNATURE_LEN])> {
    let fits = log
        .seals
        .range(from + 1..=from + PACKET_CHANGES as u64)
        .next_back();
    let next = fits.or_else(|| log.seals.range(from + 1..).next());
    next.map(|(seq, signature)| (*seq, signature))
}

/// What a peer has applied, under the names that logs have here.
pub(crate) fn acknowledge(replica: &mut Replica, from: ReplicaNumber, vector: &Vector) {
    let mut applied = VersionVector::default();
    for log in replica.db.logs.iter() {
        let known = replica.db.logs.known_to(vector, log.who.number);
        if known > log.base.seq {
            applied.raise(log.who.number, known);
        }
    }
    if let Some(own) = vector.get(from) {
        applied.raise(from, own.seq);
    }
    let had = replica.acknowledged.entry(from).or_default();
    had.merge(&applied);
}

/// Takes in a packet. `key` is the one that the connection is pinned to.
pub(crate) fn handle(
    node: &mut Node,
    key: &[u8; 32],
    packet: &[u8],
    true_ms: i64,
    rng: &mut Rng,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut input = packet;
    let Some((HELLO, payload)) = take_frame(&mut input) else {
        return outcome;
    };
    let Ok(hello) = Hello::read(payload) else {
        return outcome;
    };
    let Some(replica) = &node.live else {
        return outcome;
    };
    if hello.network != NETWORK || !hello.speaks() || !replica.trusts(key) {
        return outcome;
    }
    if hello.replica == replica.db.id && *key == replica.signer.public_key() {
        node.renew(Reason::Twin, true_ms, rng);
    }
    let has_more = !input.is_empty();
    while let Some((kind, payload)) = take_frame(&mut input) {
        let Some(()) = frame(
            node,
            &hello,
            kind,
            payload,
            &mut input,
            true_ms,
            rng,
            &mut outcome,
        ) else {
            break;
        };
    }
    let Some(replica) = &node.live else {
        return outcome;
    };
    if !has_more && replica.vector().digest() != hello.digest {
        outcome.replies.push(with_vector(replica, ASK));
    }
    outcome
}

#[expect(clippy::too_many_arguments, reason = "the state of one conversation")]
fn frame(
    node: &mut Node,
    hello: &Hello,
    kind: u8,
    payload: &[u8],
    rest: &mut &[u8],
    true_ms: i64,
    rng: &mut Rng,
    outcome: &mut Outcome,
) -> Option<()> {
    match kind {
        ASK | GIVE | ACK => {
            let vector = Vector::read(payload).ok()?;
            let replica = node.live.as_mut()?;
            acknowledge(replica, hello.number, &vector);
            if kind != ACK {
                outcome.replies.extend(runs_for(replica, &vector));
            }
            if kind == ASK {
                outcome.replies.push(with_vector(replica, GIVE));
            }
        }
        INTRODUCTION => {
            let who = Introduction::read(payload).ok()?;
            let (RUN, run) = take_frame(rest)? else {
                return None;
            };
            let (SEAL, seal) = take_frame(rest)? else {
                return None;
            };
            let (first_seq, changes) = read_run(run)?;
            let seal = Seal::read(seal)
                .ok()
                .filter(|seal| seal.number == who.number)?;
            // Own writes go on with what space is left; catching up waits.
            if node.disk_full {
                return None;
            }
            let wall_ms = node.wall_ms(true_ms);
            let replica = node.live.as_mut()?;
            let before = replica.own_head();
            let taken = replica.ingest(&who, first_seq, &changes, &seal.signature, wall_ms);
            if who.replica == replica.db.id {
                node.hear_witness(before, true_ms, rng);
            }
            let replica = node.live.as_ref()?;
            outcome.forged += usize::from(taken == Taken::Forged);
            outcome.forked += usize::from(taken == Taken::Forked);
            if rest.is_empty() {
                outcome.replies.push(with_vector(replica, ACK));
            }
        }
        RIGHTS => {
            let mut input = payload;
            let day = RowId::from_i64(take_u64(&mut input)?.cast_signed()).ok()?;
            let wanted = i64::try_from(take_u64(&mut input)?).ok()?;
            let to = hello.number;
            node.write(true_ms, |replica| {
                replica
                    .members()
                    .contains(&to)
                    .then(|| replica.hand_over(day, to, wanted))?
            });
        }
        _ => {}
    }
    Some(())
}

/// For traces.
pub(crate) fn marks(replica: &Replica) -> Vec<(u32, u64, Option<Mark>)> {
    let logs = replica.db.logs.iter();
    logs.map(|log| {
        let (number, seq) = (log.who.number, log.head().seq);
        (number.get(), seq, replica.mark_of(number, seq))
    })
    .collect()
}
