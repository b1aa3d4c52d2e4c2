//! What writer and reader of a segment have in common: the order in which things are coded and
//! the odds that they are coded with.
//!
//! Everything here runs on both sides with the same history, or they no longer understand each
//! other.

use super::coder::{Coder, Odds, Rehearsal};
use super::column::{Column, Replicas};
use super::number::Number;
use super::parse::Kind;
use super::predict::{Around, Predictor};
use crate::hlc::Hlc;

const STAMP_COUNTER_BITS: u32 = 16;
const PREDICTOR_CODES: usize = 16;
const KIND_CODES: usize = 8;
/// The first guess of the milliseconds of a stamp: 2026-01-01, a byte nearer to now than 1970.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// The milliseconds of a stamp as their column holds them.
pub(super) const fn since_epoch_ms(hlc: Hlc) -> i64 {
    hlc.millis() - EPOCH_MS
}

/// A column of either sort.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// Numbers and row ids.
    Numbers(Box<Column>),
    /// Texts and bytes: 0 for one that was not there before, else its number, plus one.
    Blobs(Box<Number>),
}

/// The state of a segment that is being written or read.
#[derive(Debug)]
pub(super) struct Model {
    /// The columns, in the order of [`super::layout::Layout`].
    pub(super) slots: Vec<Slot>,
    /// Shared by all columns of row ids.
    pub(super) replicas: Replicas,
    stamp_ms: Column,
    stamp_counter: Number,
    last_stamp: (i64, i64),
    ops: Number,
    last_ops: i64,
    /// Which form comes after which; the first is for the start.
    next_form: Vec<Number>,
    form: FormOdds,
    blob_length: Number,
}

/// Code of a form that was not there before; see [`Model::form_code`].
pub(super) const FORM_NEW: u64 = 0;
/// Code of an operation that is kept whole.
pub(super) const FORM_WHOLE: u64 = 1;
/// Code of the first form that is known; the others follow.
pub(super) const FORM_FIRST: u64 = 2;

/// What the odds of a new form are taught before anything else: a glucose reading, by far the most
/// frequent operation. It makes a lone one ten bytes shorter, and others no longer for long.
const LESSON_FORM: [u8; 18] = [3, 1, 1, 1, 2, 2, 3, 1, 4, 1, 5, 1, 6, 1, 7, 1, 8, 0];
/// The predictors of its columns; true is for the rows'.
const LESSON_PREDICTORS: [(bool, Predictor); 8] = [
    (true, Predictor::Id),
    (false, Predictor::Id),
    (false, Predictor::Zero),
    (false, Predictor::Zero),
    (false, Predictor::Zero),
    (false, Predictor::Zero),
    (false, Predictor::Stamp),
    (false, Predictor::Stamp),
];
const LESSONS: usize = 2;

/// The odds of the parts of a new form.
#[derive(Debug)]
struct FormOdds {
    entity: Number,
    action: Number,
    fields: Number,
    skipped: Number,
    kind: [[Odds; KIND_CODES]; KIND_CODES],
    /// For rows, and for fields.
    predictor: [[Odds; PREDICTOR_CODES]; 2],
    position: Number,
    unit: Number,
}

impl FormOdds {
    fn new() -> Self {
        Self {
            entity: Number::new(),
            action: Number::new(),
            fields: Number::new(),
            skipped: Number::new(),
            kind: [[Odds::EVEN; KIND_CODES]; KIND_CODES],
            predictor: [[Odds::EVEN; PREDICTOR_CODES]; 2],
            position: Number::new(),
            unit: Number::new(),
        }
    }
}

impl Model {
    pub(super) fn new() -> Self {
        let mut model = Self::untaught();
        for _ in 0..LESSONS {
            model.form(&mut Rehearsal, &LESSON_FORM);
            for (row, predictor) in LESSON_PREDICTORS {
                model.predictor(&mut Rehearsal, row, (predictor, 1));
            }
        }
        model.next_form.truncate(1);
        model
    }

    fn untaught() -> Self {
        Self {
            slots: Vec::new(),
            replicas: Replicas::new(),
            stamp_ms: Column::new(Predictor::Last, 1),
            stamp_counter: Number::rare(),
            last_stamp: (0, 0),
            ops: Number::rare(),
            last_ops: 1,
            next_form: vec![Number::new()],
            form: FormOdds::new(),
            blob_length: Number::new(),
        }
    }

    /// How the column of stamps guesses. First of all.
    pub(super) fn start<C: Coder>(&mut self, coder: &mut C, given: (Predictor, i64)) -> Option<()> {
        let (predictor, unit) = self.predictor(coder, false, given)?;
        self.stamp_ms = Column::new(predictor, unit);
        Some(())
    }

    /// The stamp of a change.
    pub(super) fn stamp<C: Coder>(&mut self, coder: &mut C, hlc: Hlc) -> Hlc {
        let given = hlc.to_i64().cast_unsigned();
        let around = Around {
            stamp_ms: 0,
            fields: &[],
        };
        let ms = since_epoch_ms(hlc);
        let ms = self.stamp_ms.code(coder, &around, &mut self.replicas, ms);
        let ms = ms.wrapping_add(EPOCH_MS);
        let (last_ms, last_counter) = self.last_stamp;
        let guess = if ms == last_ms { last_counter + 1 } else { 0 };
        let counter = (given & 0xffff).cast_signed();
        let counter = self.stamp_counter.code(coder, counter.wrapping_sub(guess));
        let counter = counter.wrapping_add(guess) & 0xffff;
        self.last_stamp = (ms, counter);
        Hlc::from_i64((ms << STAMP_COUNTER_BITS) | counter)
    }

    /// How many operations a change has; 0 when it is kept whole.
    pub(super) fn ops<C: Coder>(&mut self, coder: &mut C, count: usize) -> usize {
        let off = (count as i64).wrapping_sub(self.last_ops);
        self.last_ops = self.last_ops.wrapping_add(self.ops.code(coder, off));
        usize::try_from(self.last_ops).unwrap_or(usize::MAX)
    }

    /// Which form an operation has. `after` is the number of the form of the operation before,
    /// plus one, or 0.
    pub(super) fn form_code<C: Coder>(&mut self, coder: &mut C, after: usize, code: u64) -> u64 {
        self.next_form[after].code_count(coder, code)
    }

    /// The bytes of a new form.
    pub(super) fn form<C: Coder>(&mut self, coder: &mut C, given: &[u8]) -> Vec<u8> {
        let odds = &mut self.form;
        let at = |index: usize| given.get(index).copied().unwrap_or(0);
        let entity = odds.entity.code_count(coder, u64::from(at(0))) as u8;
        let action = odds.action.code_count(coder, u64::from(at(1))) as u8;
        let fields = given.len().saturating_sub(2) / 2;
        // A field number is a byte and grows from field to field.
        let fields = odds.fields.code_count(coder, fields as u64).min(256) as usize;
        let mut form = vec![entity, action];
        let mut free = 1u8;
        let mut kind = 0;
        for field in 0..fields {
            let (number, tag) = (at(2 + 2 * field), at(3 + 2 * field));
            let skipped = number.wrapping_sub(free);
            let number = free.wrapping_add(odds.skipped.code_count(coder, skipped.into()) as u8);
            kind = coder.tree(&mut odds.kind[kind], usize::from(tag));
            form.extend([number, kind as u8]);
            free = number.wrapping_add(1);
        }
        self.next_form.push(Number::new());
        form
    }

    /// How a new column, of rows or of a field, guesses, and its unit. `None` when it is not known here.
    pub(super) fn predictor<C: Coder>(
        &mut self,
        coder: &mut C,
        row: bool,
        (predictor, unit): (Predictor, i64),
    ) -> Option<(Predictor, i64)> {
        let odds = &mut self.form;
        let (code, at) = predictor.code();
        let code = coder.tree(&mut odds.predictor[usize::from(row)], usize::from(code)) as u8;
        let at = match Predictor::has_position(code) {
            true => odds.position.code_count(coder, at.unwrap_or(0).into()),
            false => 0,
        };
        let predictor = Predictor::from_code(code, u8::try_from(at).ok()?)?;
        if predictor.is_id() {
            return Some((predictor, 1));
        }
        let unit = odds
            .unit
            .code_count(coder, unit.cast_unsigned().wrapping_sub(1));
        let unit = i64::try_from(unit).ok()?.checked_add(1)?;
        Some((predictor, unit))
    }

    /// The number of a text or bytes in the column `slot`; see [`Slot::Blobs`]. `None` when the
    /// column holds numbers.
    pub(super) fn blob<C: Coder>(&mut self, coder: &mut C, slot: usize, code: u64) -> Option<u64> {
        match self.slots.get_mut(slot)? {
            Slot::Blobs(number) => Some(number.code_count(coder, code)),
            Slot::Numbers(_) => None,
        }
    }

    /// A number of the column `slot`. `None` when the column holds texts.
    pub(super) fn number<C: Coder>(
        &mut self,
        coder: &mut C,
        slot: usize,
        around: &Around<'_>,
        value: i64,
    ) -> Option<i64> {
        match self.slots.get_mut(slot)? {
            Slot::Numbers(column) => Some(column.code(coder, around, &mut self.replicas, value)),
            Slot::Blobs(_) => None,
        }
    }

    /// The length of a text or bytes that were not there before, or of what is kept whole.
    pub(super) fn blob_length<C: Coder>(&mut self, coder: &mut C, length: usize) -> u64 {
        self.blob_length.code_count(coder, length as u64)
    }
}

/// The sort of column that values of `kind` are in.
pub(super) const fn is_blob(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::Bytes)
}
