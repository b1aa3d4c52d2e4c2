//! Becoming another replica, because the database was restored or copied.
//!
//! Nothing is lost: what the old replica wrote stays, and what its peers know more of comes back from
//! them. Must come before any other write.

use islet_sync::chain::ReplicaId;
use islet_sync::incarnation::Reason;

use super::super::{App, Error};
use super::membership;
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::store::{Lane, members, renewal, replica};

/// Makes this node's database a new replica, for a reason that is told to people.
///
/// # Errors
/// When the disk fails.
pub async fn renew(app: &App, reason: Reason) -> Result<(), Error> {
    let (mut id, mut dice) = ([0; 16], [0; 64]);
    app.random.fill(&mut id)?;
    app.random.fill(&mut dice)?;
    let signer = std::sync::Arc::clone(&app.signer);
    let token_key = membership::token_key(app)?;
    let number = app
        .store
        .write(Lane::Essential, move |tx| {
            let old = replica::number(tx)?;
            let number = membership::free_number(tx, &dice)?;
            let known = members::list(tx)?.into_iter().find(|it| it.number == old);
            renewal::renew(tx, &signer, ReplicaId(id), number)?;
            // Alone in its network so far, it introduces itself when it serves.
            if let Some(known) = known {
                let new = members::NewMember {
                    number,
                    replica_id: ReplicaId(id),
                    public_key: known.public_key,
                    token_key,
                    name: &known.name,
                    addresses: &known.addresses,
                };
                members::insert(tx, &new)?;
            }
            let entry = Entry::new(&Actor::system(), "node.new_replica");
            let entry = entry
                .on(Object::Node, number.get().into())
                .detail(reason.to_string());
            Ok::<_, Error>(tx.audit(&entry)?.with(number))
        })
        .await?;
    tracing::warn!(number = number.get(), %reason, "this node goes on as a new replica; its peers give back what it lacks");
    Ok(())
}
