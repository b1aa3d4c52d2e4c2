//! The links of a serving node: one task for each other member, which connects, watches, fetches,
//! and tries again when the link breaks. Must never let one peer's trouble reach another's link,
//! nor hold anything of a peer that was thrown out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use islet_sync::frame::Kind;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use super::client::ClientError;
use super::identity::{PublicKey, node_id};
use super::node::PeerNode;
use super::stream::{FrameReader, StreamError};
use super::sync::{Giving, Link, Progress};
use crate::limits;
use crate::service::replication::{self, Member, Removal};

/// Keeps a link to every member until the node stops.
pub async fn run(node: Arc<PeerNode>) {
    let mut commits = replication::commits(&node.app);
    let mut links: BTreeMap<PublicKey, AbortOnDropHandle<()>> = BTreeMap::new();
    let mut said = None;
    loop {
        match replication::members(&node.app).await {
            Ok(members) => adjust(&node, &mut links, &members),
            Err(error) => tracing::warn!(%error, "cannot read the members of the network"),
        }
        tell_removal(&node, &mut said).await;
        tokio::select! {
            () = node.stop.cancelled() => return,
            _ = commits.changed() => {}
            () = tokio::time::sleep(limits::LINKS_CHECK_EVERY) => {}
        }
    }
}

/// Says aloud when this node is found to be thrown out, by the change that did it or by what peers answer, and when
/// more of them say so.
async fn tell_removal(node: &PeerNode, said: &mut Option<Removal>) {
    match replication::removal(&node.app).await {
        Ok(Some(removal)) if said.as_ref() != Some(&removal) => {
            tracing::error!("{removal}");
            *said = Some(removal);
        }
        Ok(found) => *said = found,
        Err(error) => tracing::warn!(%error, "cannot read how this node stands in the network"),
    }
}

/// Ends links that must not be and makes those that are missing. A link that ended by itself, which
/// takes a panic, is made anew.
fn adjust(
    node: &Arc<PeerNode>,
    links: &mut BTreeMap<PublicKey, AbortOnDropHandle<()>>,
    members: &[Member],
) {
    let own = node.identity.public_key();
    let this_is_out = members.iter().any(|it| it.public_key == *own && it.revoked);
    let wanted = |member: &&Member| !member.revoked && member.public_key != *own && !this_is_out;
    let wanted: Vec<_> = members.iter().filter(wanted).collect();
    links.retain(|key, link| {
        let keep = !link.is_finished() && wanted.iter().any(|it| it.public_key == *key);
        if !keep {
            node.status.note(key, |seen| seen.connected = None);
        }
        keep
    });
    node.status.keep(members);
    for member in wanted {
        links.entry(member.public_key).or_insert_with(|| {
            let (node, key) = (Arc::clone(node), member.public_key);
            AbortOnDropHandle::new(tokio::spawn(keep_link(node, key)))
        });
    }
}

/// Connects again and again.
async fn keep_link(node: Arc<PeerNode>, key: PublicKey) {
    let mut pause = Pause::default();
    let mut discovered = node.discovered.changes();
    let mut said = String::new();
    loop {
        let known = node.discovered.of(&key);
        let ended = match node.member(&key).await {
            Ok(member) => {
                let ended = live(&node, &member, &mut pause).await;
                node.note_standing(&key, &ended).await;
                ended
            }
            Err(refusal) => Err(refusal.into()),
        };
        if node.stop.is_cancelled() {
            return;
        }
        let text = match ended {
            Ok(()) => "the other node has stopped".to_owned(),
            Err(error) => error.to_string(),
        };
        // Once, however often it is tried.
        if said != text {
            tracing::info!(peer = node_id(&key), "no link: {text}");
            said.clone_from(&text);
        }
        node.status.note(&key, |seen| {
            (seen.connected, seen.error) = (None, Some(text));
        });
        let mut chance = [0; 1];
        let _ = node.app.random.fill(&mut chance);
        let appeared = async {
            while node.discovered.of(&key) == known && discovered.changed().await.is_ok() {}
            // Announcements are anybody's: they hasten nothing beyond the first pause.
            tokio::time::sleep(limits::LINK_PAUSE.0).await;
        };
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = tokio::time::sleep(pause.next(chance[0])) => {}
            () = appeared => {}
        }
    }
}

/// One connection, from the first exchange to its end.
async fn live(node: &Arc<PeerNode>, member: &Member, pause: &mut Pause) -> Result<(), ClientError> {
    let link = Link::open(node, member, &node.places_of(member)).await?;
    let mut commits = replication::commits(&node.app);
    // The watch comes first, so that nothing is missed between it and the first round.
    let mut watch = link.watch().await?;
    let progress = Progress::default();
    link.round(Giving::Unwatched, &progress).await?;
    node.note_standing(&member.public_key, &Ok(())).await;
    *pause = Pause::default();
    let _up = node.up(member.public_key, Arc::clone(&link.connection));
    node.status.note(&member.public_key, |seen| {
        seen.connected = Some(link.connection.address.clone());
        seen.error = None;
    });
    let mut ticks = tokio::time::interval(limits::EXCHANGE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    // One future for the whole life of the stream: a frame may be half read when something else
    // happens first, and must not be lost by that.
    let (news, mut heard) = watch::channel(Vec::new());
    let listening = listen(&link, &mut watch, &news);
    tokio::pin!(listening);
    loop {
        tokio::select! {
            ended = &mut listening => return ended,
            Ok(()) = heard.changed() => {
                let hello = heard.borrow_and_update().clone();
                link.pull(None, &progress).await?;
                link.compare(&hello).await?;
            }
            Ok(()) = commits.changed() => give(&link, &progress).await?,
            _ = ticks.tick() => link.round(Giving::Unwatched, &progress).await?,
        }
    }
}

/// Tells when the peer has something that this node lacks; ends with the stream.
async fn listen(
    link: &Link<'_>,
    watch: &mut FrameReader,
    news: &watch::Sender<Vec<u8>>,
) -> Result<(), ClientError> {
    while let Some(frame) = watch.next().await? {
        link.seen();
        match frame.kind {
            Kind::Heartbeat => {}
            Kind::Hello => {
                if !link.compare(&frame.payload).await? {
                    news.send_replace(frame.payload);
                }
            }
            _ => return Err(StreamError::Unexpected.into()),
        }
    }
    Ok(())
}

/// Something was committed here. A peer that watches fetches it by itself.
async fn give(link: &Link<'_>, progress: &Progress) -> Result<(), ClientError> {
    if link.node.is_watched_by(&link.member.public_key) {
        return Ok(());
    }
    match link.exchange().await? {
        Some(theirs) => link.push(theirs, progress).await.map(drop),
        None => Ok(()),
    }
}

/// Doubles from the first pause to the longest.
#[derive(Default)]
struct Pause(Option<Duration>);

impl Pause {
    /// `chance` takes up to half of it away.
    fn next(&mut self, chance: u8) -> Duration {
        let (first, longest) = limits::LINK_PAUSE;
        let pause = self.0.map_or(first, |last| (last * 2).min(longest));
        self.0 = Some(pause);
        pause - pause * u32::from(chance) / 512
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_chance_takes_less_than_half() {
        let (first, longest) = limits::LINK_PAUSE;
        let mut pause = Pause::default();
        let pauses: Vec<_> = (0..20).map(|_| pause.next(0)).collect();
        assert_eq!((pauses[0], pauses[19]), (first, longest));
        assert!(pauses.is_sorted());
        let least = Pause::default().next(u8::MAX);
        assert!(least >= first / 2 && least < first);
    }
}
