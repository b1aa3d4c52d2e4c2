//! Commands that change something, whether or not the node is running.
//!
//! One process has a data directory. When that is a serving node, a command sends it one JSON
//! request through `control.sock` and gets one JSON response; otherwise the command opens the
//! directory itself. Either way [`execute`] does the work, as the operator at the machine: whoever
//! can open the socket (mode 0600, in a directory of mode 0700) could also read the database.
//! Must never be reachable from the network.

mod client;
mod conflicts;
mod execute;
mod network;
mod server;
mod socket;

use serde::{Deserialize, Serialize, Serializer};

pub(super) use client::close;
pub use client::{ask_running, open_here, perform};
pub use execute::execute;
pub use server::Control;

use super::failure::Exit;
use crate::auth::Secret;
use crate::http::v1::conflicts::{ConflictDto, ConflictsDto};
use crate::peer::manual::SyncReport;
use crate::peer::status::PeerReport;

/// What can be asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Register a patient.
    AddPatient {
        /// Log-in name.
        dni: String,
        /// Given name.
        name: String,
        /// Family name.
        surname: String,
        /// Where recovery mails go.
        email: String,
        /// Number in the hospital's own records.
        hospital_account: String,
        /// Tidepool account.
        tidepool: Option<String>,
        /// The first password; without one, the patient chooses it with a one-time code.
        #[serde(serialize_with = "expose_some")]
        password: Option<Secret>,
    },
    /// Register a member of staff.
    AddStaff {
        /// Log-in name.
        username: String,
        /// Where recovery mails go.
        email: String,
        /// Whether they manage staff and the node.
        admin: bool,
        /// The first password.
        #[serde(serialize_with = "expose")]
        password: Secret,
    },
    /// Block an account or let it in again.
    SetBlocked {
        /// Whose.
        account: Account,
        /// Which of the two.
        blocked: bool,
    },
    /// Make a one-time code for choosing a new password.
    ResetPassword(Account),
    /// List accounts; all of them without a role.
    ListUsers(Option<UserRole>),
    /// Load the well-known log-ins.
    Seed,
    /// Give out an invitation to the network.
    Invite {
        /// How long it is good, in seconds.
        valid_s: u64,
        /// `host:port` under which the other node reaches this one, besides the known ones.
        address: Option<String>,
    },
    /// List the nodes of the network.
    ListPeers,
    /// Throw a node out, by name, number or id.
    RevokePeer(String),
    /// Call a node by another name.
    RenamePeer {
        /// Its name, number or id.
        which: String,
        /// The new name.
        name: String,
    },
    /// Begin a sync with a peer, by name, number, id or address.
    BeginSync(String),
    /// How far that sync has come.
    ShowSync,
    /// List open conflicts.
    ListConflicts {
        /// The id of the last one that is known.
        after: Option<String>,
        /// Most of them.
        limit: u32,
    },
    /// Show a conflict, by its id.
    ShowConflict(String),
    /// Settle a conflict.
    SettleConflict {
        /// Its id.
        id: String,
        /// The candidate that is right.
        choice: Option<String>,
        /// Why so.
        reason: String,
        /// The right value of a reading.
        mg_dl: Option<f64>,
    },
}

/// Whose account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// By DNI.
    Patient(String),
    /// By user name.
    Staff(String),
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    /// Their own data, through the phone app.
    Patient,
    /// Patients, readings, queue, resolutions.
    Staff,
    /// The same, and staff accounts and the node.
    Admin,
}

/// An account as it is listed: without its password hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Row id, unique among patients and among staff.
    pub id: i64,
    /// `None` when all roles were taken away.
    pub role: Option<UserRole>,
    /// DNI or user name.
    pub name: String,
    /// What a patient is called; nothing is known of staff.
    pub person: Option<String>,
    /// Where recovery mails go.
    pub email: String,
    /// Whether the account may not be used.
    pub blocked: bool,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// The account as it is now.
    User(User),
    /// Accounts, patients first, by id.
    Users(Vec<User>),
    /// A one-time code.
    Code {
        /// To be read out, in groups.
        #[serde(serialize_with = "expose")]
        code: Secret,
        /// How long it works.
        valid_hours: u64,
    },
    /// A new account that has no password yet.
    Invited {
        /// The account.
        user: User,
        /// With which its owner chooses a password, in groups.
        #[serde(serialize_with = "expose")]
        code: Secret,
        /// How long it works.
        valid_hours: u64,
    },
    /// The well-known log-ins are loaded.
    Seeded {
        /// Whether the admin is among them.
        admin: bool,
    },
    /// An invitation.
    Invitation {
        /// What the other node is to be told.
        #[serde(serialize_with = "expose")]
        code: Secret,
        /// The end of its time, in milliseconds since 1970.
        expires_at_ms: i64,
        /// Where the other node will look for this one.
        addresses: Vec<String>,
    },
    /// The nodes of the network.
    Peers(Vec<PeerReport>),
    /// A node was thrown out.
    PeerRevoked {
        /// Its number.
        number: u32,
        /// What people call it.
        name: String,
    },
    /// A node has another name.
    PeerRenamed {
        /// Its number.
        number: u32,
        /// What people call it now.
        name: String,
    },
    /// How far a sync has come.
    Sync(SyncReport),
    /// Some open conflicts.
    Conflicts(ConflictsDto),
    /// A conflict as it is now.
    Conflict(Box<ConflictDto>),
    /// Nothing was done.
    Refused {
        /// The exit code of the command.
        exit: Exit,
        /// Why not.
        text: String,
    },
}

fn expose_some<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}

/// The one place where a secret is written into a message: both ends of it are this machine.
fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}
