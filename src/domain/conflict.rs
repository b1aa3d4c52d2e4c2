//! What people have to look at after nodes that were cut off from each other meet again.
//!
//! A conflict is either a *register* whose candidates are values that were written at the same time, and of which
//! staff choose one; or a *pair* of rows that should not both be, which staff acknowledge after they
//! have done what is to be done. Must never hold anything that differs between nodes that know the same: a
//! conflict reads the same everywhere.

use super::text::{self, Invalid};
use super::time::Timestamp;

/// Longest reason of a settlement, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// What contradicts what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A reading was corrected, or marked as an error, in two ways.
    Reading,
    /// Staff or patients decided differently about a place in the queue.
    QueueState,
    /// Two resolutions of one appointment.
    Resolution,
    /// One DNI was registered twice. Both are one patient now.
    PatientDni,
    /// Two patients have one e-mail address.
    PatientEmail,
    /// Two patients have one hospital account.
    PatientHospitalAccount,
    /// Two members of staff have one user name.
    StaffUsername,
    /// Two members of staff have one e-mail address.
    StaffEmail,
    /// The queue was opened while it was open elsewhere.
    QueueDay,
    /// Two forms were sent for one place in the queue.
    Appointment,
    /// Two computers that ran as one node gave out the same places of a queue day.
    QueuePlaces,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Reading,
        Self::QueueState,
        Self::Resolution,
        Self::PatientDni,
        Self::PatientEmail,
        Self::PatientHospitalAccount,
        Self::StaffUsername,
        Self::StaffEmail,
        Self::QueueDay,
        Self::Appointment,
        Self::QueuePlaces,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::QueueState => "queue_state",
            Self::Resolution => "resolution",
            Self::PatientDni => "patient_dni",
            Self::PatientEmail => "patient_email",
            Self::PatientHospitalAccount => "patient_hospital_account",
            Self::StaffUsername => "staff_username",
            Self::StaffEmail => "staff_email",
            Self::QueueDay => "queue_day",
            Self::Appointment => "appointment",
            Self::QueuePlaces => "queue_places",
        }
    }

    /// The inverse of [`Kind::as_str`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether staff choose one of the candidates; if not, they acknowledge that there are two.
    #[must_use]
    pub const fn is_choice(self) -> bool {
        matches!(self, Self::Reading | Self::QueueState | Self::Resolution)
    }

    /// What happened and what to do, in one sentence.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Reading => {
                "The reading was changed on two nodes that did not know of each other: choose the right value."
            }
            Self::QueueState => {
                "Two decisions about one place in the queue crossed: choose the one that holds."
            }
            Self::Resolution => {
                "Two resolutions of one appointment crossed: choose the one that holds."
            }
            Self::PatientDni => {
                "One DNI was registered on two nodes: both are one patient now, with both histories. \
                 Check that it is one person."
            }
            Self::PatientEmail => {
                "Two patients have one e-mail address: log-ins by it and recovery mails reach the first. \
                 Change one."
            }
            Self::PatientHospitalAccount => {
                "Two patients have one hospital account: find out whose it is and change the other."
            }
            Self::StaffUsername => {
                "Two members of staff have one user name: only the first can log in by it. Block the \
                 second and give them another account."
            }
            Self::StaffEmail => {
                "Two members of staff have one e-mail address: log-ins by it and recovery mails reach \
                 the first. Change one."
            }
            Self::QueueDay => {
                "The queue was opened on two nodes that did not know of each other: patients may hold \
                 places of both days. The later day goes on."
            }
            Self::Appointment => {
                "Two forms were sent for one place in the queue: the earlier one counts. Read both."
            }
            Self::QueuePlaces => {
                "Two computers ran as one node, from a copied or restored data directory, and gave out the same \
                 places of a queue day: more patients come than there are places. Arrange that with them."
            }
        }
    }
}

/// The name of a conflict, the same on every node: its kind and the row that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictId {
    /// What contradicts what.
    pub kind: Kind,
    /// The row; of a pair, the one with the greater id, and of queue days the one that was opened later.
    pub row_id: i64,
}

impl ConflictId {
    /// Reads `KIND-ROW`.
    ///
    /// # Errors
    /// When it is no such name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(
                "must be the id of a conflict, such as reading-5",
                "debe ser el identificador de un conflicto, como reading-5",
            )
        };
        let (kind, row) = text.rsplit_once('-').ok_or_else(wrong)?;
        let kind = Kind::parse(kind).ok_or_else(wrong)?;
        let plain = row.bytes().all(|byte| byte.is_ascii_digit()) && !row.starts_with('0');
        let row_id = row.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
        Ok(Self { kind, row_id })
    }
}

impl std::fmt::Display for ConflictId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.kind.as_str(), self.row_id)
    }
}

/// Who it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// Row id of the patient.
    pub id: i64,
    /// National id.
    pub dni: String,
    /// Given name.
    pub name: String,
    /// Family name.
    pub surname: String,
}

/// A replica, as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Its number.
    pub replica: u32,
    /// The name of its node; `None` when it is no member.
    pub node: Option<String>,
}

/// One of what contradicts each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The change that wrote it (REPLICA.SEQ), or the row id of one of a pair.
    pub id: String,
    /// Where it was written.
    pub author: Author,
    /// When, by the author's clock.
    pub at: Timestamp,
    /// Whether this is what everybody sees now.
    pub shown: bool,
    /// The value in words.
    pub text: String,
    /// The same for programs: names and values, in a fixed order.
    pub facts: Vec<(&'static str, Fact)>,
}

/// One value of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// No value.
    Nothing,
    /// Yes or no.
    Flag(bool),
    /// A row id or a count.
    Integer(i64),
    /// A measure, in the unit that the name ends with.
    Number(f64),
    /// A text.
    Text(String),
    /// Some texts.
    Texts(Vec<String>),
}

impl Candidate {
    /// The value with this name.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&Fact> {
        let found = self.facts.iter().find(|(other, _)| *other == name);
        found.map(|(_, fact)| fact)
    }
}

impl Fact {
    /// A text, or nothing.
    #[must_use]
    pub fn optional(text: Option<String>) -> Self {
        text.map_or(Self::Nothing, Self::Text)
    }
}

/// Somebody settled a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Why so.
    pub reason: String,
    /// User name; `None` for the operator at the machine.
    pub staff: Option<String>,
    /// Row id of that account.
    pub staff_id: Option<i64>,
    /// Where.
    pub author: Author,
    /// When.
    pub at: Timestamp,
}

/// A conflict, open or settled.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Its name.
    pub id: ConflictId,
    /// Since when; `None` when it is not open.
    pub since: Option<Timestamp>,
    /// Whose data it is.
    pub patient: Option<Concerned>,
    /// What there is, oldest first; empty when it is not open.
    pub candidates: Vec<Candidate>,
    /// What was decided, oldest first: more than once when the conflict came again.
    pub settlements: Vec<Settlement>,
}

impl Conflict {
    /// Whether somebody has to look at it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.since.is_some()
    }

    /// A short name of these very candidates: it changes when one joins them or goes.
    #[must_use]
    pub fn version(&self) -> String {
        let ids: Vec<&str> = self.candidates.iter().map(|it| it.id.as_str()).collect();
        ids.join("+")
    }
}

/// What staff decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The id of a candidate, where there is a choice.
    pub choice: Option<String>,
    /// Why so.
    pub reason: String,
    /// The right value of a reading in mg/dL, when none of the candidates has it.
    pub mg_dl: Option<f64>,
    /// The [`Conflict::version`] that was looked at. When there is another by now, nothing is done.
    pub version: Option<String>,
}

/// A reason, trimmed.
///
/// # Errors
/// When it is empty, over [`REASON_CHARS_MAX`] characters, or holds control characters.
pub fn reason(value: &str) -> Result<String, Invalid> {
    let value = text::paragraph(value.trim())?;
    match value.chars().count() {
        0 => Err(Invalid::new(
            "must not be empty: say why",
            "no puede estar vacío: diga por qué",
        )),
        1..=REASON_CHARS_MAX => Ok(value),
        _ => Err(Invalid::new(
            format!("must have at most {REASON_CHARS_MAX} characters"),
            format!("debe tener como máximo {REASON_CHARS_MAX} caracteres"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            let id = ConflictId {
                kind,
                row_id: 9_007_199_254_740_991,
            };
            assert_eq!(ConflictId::parse(&id.to_string()), Ok(id));
        }
        for bad in [
            "",
            "reading",
            "reading-",
            "reading-x",
            "reading-0",
            "reading-+5",
            "reading-05",
            "nothing-5",
            "reading-5 ",
            "reading-99999999999999999999",
        ] {
            assert!(ConflictId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reason_says_something() {
        assert_eq!(reason("  meter read again "), Ok("meter read again".into()));
        assert!(reason(" \n ").is_err());
        assert!(reason(&"ñ".repeat(REASON_CHARS_MAX)).is_ok());
        assert!(reason(&"ñ".repeat(REASON_CHARS_MAX + 1)).is_err());
        assert!(reason("a\u{7}").is_err());
    }
}
