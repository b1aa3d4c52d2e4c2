//! How far somebody has been told: a version vector, as bytes that a client keeps and shows to any node.
//!
//! For each log it says how many changes were told of, the mark of the chain hash there (so that another branch of the
//! same log is noticed), and the last row of each kind. Row ids count up in the order of their log, so rows after it are
//! the new ones. It gives nobody any right: who asks decides what is shown. A checksum tells a cut or misspelt cursor
//! from one of an earlier release.

use std::collections::BTreeMap;

use islet_sync::varint::{put_u64, take_u64};

use crate::limits;

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 4;
/// Kinds of rows that are told of when they are new.
pub(super) const KINDS: usize = 3;

/// How far a log was told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Changes.
    pub(super) seq: u64,
    /// The mark of the chain hash there.
    pub(super) mark: u32,
    /// The counter of the last row id, by kind.
    pub(super) rows: [u32; KINDS],
}

/// How far somebody was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// For whom: another audience begins afresh.
    pub(super) audience: u64,
    /// By number of the replica.
    pub(super) logs: BTreeMap<u32, Reach>,
}

impl Cursor {
    /// The bytes that a client keeps.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.audience.to_be_bytes());
        for (number, reach) in &self.logs {
            put_u64(&mut out, u64::from(*number));
            put_u64(&mut out, reach.seq);
            out.extend(reach.mark.to_be_bytes());
            for row in reach.rows {
                put_u64(&mut out, u64::from(row));
            }
        }
        let check = checksum(&out);
        out.extend(check);
        out
    }

    /// The inverse; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > limits::CURSOR_BYTES_MAX {
            return None;
        }
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_BYTES)?)?;
        if checksum(body) != check {
            return None;
        }
        let (version, mut rest) = body.split_first()?;
        if *version != VERSION {
            return None;
        }
        let audience = u64::from_be_bytes(*rest.split_off(..8)?.as_array()?);
        let mut logs = BTreeMap::new();
        while !rest.is_empty() {
            let number = u32::try_from(take_u64(&mut rest)?).ok()?;
            let seq = take_u64(&mut rest)?;
            let mark = u32::from_be_bytes(*rest.split_off(..4)?.as_array()?);
            let mut rows = [0; KINDS];
            for row in &mut rows {
                *row = u32::try_from(take_u64(&mut rest)?).ok()?;
            }
            logs.insert(number, Reach { seq, mark, rows });
        }
        Some(Self { audience, logs })
    }

    /// Whether nothing that `other` was told of is missing here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.logs.iter().all(|(number, theirs)| {
            let ours = self.logs.get(number).copied().unwrap_or_default();
            let rows = ours.rows.iter().zip(theirs.rows);
            ours.seq >= theirs.seq && rows.into_iter().all(|(ours, theirs)| *ours >= theirs)
        })
    }

    /// The same for another audience.
    #[must_use]
    pub fn of(&self, audience: u64) -> Self {
        Self {
            audience,
            logs: self.logs.clone(),
        }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = blake3::hash(bytes);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hash.as_bytes()[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor() -> impl Strategy<Value = Cursor> {
        let reach = (any::<u64>(), any::<u32>(), any::<[u32; KINDS]>());
        let reach = reach.prop_map(|(seq, mark, rows)| Reach { seq, mark, rows });
        let logs = prop::collection::btree_map(any::<u32>(), reach, 0..9);
        (any::<u64>(), logs).prop_map(|(audience, logs)| Cursor { audience, logs })
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_back(cursor in cursor()) {
            prop_assert_eq!(Cursor::from_bytes(&cursor.to_bytes()), Some(cursor.clone()));
            prop_assert!(cursor.covers(&cursor));
        }

        #[test]
        fn what_was_cut_or_altered_is_none(cursor in cursor(), at: prop::sample::Index, bit in 0..8u32) {
            let mut bytes = cursor.to_bytes();
            prop_assert_eq!(Cursor::from_bytes(&bytes[..at.index(bytes.len())]), None);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Cursor::from_bytes(&bytes), None);
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            let _ = Cursor::from_bytes(&bytes);
        }
    }
}
