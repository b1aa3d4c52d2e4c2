//! Rights to the places of a queue day, so that its capacity is never exceeded, whoever is cut off
//! from whom (bounded counter: Balegas et al., "Extending Eventually Consistent Cloud Databases for
//! Enforcing Numeric Invariants", SRDS 2015, arXiv 1503.09052).
//!
//! The replica that opens a day mints as many rights as the day has places. A replica gives out a
//! place only for a right that it holds, in the transaction that writes the entry, and hands rights
//! over to others that ask. For each replica
//!
//! ```text
//! available = minted + received - given - burnt - used
//! ```
//!
//! Whatever lowers this is written by the replica itself, so it knows all of it; what others
//! write can only raise it, so knowing less of them never gives out too much. A right that was used
//! counts as used while its entry holds a place, and while it may turn out to hold one: a denial frees
//! its place once no acceptance can cross it any more ([`crate::causality::Causality::stable`]).
//!
//! A denial is stable when every member that is *known* has seen it. A replica that is not known yet (it
//! has just joined, or took over from one that was restored from a backup) may still hold the state before the denial.
//! So a replica lets an entry take a place again, by accepting it, on the right that was used for it only when
//! the user of that right is known to know it: [`may_rely_on`]. Else the place costs a right of its own.
//!
//! Must never count a right as free because of something that can be undone.

use crate::causality::Causality;
use crate::dot::{Context as _, VersionVector};
use crate::id::ReplicaNumber;
use crate::register::Sibling;

/// What a row of rights says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Made out of nothing, by the replica that opened the day.
    Mint = 1,
    /// Handed over to another replica.
    Transfer = 2,
    /// Given up: the day has fewer places.
    Burn = 3,
    /// Used for an entry.
    Use = 4,
}

impl Kind {
    /// The inverse of `as i64`.
    #[must_use]
    pub const fn from_code(code: i64) -> Option<Self> {
        Some(match code {
            1 => Self::Mint,
            2 => Self::Transfer,
            3 => Self::Burn,
            4 => Self::Use,
            _ => return None,
        })
    }
}

/// What happened to the entry for which a right was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// A later right took its place: the patient was put back, or moved to another day.
    pub replaced: bool,
    /// The entry holds a place (waiting or accepted).
    pub occupies: bool,
    /// The entry was turned down, and somebody may have accepted it at the same time.
    pub denied_unstable: bool,
}

impl Use {
    /// Whether the right is still bound.
    #[must_use]
    pub const fn is_held(self) -> bool {
        !self.replaced && (self.occupies || self.denied_unstable)
    }
}

/// Whether somebody may have written a state at the same time as these: one of them is not known to
/// everybody yet. `stable` is [`Causality::stable`].
#[must_use]
pub fn is_unstable(siblings: &[Sibling], stable: &VersionVector) -> bool {
    siblings
        .iter()
        .any(|sibling| !stable.contains(sibling.stamp.replica, sibling.stamp.seq))
}

/// Whether writing the state `to` over the one that is shown costs a right of the writer, which takes the place of
/// those that the entry had: it brings back a place that was given up, or may let an acceptance that crosses it bring it
/// back. A state that no acceptance can undo frees its place at once, so settling a conflict in favour of a
/// weaker one than is shown is no mere change of words.
#[must_use]
pub fn costs_right(shown: &str, to: &str) -> bool {
    let is_final = |state| ["NO_SHOW", "CANCELLED", "CLEARED", "CREATED"].contains(&state);
    let occupies = |state| ["PENDING", "ACCEPTED"].contains(&state);
    (is_final(shown) && !is_final(to)) || (occupies(to) && !occupies(shown))
}

/// Whether `me` may let an entry hold its place on a right that `user` has used: `user` had seen a change of `me`
/// and so counts it among the members, and all that `user` had seen until then is applied here, denials
/// included.
#[must_use]
pub fn may_rely_on(causality: &Causality, me: ReplicaNumber, user: ReplicaNumber) -> bool {
    let knows_me = |seen: &VersionVector| seen.seq(me) > 0;
    me == user || causality.context(user).is_some_and(knows_me)
}

/// The rights of one replica to one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Minted by it.
    pub minted: i64,
    /// Handed over to it.
    pub received: i64,
    /// Handed over by it.
    pub given: i64,
    /// Given up by it.
    pub burnt: i64,
    /// Used by it and still bound.
    pub used: i64,
}

impl Rights {
    /// How many places it may give out. Below 0 when waiting patients were carried over from the day before.
    #[must_use]
    pub const fn available(&self) -> i64 {
        self.minted + self.received - self.given - self.burnt - self.used
    }

    /// How many of them to hand to a peer that asks for `wanted`: half of what is left, so that both can go
    /// on, and at least one.
    #[must_use]
    pub const fn to_hand_over(&self, wanted: i64) -> i64 {
        let available = self.available();
        if available <= 0 || wanted <= 0 {
            return 0;
        }
        let half = (available + 1) / 2;
        if wanted < half { wanted } else { half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_bound_until_nothing_can_bring_the_place_back() {
        let held = |replaced, occupies, denied_unstable| {
            Use {
                replaced,
                occupies,
                denied_unstable,
            }
            .is_held()
        };
        assert!(held(false, true, false));
        assert!(held(false, false, true));
        assert!(!held(false, false, false));
        assert!(!held(true, true, true));
    }

    #[test]
    fn whatever_may_bring_a_place_back_costs_a_right() {
        let states = ["PENDING", "ACCEPTED", "DENIED", "NO_SHOW", "CANCELLED"];
        let costly = |shown| states.map(|to| costs_right(shown, to));
        assert_eq!(costly("PENDING"), [false; 5]);
        assert_eq!(costly("ACCEPTED"), [false; 5]);
        assert_eq!(costly("DENIED"), [true, true, false, false, false]);
        assert_eq!(costly("NO_SHOW"), [true, true, true, false, false]);
        assert_eq!(costly("CREATED"), [true, true, true, false, false]);
    }

    #[test]
    fn a_new_replica_relies_on_nobody_who_does_not_know_it() {
        let [me, user] = [7, 8].map(|n| ReplicaNumber::new(n).unwrap());
        let mut here = Causality::default();
        here.enter(user, &[], 0);
        here.enter(me, &here.unsaid(me), 1);
        assert!(may_rely_on(&here, me, me) && !may_rely_on(&here, me, user));
        let seen = crate::causality::Sighting {
            of: me,
            seq: 1,
            mark: 1,
        };
        here.enter(user, &[seen], 2);
        assert!(may_rely_on(&here, me, user));
    }

    #[test]
    fn a_peer_gets_half_and_never_what_is_not_there() {
        let rights = |minted, used| Rights {
            minted,
            used,
            ..Rights::default()
        };
        assert_eq!(rights(10, 0).to_hand_over(100), 5);
        assert_eq!(rights(10, 0).to_hand_over(2), 2);
        assert_eq!(rights(10, 9).to_hand_over(3), 1);
        assert_eq!(rights(10, 10).to_hand_over(3), 0);
        assert_eq!(rights(10, 12).to_hand_over(3), 0);
        assert_eq!(rights(10, 0).to_hand_over(0), 0);
        assert_eq!(rights(10, 12).available(), -2);
    }
}
