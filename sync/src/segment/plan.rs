//! The first pass of writing a segment: all changes taken apart, forms and columns known.

use std::collections::HashMap;
use std::ops::Range;

use super::Change;
use super::layout::{Fresh, Layout};
use super::parse::{Atom, Framed, Parsed, frames};
use super::predict::Around;

/// An operation that is about to be written.
#[derive(Debug)]
pub(super) struct PlannedOp<'a> {
    /// Its form; `None` when it is kept whole.
    pub(super) form: Option<usize>,
    /// All of its bytes.
    pub(super) whole: &'a [u8],
    /// Its row.
    pub(super) row: u64,
    /// The milliseconds of its change's stamp.
    pub(super) stamp_ms: i64,
    /// Where its values start.
    values: usize,
}

/// What a segment will hold.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub(super) layout: Layout,
    /// The columns that came with each form.
    pub(super) fresh: Vec<Vec<Fresh>>,
    /// The operations of each change; none when the change is kept whole.
    pub(super) changes: Vec<Range<usize>>,
    pub(super) ops: Vec<PlannedOp<'a>>,
    /// The operations that use a column, per column.
    pub(super) users: Vec<Vec<u32>>,
    atoms: Vec<Atom<'a>>,
    numbers: Vec<i64>,
    by_form: HashMap<Vec<u8>, Option<usize>>,
    last: Option<usize>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(changes: &'a [Change<'_>]) -> Self {
        let mut plan = Self::default();
        let mut parsed = Parsed::default();
        for change in changes {
            let first = plan.ops.len();
            for frame in frames(&change.ops).unwrap_or_default() {
                plan.push(&frame, change.hlc.millis(), &mut parsed);
            }
            plan.changes.push(first..plan.ops.len());
        }
        plan
    }

    fn push(&mut self, frame: &Framed<'a>, stamp_ms: i64, parsed: &mut Parsed<'a>) {
        let form = frame.parse(parsed).and_then(|()| self.form(&parsed.form));
        let op = PlannedOp {
            form,
            whole: frame.whole,
            row: parsed.row,
            stamp_ms,
            values: self.atoms.len(),
        };
        if let Some(form) = form {
            let user = self.ops.len() as u32;
            let form = &self.layout.forms[form];
            self.users[form.row].push(user);
            for (atom, (_, column)) in parsed.atoms.iter().zip(&form.fields) {
                match atom {
                    Atom::Number(number) => {
                        self.numbers.push(*number);
                        self.users[*column].push(user);
                    }
                    _ => self.numbers.push(0),
                }
                self.atoms.push(*atom);
            }
        }
        self.ops.push(op);
    }

    fn form(&mut self, bytes: &[u8]) -> Option<usize> {
        if let Some(last) = self.last
            && self.layout.forms[last].bytes == bytes
        {
            return self.last;
        }
        if let Some(form) = self.by_form.get(bytes) {
            self.last = *form;
            return *form;
        }
        let form = self.layout.admit(bytes).map(|fresh| {
            self.fresh.push(fresh);
            self.layout.forms.len() - 1
        });
        self.users.resize(self.layout.columns, Vec::new());
        self.by_form.insert(bytes.to_vec(), form);
        self.last = form;
        form
    }

    /// The values of an operation.
    pub(super) fn atoms(&self, op: &PlannedOp<'_>) -> &[Atom<'a>] {
        let fields = op
            .form
            .map_or(0, |form| self.layout.forms[form].fields.len());
        &self.atoms[op.values..op.values + fields]
    }

    /// The value and the surroundings of field `position` of an operation.
    pub(super) fn number(&self, op: &PlannedOp<'_>, position: usize) -> (i64, Around<'_>) {
        let at = op.values + position;
        let fields = &self.numbers[op.values..at];
        (
            self.numbers[at],
            Around {
                stamp_ms: op.stamp_ms,
                fields,
            },
        )
    }
}
