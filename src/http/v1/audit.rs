//! `/v1/audit`: who did or saw what, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Query;
use super::page::{PageDto, Wanted};
use super::refusal::{Done, OrRefusal, Refused};
use crate::domain::audit::known_prefix;
use crate::domain::text::{self, Invalid};
use crate::domain::time::Timestamp;
use crate::http::legacy::auth::Staff;
use crate::limits;
use crate::service::App;
use crate::service::audit::{self, AuditFilter, AuditRow};

/// Who did or saw what of whom, when, from where, with which outcome.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditDto {
    /// Position in the log of this node.
    seq: i64,
    #[schema(format = "date-time")]
    at: String,
    /// `anonymous`, `patient`, `staff`, `operator` or `system`.
    actor_kind: String,
    actor_id: Option<i64>,
    /// As `object.verb`.
    action: String,
    /// `ok`, `denied` or `failed`.
    outcome: String,
    /// Whose data it was.
    patient_id: Option<i64>,
    object_kind: Option<String>,
    object_id: Option<i64>,
    address: Option<String>,
    request_id: Option<String>,
    detail: Option<String>,
}

impl From<AuditRow> for AuditDto {
    fn from(row: AuditRow) -> Self {
        Self {
            seq: row.seq,
            at: Timestamp(row.at).to_rfc3339(),
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            action: row.action,
            outcome: row.outcome,
            patient_id: row.patient_id,
            object_kind: row.object_kind,
            object_id: row.object_id,
            address: row.address,
            request_id: row.request_id,
            detail: row.detail,
        }
    }
}

fn action(prefix: &str) -> Result<String, Invalid> {
    known_prefix(prefix).map_err(|near| {
        let near = near.join(", ");
        Invalid::new(
            format!("must be the beginning of an action, such as {near}"),
            format!("debe ser el comienzo de una acción, como {near}"),
        )
    })?;
    Ok(prefix.to_owned())
}

fn outcome(name: &str) -> Result<String, Invalid> {
    if ["ok", "denied", "failed"].contains(&name) {
        return Ok(name.to_owned());
    }
    Err(Invalid::new(
        "must be ok, denied or failed",
        "debe ser ok, denied o failed",
    ))
}

/// The audit log of this node, the newest entry first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", security(("bearer" = [])),
    params(
        ("patient_id" = Option<i64>, Query, description = "Whose data"),
        ("actor_kind" = Option<String>, Query, description = "Which kind of account did it"),
        ("actor_id" = Option<i64>, Query, description = "Which account of that kind"),
        ("action" = Option<String>, Query, description = "What, or the beginning of it, such as `reading.`"),
        ("outcome" = Option<String>, Query, description = "`ok`, `denied` or `failed`"),
        ("since" = Option<String>, Query, format = DateTime, description = "From this time on"),
        ("until" = Option<String>, Query, format = DateTime, description = "Before this time"),
        ("limit" = Option<u32>, Query, description = "Most items", minimum = 1, maximum = 200),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, description = "The entries", body = PageDto<AuditDto>), Refused))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    mut query: Query,
) -> Done<Json<PageDto<AuditDto>>> {
    let wanted = Wanted::read(&mut query, limits::PAGE);
    let fields = &mut query.0.fields;
    let kind = fields.optional_parse("actor_kind", text::line);
    let actor_id = fields.optional_integer("actor_id");
    if actor_id.is_some() && kind.is_none() {
        let wrong = Invalid::new(
            "needs actor_kind beside it",
            "necesita actor_kind a su lado",
        );
        fields.invalid("actor_id", &wrong);
    }
    let filter = AuditFilter {
        patient_id: fields.optional_integer("patient_id"),
        actor: kind.map(|kind| (kind, actor_id)),
        action: fields.optional_parse("action", action),
        outcome: fields.optional_parse("outcome", outcome),
        since: fields.optional_parse("since", Timestamp::parse),
        until: fields.optional_parse("until", Timestamp::parse),
        before: wanted.after().map(|(seq, _)| seq),
        limit: wanted.limit + 1,
    };
    query.0.finish()?;
    let mut found = audit::list(&app, &actor, filter).await.or_refusal(&actor)?;
    let more = found.len() > wanted.limit as usize;
    found.truncate(wanted.limit as usize);
    let next = found.last().filter(|_| more).map(|row| (row.seq, 0));
    let items = found.into_iter().map(Into::into).collect();
    Ok(Json(wanted.page(items, None, next)))
}
