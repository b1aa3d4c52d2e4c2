//! Reading parameters and bodies, with all that is wrong with them in one answer.
//!
//! The answer is the 422 list that the legacy clients know (FastAPI with Pydantic 2): items with
//! `type`, `loc`, `msg` and `input`. Unknown names are ignored, as there; a name that is given
//! twice is refused, since nobody can know which value was meant.

pub(super) mod body;
mod list;
mod query;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use body::{JsonBody, KnownSender, OptionalJsonBody};
pub use query::{FormBody, PathId, QueryFields};

use crate::auth::Secret;
use crate::domain::text::{self, Invalid};

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Issue {
    /// Kind of mistake, as Pydantic names it, such as `missing` or `float_parsing`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Where: `query`, `path` or `body`, then the name.
    #[schema(value_type = Vec<Value>)]
    loc: Vec<Value>,
    /// What is wrong, for people.
    msg: String,
    /// What was sent; null for secrets and when nothing was.
    #[schema(value_type = Value)]
    input: Value,
}

impl Issue {
    /// A value that cannot be taken, in words for whoever typed it. `input` is null for secrets.
    #[must_use]
    pub fn value(place: &'static str, name: &str, reason: &Invalid, input: Value) -> Self {
        Self {
            kind: "value_error",
            loc: vec![place.into(), name.into()],
            msg: reason.in_spanish(label(name)),
            input,
        }
    }

    /// The name of the value; empty when it is all of a body.
    pub(super) fn name(&self) -> &str {
        self.loc.get(1).and_then(Value::as_str).unwrap_or_default()
    }

    /// What is wrong, for people.
    pub(super) fn text(&self) -> &str {
        &self.msg
    }

    /// The same of a value in the query.
    pub(super) fn in_query(&mut self) {
        if let Some(place) = self.loc.first_mut() {
            *place = "query".into();
        }
    }

    /// The same with what was sent.
    pub(super) fn with_input(&mut self, input: Value) {
        self.input = input;
    }
}

/// What people call a value; the app shows them no other part of an issue than its text.
fn label(name: &str) -> &str {
    match name {
        "name" => "Nombre",
        "surname" => "Apellido",
        "email" | "new_mail" => "Correo electrónico",
        "username" => "Usuario",
        "dni" => "DNI",
        "hospital_account" => "Cuenta del hospital",
        "password" | "new_password" => "Contraseña",
        "current_password" => "Contraseña actual",
        "token" => "Código",
        "glucose_level" => "Glucosa",
        "created_at" => "Fecha y hora",
        "notes" => "Notas",
        "insulin_type" => "Tipo de insulina",
        "fast_insulin" => "Insulina rápida",
        "pump_type" => "Tipo de bomba",
        "control_data" => "Datos de control",
        "another_treatment" => "Otro tratamiento",
        "other_motive" => "Otro motivo",
        "new_size" => "Tamaño de la cola",
        "priority" => "Prioridad",
        "reason" => "Motivo",
        other => other,
    }
}

/// The 422 answer.
#[derive(Clone, Debug)]
pub struct Unprocessable(pub Vec<Issue>);

impl Unprocessable {
    /// Everything that is wrong in one text, for interfaces whose errors have one.
    #[must_use]
    pub fn text(&self) -> String {
        let said = self.0.iter().map(|issue| match issue.name() {
            "" => issue.msg.clone(),
            name if issue.msg.contains(name) => issue.msg.clone(),
            name => format!("{name}: {}", issue.msg),
        });
        said.collect::<Vec<_>>().join("; ")
    }
}

/// The body of the 422 answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HttpValidationError {
    /// Everything that is wrong.
    detail: Vec<Issue>,
}

impl IntoResponse for Unprocessable {
    fn into_response(self) -> Response {
        let body = Json(HttpValidationError { detail: self.0 });
        (StatusCode::UNPROCESSABLE_ENTITY, body).into_response()
    }
}

/// Reads named values and gathers what is wrong with them.
///
/// Each getter returns `None` after noting an issue; [`Fields::finish`] then refuses. So a handler
/// reads everything first and all mistakes are reported together.
#[derive(Debug)]
pub struct Fields {
    place: &'static str,
    values: Map<String, Value>,
    issues: Vec<Issue>,
}

impl Fields {
    fn new(place: &'static str, values: Map<String, Value>) -> Self {
        Self {
            place,
            values,
            issues: Vec::new(),
        }
    }

    /// Refuses when anything was wrong.
    ///
    /// # Errors
    /// The whole list.
    pub fn finish(mut self) -> Result<(), Unprocessable> {
        self.check()
    }

    /// [`Fields::finish`] for those who want to know afterwards what was sent.
    ///
    /// # Errors
    /// The whole list.
    pub fn check(&mut self) -> Result<(), Unprocessable> {
        if self.issues.is_empty() {
            Ok(())
        } else {
            Err(Unprocessable(std::mem::take(&mut self.issues)))
        }
    }

    /// Whether a value was sent that is not null.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether the name was sent at all, null included.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The value as it was sent.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// The text as it was sent; empty when there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let text = self.raw(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }

    fn issue(&mut self, name: &str, kind: &'static str, msg: impl Into<String>, input: Value) {
        let loc = vec![self.place.into(), name.into()];
        self.issues.push(Issue {
            kind,
            loc,
            msg: msg.into(),
            input,
        });
    }

    /// Notes that a value, which is no secret, cannot be taken.
    pub fn invalid(&mut self, name: &str, reason: &Invalid) {
        let input = self.values.get(name).cloned().unwrap_or_default();
        self.issues
            .push(Issue::value(self.place, name, reason, input));
    }

    /// Reads a value that must be there.
    fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &Value) -> Option<T>,
    ) -> Option<T> {
        if !self.mentions(name) {
            self.issue(name, "missing", "Field required", Value::Null);
            return None;
        }
        self.reading(name, read)
    }

    /// Reads a value that may be absent or null.
    fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &Value) -> Option<T>,
    ) -> Option<T> {
        self.has(name).then(|| self.reading(name, read))?
    }

    /// Lends the value out and puts it back, so that only a mistake costs a copy.
    fn reading<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.values.get_mut(name).map(Value::take)?;
        let result = read(self, &value);
        if let Some(place) = self.values.get_mut(name) {
            *place = value;
        }
        result
    }

    /// A required finite number; numbers in strings are understood.
    pub fn number(&mut self, name: &str) -> Option<f64> {
        self.required(name, |fields, value| fields.read_number(name, value))
    }

    /// An optional finite number.
    pub fn optional_number(&mut self, name: &str) -> Option<f64> {
        self.optional(name, |fields, value| fields.read_number(name, value))
    }

    fn read_number(&mut self, name: &str, value: &Value) -> Option<f64> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => {
                self.issue(
                    name,
                    "float_type",
                    "Input should be a valid number",
                    value.clone(),
                );
                return None;
            }
        };
        match number {
            Some(number) if number.is_finite() => Some(number),
            Some(_) => {
                self.issue(
                    name,
                    "finite_number",
                    "Input should be a finite number",
                    value.clone(),
                );
                None
            }
            None => {
                let msg = "Input should be a valid number, unable to parse string as a number";
                self.issue(name, "float_parsing", msg, value.clone());
                None
            }
        }
    }

    /// A required whole number; numbers in strings are understood.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        self.required(name, |fields, value| fields.read_integer(name, value))
    }

    /// An optional whole number.
    pub fn optional_integer(&mut self, name: &str) -> Option<i64> {
        self.optional(name, |fields, value| fields.read_integer(name, value))
    }

    fn read_integer(&mut self, name: &str, value: &Value) -> Option<i64> {
        let integer = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        if integer.is_none() {
            self.issue(
                name,
                "int_parsing",
                "Input should be a valid integer",
                value.clone(),
            );
        }
        integer
    }

    /// A required boolean.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        self.required(name, |fields, value| fields.read_boolean(name, value))
    }

    /// An optional boolean.
    pub fn optional_boolean(&mut self, name: &str) -> Option<bool> {
        self.optional(name, |fields, value| fields.read_boolean(name, value))
    }

    fn read_boolean(&mut self, name: &str, value: &Value) -> Option<bool> {
        let boolean = value.as_bool();
        if boolean.is_none() {
            self.issue(
                name,
                "bool_type",
                "Input should be a valid boolean",
                value.clone(),
            );
        }
        boolean
    }

    /// A required text, turned into a domain value.
    pub fn parse<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        self.required(name, |fields, value| fields.read_parsed(name, value, parse))
    }

    /// An optional text, turned into a domain value.
    pub fn optional_parse<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        self.optional(name, |fields, value| fields.read_parsed(name, value, parse))
    }

    fn read_parsed<T>(
        &mut self,
        name: &str,
        value: &Value,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let Some(text) = value.as_str() else {
            self.issue(
                name,
                "string_type",
                "Input should be a valid string",
                value.clone(),
            );
            return None;
        };
        match parse(text) {
            Ok(parsed) => Some(parsed),
            Err(reason) => {
                let issue = Issue::value(self.place, name, &reason, value.clone());
                self.issues.push(issue);
                None
            }
        }
    }

    /// A required text as it is: for secrets, which no message repeats.
    pub fn secret(&mut self, name: &str) -> Option<String> {
        self.required(name, |fields, value| {
            let Value::String(text) = value else {
                let msg = "Input should be a valid string";
                fields.issue(name, "string_type", msg, Value::Null);
                return None;
            };
            if text.is_empty() {
                let msg = format!("{}: no puede quedar vacío.", label(name));
                fields.issue(name, "string_too_short", msg, Value::Null);
                return None;
            }
            Some(text.clone())
        })
    }

    /// A required new password that `check` accepts.
    pub fn new_password(
        &mut self,
        name: &str,
        check: impl FnOnce(&Secret) -> Result<(), Invalid>,
    ) -> Option<Secret> {
        let password = Secret::new(self.secret(name)?);
        if let Err(reason) = check(&password) {
            let issue = Issue::value(self.place, name, &reason, Value::Null);
            self.issues.push(issue);
            return None;
        }
        Some(password)
    }

    /// Notes a secret that does not belong here.
    pub fn refuse_secret(&mut self, name: &str, reason: &Invalid) {
        if self.mentions(name) {
            let issue = Issue::value(self.place, name, reason, Value::Null);
            self.issues.push(issue);
        }
    }

    /// A required line of text.
    pub fn line(&mut self, name: &str) -> Option<String> {
        self.parse(name, text::line)
    }

    /// A required free text; may be empty.
    pub fn paragraph(&mut self, name: &str) -> Option<String> {
        self.parse(name, text::paragraph)
    }

    /// An optional free text.
    pub fn optional_paragraph(&mut self, name: &str) -> Option<String> {
        self.optional_parse(name, text::paragraph)
    }

    /// A required name out of a list.
    pub fn one_of<T>(
        &mut self,
        name: &str,
        names: &[&str],
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.required(name, |fields, value| {
            let found = value.as_str().and_then(parse);
            if found.is_none() {
                fields.not_one_of(name, names, value.clone());
            }
            found
        })
    }

    fn not_one_of(&mut self, name: &str, names: &[&str], value: Value) {
        let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        self.issue(
            name,
            "enum",
            format!("Input should be {}", quoted.join(", ")),
            value,
        );
    }

    /// A required list of at most `most` names out of `names`.
    pub fn list_of(&mut self, name: &str, names: &[&str], most: usize) -> Option<Vec<String>> {
        self.required(name, |fields, value| {
            fields.read_list(name, names, most, value)
        })
    }

    fn read_list(
        &mut self,
        name: &str,
        names: &[&str],
        most: usize,
        value: &Value,
    ) -> Option<Vec<String>> {
        let Value::Array(items) = value else {
            let msg = "Input should be a valid list";
            self.issue(name, "list_type", msg, value.clone());
            return None;
        };
        if items.len() > most {
            self.issue(
                name,
                "too_long",
                format!("List should have at most {most} items"),
                Value::Null,
            );
            return None;
        }
        let known = |item: &Value| item.as_str().is_some_and(|item| names.contains(&item));
        if let Some(unknown) = items.iter().find(|item| !known(item)) {
            self.not_one_of(name, names, unknown.clone());
            return None;
        }
        Some(
            items
                .iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests;
