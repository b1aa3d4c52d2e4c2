//! Why a use case was not carried out. Each variant has one stable code; edges turn it into an
//! answer. Texts are shown to people: they say what to do, and hold nothing secret.

use thiserror::Error;

use crate::auth::RandomError;
use crate::auth::password::HashError;
use crate::auth::throttle::RetryAfter;
use crate::auth::token::TokenKeyError;
use crate::domain::queue::QueueState;
use crate::domain::text::Invalid;
use crate::store::StoreError;

/// Looks whether something is still as it was when its editor saw it.
pub type Expectation<T> = Box<dyn FnOnce(&T) -> bool + Send>;

/// Why a use case was not carried out.
#[derive(Debug, Error)]
pub enum Error {
    /// Nobody, or nobody that is known.
    #[error("Not authenticated")]
    Unauthenticated,
    /// The access token is genuine and too old.
    #[error("Token Expired")]
    TokenExpired,
    /// Wrong name or password.
    #[error("Incorrect mail or password")]
    BadCredentials,
    /// The current password that was given with a new one is not right.
    #[error("La contraseña actual no es correcta")]
    WrongPassword,
    /// The account may not be used.
    #[error("User blocked by admin")]
    Blocked,
    /// The owner must choose another password first.
    #[error(
        "Debe elegir una nueva contraseña: use «Olvidé mi contraseña» o pida un código en la clínica"
    )]
    PasswordResetRequired,
    /// A refresh token that is unknown, too old, or was used twice.
    #[error("Invalid or expired refresh token")]
    BadRefreshToken,
    /// A recovery code that is too old.
    #[error("Recovery token has expired")]
    RecoveryExpired,
    /// A recovery code that is unknown or was used.
    #[error("Invalid recovery token")]
    RecoveryInvalid,
    /// Somebody known, who may not do this.
    #[error("Not allowed for this account")]
    Forbidden,
    /// There is no such thing, or none that this actor may know of.
    #[error("{0}")]
    NotFound(&'static str),
    /// A value cannot be taken.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// Why not.
        reason: Invalid,
    },
    /// An invitation to the network cannot be used.
    #[error(transparent)]
    Invitation(#[from] InvitationFault),
    /// A conflict cannot be settled like that.
    #[error(transparent)]
    Conflict(#[from] ConflictFault),
    /// A value that must be unique is used by another account.
    #[error("Another account already has this {0}")]
    Taken(&'static str),
    /// The queue is closed.
    #[error("La cola de turnos está cerrada. Intente nuevamente cuando la clínica la abra.")]
    QueueClosed,
    /// The queue has no free place.
    #[error("Appointment Queue Full")]
    QueueFull,
    /// This node has no free place; others, which cannot be reached now, have.
    #[error(
        "No quedan turnos en este puesto; los que quedan los tiene {0}. Pida el suyo allí o intente más tarde."
    )]
    PlacesElsewhere(String),
    /// What places are left were a replica's that will never give them out.
    #[error(
        "Quedan turnos que ningún puesto puede dar: eran de un puesto que se restauró o se quitó de la red. Avise al personal: se vuelven a dar al cerrar y abrir la cola."
    )]
    PlacesStranded,
    /// The patient has no place in the queue.
    #[error("Appointment does not exist in queue (nothing accepted)")]
    NotInQueue,
    /// The patient's place is in another state than accepted.
    #[error("Appointment wasn't accepted yet (it is {})", .0.as_str())]
    NotAccepted(QueueState),
    /// Staff ask for something that does not start from the state of the place.
    #[error("This cannot be done while the appointment is {}", .0.as_str())]
    WrongState(QueueState),
    /// Nobody could manage the node any more.
    #[error("This is the last administrator: make another one first")]
    LastAdmin,
    /// Somebody else has changed it since it was looked at.
    #[error("Alguien lo cambió mientras tanto. Vuelva a cargarlo e intente de nuevo.")]
    Changed,
    /// What was told before is of no use here any more: everything has to be told again.
    #[error("Hay que volver a pedir todo desde el principio, sin `after`.")]
    StartAfresh,
    /// Too many failed log-ins.
    #[error("Too many failed attempts; try again in {} s", .0.seconds)]
    Throttled(RetryAfter),
    /// The node has too much to do.
    #[error("The node is busy; try again in a moment")]
    Busy,
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that should not happen. The text is for the log only.
    #[error("internal error")]
    Internal(String),
}

/// Why an invitation lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvitationFault {
    /// This node never gave it out.
    #[error("this invitation was not given out by this node: make a new one with `islet invite`")]
    Unknown,
    /// Its time is over.
    #[error("this invitation has expired: make a new one with `islet invite`")]
    Expired,
    /// Another node has joined by it.
    #[error("this invitation was used by another node: make a new one with `islet invite`")]
    Used,
    /// The node that asks was thrown out under this key.
    #[error(
        "this computer was removed from the network under the key that it has: join with a new, empty directory"
    )]
    KeyRemoved,
    /// The node that is asked was thrown out itself.
    #[error(
        "this node was removed from its network and lets nobody in: use an invitation of another node of the network"
    )]
    Removed,
}

/// Why a conflict was not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConflictFault {
    /// Somebody else was faster, or it is gone.
    #[error("this conflict is not open any more: look at how it was settled")]
    Settled,
    /// The candidates are others than those that were looked at.
    #[error("this conflict has changed since you looked: look again")]
    Changed,
    /// The patient would have two places in the queue.
    #[error(
        "the patient has another place in the queue by now: choose a state that gives this one up"
    )]
    AnotherPlace,
}

impl Error {
    /// The stable code of the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::TokenExpired => "token_expired",
            Self::BadCredentials => "bad_credentials",
            Self::WrongPassword => "wrong_password",
            Self::Blocked => "blocked",
            Self::PasswordResetRequired => "password_reset_required",
            Self::BadRefreshToken => "bad_refresh_token",
            Self::RecoveryExpired => "recovery_expired",
            Self::RecoveryInvalid => "recovery_invalid",
            Self::Forbidden => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::Invalid { .. } => "invalid",
            Self::Invitation(InvitationFault::Unknown) => "invitation_unknown",
            Self::Invitation(InvitationFault::Expired) => "invitation_expired",
            Self::Invitation(InvitationFault::Used) => "invitation_used",
            Self::Invitation(InvitationFault::KeyRemoved) => "invitation_key_removed",
            Self::Invitation(InvitationFault::Removed) => "invitation_removed",
            Self::Conflict(ConflictFault::Settled) => "conflict_settled",
            Self::Conflict(ConflictFault::Changed) => "conflict_changed",
            Self::Conflict(ConflictFault::AnotherPlace) => "another_place",
            Self::Taken(_) => "taken",
            Self::QueueClosed => "queue_closed",
            Self::QueueFull => "queue_full",
            Self::PlacesElsewhere(_) => "places_elsewhere",
            Self::PlacesStranded => "places_stranded",
            Self::NotInQueue => "not_in_queue",
            Self::NotAccepted(_) => "not_accepted",
            Self::WrongState(_) => "wrong_state",
            Self::LastAdmin => "last_admin",
            Self::Changed => "changed",
            Self::StartAfresh => "start_afresh",
            Self::Throttled(_) => "throttled",
            Self::Busy | Self::Store(StoreError::Overloaded | StoreError::TimedOut) => "busy",
            Self::Store(StoreError::DiskFull) => "disk_full",
            Self::Store(_) | Self::Internal(_) => "internal",
        }
    }

    /// Whether somebody asked for what cannot be, as opposed to a node that cannot do its work.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::NotFound(_)
                | Self::Invitation(_)
                | Self::Conflict(_)
                | Self::Taken(_)
                | Self::QueueClosed
                | Self::QueueFull
                | Self::PlacesElsewhere(_)
                | Self::PlacesStranded
                | Self::NotInQueue
                | Self::NotAccepted(_)
                | Self::WrongState(_)
                | Self::LastAdmin
                | Self::Changed
        )
    }

    /// Refuses what is not as its editor saw it.
    pub(super) fn unless_expected<T>(
        expected: Option<Expectation<T>>,
        found: &T,
    ) -> Result<(), Self> {
        if expected.is_none_or(|expected| expected(found)) {
            return Ok(());
        }
        Err(Self::Changed)
    }

    /// Shorthand for [`Error::Invalid`].
    pub fn invalid(field: &'static str) -> impl FnOnce(Invalid) -> Self {
        move |reason| Self::Invalid { field, reason }
    }
}

impl From<HashError> for Error {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<RandomError> for Error {
    fn from(error: RandomError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<TokenKeyError> for Error {
    fn from(error: TokenKeyError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<RetryAfter> for Error {
    fn from(error: RetryAfter) -> Self {
        Self::Throttled(error)
    }
}
