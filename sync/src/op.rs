//! One operation on one row.
//!
//! An operation names an entity (which table), a row, what is done, and the values of fields by
//! their numbers. Numbers are given in `src/store/entity.rs` of the node and never reused.
//! Operations carry an explicit length, so that a reader that does not know an entity can keep
//! and forward the bytes.

use std::borrow::Cow;

use crate::id::RowId;
use crate::varint::{put_i64, put_u64, take_i64, take_u64};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new row; all fields follow.
    Create,
    /// New values of some fields of a row.
    Set,
    /// An element joins the set that the row owns.
    Add,
    /// An element leaves the set that the row owns.
    Remove,
}

/// The value of a field; text and bytes are borrowed from the bytes that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// An integer, boolean (0, 1), enum code, row id, or time in milliseconds.
    Int(i64),
    /// A finite number.
    Real(f64),
    /// Text in UTF-8.
    Text(Cow<'a, str>),
    /// Bytes, such as a key or a digest; at most [`BYTES_MAX`] of them.
    Bytes(Cow<'a, [u8]>),
}

/// The most bytes in a [`Value::Bytes`]: a certificate fits, a picture does not.
pub const BYTES_MAX: usize = 1024;

/// Room for the fields of most operations.
const FIELDS_USUAL: usize = 8;

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Op<'a> {
    /// Which table.
    pub entity: u8,
    /// What is done.
    pub action: Action,
    /// Which row.
    pub row: RowId,
    /// Field numbers and values, in ascending order of number.
    pub fields: Vec<(u8, Value<'a>)>,
}

impl Action {
    const fn code(self) -> u8 {
        match self {
            Self::Create => 1,
            Self::Set => 2,
            Self::Add => 3,
            Self::Remove => 4,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Create,
            2 => Self::Set,
            3 => Self::Add,
            4 => Self::Remove,
            _ => return None,
        })
    }
}

// Tags of a value. A real that is a whole number of tenths, as nearly all clinical values are,
// takes a varint instead of eight bytes.
const NULL: u8 = 0;
const INT: u8 = 1;
const TENTHS: u8 = 2;
const REAL: u8 = 3;
const TEXT: u8 = 4;
const BYTES: u8 = 5;

impl<'a> Value<'a> {
    /// The same value that borrows nothing.
    #[must_use]
    pub fn to_static(&self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Int(value) => Value::Int(*value),
            Self::Real(value) => Value::Real(*value),
            Self::Text(text) => Value::Text(Cow::Owned(text.clone().into_owned())),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.clone().into_owned())),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(NULL),
            Self::Int(value) => {
                out.push(INT);
                put_i64(out, *value);
            }
            Self::Real(value) => match tenths(*value) {
                Some(tenths) => {
                    out.push(TENTHS);
                    put_i64(out, tenths);
                }
                None => {
                    out.push(REAL);
                    out.extend(value.to_bits().to_be_bytes());
                }
            },
            Self::Text(value) => {
                out.push(TEXT);
                put_u64(out, value.len() as u64);
                out.extend(value.as_bytes());
            }
            Self::Bytes(value) => {
                debug_assert!(value.len() <= BYTES_MAX, "{} bytes", value.len());
                out.push(BYTES);
                put_u64(out, value.len() as u64);
                out.extend(value.iter());
            }
        }
    }

    fn take(input: &mut &'a [u8]) -> Option<Self> {
        Some(match take_u8(input)? {
            NULL => Self::Null,
            INT => Self::Int(take_i64(input)?),
            TENTHS => {
                let count = take_i64(input)?;
                let value = count as f64 / 10.0;
                if tenths(value) != Some(count) {
                    return None;
                }
                Self::Real(value)
            }
            REAL => {
                let bytes = take_bytes(input, 8)?;
                let value = f64::from_bits(u64::from_be_bytes(bytes.try_into().ok()?));
                if !value.is_finite() || tenths(value).is_some() {
                    return None;
                }
                Self::Real(value)
            }
            TEXT => {
                let len = usize::try_from(take_u64(input)?).ok()?;
                Self::Text(Cow::Borrowed(str::from_utf8(take_bytes(input, len)?).ok()?))
            }
            BYTES => {
                let len = usize::try_from(take_u64(input)?).ok()?;
                if len > BYTES_MAX {
                    return None;
                }
                Self::Bytes(Cow::Borrowed(take_bytes(input, len)?))
            }
            _ => return None,
        })
    }
}

/// `value` in tenths when that is exact both ways, up to a million units; -0.0 is not.
fn tenths(value: f64) -> Option<i64> {
    let tenths = (value * 10.0).round();
    let exact = tenths.abs() <= 1e7 && (tenths / 10.0).to_bits() == value.to_bits();
    exact.then_some(tenths as i64)
}

/// Appends the bytes of one operation: entity, action, length of the rest, row, fields.
pub(crate) fn put_op(
    out: &mut Vec<u8>,
    entity: u8,
    action: Action,
    row: RowId,
    fields: &[(u8, Value<'_>)],
) {
    out.push(entity);
    out.push(action.code());
    let mut body = Vec::with_capacity(8 + 8 * fields.len());
    put_u64(&mut body, row.get().cast_unsigned());
    for (number, value) in fields {
        body.push(*number);
        value.put(&mut body);
    }
    put_u64(out, body.len() as u64);
    out.extend(body);
}

impl<'a> Op<'a> {
    pub(crate) fn take(input: &mut &'a [u8]) -> Option<Self> {
        let entity = take_u8(input)?;
        let action = Action::from_code(take_u8(input)?)?;
        let len = usize::try_from(take_u64(input)?).ok()?;
        let mut body = take_bytes(input, len)?;
        let row = RowId::from_i64(take_u64(&mut body)?.cast_signed()).ok()?;
        // No field takes fewer than two bytes.
        let mut fields: Vec<(u8, Value<'a>)> =
            Vec::with_capacity((body.len() / 2).min(FIELDS_USUAL));
        while !body.is_empty() {
            let number = take_u8(&mut body)?;
            if fields.last().is_some_and(|(last, _)| *last >= number) {
                return None;
            }
            fields.push((number, Value::take(&mut body)?));
        }
        Some(Self {
            entity,
            action,
            row,
            fields,
        })
    }
}

fn take_u8(input: &mut &[u8]) -> Option<u8> {
    take_bytes(input, 1).map(|bytes| bytes[0])
}

/// Borrows `len` bytes off the front; never allocates on the word of the input.
fn take_bytes<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = input.split_at_checked(len)?;
    *input = tail;
    Some(head)
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(value))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Bytes(Cow::Borrowed(value))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
