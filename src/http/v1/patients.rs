//! `/v1/patients`: find, register, show and change them, for staff.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::etag::{IfMatch, tagged};
use super::extract::{Body, Name, Query};
use super::page::{PageDto, Wanted};
use super::refusal::{Done, OrRefusal, Refused, Unfit, id, read};
use crate::domain::account::Email;
use crate::domain::patient::{Dni, NewPatient, Patient, PatientPatch};
use crate::domain::search::Search;
use crate::domain::text;
use crate::http::fields::Fields;
use crate::http::legacy::auth::Staff;
use crate::http::legacy::patient::Repeatable;
use crate::limits;
use crate::service::{App, patients, recovery};

const NO_PATIENT: &str = "User not found";

/// A patient. Counters are not among it: they change with each reading.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PatientDto {
    id: i64,
    /// National id.
    dni: String,
    name: String,
    surname: String,
    email: String,
    tidepool: Option<String>,
    hospital_account: String,
    /// Whether the account may not be used.
    blocked: bool,
}

impl From<Patient> for PatientDto {
    fn from(patient: Patient) -> Self {
        Self {
            id: patient.id,
            dni: patient.dni,
            name: patient.name,
            surname: patient.surname,
            email: patient.email,
            tidepool: patient.tidepool,
            hospital_account: patient.hospital_account,
            blocked: patient.blocked,
        }
    }
}

/// A new patient.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct NewPatientBody {
    #[schema(pattern = r"^[A-Za-z0-9.-]{1,50}$")]
    dni: String,
    name: String,
    surname: String,
    email: String,
    hospital_account: String,
    tidepool: Option<String>,
    #[schema(format = "password", min_length = 6, max_length = 128)]
    password: String,
}

/// What staff may change. What is absent stays; a null takes `tidepool` away.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct PatientBody {
    name: Option<String>,
    surname: Option<String>,
    email: Option<String>,
    tidepool: Option<String>,
    hospital_account: Option<String>,
    blocked: Option<bool>,
}

/// A one-time code with which a patient chooses a password.
#[derive(Serialize, ToSchema)]
pub(super) struct CodeDto {
    #[schema(example = "7KQ-M2RT-9XA")]
    code: String,
    /// Seconds.
    expires_in_s: u64,
}

/// Patients: all, or those that are searched for.
#[utoipa::path(
    get, path = "/v1/patients", tag = "patients", security(("bearer" = [])),
    params(
        ("search" = Option<String>, Query, description = "Beginnings of words of the name, or of the DNI; without regard to case and accents", max_length = 100),
        ("limit" = Option<u32>, Query, description = "Most items", minimum = 1, maximum = 200),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, description = "By id", body = PageDto<PatientDto>), Refused))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    mut query: Query,
) -> Done<Json<PageDto<PatientDto>>> {
    let wanted = Wanted::read(&mut query, limits::PAGE);
    let search = query.0.fields.optional_parse("search", |typed| {
        Search::parse(typed, limits::SEARCH_CHARS_MAX)
    });
    query.0.finish()?;
    let after = wanted.after().map_or(0, |(id, _)| id);
    let found = patients::page(&app, &actor, search, after, wanted.limit).await;
    let (items, next) = found.or_refusal(&actor)?;
    let items = items.into_iter().map(Into::into).collect();
    Ok(Json(wanted.page(items, None, next.map(|id| (id, 0)))))
}

/// One patient.
#[utoipa::path(
    get, path = "/v1/patients/{id}", tag = "patients", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Patient id")),
    responses((status = 200, description = "The patient, with an `ETag`", body = PatientDto), Refused, Unfit))]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
) -> Done {
    let id = id(&name, NO_PATIENT, &actor)?;
    let found = patients::get(&app, &actor, id).await.or_refusal(&actor)?;
    Ok(tagged(&PatientDto::from(found)))
}

/// Register a patient. The same `Idempotency-Key` with the same content makes one account.
#[utoipa::path(
    post, path = "/v1/patients", tag = "patients", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this request when it is sent again")),
    request_body = NewPatientBody,
    responses((status = 201, description = "The patient", body = PatientDto), Refused, Unfit))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    repeatable: Repeatable,
    Body(mut body): Body,
) -> Done {
    let new = new_patient(&mut body.fields);
    let names = ["dni", "email"].map(|name| body.fields.text(name));
    let password = body.fields.new_password("password", |password| {
        patients::check_password(password, &names.each_ref().map(String::as_str))
    });
    body.finish()?;
    let (new, password) = (read(new)?, read(password)?);
    let key = repeatable.key(&actor, &new);
    let made = patients::register(&app, &actor, new, password, key).await;
    let made = PatientDto::from(made.or_refusal(&actor)?);
    Ok((StatusCode::CREATED, tagged(&made)).into_response())
}

fn new_patient(body: &mut Fields) -> Option<NewPatient> {
    let dni = body.parse("dni", Dni::parse);
    let (name, surname) = (body.line("name"), body.line("surname"));
    let email = body.parse("email", Email::parse);
    let hospital_account = body.line("hospital_account");
    let tidepool = body.optional_parse("tidepool", text::line);
    Some(NewPatient {
        dni: dni?,
        name: name?,
        surname: surname?,
        email: email?,
        tidepool,
        hospital_account: hospital_account?,
        blocked: false,
        former_times_measured: 0,
        former_max_streak: 0,
    })
}

/// Change a patient. Blocking one ends all sessions.
#[utoipa::path(
    patch, path = "/v1/patients/{id}", tag = "patients", security(("bearer" = [])),
    params(
        ("id" = i64, Path, description = "Patient id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = PatientBody,
    responses((status = 200, description = "The patient as it is now", body = PatientDto), Refused, Unfit))]
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    seen: IfMatch,
    Body(mut body): Body,
) -> Done {
    let fields = &mut body.fields;
    let tidepool = fields.optional_parse("tidepool", text::line);
    let patch = PatientPatch {
        name: fields.optional_parse("name", text::line),
        surname: fields.optional_parse("surname", text::line),
        email: fields.optional_parse("email", Email::parse),
        tidepool: fields.mentions("tidepool").then_some(tidepool),
        hospital_account: fields.optional_parse("hospital_account", text::line),
        blocked: fields.optional_boolean("blocked"),
    };
    body.finish()?;
    let id = id(&name, NO_PATIENT, &actor)?;
    let expected = seen.expectation::<_, PatientDto>();
    let edited = patients::edit(&app, &actor, id, patch, expected).await;
    Ok(tagged(&PatientDto::from(edited.or_refusal(&actor)?)))
}

/// Make a one-time code for a patient who has no password or lost it.
#[utoipa::path(
    post, path = "/v1/patients/{id}/desk-codes", tag = "patients", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Patient id")),
    responses((status = 201, description = "The code; earlier ones stop working", body = CodeDto), Refused, Unfit))]
pub(super) async fn desk_code(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
) -> Done {
    let id = id(&name, NO_PATIENT, &actor)?;
    let code = recovery::desk_code(&app, &actor, id)
        .await
        .or_refusal(&actor)?;
    let made = CodeDto {
        code: code.grouped().expose().to_owned(),
        expires_in_s: app.lifetimes.desk_code.as_secs(),
    };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}
