//! What happens to the node itself. Must never change what belongs to people.

use super::{App, Error};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::store::{Lane, replica};

/// Notes that the node gets another certificate authority, which phones do not trust yet.
///
/// # Errors
/// When the database fails.
pub async fn new_authority(app: &App, actor: &Actor, fingerprint: &str) -> Result<(), Error> {
    let entry = Entry::new(actor, "node.new_authority").detail(fingerprint);
    app.store
        .write(Lane::Essential, move |tx| {
            let number = replica::get(tx)?.number;
            Ok(tx.audit(&entry.on(Object::Node, number.into()))?)
        })
        .await
}
