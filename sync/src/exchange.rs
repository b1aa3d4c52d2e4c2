//! What nodes say to each other, and the rules of a conversation.
//!
//! ```text
//! caller                                     answerer
//! HELLO network, replica, digest      ->
//!                                     <-     HELLO with the same digest: done, one round trip
//!                                     <-     or HELLO and VECTOR
//! VECTOR of the caller                ->
//!                                     <-     TRAIL where versions of a log differ,
//!                                            REPLICA, SEGMENT … of all that the caller lacks, END
//! TRAIL, REPLICA, SEGMENT … of all that the answerer lacks ->
//!                                     <-     VECTOR of what is durable there now
//! ```
//!
//! There is no cursor that could be lost or be wrong after a restore: both sides say where they stand in every
//! log, each time. A log is sent in runs of changes, each with the signature of its end; every such run stands for itself,
//! so a conversation that breaks off is taken up where it stopped.
//!
//! Must never believe a seq without the chain hash that goes with it, nor take a run whose end is not signed.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::branch::Branch;
use crate::chain::{Hash, Head, ReplicaId, SIGNATURE_LEN, SignedHead};
use crate::dot::VersionVector;
use crate::id::ReplicaNumber;
use crate::limits::VECTOR_ENTRIES_MAX;
use crate::varint::{put_i64, put_u64, take_i64, take_u64};

/// The version of the conversation that this program speaks.
pub const PROTOCOL: u8 = 1;
/// How much of a chain hash a vector carries: enough to notice a fork, not to forge one; what is
/// taken is decided by signatures.
const SHORT_HASH: usize = 8;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the message is cut, too long, or not one of this protocol")]
pub struct Malformed;

/// Who calls, and a digest of where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest and the newest protocol that the caller speaks.
    pub protocols: (u8, u8),
    /// The network. Nodes of another are told so and get nothing.
    pub network: [u8; 16],
    /// Which replica.
    pub replica: ReplicaId,
    /// Its number.
    pub number: ReplicaNumber,
    /// [`Vector::digest`] of where it stands.
    pub digest: Hash,
    /// Whether everything that is stored there is applied.
    pub settled: bool,
    /// Its wall clock, for people to see whose is wrong.
    pub wall_ms: i64,
}

/// Where a node stands in every log: what is stored there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector {
    positions: BTreeMap<ReplicaNumber, Position>,
    /// Whether all of it is applied, and not only stored.
    pub settled: bool,
}

/// Where a node stands in one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of changes known.
    pub seq: u64,
    /// The first bytes of the chain hash there.
    pub hash: [u8; SHORT_HASH],
}

impl From<&Head> for Position {
    fn from(head: &Head) -> Self {
        let mut hash = [0; SHORT_HASH];
        hash.copy_from_slice(&head.hash[..SHORT_HASH]);
        Self {
            seq: head.seq,
            hash,
        }
    }
}

impl Vector {
    /// Notes where a log stands.
    pub fn insert(&mut self, replica: ReplicaNumber, head: &Head) {
        self.positions.insert(replica, Position::from(head));
    }

    /// Where a log stands; `None` when nothing of it is known.
    #[must_use]
    pub fn get(&self, replica: ReplicaNumber) -> Option<Position> {
        self.positions.get(&replica).copied()
    }

    /// All of it, in the order of the numbers.
    pub fn iter(&self) -> impl Iterator<Item = (ReplicaNumber, Position)> {
        self.positions
            .iter()
            .map(|(replica, position)| (*replica, *position))
    }

    /// Without the hashes.
    #[must_use]
    pub fn seqs(&self) -> VersionVector {
        let mut seqs = VersionVector::default();
        for (replica, position) in self.iter() {
            seqs.raise(replica, position.seq);
        }
        seqs
    }

    /// Two nodes with the same digest have the same logs, whatever they have applied of them.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let mut bytes = b"islet vector 1".to_vec();
        self.put_positions(&mut bytes);
        *blake3::hash(&bytes).as_bytes()
    }

    /// Appends the bytes: whether it is settled, a count, then number, seq and hash of each log.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(self.settled.into());
        self.put_positions(out);
    }

    fn put_positions(&self, out: &mut Vec<u8>) {
        put_u64(out, self.positions.len() as u64);
        for (replica, position) in &self.positions {
            put_u64(out, replica.get().into());
            put_u64(out, position.seq);
            out.extend(position.hash);
        }
    }

    /// # Errors
    /// When these bytes are no vector, or have entries out of order.
    pub fn read(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let input = &mut bytes;
        let settled = take_bool(input)?;
        let count = take_u64(input)
            .filter(|count| *count <= VECTOR_ENTRIES_MAX)
            .ok_or(Malformed)?;
        let mut vector = Self {
            settled,
            ..Self::default()
        };
        for _ in 0..count {
            let replica = take_number(input)?;
            let seq = take_u64(input).ok_or(Malformed)?;
            let hash = take_array(input)?;
            if vector
                .positions
                .last_key_value()
                .is_some_and(|(last, _)| *last >= replica)
            {
                return Err(Malformed);
            }
            vector.positions.insert(replica, Position { seq, hash });
        }
        end(input, vector)
    }
}

impl Hello {
    /// The bytes: 1 + 1 + 16 + 16 + number + 32 + 1 + clock.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.protocols.0, self.protocols.1];
        out.extend(self.network);
        out.extend(self.replica.0);
        put_u64(&mut out, self.number.get().into());
        out.extend(self.digest);
        out.push(self.settled.into());
        put_i64(&mut out, self.wall_ms);
        out
    }

    /// # Errors
    /// When these bytes are no greeting.
    pub fn read(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let input = &mut bytes;
        let [oldest, newest] = take_array(input)?;
        let hello = Self {
            protocols: (oldest, newest),
            network: take_array(input)?,
            replica: ReplicaId(take_array(input)?),
            number: take_number(input)?,
            digest: take_array(input)?,
            settled: take_bool(input)?,
            wall_ms: take_i64(input).ok_or(Malformed)?,
        };
        end(input, hello)
    }

    /// Whether both can talk.
    #[must_use]
    pub const fn speaks(&self) -> bool {
        self.protocols.0 <= PROTOCOL && PROTOCOL <= self.protocols.1
    }
}

/// Says which replica a number is, before the first run of its log. Anybody can forward it; whether
/// it is believed depends on the key alone, which must be a member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The number that its row ids carry.
    pub number: ReplicaNumber,
    /// The replica.
    pub replica: ReplicaId,
    /// The key of its node.
    pub public_key: [u8; 32],
    /// Where its log leaves another one of the same replica, when it does.
    pub branch: Option<Branch>,
}

impl Introduction {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(51);
        put_u64(&mut out, self.number.get().into());
        out.extend(self.replica.0);
        out.extend(self.public_key);
        if let Some(branch) = &self.branch {
            put_u64(&mut out, branch.of.get().into());
            put_u64(&mut out, branch.after);
            out.extend(branch.first);
        }
        out
    }

    /// Whether the number is the one that a branch must have.
    #[must_use]
    pub fn is_named_right(&self) -> bool {
        let is_right = |branch: Branch| branch.number(self.replica) == self.number;
        self.branch.is_none_or(is_right)
    }

    /// # Errors
    /// When these bytes introduce nobody.
    pub fn read(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let input = &mut bytes;
        let introduction = Self {
            number: take_number(input)?,
            replica: ReplicaId(take_array(input)?),
            public_key: take_array(input)?,
            branch: None,
        };
        if input.is_empty() {
            return Ok(introduction);
        }
        let branch = Branch {
            of: take_number(input)?,
            after: take_u64(input).ok_or(Malformed)?,
            first: take_array(input)?,
        };
        let branch = Some(branch);
        end(
            input,
            Self {
                branch,
                ..introduction
            },
        )
    }
}

/// Where a log stood before, told to a peer whose position in it is unknown here: both find by it from where on their
/// versions differ. The steps double, so it is short, and what is sent in vain is no more than what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// The name of the log.
    pub number: ReplicaNumber,
    /// Positions in it, the newest first.
    pub positions: Vec<Position>,
}

/// Positions in a trail: as many as there are powers of two below a seq of any log that can be.
const TRAIL_POSITIONS_MAX: usize = 48;

impl Trail {
    /// The seqs at which a trail that ends before `seq` says where the log stood.
    pub fn seqs(seq: u64) -> impl Iterator<Item = u64> {
        let steps = (0..u64::BITS).map_while(move |doublings| seq.checked_sub(1 << doublings));
        steps.filter(|seq| *seq > 0).take(TRAIL_POSITIONS_MAX)
    }

    /// The bytes: the number, a count, then seq and hash of each.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, self.number.get().into());
        put_u64(&mut out, self.positions.len() as u64);
        for position in &self.positions {
            put_u64(&mut out, position.seq);
            out.extend(position.hash);
        }
        out
    }

    /// # Errors
    /// When these bytes are no trail.
    pub fn read(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let input = &mut bytes;
        let number = take_number(input)?;
        let count = take_u64(input).ok_or(Malformed)?;
        if count > TRAIL_POSITIONS_MAX as u64 {
            return Err(Malformed);
        }
        let mut positions: Vec<Position> = Vec::new();
        for _ in 0..count {
            let seq = take_u64(input).ok_or(Malformed)?;
            let hash = take_array(input)?;
            if positions.last().is_some_and(|last| last.seq <= seq) {
                return Err(Malformed);
            }
            positions.push(Position { seq, hash });
        }
        end(input, Self { number, positions })
    }
}

/// The signature that ends a run of a log. Seq and hash are not sent: they are what the run leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Whose log.
    pub number: ReplicaNumber,
    /// Over the head that the run leads to.
    pub signature: [u8; SIGNATURE_LEN],
}

impl Seal {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 + SIGNATURE_LEN);
        put_u64(&mut out, self.number.get().into());
        out.extend(self.signature);
        out
    }

    /// The seal that stands before other bytes, and those.
    ///
    /// # Errors
    /// When they do not begin with a seal.
    pub fn split(mut bytes: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let input = &mut bytes;
        let seal = Self {
            number: take_number(input)?,
            signature: take_array(input)?,
        };
        Ok((seal, input))
    }

    /// # Errors
    /// When these bytes seal nothing.
    pub fn read(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let input = &mut bytes;
        let seal = Self {
            number: take_number(input)?,
            signature: take_array(input)?,
        };
        end(input, seal)
    }
}

/// Why a run of a log is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejected {
    /// Changes before it are missing here.
    #[error("changes {0} to {1} of this log are missing")]
    Gap(u64, u64),
    /// Nothing in it is new.
    #[error("all of it is known")]
    Known,
    /// Its end is not what the owner of the key signed: altered on the way, or never written by it.
    #[error("the log was altered: its end is not signed by its node")]
    Forged,
}

/// Checks a run of changes that follows `at`, the end of what is known of the log, given as the digests of its
/// changes from `first_seq` on. Answers with how many of them are known already, and the end.
///
/// # Errors
/// See [`Rejected`]. When the known part differs from what is known here, the chain leads
/// elsewhere and the run counts as forged: it may follow another head ([`crate::branch`]).
pub fn check_run(
    introduction: &Introduction,
    at: &Head,
    first_seq: u64,
    digests: &[Hash],
    signature: &[u8; SIGNATURE_LEN],
) -> Result<(usize, SignedHead), Rejected> {
    if first_seq > at.seq + 1 {
        return Err(Rejected::Gap(at.seq + 1, first_seq - 1));
    }
    let known = usize::try_from(at.seq + 1 - first_seq).map_err(|_| Rejected::Known)?;
    let new = digests
        .get(known..)
        .filter(|new| !new.is_empty())
        .ok_or(Rejected::Known)?;
    let head = new.iter().fold(*at, |head, digest| head.append(digest));
    let signed = SignedHead {
        head,
        signature: *signature,
    };
    signed
        .verify(introduction.replica, &introduction.public_key)
        .map_err(|_| Rejected::Forged)?;
    Ok((known, signed))
}

fn take_number(input: &mut &[u8]) -> Result<ReplicaNumber, Malformed> {
    let number = take_u64(input)
        .and_then(|number| u32::try_from(number).ok())
        .ok_or(Malformed)?;
    ReplicaNumber::new(number).map_err(|_| Malformed)
}

fn take_bool(input: &mut &[u8]) -> Result<bool, Malformed> {
    match take_array::<1>(input)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Malformed),
    }
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, tail) = input.split_first_chunk::<N>().ok_or(Malformed)?;
    *input = tail;
    Ok(*head)
}

fn end<T>(rest: &[u8], message: T) -> Result<T, Malformed> {
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::Signer;

    fn number(n: u32) -> ReplicaNumber {
        ReplicaNumber::new(n).unwrap()
    }

    fn introduction() -> (Signer, Introduction) {
        let signer = Signer::from_seed(&[3; 32]).unwrap();
        let public_key = signer.public_key();
        (
            signer,
            Introduction {
                number: number(4),
                replica: ReplicaId([9; 16]),
                public_key,
                branch: None,
            },
        )
    }

    fn vector() -> impl Strategy<Value = Vector> {
        prop::collection::btree_map(0u32..2_097_152, (any::<u64>(), any::<[u8; 8]>()), 0..9)
            .prop_map(|entries| {
                let positions = entries
                    .into_iter()
                    .map(|(n, (seq, hash))| (number(n), Position { seq, hash }))
                    .collect();
                Vector {
                    positions,
                    settled: true,
                }
            })
    }

    #[test]
    fn a_run_is_taken_once_from_where_it_is_new_and_only_as_signed() {
        let (signer, who) = introduction();
        let digests: Vec<Hash> = (0..5).map(|n| [n; 32]).collect();
        let start = Head::genesis(who.replica);
        let after = |n: usize| {
            digests[..n]
                .iter()
                .fold(start, |head, digest| head.append(digest))
        };
        let signature = signer.sign(who.replica, after(5)).signature;

        let (known, end) = check_run(&who, &start, 1, &digests, &signature).unwrap();
        assert_eq!((known, end.head), (0, after(5)));
        let (known, end) = check_run(&who, &after(2), 1, &digests, &signature).unwrap();
        assert_eq!((known, end.head), (2, after(5)));
        assert_eq!(
            check_run(&who, &after(2), 3, &digests[2..], &signature)
                .unwrap()
                .0,
            0
        );

        assert_eq!(
            check_run(&who, &after(5), 1, &digests, &signature),
            Err(Rejected::Known)
        );
        assert_eq!(
            check_run(&who, &start, 3, &digests[2..], &signature),
            Err(Rejected::Gap(1, 2))
        );
        assert_eq!(
            check_run(&who, &start, 1, &digests[..4], &signature),
            Err(Rejected::Forged)
        );
        let mut other = digests.clone();
        other.swap(1, 2);
        assert_eq!(
            check_run(&who, &start, 1, &other, &signature),
            Err(Rejected::Forged)
        );
        // We have another second change than its author signs now: nothing of it fits.
        let ours = start.append(&[0; 32]).append(&[77; 32]);
        assert_eq!(
            check_run(&who, &ours, 1, &digests, &signature),
            Err(Rejected::Forged)
        );
    }

    #[test]
    fn a_greeting_is_short() {
        let hello = Hello {
            protocols: (1, 1),
            network: [1; 16],
            replica: ReplicaId([2; 16]),
            number: number(2_097_151),
            digest: [3; 32],
            settled: true,
            wall_ms: 1_772_755_449_000,
        };
        assert_eq!(Hello::read(&hello.bytes()), Ok(hello));
        assert!(hello.bytes().len() <= 80 && hello.speaks());
    }

    #[test]
    fn a_trail_is_short_and_reads_back() {
        let seqs: Vec<u64> = Trail::seqs(11).collect();
        assert_eq!(seqs, [10, 9, 7, 3]);
        let hash = [7; SHORT_HASH];
        let positions = Trail::seqs(u64::MAX >> 16).map(|seq| Position { seq, hash });
        let trail = Trail {
            number: number(2_097_151),
            positions: positions.collect(),
        };
        assert_eq!(Trail::read(&trail.bytes()), Ok(trail.clone()));
        assert!(trail.bytes().len() <= 1_024, "{}", trail.bytes().len());
        let mut wrong = trail;
        wrong.positions.swap(0, 1);
        assert_eq!(Trail::read(&wrong.bytes()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn vectors_round_trip_and_tell_themselves_apart(a in vector(), b in vector()) {
            let mut bytes = Vec::new();
            a.put(&mut bytes);
            prop_assert_eq!(Vector::read(&bytes), Ok(a.clone()));
            prop_assert_eq!(a.digest() == b.digest(), a.positions == b.positions);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(vector) = Vector::read(&bytes) {
                let mut again = Vec::new();
                vector.put(&mut again);
                prop_assert_eq!(again, bytes.clone());
            }
            let _ = Hello::read(&bytes).map(|hello| assert_eq!(hello.bytes(), bytes));
            let _ = Trail::read(&bytes).map(|trail| assert_eq!(trail.bytes(), bytes));
            let _ = Introduction::read(&bytes).map(|introduction| assert_eq!(introduction.bytes(), bytes));
            let _ = Seal::read(&bytes).map(|seal| assert_eq!(seal.bytes(), bytes));
        }
    }
}
