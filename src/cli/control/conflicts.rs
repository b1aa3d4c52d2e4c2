//! Requests about conflicts, carried out.

use super::Response;
use crate::cli::Failure;
use crate::domain::actor::Actor;
use crate::domain::conflict::{ConflictId, Decision};
use crate::http::v1::conflicts::{ConflictDto, ConflictsDto};
use crate::service::{App, Error, conflicts};

pub(super) async fn list(
    app: &App,
    after: Option<String>,
    limit: u32,
) -> Result<Response, Failure> {
    let after = after.map(|text| ConflictId::parse(&text)).transpose();
    let after = after.map_err(Error::invalid("--after"))?;
    let page = conflicts::list(app, &Actor::operator(), after, limit).await?;
    Ok(Response::Conflicts(ConflictsDto::new(page, limit)))
}

pub(super) async fn show(app: &App, id: &str) -> Result<Response, Failure> {
    let found = conflicts::get(app, &Actor::operator(), parse(id)?).await?;
    Ok(Response::Conflict(Box::new(ConflictDto::from(found))))
}

pub(super) async fn settle(app: &App, id: &str, decision: Decision) -> Result<Response, Failure> {
    let settled = conflicts::settle(app, &Actor::operator(), parse(id)?, decision).await?;
    Ok(Response::Conflict(Box::new(ConflictDto::from(settled))))
}

fn parse(id: &str) -> Result<ConflictId, Failure> {
    Ok(ConflictId::parse(id).map_err(Error::invalid("ID"))?)
}
