//! The second pass of writing a segment: the planned operations, through the model.

use std::collections::HashMap;

use super::choose::Chooser;
use super::coder::Writer;
use super::column::Column;
use super::layout::Fresh;
use super::model::{FORM_FIRST, FORM_NEW, FORM_WHOLE, Model, Slot, is_blob, since_epoch_ms};
use super::number::Number;
use super::parse::Atom;
use super::plan::{Plan, PlannedOp};
use super::predict::{Around, Predictor};
use super::{Change, text};
use crate::limits::SEGMENT_TEXTS_MAX;

/// What [`super::encode`] puts together.
pub(super) struct Written {
    pub(super) text_form: text::Form,
    pub(super) text: Vec<u8>,
    pub(super) coded: Vec<u8>,
}

pub(super) fn write(changes: &[Change<'_>]) -> Written {
    let plan = Plan::new(changes);
    let mut session = Session {
        coder: Writer::new(Vec::new()),
        model: Model::new(),
        chooser: Chooser::new(),
        texts: Texts::default(),
        seen_forms: 0,
        after: 0,
        plan: &plan,
    };
    let stamps: Vec<i64> = changes
        .iter()
        .map(|change| since_epoch_ms(change.hlc))
        .collect();
    let choice = session.chooser.stamps(&stamps);
    session.model.start(&mut session.coder, choice);
    for (change, ops) in changes.iter().zip(&plan.changes) {
        session.model.stamp(&mut session.coder, change.hlc);
        session.model.ops(&mut session.coder, ops.len());
        if ops.is_empty() {
            session.whole(&change.ops);
        }
        for op in &plan.ops[ops.clone()] {
            session.op(op);
        }
    }
    let (text_form, text) = text::pack(&session.texts.bytes);
    Written {
        text_form,
        text,
        coded: session.coder.finish(),
    }
}

/// The texts so far.
#[derive(Debug, Default)]
struct Texts<'a> {
    bytes: Vec<u8>,
    known: HashMap<&'a [u8], u64>,
}

struct Session<'a> {
    coder: Writer,
    model: Model,
    chooser: Chooser,
    texts: Texts<'a>,
    seen_forms: usize,
    after: usize,
    plan: &'a Plan<'a>,
}

impl<'a> Session<'a> {
    fn whole(&mut self, bytes: &[u8]) {
        self.model.blob_length(&mut self.coder, bytes.len());
        self.texts.bytes.extend(bytes);
    }

    fn op(&mut self, op: &PlannedOp<'a>) {
        let plan = self.plan;
        let Some(index) = op.form else {
            self.model
                .form_code(&mut self.coder, self.after, FORM_WHOLE);
            self.after = 0;
            self.whole(op.whole);
            return;
        };
        if index < self.seen_forms {
            let code = index as u64 + FORM_FIRST;
            self.model.form_code(&mut self.coder, self.after, code);
        } else {
            self.model.form_code(&mut self.coder, self.after, FORM_NEW);
            self.new_form(index);
        }
        self.after = index + 1;
        let form = &plan.layout.forms[index];
        let around = Around {
            stamp_ms: op.stamp_ms,
            fields: &[],
        };
        self.model
            .number(&mut self.coder, form.row, &around, op.row.cast_signed());
        for (position, atom) in plan.atoms(op).iter().enumerate() {
            let (_, column) = form.fields[position];
            match *atom {
                Atom::Null => {}
                Atom::Number(_) => {
                    let (value, around) = plan.number(op, position);
                    self.model.number(&mut self.coder, column, &around, value);
                }
                Atom::Blob(bytes) => self.blob(column, bytes),
            }
        }
    }

    fn new_form(&mut self, index: usize) {
        let plan = self.plan;
        self.model
            .form(&mut self.coder, &plan.layout.forms[index].bytes);
        for fresh in &plan.fresh[index] {
            let slot = self.new_column(fresh);
            self.model.slots.push(slot);
        }
        self.seen_forms += 1;
    }

    fn new_column(&mut self, fresh: &Fresh) -> Slot {
        if fresh.field.is_some_and(|(_, kind)| is_blob(kind)) {
            return Slot::Blobs(Box::new(Number::new()));
        }
        let choice: (Predictor, i64) = self.chooser.column(self.plan, fresh);
        self.model
            .predictor(&mut self.coder, fresh.field.is_none(), choice);
        Slot::Numbers(Box::new(Column::new(choice.0, choice.1)))
    }

    fn blob(&mut self, column: usize, bytes: &'a [u8]) {
        if let Some(code) = self.texts.known.get(bytes) {
            self.model.blob(&mut self.coder, column, *code);
            return;
        }
        self.model.blob(&mut self.coder, column, 0);
        self.whole(bytes);
        let code = self.texts.known.len() + 1;
        if code <= SEGMENT_TEXTS_MAX {
            self.texts.known.insert(bytes, code as u64);
        }
    }
}
