//! Lists in a body.

use serde_json::{Map, Value};

use super::Fields;

impl Fields {
    /// A required list of at most `most` objects, each to be read by itself. What is no object has no values.
    pub fn objects(&mut self, name: &str, most: usize) -> Option<Vec<Self>> {
        self.required(name, |fields, value| {
            let Value::Array(items) = value else {
                let msg = "Input should be a valid list";
                fields.issue(name, "list_type", msg, Value::Null);
                return None;
            };
            if items.len() > most {
                let msg = format!("List should have at most {most} items");
                fields.issue(name, "too_long", msg, Value::Null);
                return None;
            }
            let object = |item: &Value| match item {
                Value::Object(values) => values.clone(),
                _ => Map::new(),
            };
            let items = items.iter().map(object);
            Some(items.map(|values| Self::new("body", values)).collect())
        })
    }
}
