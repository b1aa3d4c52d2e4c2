//! Invitations to the network: given out by an admin, each good for one node and a bounded time.
//! Must never see the secret: digests only.

use std::time::Duration;

use super::error::InvitationFault;
use super::{App, Error, policy, replication};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::domain::time::Timestamp;
use crate::store::{WriteTx, invitations};

/// Gives out an invitation that is good for `valid`; answers until when.
///
/// # Errors
/// When the actor is not an admin, or this node was removed from the network.
pub async fn create(
    app: &App,
    actor: &Actor,
    digest: [u8; 32],
    valid: Duration,
) -> Result<Timestamp, Error> {
    policy::admin(app, actor, "peer.invite")?;
    let refusal = Entry::new(actor, "peer.invite");
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        use crate::store::Read as _;
        replication::refuse_outside(tx)?;
        let valid_ms = i64::try_from(valid.as_millis()).unwrap_or(i64::MAX);
        let expires_at = Timestamp(tx.now().0.saturating_add(valid_ms));
        invitations::insert(tx, &digest, expires_at)?;
        let entry = Entry::new(&actor, "peer.invite").on(Object::Node, 0);
        Ok(tx.audit(&entry)?.with(expires_at))
    })
    .await
}

/// Uses an invitation up for the node with `public_key`, within the transaction that admits it.
/// The same node may use it again: the answer may have been lost.
///
/// # Errors
/// [`InvitationFault`], or when the disk fails.
pub fn spend(tx: &WriteTx<'_>, digest: &[u8; 32], public_key: &[u8; 32]) -> Result<(), Error> {
    use crate::store::Read as _;
    let found = invitations::find(tx, digest)?.ok_or(InvitationFault::Unknown)?;
    match found.used_by {
        Some(key) if key == *public_key => Ok(()),
        Some(_) => Err(InvitationFault::Used.into()),
        None if found.expires_at <= tx.now() => Err(InvitationFault::Expired.into()),
        None => Ok(invitations::set_used(tx, digest, public_key)?),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::service::testing;
    use crate::store::Lane;

    const HOUR: Duration = Duration::from_secs(3600);

    async fn use_up(app: &App, digest: [u8; 32], key: [u8; 32]) -> Result<(), Error> {
        app.store
            .write(Lane::Interactive, move |tx| {
                spend(tx, &digest, &key)?;
                Ok(tx.audit(&Entry::new(&Actor::system(), "peer.admit"))?)
            })
            .await
    }

    fn fault(result: Result<(), Error>) -> Option<InvitationFault> {
        match result {
            Ok(()) => None,
            Err(Error::Invitation(fault)) => Some(fault),
            Err(other) => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn one_node_uses_it_and_may_ask_again() {
        let clock = Arc::new(ManualClock::at(Timestamp(1_000)));
        let (app, _dir) = testing::app(Arc::clone(&clock) as Arc<dyn Clock>);
        let operator = Actor::operator();
        let until = create(&app, &operator, [1; 32], HOUR).await.unwrap();
        assert_eq!(until, Timestamp(3_601_000));
        assert_eq!(fault(use_up(&app, [1; 32], [7; 32]).await), None);
        assert_eq!(fault(use_up(&app, [1; 32], [7; 32]).await), None);
        let other = fault(use_up(&app, [1; 32], [8; 32]).await);
        assert_eq!(other, Some(InvitationFault::Used));
        let unknown = fault(use_up(&app, [2; 32], [7; 32]).await);
        assert_eq!(unknown, Some(InvitationFault::Unknown));
    }

    #[tokio::test]
    async fn it_ends_with_its_time() {
        let clock = Arc::new(ManualClock::at(Timestamp(1_000)));
        let (app, _dir) = testing::app(Arc::clone(&clock) as Arc<dyn Clock>);
        let operator = Actor::operator();
        let until = create(&app, &operator, [1; 32], HOUR).await.unwrap();
        clock.set(until);
        let late = fault(use_up(&app, [1; 32], [7; 32]).await);
        assert_eq!(late, Some(InvitationFault::Expired));
        clock.set(Timestamp(until.0 - 1));
        assert_eq!(fault(use_up(&app, [1; 32], [7; 32]).await), None);
        clock.set(until);
        assert_eq!(fault(use_up(&app, [1; 32], [7; 32]).await), None);
    }

    #[tokio::test]
    async fn only_admins_invite() {
        let (app, _dir) = testing::app(Arc::new(ManualClock::default()));
        let nobody = Actor {
            who: crate::domain::actor::Who::Patient(1),
            ..Actor::operator()
        };
        let refused = create(&app, &nobody, [1; 32], HOUR).await;
        assert!(matches!(refused, Err(Error::Forbidden)));
    }
}
