//! `/v1/conflicts`: what contradicts after nodes met again, for staff to settle.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::{Body, Name, Query};
use super::refusal::answer;
use crate::domain::actor::Actor;
use crate::domain::conflict::{
    Author, Candidate, Concerned, Conflict, ConflictId, Decision, Fact, REASON_CHARS_MAX,
    Settlement, reason,
};
use crate::domain::text::{self, Invalid};
use crate::http::error::{ApiError, OrApiError, Problem};
use crate::http::legacy::auth::Staff;
use crate::limits;
use crate::service::conflicts::{self, Page};
use crate::service::{App, Error};

/// A conflict, open or settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConflictDto {
    /// The same on every node.
    #[schema(example = "reading-5")]
    pub id: String,
    /// `reading`, `queue_state` and `resolution` are settled by a choice; `patient_dni`, `patient_email`,
    /// `patient_hospital_account`, `staff_username`, `staff_email`, `queue_day`, `queue_places` and `appointment` are
    /// acknowledged.
    pub kind: String,
    /// What happened and what to do.
    pub text: String,
    /// Whether somebody has to look at it.
    pub open: bool,
    /// Since when; null when it is not open.
    #[schema(format = "date-time")]
    pub since: Option<String>,
    /// Names these candidates. Send it with the settlement, so that nothing is settled that was not seen.
    pub version: String,
    /// Whose data it is.
    pub patient: Option<ConcernedDto>,
    /// What contradicts, oldest first; empty when it is not open.
    pub candidates: Vec<CandidateDto>,
    /// What was decided, oldest first.
    pub settlements: Vec<SettlementDto>,
}

/// A patient whose data a conflict is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConcernedDto {
    /// Row id.
    pub id: i64,
    /// National id.
    pub dni: String,
    /// Given name.
    pub name: String,
    /// Family name.
    pub surname: String,
}

/// One of what contradicts each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CandidateDto {
    /// What to send as `choice`.
    pub id: String,
    /// Name of the node where it was written; null when it is no member.
    pub node: Option<String>,
    /// Number of the replica that wrote it.
    pub replica: u32,
    /// When, by the clock of that node.
    #[schema(format = "date-time")]
    pub at: String,
    /// Whether this is what everybody sees now.
    pub shown: bool,
    /// The value in words.
    pub text: String,
    /// The value; its members depend on the kind.
    #[schema(value_type = Object)]
    pub value: Value,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettlementDto {
    /// Why so.
    pub reason: String,
    /// User name of who decided; null for the operator at the machine.
    pub staff: Option<String>,
    /// Name of the node where it was decided.
    pub node: Option<String>,
    /// When.
    #[schema(format = "date-time")]
    pub at: String,
}

/// Some open conflicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConflictsDto {
    /// In the order of their rows.
    pub items: Vec<ConflictDto>,
    /// How many are open in all.
    pub total: i64,
    /// The bound of this page.
    pub page_size: u32,
    /// What to send as `after` for the next page; null on the last one.
    pub next: Option<String>,
}

/// What staff decide.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct DecisionBody {
    /// The id of a candidate. Absent where there is nothing to choose.
    choice: Option<String>,
    /// Why so.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// Readings only: the right value in mg/dL, when no candidate has it. The rest is taken from the choice.
    #[schema(exclusive_minimum = 0, maximum = 3000)]
    value: Option<f64>,
    /// The `version` that was looked at.
    version: Option<String>,
}

impl From<Conflict> for ConflictDto {
    fn from(conflict: Conflict) -> Self {
        Self {
            id: conflict.id.to_string(),
            kind: conflict.id.kind.as_str().to_owned(),
            text: conflict.id.kind.text().to_owned(),
            open: conflict.is_open(),
            since: conflict.since.map(|at| at.to_rfc3339()),
            version: conflict.version(),
            patient: conflict.patient.map(Into::into),
            candidates: conflict.candidates.into_iter().map(Into::into).collect(),
            settlements: conflict.settlements.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Concerned> for ConcernedDto {
    fn from(patient: Concerned) -> Self {
        Self {
            id: patient.id,
            dni: patient.dni,
            name: patient.name,
            surname: patient.surname,
        }
    }
}

impl From<Candidate> for CandidateDto {
    fn from(candidate: Candidate) -> Self {
        let Author { replica, node } = candidate.author;
        let facts = candidate.facts.into_iter();
        let facts = facts.map(|(name, fact)| (name.to_owned(), json_of(fact)));
        Self {
            id: candidate.id,
            node,
            replica,
            at: candidate.at.to_rfc3339(),
            shown: candidate.shown,
            text: candidate.text,
            value: Value::Object(facts.collect()),
        }
    }
}

fn json_of(fact: Fact) -> Value {
    match fact {
        Fact::Nothing => Value::Null,
        Fact::Flag(value) => value.into(),
        Fact::Integer(value) => value.into(),
        Fact::Number(value) => value.into(),
        Fact::Text(text) => text.into(),
        Fact::Texts(texts) => texts.into(),
    }
}

impl From<Settlement> for SettlementDto {
    fn from(settlement: Settlement) -> Self {
        Self {
            reason: settlement.reason,
            staff: settlement.staff,
            node: settlement.author.node,
            at: settlement.at.to_rfc3339(),
        }
    }
}

impl ConflictsDto {
    /// A page that was asked for with this bound.
    #[must_use]
    pub fn new(page: Page, page_size: u32) -> Self {
        Self {
            items: page.items.into_iter().map(Into::into).collect(),
            total: page.total,
            page_size,
            next: page.next.map(|id| id.to_string()),
        }
    }
}

fn conflict_id(name: &str, actor: &Actor) -> Result<ConflictId, ApiError> {
    // What cannot be a name names nothing.
    let id = ConflictId::parse(name).map_err(|_| Error::NotFound("Conflict not found"));
    id.or_error(actor)
}

/// What nobody has settled yet.
#[utoipa::path(
    get, path = "/v1/conflicts", tag = "conflicts", security(("bearer" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "Most items", minimum = 1, maximum = 200),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses(
        (status = 200, description = "Open conflicts", body = ConflictsDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be taken", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Query(mut query): Query,
) -> Response {
    let (usual, most) = limits::CONFLICTS_PAGE;
    let limit = query.fields.optional_integer("limit");
    let limit = limit.map(|limit| u32::try_from(limit).ok().filter(|n| (1..=most).contains(n)));
    if limit == Some(None) {
        let wrong = Invalid::new(
            format!("must be from 1 to {most}"),
            format!("debe estar entre 1 y {most}"),
        );
        query.fields.invalid("limit", &wrong);
    }
    let after = query.fields.optional_parse("after", |text| {
        ConflictId::parse(text).map_err(|_| {
            Invalid::new(
                "must be the `next` of an earlier page",
                "debe ser el `next` de una página anterior",
            )
        })
    });
    if let Err(refusal) = query.finish() {
        return *refusal;
    }
    let limit = limit.flatten().unwrap_or(usual);
    conflicts::list(&app, &actor, after, limit)
        .await
        .map(|page| Json(ConflictsDto::new(page, limit)))
        .map_err(|error| answer(error, &actor))
        .into_response()
}

/// One conflict, open or settled.
#[utoipa::path(
    get, path = "/v1/conflicts/{id}", tag = "conflicts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id of a conflict")),
    responses(
        (status = 200, description = "The conflict", body = ConflictDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such conflict", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
) -> Result<Json<ConflictDto>, ApiError> {
    let id = conflict_id(&name, &actor)?;
    let found = conflicts::get(&app, &actor, id).await;
    Ok(Json(found.map_err(|error| answer(error, &actor))?.into()))
}

/// Settle a conflict: choose a candidate, or acknowledge a pair. The same decision again changes nothing.
#[utoipa::path(
    post, path = "/v1/conflicts/{id}/settlement", tag = "conflicts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id of a conflict")),
    request_body = DecisionBody,
    responses(
        (status = 200, description = "The conflict as it is now", body = ConflictDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such conflict", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was settled, has changed, or the choice cannot be had any more: `conflict_settled`, `conflict_changed`, `queue_full`, `another_place`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is missing or cannot be taken", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn settle(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    Body(mut body): Body,
) -> Response {
    debug_assert_eq!(REASON_CHARS_MAX, 500, "the description says so");
    let decision = (
        body.fields.parse("reason", reason),
        body.fields.optional_parse("choice", text::line),
        body.fields.optional_number("value"),
        body.fields.optional_parse("version", text::paragraph),
    );
    if let Err(refusal) = body.finish() {
        return *refusal;
    }
    let (Some(reason), choice, mg_dl, version) = decision else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let id = match conflict_id(&name, &actor) {
        Ok(id) => id,
        Err(refusal) => return refusal.into_response(),
    };
    let decision = Decision {
        choice,
        reason,
        mg_dl,
        version,
    };
    conflicts::settle(&app, &actor, id, decision)
        .await
        .map(|settled| Json(ConflictDto::from(settled)))
        .map_err(|error| answer(error, &actor))
        .into_response()
}
