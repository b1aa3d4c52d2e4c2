//! Whether this node was thrown out, and what others wrote that were.
//!
//! A node that was thrown out goes on storing what it is given: a patient's reading is never refused for it. Must
//! never let anybody into a network that it does not belong to.

use std::collections::BTreeMap;

use super::super::error::InvitationFault;
use super::super::{App, Error};
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::domain::time::Timestamp;
use crate::store::removal::{self, Beyond, Removal};
use crate::store::{Lane, Read};

/// Whether this node was thrown out, as far as it has heard.
///
/// # Errors
/// When the disk fails.
pub async fn removal(app: &App) -> Result<Option<Removal>, Error> {
    app.store.read(|tx| Ok(removal::of_this_node(tx)?)).await
}

/// Refuses to let others in once this node was thrown out.
///
/// # Errors
/// [`InvitationFault::Removed`], or when the disk fails.
pub(in crate::service) fn refuse_outside(tx: &impl Read) -> Result<(), Error> {
    match removal::of_this_node(tx)? {
        Some(_) => Err(InvitationFault::Removed.into()),
        None => Ok(()),
    }
}

/// The nodes that turned this one away because it was removed, by their keys, and since when.
///
/// # Errors
/// When the disk fails.
pub async fn turned_away_by(app: &App) -> Result<BTreeMap<[u8; 32], Timestamp>, Error> {
    let by = app
        .store
        .read(|tx| Ok::<_, Error>(removal::turned_away_by(tx)?));
    Ok(by.await?.into_iter().collect())
}

/// Notes that the node with this key turned this one away because it was removed, or that it answers it.
///
/// # Errors
/// When the disk fails.
pub async fn note_turned_away(app: &App, public_key: [u8; 32], away: bool) -> Result<(), Error> {
    if turned_away_by(app).await?.contains_key(&public_key) == away {
        return Ok(());
    }
    app.store
        .write(Lane::Bulk, move |tx| {
            removal::note_turned_away(tx, &public_key, away)?;
            let detail = if away { "by another node" } else { "no more" };
            let entry = Entry::new(&Actor::system(), "peer.turned_away").detail(detail);
            Ok::<_, Error>(tx.audit(&entry)?)
        })
        .await
}

/// What nodes that were thrown out wrote beyond their cuts.
///
/// # Errors
/// When the disk fails.
pub async fn beyond(app: &App) -> Result<Vec<Beyond>, Error> {
    app.store.read(|tx| Ok(removal::beyond(tx)?)).await
}
