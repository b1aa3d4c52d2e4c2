//! `/v1/peers` and `/v1/settings`: what holds for the clinic as a whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::etag::{IfMatch, tagged};
use super::extract::Body;
use super::refusal::{Done, OrRefusal, Refused, Unfit};
use crate::http::legacy::auth::Staff;
use crate::service::App;
use crate::service::clinic::{self, Peer, Settings};

/// A node of the network.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PeerDto {
    /// Number of its replica.
    number: u32,
    name: String,
    /// Where other nodes reach it, as `host:port`.
    addresses: Vec<String>,
    /// It is the node that answers.
    this_node: bool,
    /// It was thrown out.
    revoked: bool,
    /// How many of its changes the node that answers has.
    changes: u64,
}

/// The nodes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PeersDto {
    items: Vec<PeerDto>,
}

/// Settings that hold on every node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SettingsDto {
    /// Name of the clinic. Not to be changed here.
    clinic: String,
    /// Places in the queue, today and from now on.
    queue_size: i64,
}

/// What an administrator may change. What is absent or null stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct SettingsBody {
    #[schema(minimum = 0, maximum = 10000)]
    queue_size: Option<i64>,
}

impl From<Peer> for PeerDto {
    fn from(peer: Peer) -> Self {
        Self {
            number: peer.number,
            name: peer.name,
            addresses: peer.addresses,
            this_node: peer.this_node,
            revoked: peer.revoked,
            changes: peer.changes,
        }
    }
}

impl From<Settings> for SettingsDto {
    fn from(settings: Settings) -> Self {
        Self {
            clinic: settings.clinic,
            queue_size: settings.queue_size,
        }
    }
}

/// The nodes of the network.
#[utoipa::path(
    get, path = "/v1/peers", tag = "clinic", security(("bearer" = [])),
    responses((status = 200, description = "All that were ever let in", body = PeersDto), Refused))]
pub(super) async fn peers(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> Done<Json<PeersDto>> {
    let found = clinic::peers(&app, &actor).await.or_refusal(&actor)?;
    let items = found.into_iter().map(Into::into).collect();
    Ok(Json(PeersDto { items }))
}

/// The settings.
#[utoipa::path(
    get, path = "/v1/settings", tag = "clinic", security(("bearer" = [])),
    responses((status = 200, description = "The settings, with an `ETag`", body = SettingsDto), Refused))]
pub(super) async fn settings(State(app): State<Arc<App>>, Staff(actor): Staff) -> Done {
    let found = clinic::settings(&app, &actor).await.or_refusal(&actor)?;
    Ok(tagged(&SettingsDto::from(found)))
}

/// Change the settings.
#[utoipa::path(
    patch, path = "/v1/settings", tag = "clinic", security(("bearer" = [])),
    params(("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = SettingsBody,
    responses((status = 200, description = "The settings as they are now", body = SettingsDto), Refused, Unfit))]
pub(super) async fn change_settings(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    seen: IfMatch,
    request: Request,
) -> Done {
    clinic::may_change_settings(&app, &actor).or_refusal(&actor)?;
    let Body(mut body) = Body::of(request, &app).await?;
    let size = body.fields.optional_integer("queue_size");
    body.finish()?;
    let expected = seen.expectation::<_, SettingsDto>();
    let changed = clinic::change_settings(&app, &actor, size, expected).await;
    Ok(tagged(&SettingsDto::from(changed.or_refusal(&actor)?)))
}
