//! The one task that looks after each commit what is new.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Batch, Queue};
use crate::domain::queue::{QueueState, sort};
use crate::limits;
use crate::service::changes::{Cursor, Item};
use crate::service::queue::{Standing, wait_ms};
use crate::service::{App, Error};
use crate::store::feed::{self, News, Scope};
use crate::store::{Read, StoreError, conflicts, queue};

/// What the hub remembers between two looks.
#[derive(Default)]
struct Hub {
    told: Option<Cursor>,
    queue: Arc<Queue>,
    conflicts: i64,
    epoch: u64,
}

/// Tells sessions what is new until `stop`.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut commits = app.store.commits();
    let mut hub = Hub::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                app.live.close();
                return;
            }
            _ = commits.changed() => {}
            // What was stored before it could be applied makes no commit known when it is.
            () = tokio::time::sleep(limits::LIVE_LOOK_EVERY) => {}
        }
        if app.live.batches.receiver_count() == 0 {
            hub.told = None;
            continue;
        }
        while let Some(batch) = hub.look(&app).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look what is new");
            None
        }) {
            // Nobody listens any more: the next one looks for itself.
            let _ = app.live.batches.send(Arc::new(batch));
        }
    }
}

impl Hub {
    /// What is new since the last look; `None` when nothing is.
    async fn look(&mut self, app: &App) -> Result<Option<Batch>, Error> {
        let epoch = app.store.session_epoch();
        let (marks, told, before) = (
            app.store.told_marks(),
            self.told.take(),
            Arc::clone(&self.queue),
        );
        let read = app.store.read(move |tx| {
            let scope = Scope::of(tx, None)?;
            let limit = limits::NEWS_PAGE.1 as usize;
            let news = match &told {
                Some(told) => feed::news(tx, &marks, &scope, Some(told), limit)?,
                None => None,
            };
            let relinked = told.is_some() && news.is_none();
            let from = told.filter(|_| news.is_some());
            let news = match news {
                Some(news) => news,
                None => nothing(feed::present(tx, scope.audience())?),
            };
            let queue = match moved(tx, &news, &before)? || from.is_none() {
                true => Arc::new(queue_now(tx)?),
                false => before,
            };
            Ok::<_, Error>((from, relinked, news, queue, conflicts::count(tx)?))
        });
        let (from, relinked, news, queue, conflicts) = read.await?;
        let same = from.as_ref() == Some(&news.cursor)
            && (&queue, conflicts, epoch) == (&self.queue, self.conflicts, self.epoch);
        self.told = Some(news.cursor.clone());
        (self.queue, self.conflicts, self.epoch) = (Arc::clone(&queue), conflicts, epoch);
        if same {
            return Ok(None);
        }
        Ok(Some(Batch {
            from,
            relinked,
            to: news.cursor,
            changes: news.changes,
            queue,
            conflicts,
        }))
    }
}

fn nothing(cursor: Cursor) -> News {
    News {
        changes: Vec::new(),
        cursor,
        more: false,
        behind: false,
    }
}

/// Whether somebody's place may be another than before.
fn moved(tx: &impl Read, news: &News, before: &Queue) -> Result<bool, StoreError> {
    if news
        .changes
        .iter()
        .any(|it| matches!(it.item, Item::QueueEntry(_)))
    {
        return Ok(true);
    }
    let day = queue::current_day(tx)?;
    Ok((day.id, day.open) != (before.day, before.open))
}

/// Where everybody stands.
pub(super) fn queue_now(tx: &impl Read) -> Result<Queue, StoreError> {
    let day = queue::current_day(tx)?;
    let pace = queue::pace(tx, &day)?;
    let mut entries = queue::live_entries(tx, None)?;
    sort(&mut entries);
    let (mut waiting, mut standings) = (0, BTreeMap::new());
    for entry in entries {
        let position = (entry.state == QueueState::Pending).then_some(waiting);
        waiting += i64::from(position.is_some());
        let standing = Standing {
            open: day.open,
            entry: Some(entry),
            position,
            expected_wait_ms: position.and_then(|position| wait_ms(pace, position)),
        };
        // Of two places of one patient the earlier counts, and comes first.
        standings.entry(entry.patient_id).or_insert(standing);
    }
    Ok(Queue {
        day: day.id,
        open: day.open,
        waiting,
        standings,
    })
}
