//! What holds for the clinic as a whole: its settings, and the nodes that share its data.

use super::{App, Error, Expectation, policy, replication};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::domain::queue::SIZE_MAX;
use crate::domain::text::Invalid;
use crate::store::{Read, StoreError, logs, queue, replica};

/// Settings that hold on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the clinic, as it was when this node was made. Not to be changed.
    pub clinic: String,
    /// Places in the queue, today and from now on.
    pub queue_size: i64,
}

fn read(tx: &impl Read) -> Result<Settings, StoreError> {
    Ok(Settings {
        clinic: replica::get(tx)?.clinic,
        queue_size: queue::next_size(tx)?,
    })
}

/// The settings.
///
/// # Errors
/// When the actor is not staff.
pub async fn settings(app: &App, actor: &Actor) -> Result<Settings, Error> {
    policy::staff(app, actor, "setting.read")?;
    app.store.read(|tx| Ok(read(tx)?)).await
}

/// Whether the actor may change settings. Asked before anything of the request is looked at.
///
/// # Errors
/// When the actor is no administrator.
pub fn may_change_settings(app: &App, actor: &Actor) -> Result<(), Error> {
    policy::admin(app, actor, "setting.update")
}

/// Sets how many places the queue has, unless the settings are not as `expected`.
///
/// # Errors
/// When the actor is no administrator, or the size is not 0 to [`SIZE_MAX`].
pub async fn change_settings(
    app: &App,
    actor: &Actor,
    queue_size: Option<i64>,
    expected: Option<Expectation<Settings>>,
) -> Result<Settings, Error> {
    may_change_settings(app, actor)?;
    if queue_size.is_some_and(|size| !(0..=SIZE_MAX).contains(&size)) {
        return Err(Error::invalid("queue_size")(Invalid::new(
            format!("must be from 0 to {SIZE_MAX}"),
            format!("debe ser un número de 0 a {SIZE_MAX}"),
        )));
    }
    let entry = Entry::new(actor, "setting.update");
    app.write(entry.clone(), move |tx| {
        Error::unless_expected(expected, &read(tx)?)?;
        let day = queue::current_day(tx)?.id;
        if let Some(size) = queue_size {
            queue::set_size(tx, size)?;
        }
        let after = read(tx)?;
        Ok(tx.audit(&entry.on(Object::QueueDay, day))?.with(after))
    })
    .await
}

/// A node of the network, as far as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Number of its replica.
    pub number: u32,
    /// What people call it.
    pub name: String,
    /// Where it may be reached.
    pub addresses: Vec<String>,
    /// It is the node that was asked.
    pub this_node: bool,
    /// It was thrown out.
    pub revoked: bool,
    /// How many of its changes are here.
    pub changes: u64,
}

/// The nodes of the network.
///
/// # Errors
/// When the actor is no administrator.
pub async fn peers(app: &App, actor: &Actor) -> Result<Vec<Peer>, Error> {
    policy::admin(app, actor, "peer.list")?;
    let members = replication::members(app).await?;
    let read = app.store.read(|tx| {
        Ok::<_, Error>((
            replica::get(tx)?.number,
            logs::own_head(tx)?.seq,
            logs::known(tx)?,
        ))
    });
    let (own, own_seq, known) = read.await?;
    let changes = |number: u32| {
        if number == own {
            return own_seq;
        }
        let log = known
            .iter()
            .find(|log| log.introduction.number.get() == number);
        log.map_or(0, |log| log.applied)
    };
    let peers = members.into_iter().map(|member| Peer {
        changes: changes(member.number),
        this_node: member.number == own,
        number: member.number,
        name: member.name,
        addresses: member.addresses,
        revoked: member.revoked,
    });
    Ok(peers.collect())
}
