//! What an audit entry says: who did or saw what of whom, with which outcome.
//!
//! Entries hold ids, never names, values, passwords or tokens: the log outlives the data it
//! speaks of. The list of actions follows IHE BALP's create, read, update, delete and query, with
//! the events of 45 CFR 164.312(b).

use super::actor::Actor;

/// Everything that entries speak of, as `object.verb`, in alphabetical order.
pub const ACTIONS: &[&str] = &[
    "appointment.create",
    "appointment.list",
    "appointment.read",
    "audit.list",
    "change.list",
    "conflict.list",
    "conflict.read",
    "conflict.settle",
    "mail.give_up",
    "node.demo",
    "node.init",
    "node.new_authority",
    "node.new_replica",
    "node.restore_schema",
    "node.seed",
    "patient.block",
    "patient.change_password",
    "patient.create",
    "patient.list",
    "patient.read",
    "patient.unblock",
    "patient.update",
    "peer.admit",
    "peer.announce",
    "peer.heard_late",
    "peer.invite",
    "peer.join",
    "peer.list",
    "peer.rename",
    "peer.revoke",
    "peer.turned_away",
    "queue.accept",
    "queue.cancel",
    "queue.clear",
    "queue.close",
    "queue.create",
    "queue.deny",
    "queue.hand_over",
    "queue.list",
    "queue.no_show",
    "queue.open",
    "queue.prioritize",
    "queue.put_back",
    "queue.read",
    "queue.resize",
    "queue.submit",
    "reading.correct",
    "reading.create",
    "reading.entered_in_error",
    "reading.import",
    "reading.list",
    "reading.list_all",
    "reading.read",
    "reading.upload",
    "recovery.desk_code",
    "recovery.request",
    "recovery.reset",
    "resolution.create",
    "resolution.read",
    "session.log_in",
    "session.log_out",
    "session.refresh",
    "setting.read",
    "setting.update",
    "staff.block",
    "staff.change_email",
    "staff.change_password",
    "staff.create",
    "staff.list",
    "staff.read",
    "staff.unblock",
    "streak.read",
    "sync.apply",
    "sync.fork",
    "sync.introduce",
    "sync.store",
    "sync.tidy",
    "throttle.close",
];

/// Whether an action begins like this.
///
/// # Errors
/// Those that may have been meant: all of the same object, or else the objects.
pub fn known_prefix(prefix: &str) -> Result<(), Vec<&'static str>> {
    if ACTIONS.iter().any(|action| action.starts_with(prefix)) {
        return Ok(());
    }
    let object = prefix.split('.').next().unwrap_or_default();
    let of_object = |action: &&&str| action.split('.').next() == Some(object);
    let near: Vec<_> = ACTIONS.iter().filter(of_object).copied().collect();
    if !near.is_empty() {
        return Err(near);
    }
    let mut objects: Vec<_> = ACTIONS
        .iter()
        .filter_map(|action| action.split_inclusive('.').next())
        .collect();
    objects.dedup();
    Err(objects)
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Ok,
    /// Not allowed.
    Denied,
    /// Allowed, but could not be done.
    Failed,
}

impl Outcome {
    /// The name in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// The kind of thing that was acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A patient account.
    Patient,
    /// A staff account.
    Staff,
    /// A reading.
    Reading,
    /// The queue as a whole.
    QueueDay,
    /// A place in the queue.
    QueueEntry,
    /// An appointment.
    Appointment,
    /// A resolution.
    Resolution,
    /// The node itself.
    Node,
}

impl Object {
    /// The name in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Staff => "staff",
            Self::Reading => "reading",
            Self::QueueDay => "queue_day",
            Self::QueueEntry => "queue_entry",
            Self::Appointment => "appointment",
            Self::Resolution => "resolution",
            Self::Node => "node",
        }
    }
}

/// One thing that happened. Built with [`Entry::new`] and the methods that add to it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who, from where.
    pub actor: Actor,
    /// What, as `object.verb`, one of [`ACTIONS`].
    pub action: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Whose data it was.
    pub patient_id: Option<i64>,
    /// What it was done to.
    pub object: Option<(Object, i64)>,
    /// Facts without names or values: counts, states, reasons.
    pub detail: Option<String>,
}

impl Entry {
    /// An action that succeeded.
    #[must_use]
    pub fn new(actor: &Actor, action: &'static str) -> Self {
        debug_assert!(
            ACTIONS.contains(&action) || action.starts_with("test."),
            "{action} is not listed"
        );
        Self {
            actor: actor.clone(),
            action,
            outcome: Outcome::Ok,
            patient_id: actor.patient_id(),
            object: None,
            detail: None,
        }
    }

    /// Whose data it was.
    #[must_use]
    pub const fn of_patient(mut self, id: i64) -> Self {
        self.patient_id = Some(id);
        self
    }

    /// What it was done to.
    #[must_use]
    pub const fn on(mut self, object: Object, id: i64) -> Self {
        self.object = Some((object, id));
        self
    }

    /// How it ended, when not well.
    #[must_use]
    pub const fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Facts without names or values.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_nothing_begins_with_is_answered_with_what_is_near() {
        for known in ["", "reading.", "session.log_in", "queue.put"] {
            assert_eq!(known_prefix(known), Ok(()), "{known}");
        }
        let sessions = vec!["session.log_in", "session.log_out", "session.refresh"];
        assert_eq!(known_prefix("session.login"), Err(sessions));
        let objects = known_prefix("glucose.").unwrap_err();
        assert!(
            objects.contains(&"reading.") && objects.len() > 5,
            "{objects:?}"
        );
        assert!(ACTIONS.is_sorted());
    }
}
