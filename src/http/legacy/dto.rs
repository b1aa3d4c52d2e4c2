//! What goes over the wire. Not domain types: their fields, names and formats belong to the
//! legacy clients.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::appointment::{Appointment, Resolution};
use crate::domain::glucose::Reading;
use crate::domain::patient::Patient;
use crate::domain::queue::{Prioritized, QueueEntry};
use crate::domain::streak::{Achievement, Attribute};
use crate::service::readings::Streak;
use crate::service::sessions::Tokens;
use crate::store::staff::Staff;

/// A patient's profile.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProfileDto {
    /// National id: the log-in name.
    dni: String,
    name: String,
    surname: String,
    /// True makes the app refuse the log-in.
    blocked: bool,
    email: String,
    tidepool: Option<String>,
    hospital_account: String,
    /// Readings that count.
    times_measured: i64,
    /// Days in a row with four readings.
    streak: i64,
    max_streak: i64,
}

/// A profile with the row id.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserDto {
    user_id: i64,
    #[serde(flatten)]
    profile: ProfileDto,
}

impl From<Patient> for ProfileDto {
    fn from(patient: Patient) -> Self {
        Self {
            dni: patient.dni,
            name: patient.name,
            surname: patient.surname,
            blocked: patient.blocked,
            email: patient.email,
            tidepool: patient.tidepool,
            hospital_account: patient.hospital_account,
            times_measured: patient.times_measured,
            streak: patient.streak,
            max_streak: patient.max_streak,
        }
    }
}

impl From<Patient> for UserDto {
    fn from(patient: Patient) -> Self {
        Self {
            user_id: patient.id,
            profile: patient.into(),
        }
    }
}

/// A glucose reading.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadingDto {
    id: i64,
    user_id: i64,
    /// mg/dL.
    glucose_level: f64,
    /// `DESAYUNO`, `ALMUERZO`, `MERIENDA`, `CENA`, `EJERCICIO`, `OTRAS_COMIDAS` or `OTRO`.
    reading_type: &'static str,
    /// `DD/MM/YYYY HH:mm:ss`, Argentina wall time.
    #[schema(
        example = "05/03/2026 21:04:09",
        pattern = r"^\d{2}/\d{2}/\d{4} \d{2}:\d{2}:\d{2}$"
    )]
    created_at: String,
    notes: Option<String>,
}

impl From<Reading> for ReadingDto {
    fn from(reading: Reading) -> Self {
        Self {
            id: reading.id,
            user_id: reading.patient_id,
            glucose_level: reading.glucose_mg_dl,
            reading_type: reading.reading_type.as_str(),
            created_at: reading.measured_at.to_argentina(),
            notes: reading.notes,
        }
    }
}

/// A list of readings, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadingsDto {
    readings: Vec<ReadingDto>,
}

impl From<Vec<Reading>> for ReadingsDto {
    fn from(readings: Vec<Reading>) -> Self {
        Self {
            readings: readings.into_iter().map(Into::into).collect(),
        }
    }
}

/// Days in a row with four readings.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreakDto {
    streak: i64,
    max_streak: i64,
    /// Readings today, starting again at the fourth.
    #[schema(minimum = 0, maximum = 3)]
    four_times_today: i64,
    /// `YYYY-MM-DD`: the last day that counted.
    streak_last_date: Option<String>,
}

impl From<Streak> for StreakDto {
    fn from(streak: Streak) -> Self {
        Self {
            streak: streak.streak,
            max_streak: streak.counters.max_streak,
            four_times_today: streak.four_times_today,
            streak_last_date: streak.counters.last_day.map(|day| day.to_string()),
        }
    }
}

/// An achievement and how far the patient has come.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AchievementDto {
    ach_id: i64,
    name: &'static str,
    /// `times_measured` or `max_streak`.
    attribute: &'static str,
    /// Whether `progress` has reached `threshold`.
    got: bool,
    progress: i64,
    threshold: i64,
}

impl From<(Achievement, i64)> for AchievementDto {
    fn from((achievement, progress): (Achievement, i64)) -> Self {
        Self {
            ach_id: achievement.id,
            name: achievement.name,
            attribute: match achievement.attribute {
                Attribute::TimesMeasured => "times_measured",
                Attribute::MaxStreak => "max_streak",
            },
            got: progress >= achievement.threshold,
            progress,
            threshold: achievement.threshold,
        }
    }
}

/// The clinical form as it was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AppointmentDto {
    appointment_id: i64,
    user_id: i64,
    glucose_objective: f64,
    insulin_type: String,
    dose: f64,
    fast_insulin: String,
    fixed_dose: f64,
    ratio: f64,
    sensitivity: f64,
    pump_type: String,
    control_data: String,
    /// `AJUSTE`, `HIPOGLUCEMIA`, `HIPERGLUCEMIA`, `CETOSIS`, `DUDAS`, `OTRO`.
    motive: Vec<String>,
    another_treatment: Option<String>,
    other_motive: Option<String>,
}

impl From<Appointment> for AppointmentDto {
    fn from(appointment: Appointment) -> Self {
        let form = appointment.form;
        Self {
            appointment_id: appointment.id,
            user_id: appointment.patient_id,
            glucose_objective: form.glucose_objective,
            insulin_type: form.insulin_type,
            dose: form.dose,
            fast_insulin: form.fast_insulin,
            fixed_dose: form.fixed_dose,
            ratio: form.ratio,
            sensitivity: form.sensitivity,
            pump_type: form.pump_type,
            control_data: form.control_data,
            motive: form.motives,
            another_treatment: form.another_treatment,
            other_motive: form.other_motive,
        }
    }
}

/// What the doctor decided.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResolutionDto {
    appointment_id: i64,
    change_basal_type: Option<String>,
    change_basal_dose: Option<f64>,
    change_basal_time: Option<String>,
    change_fast_type: Option<String>,
    change_ratio: Option<f64>,
    change_sensitivity: Option<f64>,
    emergency_care: bool,
    needed_physical_appointment: bool,
    /// Given back as it was sent: an array of arrays in most cases.
    #[schema(value_type = Option<Object>)]
    glucose_scale: Option<Value>,
}

impl From<Resolution> for ResolutionDto {
    fn from(resolution: Resolution) -> Self {
        let scale = resolution.glucose_scale.as_deref();
        Self {
            appointment_id: resolution.appointment_id,
            change_basal_type: resolution.change_basal_type,
            change_basal_dose: resolution.change_basal_dose,
            change_basal_time: resolution.change_basal_time,
            change_fast_type: resolution.change_fast_type,
            change_ratio: resolution.change_ratio,
            change_sensitivity: resolution.change_sensitivity,
            emergency_care: resolution.emergency_care,
            needed_physical_appointment: resolution.needed_physical_appointment,
            glucose_scale: scale.and_then(|scale| serde_json::from_str(scale).ok()),
        }
    }
}

/// A place in the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueueEntryDto {
    queue_placement: i64,
    user_id: i64,
    /// `PENDING`, `ACCEPTED`, `DENIED` or `CREATED`.
    appointment_state: &'static str,
}

impl From<QueueEntry> for QueueEntryDto {
    fn from(entry: QueueEntry) -> Self {
        Self {
            queue_placement: entry.placement,
            user_id: entry.patient_id,
            appointment_state: entry.state.as_str(),
        }
    }
}

/// A patient who goes before others, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PriorityDto {
    queue_placement: i64,
    user_id: i64,
    /// `PENDING`, `ACCEPTED`, `DENIED` or `CREATED`.
    appointment_state: &'static str,
    /// 1 to 9; higher goes first.
    priority: i64,
    reason: String,
}

impl From<Prioritized> for PriorityDto {
    fn from(found: Prioritized) -> Self {
        Self {
            queue_placement: found.entry.placement,
            user_id: found.entry.patient_id,
            appointment_state: found.entry.state.as_str(),
            priority: found.entry.priority,
            reason: found.reason,
        }
    }
}

/// A staff account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AdminDto {
    username: String,
    email: String,
}

impl From<Staff> for AdminDto {
    fn from(staff: Staff) -> Self {
        Self {
            username: staff.username,
            email: staff.email,
        }
    }
}

/// A new staff account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewAdminDto {
    admin_id: i64,
    username: String,
    email: String,
}

impl From<Staff> for NewAdminDto {
    fn from(staff: Staff) -> Self {
        Self {
            admin_id: staff.id,
            username: staff.username,
            email: staff.email,
        }
    }
}

/// What a log-in or a refresh answers (RFC 6749, section 5.1).
#[derive(Serialize, ToSchema)]
pub(super) struct TokenDto {
    access_token: String,
    /// Always `bearer`.
    token_type: &'static str,
    refresh_token: String,
    /// Seconds.
    expires_in: i64,
}

impl From<Tokens> for TokenDto {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access.expose().to_owned(),
            token_type: "bearer",
            refresh_token: tokens.refresh.expose().to_owned(),
            expires_in: tokens.expires_in_s,
        }
    }
}

/// A status with a text for people.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MessageDto {
    pub(super) status: &'static str,
    pub(super) message: &'static str,
}

/// The occasion of a reading.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "describes a parameter; its value is read as text")]
pub(super) enum ReadingTypeDto {
    Desayuno,
    Almuerzo,
    Merienda,
    Cena,
    Ejercicio,
    OtrasComidas,
    Otro,
}

/// Why a patient asks for an appointment.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "describes a value; it is read as text")]
pub(super) enum MotiveDto {
    Ajuste,
    Hipoglucemia,
    Hiperglucemia,
    Cetosis,
    Dudas,
    Otro,
}
