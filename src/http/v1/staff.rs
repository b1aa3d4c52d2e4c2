//! `/v1/staff`: the accounts of the clinic's people, for administrators; and one's own, at `/v1/profile`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Body, Name};
use super::refusal::{Done, OrRefusal, Refused, Unfit, id, read};
use crate::domain::account::{Email, Username};
use crate::domain::actor::Role;
use crate::domain::text::Invalid;
use crate::http::legacy::auth::{Staff, StaffChoosingPassword};
use crate::http::legacy::patient::Repeatable;
use crate::service::{App, staff};

/// A member of staff.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StaffDto {
    id: i64,
    username: String,
    email: String,
    /// `staff` or `admin`; null when it was taken away.
    role: Option<&'static str>,
    /// Whether the account may not be used.
    blocked: bool,
}

/// A new member of staff.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct NewStaffBody {
    #[schema(pattern = r"^[A-Za-z0-9._-]{3,50}$")]
    username: String,
    email: String,
    /// `staff` or `admin`.
    #[schema(pattern = "^(staff|admin)$")]
    role: String,
    #[schema(format = "password", min_length = 12, max_length = 128)]
    password: String,
}

/// What an administrator may change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct StaffBody {
    /// Blocking ends all sessions.
    blocked: bool,
}

/// What one may change of oneself.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct OwnBody {
    email: String,
}

/// Another password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct StaffPasswordBody {
    #[schema(format = "password", min_length = 12, max_length = 128)]
    new_password: String,
}

impl From<crate::store::staff::Staff> for StaffDto {
    fn from(staff: crate::store::staff::Staff) -> Self {
        Self {
            id: staff.id,
            username: staff.username,
            email: staff.email,
            role: staff.role.map(|role| match role {
                Role::Admin => "admin",
                Role::Staff | Role::Patient => "staff",
            }),
            blocked: staff.blocked,
        }
    }
}

fn role(name: &str) -> Result<Role, Invalid> {
    match name {
        "staff" => Ok(Role::Staff),
        "admin" => Ok(Role::Admin),
        _ => Err(Invalid::new(
            "must be staff or admin",
            "debe ser staff o admin",
        )),
    }
}

/// All members of staff. There are few, so there is one page.
#[derive(Serialize, ToSchema)]
pub(super) struct StaffListDto {
    /// By id.
    items: Vec<StaffDto>,
}

/// The members of staff.
#[utoipa::path(
    get, path = "/v1/staff", tag = "staff", security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = StaffListDto), Refused))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> Done<Json<StaffListDto>> {
    let found = staff::list(&app, &actor).await.or_refusal(&actor)?;
    let items = found.into_iter().map(Into::into).collect();
    Ok(Json(StaffListDto { items }))
}

/// Make an account. The same `Idempotency-Key` with the same content makes one.
#[utoipa::path(
    post, path = "/v1/staff", tag = "staff", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this request when it is sent again")),
    request_body = NewStaffBody,
    responses((status = 201, description = "The account", body = StaffDto), Refused, Unfit))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    repeatable: Repeatable,
    request: Request,
) -> Done<Response> {
    staff::may_register(&app, &actor).or_refusal(&actor)?;
    let Body(mut body) = Body::of(request, &app).await?;
    let username = body.fields.parse("username", Username::parse);
    let email = body.fields.parse("email", Email::parse);
    let role = body.fields.parse("role", role);
    let names = ["username", "email"].map(|name| body.fields.text(name));
    let password = body.fields.new_password("password", |password| {
        staff::check_password(password, &names.each_ref().map(String::as_str))
    });
    body.finish()?;
    let (username, email, role) = (read(username)?, read(email)?, read(role)?);
    let key = repeatable.key(&actor, &(&username, &email, role));
    let password = read(password)?;
    let made = staff::register(&app, &actor, username, email, password, role, key).await;
    let made = StaffDto::from(made.or_refusal(&actor)?);
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Block a member of staff, or let them in again.
#[utoipa::path(
    patch, path = "/v1/staff/{id}", tag = "staff", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Staff id")),
    request_body = StaffBody,
    responses((status = 200, description = "The account as it is now", body = StaffDto), Refused, Unfit))]
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    request: Request,
) -> Done<Json<StaffDto>> {
    staff::may_block(&app, &actor).or_refusal(&actor)?;
    let Body(mut body) = Body::of(request, &app).await?;
    let blocked = body.fields.boolean("blocked");
    body.finish()?;
    let id = id(&name, "Admin not found", &actor)?;
    let edited = staff::set_blocked_by_id(&app, &actor, id, read(blocked)?).await;
    Ok(Json(edited.or_refusal(&actor)?.into()))
}

/// The own account.
#[utoipa::path(
    get, path = "/v1/profile", tag = "profile", security(("bearer" = [])),
    responses((status = 200, description = "The account", body = StaffDto), Refused))]
pub(super) async fn profile(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> Done<Json<StaffDto>> {
    Ok(Json(
        staff::me(&app, &actor).await.or_refusal(&actor)?.into(),
    ))
}

/// Change the own address.
#[utoipa::path(
    patch, path = "/v1/profile", tag = "profile", security(("bearer" = [])),
    request_body = OwnBody,
    responses((status = 200, description = "The account as it is now", body = StaffDto), Refused, Unfit))]
pub(super) async fn edit_profile(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Body(mut body): Body,
) -> Done<Json<StaffDto>> {
    let email = body.fields.parse("email", Email::parse);
    body.finish()?;
    let edited = staff::change_email(&app, &actor, read(email)?).await;
    Ok(Json(edited.or_refusal(&actor)?.into()))
}

/// Choose another password, also while that is all one may do. All other sessions end.
#[utoipa::path(
    put, path = "/v1/profile/password", tag = "profile", security(("bearer" = [])),
    request_body = StaffPasswordBody,
    responses((status = 204, description = "It was changed"), Refused, Unfit))]
pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    StaffChoosingPassword(actor): StaffChoosingPassword,
    Body(mut body): Body,
) -> Done<Response> {
    let new = body.fields.secret("new_password");
    body.finish()?;
    let new = crate::auth::Secret::new(new.unwrap_or_default());
    let changed = staff::change_password(&app, &actor, new).await;
    changed.or_refusal(&actor)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
