//! The clinical form of an accepted patient, and the doctor's resolution.

/// Why the patient asks for an appointment, in the words of the phone app.
pub const MOTIVES: [&str; 6] = [
    "AJUSTE",
    "HIPOGLUCEMIA",
    "HIPERGLUCEMIA",
    "CETOSIS",
    "DUDAS",
    "OTRO",
];

/// The form. Doses in units of insulin, `glucose_objective` in mg/dL, `ratio` in grams of
/// carbohydrate per unit, `sensitivity` in mg/dL per unit; the legacy contract checks no ranges.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// Target glucose.
    pub glucose_objective: f64,
    /// `rapid`, `slow`, `mixed`, or a brand.
    pub insulin_type: String,
    /// Basal dose.
    pub dose: f64,
    /// Fast insulin.
    pub fast_insulin: String,
    /// Fixed dose.
    pub fixed_dose: f64,
    /// Carbohydrate ratio.
    pub ratio: f64,
    /// Correction factor.
    pub sensitivity: f64,
    /// `none`, `pump`, `pen`, or a brand.
    pub pump_type: String,
    /// Link to control data; may be empty.
    pub control_data: String,
    /// Names out of [`MOTIVES`], as sent.
    pub motives: Vec<String>,
    /// Free text.
    pub another_treatment: Option<String>,
    /// Free text.
    pub other_motive: Option<String>,
}

/// A stored form.
#[derive(Clone, Debug, PartialEq)]
pub struct Appointment {
    /// Row id.
    pub id: i64,
    /// Whose it is.
    pub patient_id: i64,
    /// What was sent.
    pub form: Form,
}

/// What the doctor decided. `glucose_scale` is JSON, given back as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// The appointment that it answers.
    pub appointment_id: i64,
    /// New basal insulin.
    pub change_basal_type: Option<String>,
    /// New basal dose.
    pub change_basal_dose: Option<f64>,
    /// New time of the basal dose; free text, `HH:MM` in most cases.
    pub change_basal_time: Option<String>,
    /// New fast insulin.
    pub change_fast_type: Option<String>,
    /// New ratio.
    pub change_ratio: Option<f64>,
    /// New sensitivity.
    pub change_sensitivity: Option<f64>,
    /// Go to the emergency room.
    pub emergency_care: bool,
    /// Come to the clinic.
    pub needed_physical_appointment: bool,
    /// Correction scale: JSON text.
    pub glucose_scale: Option<String>,
}
