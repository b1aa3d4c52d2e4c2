//! The replicated tables, each declared once: its number in the change log, its name, and its
//! columns in the order of their field numbers.
//!
//! [`super::WriteTx`] makes both the SQL and the operation from this, so a replicated row cannot
//! change without the log. Numbers are for ever: append columns, never reorder or reuse.

/// A replicated table.
#[derive(Debug)]
pub struct Entity {
    /// Number in the change log.
    pub code: u8,
    /// Position of its row counter.
    pub(super) index: usize,
    /// Table.
    pub table: &'static str,
    /// Columns; the field number of the first is 1.
    pub columns: &'static [&'static str],
    pub(super) insert_sql: &'static str,
}

macro_rules! placeholder {
    ($column:literal) => {
        ", ?"
    };
}

macro_rules! entities {
    ($($(#[$doc:meta])* $name:ident = $code:literal at $index:literal, $table:literal, [$($column:literal),*];)*) => {
        $($(#[$doc])*
        pub static $name: Entity = Entity {
            code: $code,
            index: $index,
            table: $table,
            columns: &[$($column),*],
            insert_sql: concat!(
                "INSERT INTO ", $table, " (id", $(", ", $column,)* ") VALUES (?", $(placeholder!($column),)* ")"
            ),
        };)*
        /// All of them, in the order of their row counters.
        pub static ALL: &[&Entity] = &[$(&$name),*];
    };
}

entities! {
    /// Patients.
    PATIENT = 1 at 0, "patient", [
        "dni", "name", "surname", "email", "tidepool", "hospital_account", "blocked", "password_hash",
        "password_reset_required", "former_times_measured", "former_max_streak", "created_at",
        "updated_at"];
    /// Staff.
    STAFF = 2 at 1, "staff", [
        "username", "email", "blocked", "password_hash", "password_reset_required", "created_at",
        "updated_at"];
    /// Readings.
    READING = 3 at 2, "reading", [
        "patient_id", "glucose_mg_dl", "reading_type", "source", "status", "measured_at",
        "recorded_at", "notes"];
    /// Queue days.
    QUEUE_DAY = 4 at 3, "queue_day", ["size", "opened_at", "closed_at"];
    /// Places in the queue.
    QUEUE_ENTRY = 5 at 4, "queue_entry", [
        "queue_day_id", "patient_id", "state", "priority", "priority_reason", "created_at",
        "updated_at"];
    /// Appointments.
    APPOINTMENT = 6 at 5, "appointment", [
        "patient_id", "queue_entry_id", "glucose_objective", "insulin_type", "dose", "fast_insulin",
        "fixed_dose", "ratio", "sensitivity", "pump_type", "control_data", "motives",
        "another_treatment", "other_motive", "created_at"];
    /// Resolutions.
    RESOLUTION = 7 at 6, "resolution", [
        "appointment_id", "change_basal_type", "change_basal_dose", "change_basal_time",
        "change_fast_type", "change_ratio", "change_sensitivity", "emergency_care",
        "needed_physical_appointment", "glucose_scale", "staff_id", "created_at"];
}

/// The set of roles of a member of staff. Its elements are texts; its rows are keyed by the owner.
pub const STAFF_ROLE: u8 = 64;
/// Settings of the clinic. One row; the name is field 1, the value field 2.
pub const SETTING: u8 = 65;

/// How many row counters there are.
pub(super) const COUNTERS: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_codes_are_distinct_and_complete() {
        assert_eq!(ALL.len(), COUNTERS);
        for (index, entity) in ALL.iter().enumerate() {
            assert_eq!(entity.index, index, "{}", entity.table);
            assert_eq!(
                ALL.iter().filter(|other| other.code == entity.code).count(),
                1
            );
        }
    }
}
