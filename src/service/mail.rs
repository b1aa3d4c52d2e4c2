//! Mail to patients and staff.
//!
//! Sending never delays or fails the use case that asked for it: mails go through a bounded queue,
//! and one that was given up is in the audit log, without its address and content. A clinic without
//! internet works with one-time codes instead.

use super::{App, Error};
use crate::auth::opaque::OpaqueToken;
use crate::auth::token::Audience;
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object, Outcome};
use crate::store::{Audited, Lane, StoreError, WriteTx, patients, staff};

/// In the audit log: a mail was given up.
pub const GIVE_UP: &str = "mail.give_up";

/// A mail to be sent.
#[derive(Clone, Debug)]
pub struct Mail {
    /// To whom.
    pub to: String,
    /// What about.
    pub content: MailContent,
}

/// What a mail says.
#[derive(Clone, Debug)]
pub enum MailContent {
    /// A recovery link.
    Recovery(Audience, OpaqueToken),
    /// A resolution can be read in the app. Says nothing clinical.
    ResolutionReady,
}

impl Mail {
    /// A recovery link.
    #[must_use]
    pub fn recovery(audience: Audience, to: String, token: &OpaqueToken) -> Self {
        Self {
            to,
            content: MailContent::Recovery(audience, token.clone()),
        }
    }

    /// A resolution can be read in the app.
    #[must_use]
    pub const fn resolution_ready(to: String) -> Self {
        Self {
            to,
            content: MailContent::ResolutionReady,
        }
    }
}

impl Mail {
    /// A name for logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.content {
            MailContent::Recovery(Audience::Patient, _) => "patient recovery",
            MailContent::Recovery(Audience::Staff, _) => "staff recovery",
            MailContent::ResolutionReady => "resolution ready",
        }
    }

    const fn is_for_patients(&self) -> bool {
        !matches!(self.content, MailContent::Recovery(Audience::Staff, _))
    }
}

/// A mail that will not be sent.
#[derive(Clone, Debug)]
pub struct GivenUp {
    /// Which.
    pub mail: Mail,
    /// Why, without addresses.
    pub why: String,
}

/// Notes mails that were given up, so that staff can tell people in another way.
///
/// # Errors
/// When the database fails.
pub async fn note_given_up(app: &App, mails: Vec<GivenUp>) -> Result<(), Error> {
    for given_up in mails {
        let note = move |tx: &mut WriteTx<'_>| note(tx, &given_up);
        app.store.write(Lane::Essential, note).await?;
    }
    Ok(())
}

fn note(tx: &mut WriteTx<'_>, given_up: &GivenUp) -> Result<Audited<()>, StoreError> {
    let GivenUp { mail, why } = given_up;
    let mut entry = Entry::new(&Actor::system(), GIVE_UP).outcome(Outcome::Failed);
    // Whose address it is now: it may have changed since.
    if mail.is_for_patients() {
        if let Some(patient) = patients::login(tx, &mail.to)? {
            entry = entry.of_patient(patient.id);
        }
    } else if let Some(staff) = staff::by_name(tx, &mail.to)? {
        entry = entry.on(Object::Staff, staff.id);
    }
    tx.audit(&entry.detail(format!("{}: {why}", mail.kind())))
}

/// Sends mail, or does not where none is configured.
#[derive(Clone, Debug, Default)]
pub struct Mailer {
    queue: Option<tokio::sync::mpsc::Sender<Mail>>,
}

impl Mailer {
    /// A mailer that hands mails to `queue`.
    #[must_use]
    pub const fn new(queue: tokio::sync::mpsc::Sender<Mail>) -> Self {
        Self { queue: Some(queue) }
    }

    /// Queues a mail. Without a way to send, or with a full queue, it is dropped and logged.
    pub fn send(&self, mail: Mail) {
        match &self.queue {
            Some(queue) if queue.try_send(mail).is_ok() => {}
            Some(_) => tracing::warn!("too many mails wait; one was dropped"),
            None => tracing::debug!("no mail server is configured; a mail was not sent"),
        }
    }
}
