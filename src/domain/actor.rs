//! Who does something: the subject of every policy check and every audit entry.

use std::net::IpAddr;
use std::sync::Arc;

/// What somebody may do, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Their own data, through the phone app.
    Patient,
    /// Doctors and the front desk: patients, readings, queue, resolutions.
    Staff,
    /// Staff who also manage staff accounts and the node.
    Admin,
}

/// Who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody has proved to be anyone.
    Anonymous,
    /// A patient, by row id.
    Patient(i64),
    /// A member of staff, by row id, with their highest role.
    Staff(i64, Role),
    /// Whoever runs commands on the machine itself.
    Operator,
    /// The node, on a schedule.
    System,
}

/// Who it is, and from where. Cheap to clone: each request's goes into jobs and audit entries.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who.
    pub who: Who,
    /// Session id of the log-in; not a secret.
    pub session: Option<Arc<str>>,
    /// Address of the device.
    pub address: Option<IpAddr>,
    /// Id of the request, also in the answer's `X-Request-Id`.
    pub request_id: Option<Arc<str>>,
}

impl Actor {
    /// The operator at the machine.
    #[must_use]
    pub const fn operator() -> Self {
        Self {
            who: Who::Operator,
            session: None,
            address: None,
            request_id: None,
        }
    }

    /// The node itself.
    #[must_use]
    pub const fn system() -> Self {
        Self {
            who: Who::System,
            session: None,
            address: None,
            request_id: None,
        }
    }

    /// The same device and request, known to be `who` from now on.
    #[must_use]
    pub fn becomes(&self, who: Who, session: Option<Arc<str>>) -> Self {
        Self {
            who,
            session,
            address: self.address,
            request_id: self.request_id.clone(),
        }
    }

    /// The row id of a patient, when the actor is one.
    #[must_use]
    pub const fn patient_id(&self) -> Option<i64> {
        match self.who {
            Who::Patient(id) => Some(id),
            _ => None,
        }
    }

    /// The row id of a member of staff, when the actor is one.
    #[must_use]
    pub const fn staff_id(&self) -> Option<i64> {
        match self.who {
            Who::Staff(id, _) => Some(id),
            _ => None,
        }
    }

    /// Whether the actor works here: staff, admin, or the operator.
    #[must_use]
    pub const fn is_staff(&self) -> bool {
        matches!(self.who, Who::Staff(..) | Who::Operator | Who::System)
    }

    /// Whether the actor may manage staff accounts and the node.
    #[must_use]
    pub const fn is_admin(&self) -> bool {
        matches!(
            self.who,
            Who::Staff(_, Role::Admin) | Who::Operator | Who::System
        )
    }
}
