//! The appointment queue: who is where, and what may happen next.
//!
//! A queue day has a size. Patients that wait or were accepted occupy a place; the queue is full
//! when the occupied places reach the size. (The system before compared an ever-growing placement
//! number with the size, so its queue filled up for good.)

use std::cmp::Reverse;

/// Where a patient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueState {
    /// Waits to be accepted.
    Pending,
    /// May fill the clinical form.
    Accepted,
    /// Was turned down.
    Denied,
    /// Has sent the form.
    Created,
    /// Left the queue.
    Cancelled,
    /// Was accepted and did not come.
    NoShow,
    /// Was removed when the queue was cleared or a new day began.
    Cleared,
}

/// What can happen to a queue entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueAction {
    /// Staff let the patient fill the form.
    Accept,
    /// Staff turn the patient down.
    Deny,
    /// The patient sends the form.
    Create,
    /// The patient gives up the place.
    Cancel,
    /// Staff note that the patient did not come.
    NoShow,
    /// Staff put the patient back among the waiting.
    PutBack,
    /// The queue is cleared.
    Clear,
}

/// Why an action was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The entry is in a state from which this cannot happen.
    WrongState(QueueState),
    /// There is no free place.
    Full,
}

impl QueueState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Accepted,
        Self::Denied,
        Self::Created,
        Self::Cancelled,
        Self::NoShow,
        Self::Cleared,
    ];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Accepted => "ACCEPTED",
            Self::Denied => "DENIED",
            Self::Created => "CREATED",
            Self::Cancelled => "CANCELLED",
            Self::NoShow => "NO_SHOW",
            Self::Cleared => "CLEARED",
        }
    }

    /// The inverse of [`QueueState::as_str`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether the entry holds one of the day's places.
    #[must_use]
    pub const fn occupies(self) -> bool {
        matches!(self, Self::Pending | Self::Accepted)
    }

    /// Whether the patient is still in the queue; if not, they may submit again.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::Pending | Self::Accepted | Self::Denied | Self::Created
        )
    }

    /// The state after `action`. Repeating an action that has already happened changes nothing.
    ///
    /// # Errors
    /// [`Refusal::WrongState`] when the action does not start from here, [`Refusal::Full`] when it
    /// needs a place and `free` is 0.
    pub const fn after(self, action: QueueAction, free: i64) -> Result<Self, Refusal> {
        let to = match action {
            QueueAction::Accept => Self::Accepted,
            QueueAction::Deny => Self::Denied,
            QueueAction::Create => Self::Created,
            QueueAction::Cancel => Self::Cancelled,
            QueueAction::NoShow => Self::NoShow,
            QueueAction::PutBack => Self::Pending,
            QueueAction::Clear => Self::Cleared,
        };
        if self as u8 == to as u8 {
            return Ok(to);
        }
        let starts_here = match action {
            QueueAction::Accept | QueueAction::Deny => matches!(self, Self::Pending),
            QueueAction::Create => matches!(self, Self::Accepted),
            QueueAction::Cancel | QueueAction::NoShow => self.occupies(),
            QueueAction::PutBack => matches!(self, Self::Accepted | Self::Denied | Self::Created),
            QueueAction::Clear => self.is_live(),
        };
        if !starts_here {
            return Err(Refusal::WrongState(self));
        }
        if to.occupies() && !self.occupies() && free <= 0 {
            return Err(Refusal::Full);
        }
        Ok(to)
    }
}

/// One opening of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDay {
    /// Row id.
    pub id: i64,
    /// How many places there are.
    pub size: i64,
    /// Whether patients may submit.
    pub open: bool,
}

/// One patient's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// Placement: the row id, never repeated.
    pub placement: i64,
    /// Whose place it is.
    pub patient_id: i64,
    /// Where they stand.
    pub state: QueueState,
    /// 0, or higher for those who go first.
    pub priority: i64,
}

/// Who goes first, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prioritized {
    /// The place.
    pub entry: QueueEntry,
    /// What staff gave as the reason.
    pub reason: String,
}

/// Puts entries, which are in the order in which their patients asked, in the order in which they are looked at: the
/// waiting who go before others come first. A placement does not tell who asked first: it begins with the replica's number.
pub fn sort(entries: &mut [QueueEntry]) {
    entries.sort_by_key(|entry| {
        let waits = entry.state == QueueState::Pending;
        let priority = if waits { entry.priority } else { 0 };
        Reverse(priority)
    });
}

/// Places in the queue of a node that never set another size.
pub const SIZE_DEFAULT: i64 = 5;
/// Most places a queue day can have.
pub const SIZE_MAX: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use QueueAction as A;
    use QueueState as S;

    /// The whole table: every state with every action.
    #[test]
    fn every_transition() {
        let allowed = [
            (S::Pending, A::Accept, S::Accepted),
            (S::Pending, A::Deny, S::Denied),
            (S::Pending, A::Cancel, S::Cancelled),
            (S::Pending, A::NoShow, S::NoShow),
            (S::Pending, A::PutBack, S::Pending),
            (S::Pending, A::Clear, S::Cleared),
            (S::Accepted, A::Accept, S::Accepted),
            (S::Accepted, A::Create, S::Created),
            (S::Accepted, A::Cancel, S::Cancelled),
            (S::Accepted, A::NoShow, S::NoShow),
            (S::Accepted, A::PutBack, S::Pending),
            (S::Accepted, A::Clear, S::Cleared),
            (S::Denied, A::Deny, S::Denied),
            (S::Denied, A::PutBack, S::Pending),
            (S::Denied, A::Clear, S::Cleared),
            (S::Created, A::Create, S::Created),
            (S::Created, A::PutBack, S::Pending),
            (S::Created, A::Clear, S::Cleared),
            (S::Cancelled, A::Cancel, S::Cancelled),
            (S::NoShow, A::NoShow, S::NoShow),
            (S::Cleared, A::Clear, S::Cleared),
        ];
        let actions = [
            A::Accept,
            A::Deny,
            A::Create,
            A::Cancel,
            A::NoShow,
            A::PutBack,
            A::Clear,
        ];
        for from in S::ALL {
            for action in actions {
                let expected = allowed.iter().find(|(s, a, _)| (*s, *a) == (from, action));
                let expected =
                    expected.map_or(Err(Refusal::WrongState(from)), |(_, _, to)| Ok(*to));
                assert_eq!(from.after(action, 1), expected, "{from:?} {action:?}");
            }
        }
    }

    #[test]
    fn coming_back_needs_a_free_place() {
        assert_eq!(S::Denied.after(A::PutBack, 0), Err(Refusal::Full));
        assert_eq!(S::Accepted.after(A::PutBack, 0), Ok(S::Pending));
        assert_eq!(S::Pending.after(A::Accept, 0), Ok(S::Accepted));
    }

    #[test]
    fn only_the_waiting_go_before_others() {
        let entry = |placement, state, priority| QueueEntry {
            placement,
            patient_id: placement,
            state,
            priority,
        };
        let mut entries = [
            entry(1, S::Pending, 0),
            entry(2, S::Accepted, 9),
            entry(3, S::Pending, 2),
            entry(4, S::Pending, 5),
            entry(5, S::Pending, 2),
        ];
        sort(&mut entries);
        assert_eq!(entries.map(|entry| entry.placement), [4, 3, 5, 1, 2]);
    }

    #[test]
    fn names_are_inverse() {
        for state in S::ALL {
            assert_eq!(S::parse(state.as_str()), Some(state));
        }
    }
}
