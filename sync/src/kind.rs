//! What a field may hold. Checked before an operation changes anything, by the operation alone: a value that one
//! node's database refused in the middle of a merge, after another value was shown, would leave the nodes apart.
//!
//! Must never depend on what is there already, and must never become stricter for a field that is in use.

use crate::op::Value;

/// The values that a field may have, besides none where that is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// An integer in this range, both ends included.
    Int(i64, i64),
    /// A number above the first and below the second.
    Real(f64, f64),
    /// Bytes, this many, or any number of them.
    Bytes(Option<usize>),
}

impl Kind {
    /// Any integer.
    pub const ANY_INT: Self = Self::Int(i64::MIN, i64::MAX);
    /// No or yes.
    pub const FLAG: Self = Self::Int(0, 1);
    /// Any finite number.
    pub const ANY_REAL: Self = Self::Real(f64::NEG_INFINITY, f64::INFINITY);

    /// Whether this is such a value.
    #[must_use]
    pub fn fits(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Text, Value::Text(_)) => true,
            (Self::OneOf(texts), Value::Text(text)) => texts.contains(&text.as_ref()),
            (Self::Int(low, high), Value::Int(value)) => (low..=high).contains(&value),
            (Self::Real(above, below), Value::Real(value)) => above < value && value < below,
            (Self::Bytes(len), Value::Bytes(bytes)) => len.is_none_or(|len| bytes.len() == len),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_fits_or_not() {
        let one = Kind::OneOf(&["a", "b"]);
        assert!(one.fits(&"a".into()) && !one.fits(&"c".into()) && !one.fits(&1.into()));
        assert!(Kind::FLAG.fits(&1.into()) && !Kind::FLAG.fits(&2.into()));
        assert!(!Kind::FLAG.fits(&1.0.into()) && !Kind::ANY_INT.fits(&Value::Null));
        let glucose = Kind::Real(0.0, 10_000.0);
        assert!(glucose.fits(&0.1.into()) && !glucose.fits(&0.0.into()));
        assert!(Kind::ANY_REAL.fits(&f64::MIN.into()));
        let id = Kind::Bytes(Some(2));
        assert!(id.fits(&(&[1, 2]).into()) && !id.fits(&(&[1]).into()));
        assert!(Kind::Text.fits(&"".into()) && Kind::Bytes(None).fits(&(&[1]).into()));
    }
}
