//! Replicated rows in maps: what SQLite is in a node. Every map is ordered, so equal states have equal
//! digests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::RangeInclusive;

use islet_sync::apply::{RegisterKey, State};
use islet_sync::id::RowId;
use islet_sync::op::Value;
use islet_sync::register::{Sibling, Stamp};
use islet_sync::rules::{Entity, Shape};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    made: u64,
    values: Vec<Value<'static>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MemoryState {
    rows: BTreeMap<(u8, i64), Row>,
    elements: BTreeMap<(u8, i64, String), Vec<Value<'static>>>,
    registers: BTreeMap<RegisterKey, (Vec<Sibling>, bool)>,
    /// The fault of [`super::mutation::Mutation::LatestOnly`].
    pub(crate) latest_only: bool,
}

impl Row {
    pub(crate) fn value(&self, number: u8) -> &Value<'static> {
        &self.values[usize::from(number) - 1]
    }

    pub(crate) fn int(&self, number: u8) -> Option<i64> {
        match self.value(number) {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn text(&self, number: u8) -> &str {
        match self.value(number) {
            Value::Text(text) => text,
            _ => "",
        }
    }

    pub(crate) fn bytes(&self, number: u8) -> &[u8] {
        match self.value(number) {
            Value::Bytes(bytes) => bytes,
            _ => &[],
        }
    }
}

impl MemoryState {
    pub(crate) fn row(&self, entity: &Entity, row: i64) -> Option<&Row> {
        self.rows.get(&(entity.code, row))
    }

    pub(crate) fn rows(&self, entity: &Entity) -> impl Iterator<Item = (RowId, &Row)> {
        let range: RangeInclusive<_> = (entity.code, i64::MIN)..=(entity.code, i64::MAX);
        self.rows
            .range(range)
            .filter_map(|((_, id), row)| Some((RowId::from_i64(*id).ok()?, row)))
    }

    /// The text that is shown under a name of a map.
    pub(crate) fn element(&self, entity: &Entity, row: i64, name: &str) -> Option<String> {
        match self
            .elements
            .get(&(entity.code, row, name.to_owned()))?
            .first()?
        {
            Value::Text(text) => Some(text.clone().into_owned()),
            _ => None,
        }
    }

    /// The siblings of a register, and whether they are a conflict.
    pub(crate) fn register(&self, key: &RegisterKey) -> Option<&(Vec<Sibling>, bool)> {
        self.registers.get(key)
    }

    pub(crate) fn registers(&self) -> impl Iterator<Item = (&RegisterKey, &(Vec<Sibling>, bool))> {
        self.registers.iter()
    }

    /// Equal states, and only those, have equal digests.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: String| {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        self.rows.iter().for_each(|row| part(format!("{row:?}")));
        self.elements.iter().for_each(|e| part(format!("{e:?}")));
        self.registers.iter().for_each(|r| part(format!("{r:?}")));
        *hasher.finalize().as_bytes()
    }
}

impl State for MemoryState {
    type Error = Infallible;

    fn made(&mut self, entity: &'static Entity, row: RowId) -> Result<Option<u64>, Infallible> {
        Ok(self.row(entity, row.get()).map(|row| row.made))
    }

    fn create(
        &mut self,
        entity: &'static Entity,
        row: RowId,
        fields: &[(u8, Value<'_>)],
        stamp: Stamp,
    ) -> Result<(), Infallible> {
        let mut values = vec![Value::Null; entity.fields.len()];
        for (number, value) in fields {
            values[usize::from(*number) - 1] = value.to_static();
        }
        let made = stamp.seq;
        self.rows
            .insert((entity.code, row.get()), Row { made, values });
        Ok(())
    }

    fn show(
        &mut self,
        entity: &'static Entity,
        row: RowId,
        element: &str,
        fields: &[(u8, Value<'_>)],
    ) -> Result<(), Infallible> {
        if entity.shape == Shape::Rows {
            if let Some(shown) = self.rows.get_mut(&(entity.code, row.get())) {
                for (number, value) in fields {
                    shown.values[usize::from(*number) - 1] = value.to_static();
                }
            }
        } else {
            let values = fields.iter().map(|(_, value)| value.to_static()).collect();
            self.elements
                .insert((entity.code, row.get(), element.to_owned()), values);
        }
        Ok(())
    }

    fn raise(
        &mut self,
        entity: &'static Entity,
        row: RowId,
        field: u8,
        value: i64,
    ) -> Result<(), Infallible> {
        if let Some(shown) = self.rows.get_mut(&(entity.code, row.get())) {
            let slot = &mut shown.values[usize::from(field) - 1];
            if !matches!(slot, Value::Int(old) if *old >= value) {
                *slot = Value::Int(value);
            }
        }
        Ok(())
    }

    fn siblings(&mut self, key: &RegisterKey) -> Result<Vec<Sibling>, Infallible> {
        Ok(self
            .registers
            .get(key)
            .map(|found| found.0.clone())
            .unwrap_or_default())
    }

    fn set_siblings(
        &mut self,
        key: &RegisterKey,
        siblings: &[Sibling],
        conflict: bool,
    ) -> Result<(), Infallible> {
        let last = siblings.len().saturating_sub(1);
        let kept = if self.latest_only {
            &siblings[last..]
        } else {
            siblings
        };
        let conflict = conflict && !self.latest_only;
        self.registers
            .insert(key.clone(), (kept.to_vec(), conflict));
        Ok(())
    }
}
