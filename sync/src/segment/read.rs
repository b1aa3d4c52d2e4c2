//! Reading a segment back, operation by operation, straight into the bytes of the changes.

use super::coder::Reader;
use super::column::Column;
use super::layout::Layout;
use super::model::{FORM_FIRST, FORM_NEW, FORM_WHOLE, Model, Slot, is_blob};
use super::number::Number;
use super::parse::{Kind, VERSION};
use super::predict::{Around, Predictor};
use super::{SegmentError, Span};
use crate::hlc::Hlc;
use crate::limits::{SEGMENT_DECODED_BYTES_MAX, SEGMENT_KEYED_COLUMNS_MAX, SEGMENT_TEXTS_MAX};
use crate::varint::{put_i64, put_u64};

use SegmentError::{Damaged, TooLong};

/// Reads `count` changes, which the caller has checked against its bound.
pub(super) fn read(
    count: usize,
    text: &[u8],
    coded: &[u8],
) -> Result<(Vec<u8>, Vec<Span>), SegmentError> {
    let mut session = Session {
        coder: Reader::new(coded),
        model: Model::new(),
        layout: Layout::default(),
        text,
        text_at: 0,
        texts: Vec::new(),
        keyed: 0,
        after: 0,
        values: Vec::new(),
        out: Vec::new(),
    };
    let none = (Predictor::Zero, 1);
    session
        .model
        .start(&mut session.coder, none)
        .ok_or(Damaged)?;
    let mut spans = Vec::new();
    for _ in 0..count {
        let hlc = session.change()?;
        spans.push(Span {
            hlc,
            end: session.out.len(),
        });
    }
    if !session.coder.ended_well() || session.text_at != text.len() {
        return Err(Damaged);
    }
    Ok((session.out, spans))
}

struct Session<'a> {
    coder: Reader<'a>,
    model: Model,
    layout: Layout,
    text: &'a [u8],
    text_at: usize,
    texts: Vec<&'a [u8]>,
    keyed: usize,
    after: usize,
    values: Vec<i64>,
    out: Vec<u8>,
}

impl<'a> Session<'a> {
    fn change(&mut self) -> Result<Hlc, SegmentError> {
        let hlc = self.model.stamp(&mut self.coder, Hlc::default());
        let ops = self.model.ops(&mut self.coder, 0);
        if ops == 0 {
            let bytes = self.new_text()?;
            self.put(bytes)?;
        } else {
            self.put(&[VERSION])?;
        }
        for _ in 0..ops {
            self.op(hlc.millis())?;
            // An operation is at least three bytes, so this bounds their number too.
            if self.coder.overran() {
                return Err(Damaged);
            }
        }
        Ok(hlc)
    }

    fn op(&mut self, stamp_ms: i64) -> Result<(), SegmentError> {
        let index = match self.model.form_code(&mut self.coder, self.after, 0) {
            FORM_NEW => self.new_form()?,
            FORM_WHOLE => {
                self.after = 0;
                let bytes = self.new_text()?;
                // An empty one would be one of infinitely many.
                return if bytes.is_empty() {
                    Err(Damaged)
                } else {
                    self.put(bytes)
                };
            }
            code => usize::try_from(code - FORM_FIRST).map_err(|_| Damaged)?,
        };
        let form = self.layout.forms.get(index).ok_or(Damaged)?;
        self.after = index + 1;
        self.out.extend(&form.bytes[..2]);
        let start = self.out.len();
        // The length, for which one byte is nearly always enough.
        self.out.push(0);
        let around = Around {
            stamp_ms,
            fields: &[],
        };
        let row = self
            .model
            .number(&mut self.coder, form.row, &around, 0)
            .ok_or(Damaged)?;
        put_u64(&mut self.out, row.cast_unsigned());
        self.values.clear();
        for position in 0..form.fields.len() {
            let form = &self.layout.forms[index];
            let (kind, column) = form.fields[position];
            let around = Around {
                stamp_ms,
                fields: &self.values,
            };
            self.out
                .extend(&form.bytes[2 + 2 * position..4 + 2 * position]);
            let mut value = 0;
            if is_blob(kind) {
                self.blob(column)?;
            } else if kind != Kind::Null {
                value = self
                    .model
                    .number(&mut self.coder, column, &around, 0)
                    .ok_or(Damaged)?;
                match kind {
                    Kind::Real => self.out.extend(value.to_be_bytes()),
                    _ => put_i64(&mut self.out, value),
                }
            }
            self.values.push(value);
        }
        self.close(start)
    }
}

impl<'a> Session<'a> {
    /// Puts the length of the operation whose length byte is at `start`.
    fn close(&mut self, start: usize) -> Result<(), SegmentError> {
        let length = self.out.len() - start - 1;
        if length < 0x80 {
            self.out[start] = length as u8;
        } else {
            let mut bytes = Vec::with_capacity(4);
            put_u64(&mut bytes, length as u64);
            self.out.splice(start..=start, bytes);
        }
        self.put(&[])
    }

    /// Appends to the changes, within the bound.
    fn put(&mut self, bytes: &[u8]) -> Result<(), SegmentError> {
        if self.out.len() + bytes.len() > SEGMENT_DECODED_BYTES_MAX {
            return Err(TooLong);
        }
        self.out.extend(bytes);
        Ok(())
    }

    fn new_form(&mut self) -> Result<usize, SegmentError> {
        let bytes = self.model.form(&mut self.coder, &[]);
        let fresh = self.layout.admit(&bytes).ok_or(Damaged)?;
        for fresh in fresh {
            let slot = if fresh.field.is_some_and(|(_, kind)| is_blob(kind)) {
                Slot::Blobs(Box::new(Number::new()))
            } else {
                let none = (Predictor::Zero, 1);
                let read = self
                    .model
                    .predictor(&mut self.coder, fresh.field.is_none(), none);
                let (predictor, unit) = read.ok_or(Damaged)?;
                self.keyed += usize::from(predictor.is_keyed());
                if self.keyed > SEGMENT_KEYED_COLUMNS_MAX {
                    return Err(TooLong);
                }
                Slot::Numbers(Box::new(Column::new(predictor, unit)))
            };
            self.model.slots.push(slot);
        }
        Ok(self.layout.forms.len() - 1)
    }

    fn blob(&mut self, column: usize) -> Result<(), SegmentError> {
        let code = self.model.blob(&mut self.coder, column, 0).ok_or(Damaged)?;
        let bytes = match usize::try_from(code).map_err(|_| Damaged)?.checked_sub(1) {
            Some(index) => self.texts.get(index).copied().ok_or(Damaged)?,
            None => self.new_text()?,
        };
        if code == 0 && self.texts.len() < SEGMENT_TEXTS_MAX {
            self.texts.push(bytes);
        }
        put_u64(&mut self.out, bytes.len() as u64);
        self.put(bytes)
    }

    fn new_text(&mut self) -> Result<&'a [u8], SegmentError> {
        let length = self.model.blob_length(&mut self.coder, 0);
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.text_at.checked_add(length));
        let bytes = end
            .and_then(|end| self.text.get(self.text_at..end))
            .ok_or(Damaged)?;
        self.text_at += bytes.len();
        Ok(bytes)
    }
}
