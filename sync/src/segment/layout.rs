//! Which forms a segment has, and which column each value of a form goes to.
//!
//! A form is an operation without its values: entity, action, field numbers and kinds of values.
//! Forms that differ in kinds only are of one shape and share the columns of what they have in
//! common, so that a reading with a note continues the columns of those without.

use super::parse::Kind;
use crate::limits::{SEGMENT_COLUMNS_MAX, SEGMENT_FORMS_MAX};

/// Kinds of values that have columns of their own; [`Kind::Null`] has none.
const KINDS: usize = 6;

/// A form.
#[derive(Debug)]
pub(super) struct Form {
    /// Entity, action, and number and tag of each field.
    pub(super) bytes: Vec<u8>,
    /// The column of its rows.
    pub(super) row: usize,
    /// Kind and column of each field; the column of a null means nothing.
    pub(super) fields: Vec<(Kind, usize)>,
}

/// What forms of the same entity, action and field numbers share.
#[derive(Debug)]
struct Shape {
    entity: u8,
    action: u8,
    numbers: Vec<u8>,
    row: usize,
    columns: Vec<[Option<u16>; KINDS]>,
}

/// A column that a form is the first to use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    /// Its number.
    pub(super) column: usize,
    /// Position of its field; `None` for the column of the rows.
    pub(super) field: Option<(usize, Kind)>,
}

/// The forms so far.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) forms: Vec<Form>,
    shapes: Vec<Shape>,
    pub(super) columns: usize,
}

impl Layout {
    /// Takes in a form that is not there yet. Returns the columns that are new with it, or `None`
    /// when there is no room, and then nothing has changed.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> Option<Vec<Fresh>> {
        let (&[entity, action], fields) = bytes.split_first_chunk::<2>()?;
        let (fields, _) = fields.as_chunks::<2>();
        let room = self.columns + 1 + fields.len() <= SEGMENT_COLUMNS_MAX;
        if !room || self.forms.len() >= SEGMENT_FORMS_MAX {
            return None;
        }
        let mut fresh = Vec::new();
        let same = |shape: &Shape| {
            shape.entity == entity
                && shape.action == action
                && shape
                    .numbers
                    .iter()
                    .eq(fields.iter().map(|[number, _]| number))
        };
        let shape = if let Some(shape) = self.shapes.iter_mut().find(|shape| same(shape)) {
            shape
        } else {
            let row = self.columns;
            self.columns += 1;
            fresh.push(Fresh {
                column: row,
                field: None,
            });
            self.shapes.push(Shape {
                entity,
                action,
                numbers: fields.iter().map(|[number, _]| *number).collect(),
                row,
                columns: vec![[None; KINDS]; fields.len()],
            });
            self.shapes.last_mut()?
        };
        let mut form = Form {
            bytes: bytes.to_vec(),
            row: shape.row,
            fields: Vec::new(),
        };
        for (position, [_, tag]) in fields.iter().enumerate() {
            let kind = Kind::from_tag(*tag)?;
            if kind == Kind::Null {
                form.fields.push((kind, 0));
                continue;
            }
            let known = &mut shape.columns[position][usize::from(kind.tag())];
            let column = if let Some(column) = *known {
                usize::from(column)
            } else {
                let column = self.columns;
                *known = Some(u16::try_from(column).ok()?);
                let field = Some((position, kind));
                fresh.push(Fresh { column, field });
                self.columns += 1;
                column
            };
            form.fields.push((kind, column));
        }
        self.forms.push(form);
        Some(fresh)
    }
}
