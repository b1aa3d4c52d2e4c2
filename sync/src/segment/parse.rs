//! Takes a change apart into forms and values, knowing how operations are framed but neither
//! entities nor actions.
//!
//! Only what would be put together again byte for byte is taken apart; everything else stays
//! plain bytes. So nothing is lost, whatever a later version writes.

use crate::varint::{take_i64, take_u64};

/// The version of changes that are taken apart.
pub(super) const VERSION: u8 = 1;

/// What a value is, as its tag in a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Int,
    Tenths,
    Real,
    Text,
    Bytes,
}

impl Kind {
    pub(super) const fn tag(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Int => 1,
            Self::Tenths => 2,
            Self::Real => 3,
            Self::Text => 4,
            Self::Bytes => 5,
        }
    }

    pub(super) const fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            0 => Self::Null,
            1 => Self::Int,
            2 => Self::Tenths,
            3 => Self::Real,
            4 => Self::Text,
            5 => Self::Bytes,
            _ => return None,
        })
    }
}

/// A value: a number, or where its bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Atom<'a> {
    Null,
    Number(i64),
    Blob(&'a [u8]),
}

/// An operation taken apart, into buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Parsed<'a> {
    /// The form: entity, action, and number and tag of each field.
    pub(super) form: Vec<u8>,
    /// The row.
    pub(super) row: u64,
    /// The values, one per field.
    pub(super) atoms: Vec<Atom<'a>>,
}

/// An operation as it stands in a change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framed<'a> {
    /// All of it.
    pub(super) whole: &'a [u8],
    head: [u8; 2],
    body: &'a [u8],
}

/// The operations of a change, or `None` when it is not one that can be taken apart.
pub(super) fn frames(change: &[u8]) -> Option<Vec<Framed<'_>>> {
    let (&VERSION, mut input) = change.split_first()? else {
        return None;
    };
    let mut frames = Vec::new();
    while !input.is_empty() {
        let start = input;
        let (head, rest) = input.split_first_chunk::<2>()?;
        input = rest;
        let len = usize::try_from(take_u64(&mut input)?).ok()?;
        let (body, rest) = input.split_at_checked(len)?;
        input = rest;
        let whole = &start[..start.len() - rest.len()];
        frames.push(Framed {
            whole,
            head: *head,
            body,
        });
    }
    (!frames.is_empty()).then_some(frames)
}

impl<'a> Framed<'a> {
    /// Takes the operation apart into `parsed`; `None` when it must stay whole.
    pub(super) fn parse(&self, parsed: &mut Parsed<'a>) -> Option<()> {
        let mut input = self.body;
        parsed.form.clear();
        parsed.atoms.clear();
        parsed.form.extend(self.head);
        parsed.row = take_u64(&mut input)?;
        while let Some((&[number, tag], rest)) = input.split_first_chunk::<2>() {
            input = rest;
            let in_order = parsed.form.len() < 4 || parsed.form[parsed.form.len() - 2] < number;
            if !in_order {
                return None;
            }
            parsed.form.extend([number, tag]);
            parsed
                .atoms
                .push(take_atom(Kind::from_tag(tag)?, &mut input)?);
        }
        input.is_empty().then_some(())
    }
}

fn take_atom<'a>(kind: Kind, input: &mut &'a [u8]) -> Option<Atom<'a>> {
    Some(match kind {
        Kind::Null => Atom::Null,
        Kind::Int | Kind::Tenths => Atom::Number(take_i64(input)?),
        Kind::Real => {
            let (bits, rest) = input.split_first_chunk::<8>()?;
            *input = rest;
            Atom::Number(i64::from_be_bytes(*bits))
        }
        Kind::Text | Kind::Bytes => {
            let len = usize::try_from(take_u64(input)?).ok()?;
            let (blob, rest) = input.split_at_checked(len)?;
            *input = rest;
            Atom::Blob(blob)
        }
    })
}
