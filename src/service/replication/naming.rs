//! What people call the nodes: no two of a network alike, as far as one node can know.
//!
//! Nodes that are cut off from each other may choose one name at once; then their numbers tell them apart.

use super::super::{App, Error, policy};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::store::{Read, members as rows};

/// Calls the node with this key by a name that [`crate::domain::node_name`] has accepted, with all replicas that it was.
///
/// # Errors
/// When the actor is not an admin, there is no such node, or another one has the name.
pub async fn rename(
    app: &App,
    actor: &Actor,
    public_key: [u8; 32],
    name: String,
) -> Result<(), Error> {
    policy::admin(app, actor, "peer.rename")?;
    let refusal = Entry::new(actor, "peer.rename");
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        let members = rows::list(tx)?;
        let (same, others): (Vec<_>, Vec<_>) = members
            .iter()
            .cloned()
            .partition(|it| it.public_key == public_key);
        let first = same
            .first()
            .ok_or(Error::NotFound("there is no such node"))?;
        if has_name(&others, &name) {
            return Err(Error::NotFound(
                "another node has this name: choose one that none has",
            ));
        }
        for member in same.iter().filter(|it| it.name != name) {
            rows::set_name(tx, member.id, &name)?;
        }
        let entry = Entry::new(&actor, "peer.rename").on(Object::Node, first.id);
        Ok(tx.audit(&entry)?)
    })
    .await
}

/// The name, or with a number after it when another node has it: small computers are all called the same.
pub(super) fn free_name(tx: &impl Read, name: &str) -> Result<String, Error> {
    let members = rows::list(tx)?;
    let numbered = (2..).map(|count: u32| format!("{name}-{count}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    Ok(names
        .find(|name| !has_name(&members, name))
        .unwrap_or_default())
}

/// Whether a node has this name. That of one that was thrown out is free.
fn has_name(members: &[rows::Member], name: &str) -> bool {
    let mut named = members.iter().filter(|it| it.name == name);
    named.any(|it| !rows::is_out(members, &it.public_key))
}
