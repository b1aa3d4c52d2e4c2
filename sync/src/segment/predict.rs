//! Guesses of the next number of a column. What is written is how far the guess was off.

/// How a column guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    /// Nought: the number itself is written.
    Zero,
    /// The number before.
    Last,
    /// As far on from the number before as that was from the one before it.
    Line,
    /// The milliseconds of the change's stamp.
    Stamp,
    /// Field number `.0` (by position) of the same operation.
    Field(u8),
    /// The number before among the operations with the same key, which is field `.0`.
    KeyLast(u8),
    /// As [`Predictor::Line`], among the operations with the same key.
    KeyLine(u8),
    /// Half as far on as [`Predictor::KeyLine`]: what is measured swings less than it is steep.
    KeyHalf(u8),
    /// A row id: its replica, and its counter as a number.
    Id,
    /// A row id: its replica, and its counter as the step from the next free one.
    NextId,
}

impl Predictor {
    /// Its number in a segment, and its position, if it has one.
    pub(super) const fn code(self) -> (u8, Option<u8>) {
        match self {
            Self::Zero => (0, None),
            Self::Last => (1, None),
            Self::Line => (2, None),
            Self::Stamp => (3, None),
            Self::Field(at) => (4, Some(at)),
            Self::KeyLast(at) => (5, Some(at)),
            Self::KeyLine(at) => (6, Some(at)),
            Self::KeyHalf(at) => (7, Some(at)),
            Self::Id => (8, None),
            Self::NextId => (9, None),
        }
    }

    /// Whether the code `code` comes with a position.
    pub(super) const fn has_position(code: u8) -> bool {
        matches!(code, 4..=7)
    }

    /// The inverse of [`Predictor::code`].
    pub(super) const fn from_code(code: u8, at: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Zero,
            1 => Self::Last,
            2 => Self::Line,
            3 => Self::Stamp,
            4 => Self::Field(at),
            5 => Self::KeyLast(at),
            6 => Self::KeyLine(at),
            7 => Self::KeyHalf(at),
            8 => Self::Id,
            9 => Self::NextId,
            _ => return None,
        })
    }

    /// The position of its key, for those that have one.
    const fn key(self) -> Option<u8> {
        match self {
            Self::KeyLast(at) | Self::KeyLine(at) | Self::KeyHalf(at) => Some(at),
            _ => None,
        }
    }

    /// Whether it remembers a number per key.
    pub(super) const fn is_keyed(self) -> bool {
        self.key().is_some()
    }

    /// Whether it is for row ids.
    pub(super) const fn is_id(self) -> bool {
        matches!(self, Self::Id | Self::NextId)
    }
}

/// What is known of an operation while its fields are coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    /// The milliseconds of the change's stamp.
    pub(super) stamp_ms: i64,
    /// The numbers of the fields so far; 0 where a field has none.
    pub(super) fields: &'a [i64],
}

impl Around<'_> {
    fn field(&self, at: u8) -> i64 {
        self.fields.get(usize::from(at)).copied().unwrap_or(0)
    }
}

/// The two numbers before.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    last: i64,
    before: i64,
}

impl Past {
    const fn line(self) -> i64 {
        self.last.wrapping_add(self.last.wrapping_sub(self.before))
    }

    const fn half(self) -> i64 {
        self.last
            .wrapping_add(self.last.wrapping_sub(self.before) / 2)
    }

    const fn push(&mut self, value: i64) {
        self.before = self.last;
        self.last = value;
    }
}

/// Slots of a column with keys. A key that finds its slot taken takes it over: the guess is worse,
/// the memory is bounded, and no choice of keys makes it slow.
const SLOTS: usize = 1_024;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    used: bool,
    key: i64,
    past: Past,
}

/// A predictor with what it remembers. Not for row ids.
#[derive(Clone, Debug)]
pub(super) struct History {
    predictor: Predictor,
    past: Option<Past>,
    slots: Vec<Slot>,
}

impl History {
    pub(super) fn new(predictor: Predictor) -> Self {
        let slots = if predictor.is_keyed() { SLOTS } else { 0 };
        Self {
            predictor,
            past: None,
            slots: vec![Slot::default(); slots],
        }
    }

    /// The guess for the next number. Call [`History::push`] with the number itself afterwards.
    pub(super) fn guess(&self, around: &Around<'_>) -> i64 {
        let all = self.past.unwrap_or_default();
        let Some(at) = self.predictor.key() else {
            return match self.predictor {
                Predictor::Last => all.last,
                Predictor::Line => all.line(),
                Predictor::Stamp => around.stamp_ms,
                Predictor::Field(at) => around.field(at),
                _ => 0,
            };
        };
        let key = around.field(at);
        let slot = &self.slots[slot_of(key)];
        if !slot.used || slot.key != key {
            return all.last;
        }
        match self.predictor {
            Predictor::KeyLine(_) => slot.past.line(),
            Predictor::KeyHalf(_) => slot.past.half(),
            _ => slot.past.last,
        }
    }

    /// Remembers the number that came.
    pub(super) fn push(&mut self, around: &Around<'_>, value: i64) {
        let first = Past {
            last: value,
            before: value,
        };
        match &mut self.past {
            Some(past) => past.push(value),
            None => self.past = Some(first),
        }
        if let Some(at) = self.predictor.key() {
            let key = around.field(at);
            let slot = &mut self.slots[slot_of(key)];
            if slot.used && slot.key == key {
                slot.past.push(value);
            } else {
                *slot = Slot {
                    used: true,
                    key,
                    past: first,
                };
            }
        }
    }
}

/// Fibonacci hashing (Knuth, TAOCP 3, 6.4).
const fn slot_of(key: i64) -> usize {
    (key.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOT_BITS)) as usize
}
