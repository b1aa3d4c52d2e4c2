//! Glucose readings.
//!
//! Stored in mg/dL as given; 1 mmol/L of glucose is 18.0182 mg/dL.

use super::text::Invalid;
use super::time::Timestamp;

/// A glucose concentration in mg/dL: positive, finite, below [`Glucose::MAX_MG_DL`].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Glucose(f64);

impl Glucose {
    /// Far above any meter (most stop at 600, and the highest survived values are below 3,000):
    /// the bound catches slips such as a value in the wrong field.
    pub const MAX_MG_DL: f64 = 3_000.0;

    /// # Errors
    /// When the value is not a number from just above 0 to [`Glucose::MAX_MG_DL`].
    pub fn from_mg_dl(value: f64) -> Result<Self, Invalid> {
        if value.is_finite() && value > 0.0 && value <= Self::MAX_MG_DL {
            return Ok(Self(value));
        }
        let most = Self::MAX_MG_DL;
        Err(Invalid::new(
            format!("must be a glucose value in mg/dL, above 0 and at most {most}"),
            format!("debe ser un valor en mg/dL mayor que 0 y de {most} como máximo"),
        ))
    }

    /// The value in mg/dL.
    #[must_use]
    pub const fn mg_dl(self) -> f64 {
        self.0
    }
}

/// The occasion of a reading, in the words of the phone app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingType {
    /// Breakfast.
    Desayuno,
    /// Lunch.
    Almuerzo,
    /// Afternoon snack.
    Merienda,
    /// Dinner.
    Cena,
    /// Exercise.
    Ejercicio,
    /// Any other meal.
    OtrasComidas,
    /// Anything else.
    Otro,
}

impl ReadingType {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::Desayuno,
        Self::Almuerzo,
        Self::Merienda,
        Self::Cena,
        Self::Ejercicio,
        Self::OtrasComidas,
        Self::Otro,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Desayuno => "DESAYUNO",
            Self::Almuerzo => "ALMUERZO",
            Self::Merienda => "MERIENDA",
            Self::Cena => "CENA",
            Self::Ejercicio => "EJERCICIO",
            Self::OtrasComidas => "OTRAS_COMIDAS",
            Self::Otro => "OTRO",
        }
    }

    /// The inverse of [`ReadingType::as_str`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The number in the database, from 1.
    #[must_use]
    pub const fn code(self) -> i64 {
        self as i64 + 1
    }

    /// The inverse of [`ReadingType::code`].
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Where a reading came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The patient's phone.
    App = 1,
    /// Typed in by staff.
    BackOffice = 2,
    /// A continuous sensor.
    Sensor = 3,
    /// The legacy system.
    Import = 4,
}

/// A reading as someone hands it in.
#[derive(Clone, Debug, PartialEq)]
pub struct NewReading {
    /// Whose it is.
    pub patient_id: i64,
    /// The value.
    pub glucose: Glucose,
    /// The occasion.
    pub reading_type: ReadingType,
    /// Where it came from.
    pub source: Source,
    /// When it was taken; `None` means now, and that a repeat is another reading.
    pub measured_at: Option<Timestamp>,
    /// Free text of the patient.
    pub notes: Option<String>,
}

/// A reading of the past: recorded before, here or in another system.
#[derive(Clone, Debug, PartialEq)]
pub struct PastReading {
    /// The value.
    pub glucose: Glucose,
    /// The occasion.
    pub reading_type: ReadingType,
    /// Where it came from.
    pub source: Source,
    /// When it was taken.
    pub measured_at: Timestamp,
    /// When it was recorded: streaks count the days of this.
    pub recorded_at: Timestamp,
    /// Free text of the patient.
    pub notes: Option<String>,
}

/// A stored reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Row id.
    pub id: i64,
    /// Whose it is.
    pub patient_id: i64,
    /// The value in mg/dL.
    pub glucose_mg_dl: f64,
    /// The occasion.
    pub reading_type: ReadingType,
    /// When it was taken.
    pub measured_at: Timestamp,
    /// Free text of the patient.
    pub notes: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_possible_values_are_glucose() {
        for value in [0.1, 39.0, 157.4, 999.0, 3_000.0] {
            assert!(Glucose::from_mg_dl(value).is_ok(), "{value}");
        }
        for value in [
            0.0,
            -0.0,
            -5.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            3_000.1,
            1e300,
        ] {
            assert!(Glucose::from_mg_dl(value).is_err(), "{value}");
        }
    }

    #[test]
    fn codes_and_names_are_inverse() {
        for (index, kind) in ReadingType::ALL.into_iter().enumerate() {
            assert_eq!(kind.code(), index as i64 + 1);
            assert_eq!(ReadingType::from_code(kind.code()), Some(kind));
            assert_eq!(ReadingType::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ReadingType::parse("desayuno"), None);
        assert_eq!(ReadingType::from_code(0), None);
    }
}
