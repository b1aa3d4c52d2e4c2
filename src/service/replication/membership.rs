//! Who belongs to the network.
//!
//! A member is a row that is replicated like any other; the keys in those rows decide whose changes
//! are taken. A node becomes a member at the node that invited it, which chooses its number. Must
//! never trust a key that no member admitted.

use islet_sync::chain::ReplicaId;
use islet_sync::exchange::Introduction;
use islet_sync::id::ReplicaNumber;
use serde::{Deserialize, Serialize};

use super::super::error::InvitationFault;
use super::super::{App, Error, invitations, policy};
use super::naming::free_name;
use super::removal::refuse_outside;
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::limits;
use crate::store::{Lane, Read, StoreError, WriteTx, logs, members as rows, replica};

/// A replica of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Number of its replica.
    pub number: u32,
    /// Id of its replica.
    pub replica_id: [u8; 16],
    /// Its Ed25519 key: what it is trusted by.
    pub public_key: [u8; 32],
    /// What people call it.
    pub name: String,
    /// `host:port`, where it may be reached.
    pub addresses: Vec<String>,
    /// It was thrown out.
    pub revoked: bool,
}

/// What a node says about itself.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Its Ed25519 key.
    pub public_key: [u8; 32],
    /// Its key for access tokens.
    pub token_key: [u8; 32],
    /// What people call it.
    pub name: String,
    /// `host:port`, where it may be reached.
    pub addresses: Vec<String>,
    /// Digest of the invitation that it shows; spent in the transaction that admits it.
    pub invitation: [u8; 32],
}

/// What an admitted node needs to know before its first sync.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admission {
    /// The network.
    pub network: [u8; 16],
    /// The number of the new replica.
    pub number: u32,
    /// The id of the new replica.
    pub replica_id: [u8; 16],
    /// Name of the clinic.
    pub clinic: String,
    /// Who is trusted at first.
    pub members: Vec<Member>,
}

impl Member {
    /// `row`, which is one of `rows`.
    pub(super) fn new(row: &rows::Member, rows: &[rows::Member]) -> Self {
        Self {
            number: row.number.get(),
            replica_id: row.replica_id.0,
            public_key: row.public_key,
            name: row.name.clone(),
            addresses: row.addresses.clone(),
            revoked: rows::is_out(rows, &row.public_key),
        }
    }
}

/// Every node of the network with the replica that it is now, this one too. Empty before [`announce`]; what a node that has just
/// joined was told until the rows have come.
///
/// # Errors
/// When the disk fails.
pub async fn members(app: &App) -> Result<Vec<Member>, Error> {
    app.store
        .read(|tx| {
            let heard = logs::heard_of(tx)?
                .into_iter()
                .map(|(who, name, addresses)| Member {
                    number: who.number.get(),
                    replica_id: who.replica.0,
                    public_key: who.public_key,
                    name,
                    addresses,
                    revoked: false,
                });
            let rows = rows::list(tx)?;
            let newest = rows.iter().filter(|row| rows::is_newest(&rows, row));
            let newest = newest.map(|row| Member::new(row, &rows));
            Ok(newest.chain(heard).collect())
        })
        .await
}

/// The network's id.
///
/// # Errors
/// When the disk fails.
pub async fn network(app: &App) -> Result<[u8; 16], Error> {
    app.store.read(|tx| Ok(replica::get(tx)?.network)).await
}

/// Makes this node a member of its own network when it founds it, or notes where it may be reached
/// now.
///
/// # Errors
/// When the disk fails, or the network has this replica under another key.
pub async fn announce(
    app: &App,
    public_key: [u8; 32],
    name: String,
    addresses: Vec<String>,
) -> Result<(), Error> {
    let token_key = token_key(app)?;
    let number = app
        .store
        .read(|tx| Ok::<_, Error>(replica::number(tx)?))
        .await?;
    let here = app
        .store
        .read(move |tx| Ok::<_, Error>(rows::list(tx)?.into_iter().find(|it| it.number == number)))
        .await?;
    match here {
        Some(row) if row.public_key != public_key => Err(Error::NotFound(
            "this node's key is not the one its network knows: restore keys/node.key from a backup",
        )),
        Some(row) if addresses.is_empty() || row.addresses == addresses => Ok(()),
        // It has joined, and the change that made it a member has not come yet.
        None if number != ReplicaNumber::FOUNDER => Ok(()),
        row => {
            app.store
                .write(Lane::Interactive, move |tx| {
                    let id = match row {
                        Some(row) => {
                            rows::set_addresses(tx, row.id, &addresses)?;
                            row.id
                        }
                        None => {
                            let replica_id = replica::get(tx)?.replica_id;
                            let new = rows::NewMember {
                                number,
                                replica_id,
                                public_key,
                                token_key,
                                name: &name,
                                addresses: &addresses,
                            };
                            rows::insert(tx, &new)?
                        }
                    };
                    let entry = Entry::new(&Actor::system(), "peer.announce").on(Object::Node, id);
                    Ok(tx.audit(&entry)?)
                })
                .await
        }
    }
}

/// The public half of this node's key for access tokens.
pub(super) fn token_key(app: &App) -> Result<[u8; 32], Error> {
    let key = app.tokens.public_key().try_into();
    key.map_err(|_| Error::Internal("the token key has another length".into()))
}

/// Lets a node in that shows a good invitation. Asking twice is answered the same way.
///
/// # Errors
/// When the invitation is not good.
pub async fn admit(app: &App, new: NewMember) -> Result<Admission, Error> {
    let (mut id, mut dice) = ([0; 16], [0; 64]);
    app.random.fill(&mut id)?;
    app.random.fill(&mut dice)?;
    let own_key = app.signer.public_key();
    app.store
        .write(Lane::Interactive, move |tx| {
            refuse_outside(tx)?;
            let known = rows::list(tx)?;
            if rows::is_out(&known, &new.public_key) {
                return Err(InvitationFault::KeyRemoved.into());
            }
            invitations::spend(tx, &new.invitation, &new.public_key)?;
            // One that was cut off when it joined takes its row over.
            let known = known
                .into_iter()
                .filter(|it| it.public_key == new.public_key);
            let member = match known.max_by_key(|it| (it.created_at, it.number)) {
                Some(member) => member,
                None => insert(tx, &new, ReplicaId(id), &dice)?,
            };
            let me = replica::get(tx)?;
            let members = rows::list(tx)?;
            if !members.iter().any(|it| it.public_key == own_key) {
                return Err(Error::NotFound(
                    "this node is no member of its network yet: start it with islet serve",
                ));
            }
            let admission = Admission {
                network: me.network,
                number: member.number.get(),
                replica_id: member.replica_id.0,
                clinic: me.clinic,
                members: members.iter().map(|it| Member::new(it, &members)).collect(),
            };
            let entry = Entry::new(&Actor::system(), "peer.admit").on(Object::Node, member.id);
            Ok(tx.audit(&entry)?.with(admission))
        })
        .await
}

fn insert(
    tx: &mut WriteTx<'_>,
    new: &NewMember,
    replica_id: ReplicaId,
    dice: &[u8; 64],
) -> Result<rows::Member, Error> {
    let number = free_number(tx, dice)?;
    let name = free_name(tx, &new.name)?;
    let row = rows::NewMember {
        number,
        replica_id,
        public_key: new.public_key,
        token_key: new.token_key,
        name: &name,
        addresses: &new.addresses,
    };
    let id = rows::insert(tx, &row)?;
    let found = rows::list(tx)?.into_iter().find(|it| it.id == id);
    found.ok_or_else(|| StoreError::Damaged("a member that was just made is missing".into()).into())
}

/// A number that no replica known here has, the founder's excepted.
pub(super) fn free_number(tx: &impl Read, dice: &[u8; 64]) -> Result<ReplicaNumber, Error> {
    let taken: Vec<ReplicaNumber> = rows::list(tx)?.into_iter().map(|it| it.number).collect();
    let logs: Vec<ReplicaNumber> = logs::known(tx)?
        .into_iter()
        .map(|it| it.introduction.number)
        .collect();
    let mut candidates = dice.chunks_exact(4).filter_map(|bytes| {
        let number = u32::from_le_bytes(bytes.try_into().ok()?) & limits::REPLICA_NUMBER_DRAWN_MAX;
        ReplicaNumber::new(number)
            .ok()
            .filter(|number| *number != ReplicaNumber::FOUNDER)
    });
    candidates
        .find(|number| !taken.contains(number) && !logs.contains(number))
        .ok_or_else(|| Error::Internal("no free replica number was drawn".into()))
}

/// The other end of [`admit`]: notes in the new node's database whose logs it takes at first.
///
/// # Errors
/// When the disk fails.
pub async fn adopt(app: &App, admission: &Admission) -> Result<(), Error> {
    let members = admission.members.clone();
    let me = admission.number;
    app.store
        .write(Lane::Interactive, move |tx| {
            for member in members.iter().filter(|it| it.number != me && !it.revoked) {
                let number = ReplicaNumber::new(member.number);
                let number = number.map_err(|error| Error::Internal(error.to_string()))?;
                let who = Introduction {
                    number,
                    replica: ReplicaId(member.replica_id),
                    public_key: member.public_key,
                    branch: None,
                };
                logs::introduce(tx, &who)?;
                logs::hear_of(tx, number, &member.name, &member.addresses)?;
            }
            Ok(tx.audit(&Entry::new(&Actor::system(), "peer.join").on(Object::Node, me.into()))?)
        })
        .await
}

/// Throws a member out: its changes count as far as they are known here.
///
/// # Errors
/// When the actor is not an admin, or there is no such member.
pub async fn revoke(app: &App, actor: &Actor, number: u32) -> Result<(), Error> {
    policy::admin(app, actor, "peer.revoke")?;
    let actor = actor.clone();
    app.store
        .write(Lane::Interactive, move |tx| {
            let missing = || Error::NotFound("there is no such node");
            let number = ReplicaNumber::new(number).map_err(|_| missing())?;
            let members = rows::list(tx)?;
            let member = members
                .iter()
                .find(|it| it.number == number)
                .ok_or_else(missing)?;
            if number == replica::number(tx)? {
                return Err(Error::NotFound(
                    "a node cannot throw itself out: do it at another",
                ));
            }
            // With all replicas that its node was, since its key is trusted no more.
            rows::revoke_node(tx, &member.public_key)?;
            Ok(tx.audit(&Entry::new(&actor, "peer.revoke").on(Object::Node, member.id))?)
        })
        .await
}
