//! Mail to patients and staff.
//!
//! Sending never delays or fails the use case that asked for it: mails go through a bounded queue,
//! and what cannot be sent is logged without its content. A clinic without internet works with
//! one-time codes instead.

use crate::auth::opaque::OpaqueToken;
use crate::auth::token::Audience;

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
