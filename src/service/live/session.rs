//! One who listens.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::ticket::Pass;
use super::{Batch, Queue, hub};
use crate::domain::actor::{Actor, Who};
use crate::limits;
use crate::service::changes::{self, Change, Cursor};
use crate::service::queue::Standing;
use crate::service::{App, Error};
use crate::store::feed::{self, Scope};
use crate::store::{StoreError, conflicts};

/// What a session is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It begins here.
    Ready,
    /// Something is new.
    Change(Change),
    /// To a patient: where they stand now.
    Standing(Standing),
    /// To staff: how the queue is now.
    Queue(Waiting),
    /// To staff: so many conflicts are open.
    Conflicts(i64),
    /// What was told before is of no use: fetch everything again. What comes after this is told.
    Resync,
}

/// The queue, for staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whether it lets anybody in.
    pub open: bool,
    /// How many wait.
    pub waiting: i64,
}

/// A session.
pub struct Session {
    app: Arc<App>,
    anonymous: Actor,
    actor: Actor,
    pass: Pass,
    checked_epoch: u64,
    patients: Option<Vec<i64>>,
    scope: Scope,
    cursor: Cursor,
    batches: broadcast::Receiver<Arc<Batch>>,
    /// What came last, until it is known whether the log-in is still good.
    came: Option<Arc<Batch>>,
    /// Something was missed, which the store knows.
    missed: bool,
    /// To be told at once.
    first: Vec<Event>,
    standing: Option<Standing>,
    waiting: Option<Waiting>,
    conflicts: Option<i64>,
    _place: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    /// Listens for the acting patient, for some patients, or for all (staff); from a cursor of before on, or from now.
    ///
    /// # Errors
    /// When the pass is no good, the account may not see it, or too many listen.
    pub async fn open(
        app: &Arc<App>,
        anonymous: &Actor,
        pass: Pass,
        patients: Option<Vec<i64>>,
        after: Option<Cursor>,
    ) -> Result<Self, Error> {
        let checked_epoch = app.store.session_epoch();
        let actor = pass.check(app, anonymous).await?;
        let patients = changes::audience(app, &actor, patients)?;
        let place = Arc::clone(&app.live.sessions).try_acquire_owned();
        let place = place.map_err(|_| Error::Busy)?;
        // First this, then a look at the store: what comes between is told twice, not never.
        let batches = app.live.batches.subscribe();
        let whose = patients.clone();
        let read = app.store.read(move |tx| {
            let scope = Scope::of(tx, whose.as_deref())?;
            let now = feed::present(tx, scope.audience())?;
            Ok::<_, Error>((scope, now, hub::queue_now(tx)?, conflicts::count(tx)?))
        });
        let (scope, now, queue, conflicts) = read.await?;
        changes::note_shown(app, &actor, patients.as_deref())?;
        let missed = after.is_some();
        let mut session = Self {
            app: Arc::clone(app),
            anonymous: anonymous.clone(),
            actor,
            pass,
            checked_epoch,
            patients,
            scope,
            cursor: after.unwrap_or(now),
            batches,
            came: None,
            missed,
            first: vec![Event::Ready],
            standing: None,
            waiting: None,
            conflicts: None,
            _place: place,
        };
        let mut first = Vec::new();
        session.note_levels(&queue, conflicts, &mut first);
        session.first.extend(first);
        Ok(session)
    }

    /// What to ask for the rest after, once what was told is kept.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor.of(self.scope.audience())
    }

    /// What is new; nothing after a while in which nothing was. May be dropped while it waits.
    ///
    /// # Errors
    /// When the log-in has ended, or [`Error::Busy`] when the node stops.
    pub async fn next(&mut self) -> Result<Vec<Event>, Error> {
        if !self.first.is_empty() {
            return Ok(std::mem::take(&mut self.first));
        }
        let closing = self.app.live.closing.clone();
        loop {
            // A log-out comes with a batch.
            self.check(false).await?;
            if let Some(batch) = self.came.take() {
                let events = self.take(&batch);
                if !events.is_empty() {
                    return Ok(events);
                }
            }
            if self.missed {
                match self.catch_up().await {
                    Ok(events) if events.is_empty() => {}
                    // The readers have too much to do; nothing is lost by waiting.
                    Err(Error::Store(StoreError::Overloaded | StoreError::TimedOut)) => {
                        tokio::time::sleep(limits::LIVE_LOOK_EVERY).await;
                    }
                    told => return told,
                }
                continue;
            }
            tokio::select! {
                () = closing.cancelled() => return Err(Error::Busy),
                batch = self.batches.recv() => match batch {
                    // Kept first: whoever waits for this may go away at each `await`.
                    Ok(batch) => self.came = Some(batch),
                    Err(RecvError::Lagged(_)) => self.missed = true,
                    Err(RecvError::Closed) => return Err(Error::Busy),
                },
                () = tokio::time::sleep(limits::LIVE_HEARTBEAT_EVERY) => {
                    self.check(true).await?;
                    return Ok(Vec::new());
                }
            }
        }
    }

    /// Looks whether the log-in is still good: when one somewhere has ended, and now and then for its age.
    async fn check(&mut self, now: bool) -> Result<(), Error> {
        let epoch = self.app.store.session_epoch();
        if epoch != self.checked_epoch || now {
            self.actor = self.pass.check(&self.app, &self.anonymous).await?;
            self.checked_epoch = epoch;
        }
        Ok(())
    }

    /// What a batch says to this session.
    fn take(&mut self, batch: &Batch) -> Vec<Event> {
        let mut events = Vec::new();
        match &batch.from {
            _ if batch.relinked => self.missed = true,
            _ if self.cursor.covers(&batch.to) => {}
            Some(from) if self.cursor.covers(from) => {
                let mine = batch
                    .changes
                    .iter()
                    .filter(|it| self.scope.has(it.patient_id));
                events.extend(mine.cloned().map(Event::Change));
                self.cursor = batch.to.of(self.scope.audience());
            }
            _ => self.missed = true,
        }
        self.note_levels(&batch.queue, batch.conflicts, &mut events);
        events
    }

    /// What is not a row: told when it differs from what was told last.
    fn note_levels(&mut self, queue: &Queue, conflicts: i64, events: &mut Vec<Event>) {
        if let Who::Patient(_) = self.actor.who {
            let mine = queue.standings.iter().find(|(id, _)| self.scope.has(**id));
            let standing = mine.map_or(
                Standing {
                    open: queue.open,
                    entry: None,
                    position: None,
                    expected_wait_ms: None,
                },
                |(_, standing)| *standing,
            );
            if self.standing.replace(standing) != Some(standing) {
                events.push(Event::Standing(standing));
            }
            return;
        }
        let waiting = Waiting {
            open: queue.open,
            waiting: queue.waiting,
        };
        if self.waiting.replace(waiting) != Some(waiting) {
            events.push(Event::Queue(waiting));
        }
        if self.conflicts.replace(conflicts) != Some(conflicts) {
            events.push(Event::Conflicts(conflicts));
        }
    }

    /// A page of what was missed, from the store.
    async fn catch_up(&mut self) -> Result<Vec<Event>, Error> {
        let _turn = self.app.live.catching_up.acquire().await;
        let (marks, whose, after) = (
            self.app.store.told_marks(),
            self.patients.clone(),
            self.cursor.clone(),
        );
        let read = self.app.store.read(move |tx| {
            let scope = Scope::of(tx, whose.as_deref())?;
            let news = feed::news(tx, &marks, &scope, Some(&after), limits::LIVE_MISSED_PAGE)?;
            let now = feed::present(tx, scope.audience())?;
            Ok::<_, Error>((scope, news, now))
        });
        let (scope, news, now) = read.await?;
        self.scope = scope;
        let Some(news) = news else {
            (self.cursor, self.missed) = (now, false);
            return Ok(vec![Event::Resync]);
        };
        (self.cursor, self.missed) = (news.cursor, news.more);
        Ok(news.changes.into_iter().map(Event::Change).collect())
    }
}
