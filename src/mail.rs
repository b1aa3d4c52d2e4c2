//! Sends the mails of the service layer through the configured SMTP server (RFC 5321).
//!
//! A mail that the server does not take is tried again, ever less often, until it is of no use: a
//! recovery link when it no longer works, anything else after hours. Meanwhile others go ahead. What
//! waits is in memory only; whatever is given up, at a stop too, is handed back, so that it can be
//! told. Must never hold up anything else, log an address or a token, or send without the encryption
//! that is configured.

mod letter;
#[cfg(test)]
mod tests;
mod waiting;

use std::time::Duration;

use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auth::{Random, Secret, SystemRandom};
use crate::config::{Config, MailTls};
use crate::limits;
use crate::service::mail::{GivenUp, Mail, Mailer};
use letter::Letters;
use waiting::{Patience, Waiting};

/// Why mail cannot be sent with this configuration.
#[derive(Debug, Error)]
pub enum MailError {
    /// The sender is no address.
    #[error("mail.from is not a sender such as \"Clínica <no-responder@example.org>\"")]
    From,
    /// The server's name cannot be used for TLS.
    #[error("mail.host cannot be used: {0}")]
    Host(smtp::Error),
}

type Transport = AsyncSmtpTransport<Tokio1Executor>;
/// One mail, and how the attempt at it went.
type Attempt = (Waiting, Result<(), Failed>);

/// The sending end of the queue of [`Mailer`].
pub struct Postman {
    queue: mpsc::Receiver<Mail>,
    transport: Transport,
    from: Mailbox,
    letters: Letters,
    patience: Patience,
    waiting: Vec<Waiting>,
}

impl Postman {
    /// A mailer for the services and the postman who empties it, for `config.mail`, whose host is
    /// not empty. `password` goes with `config.mail.user`.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn new(config: &Config, password: Option<Secret>) -> Result<(Mailer, Self), MailError> {
        Self::with_patience(config, password, Patience::new(&config.lifetimes()))
    }

    fn with_patience(
        config: &Config,
        password: Option<Secret>,
        patience: Patience,
    ) -> Result<(Mailer, Self), MailError> {
        let mail = &config.mail;
        let builder = match mail.tls {
            MailTls::Tls => Transport::relay(&mail.host),
            MailTls::Starttls => Transport::starttls_relay(&mail.host),
            MailTls::None => Ok(Transport::builder_dangerous(&mail.host)),
        };
        let mut builder = builder.map_err(MailError::Host)?.port(mail.port);
        builder = builder.timeout(Some(patience.timeout));
        if let Some(password) = password {
            let password = password.expose().to_owned();
            builder = builder.credentials(Credentials::new(mail.user.clone(), password));
        }
        let (sender, queue) = mpsc::channel(limits::MAILS_MAX);
        let postman = Self {
            queue,
            transport: builder.build(),
            from: mail.from.parse().map_err(|_| MailError::From)?,
            letters: Letters::new(config),
            patience,
            waiting: Vec::new(),
        };
        Ok((Mailer::new(sender), postman))
    }

    /// Whether the mail server can be reached and lets us in.
    ///
    /// # Errors
    /// Why not.
    pub async fn try_server(&self) -> Result<(), String> {
        let tried = self.transport.test_connection();
        match tokio::time::timeout(self.patience.timeout, tried).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("the server ended the conversation".to_owned()),
            Ok(Err(error)) => Err(Failed::from(&error).why),
            Err(_) => Err(Failed::too_long().why),
        }
    }

    /// Sends until `stop`, then tries once with what is waiting. What is given up goes to `tell`.
    pub async fn run<F>(mut self, stop: CancellationToken, tell: impl Fn(Vec<GivenUp>) -> F)
    where
        F: Future<Output = ()>,
    {
        let mut attempts = JoinSet::new();
        let mut open = true;
        while open || !attempts.is_empty() || !self.waiting.is_empty() {
            self.start_due(&mut attempts, Instant::now());
            let full = attempts.len() >= self.patience.at_once;
            let next = self.waiting.iter().map(|one| one.due).min();
            let next = next.filter(|_| !full);
            let given_up = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                mail = self.queue.recv(), if open => {
                    open = mail.is_some();
                    mail.and_then(|mail| self.take(mail, Instant::now()))
                }
                Some(done) = attempts.join_next() => match done {
                    Ok(attempt) => self.settle(attempt, Instant::now()),
                    Err(error) => {
                        tracing::error!(%error, "an attempt to send a mail failed");
                        None
                    }
                },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => None,
            };
            if let Some(given_up) = given_up {
                tell(vec![given_up]).await;
            }
        }
        let lost = self.finish(attempts).await;
        if !lost.is_empty() {
            tell(lost).await;
        }
    }

    /// Makes a letter of a new mail, to be sent at once. Answers with the one that is given up for it.
    fn take(&mut self, mail: Mail, now: Instant) -> Option<GivenUp> {
        let Some(message) = self.message(&mail) else {
            let why = "it could not be written: is its address one?";
            return Some(give_up(mail, why.to_owned()));
        };
        self.waiting
            .push(Waiting::new(mail, message, &self.patience, now));
        if self.waiting.len() <= limits::MAILS_WAITING_MAX {
            return None;
        }
        let oldest = self.waiting.remove(0);
        Some(give_up(oldest.mail, "too many mails wait".to_owned()))
    }

    /// Begins with those whose time has come, the first of them first.
    fn start_due(&mut self, attempts: &mut JoinSet<Attempt>, now: Instant) {
        while attempts.len() < self.patience.at_once {
            let due = self
                .waiting
                .iter()
                .enumerate()
                .filter(|(_, one)| one.due <= now);
            let Some((first, _)) = due.min_by_key(|(_, one)| one.due) else {
                return;
            };
            let one = self.waiting.remove(first);
            attempts.spawn(attempt(self.transport.clone(), one, self.patience.timeout));
        }
    }

    /// What becomes of a mail after an attempt: it is gone, waits for the next, or is given up.
    fn settle(&mut self, (mut one, result): Attempt, now: Instant) -> Option<GivenUp> {
        let Err(failed) = result else {
            return None;
        };
        if failed.for_good || !one.wait_again(&self.patience, now) {
            return Some(give_up(one.mail, failed.why));
        }
        let kind = one.mail.kind();
        tracing::warn!(
            kind,
            why = failed.why,
            "mail not sent yet; trying again later"
        );
        self.waiting.push(one);
        None
    }

    /// One attempt at everything that is left, in bounded time. Answers with what did not leave.
    async fn finish(mut self, mut attempts: JoinSet<Attempt>) -> Vec<GivenUp> {
        self.queue.close();
        let mut lost = Vec::new();
        while let Ok(mail) = self.queue.try_recv() {
            lost.extend(self.take(mail, Instant::now()));
        }
        let mut left: Vec<Mail> = Vec::new();
        let until = Instant::now() + limits::MAIL_STOP_TIMEOUT;
        // Those that have never been tried first.
        self.waiting.sort_by_key(|one| one.tried);
        for one in &mut self.waiting {
            one.due = Instant::now();
        }
        loop {
            self.start_due(&mut attempts, Instant::now());
            match tokio::time::timeout_at(until, attempts.join_next()).await {
                Ok(Some(Ok((one, Err(_))))) => left.push(one.mail),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        left.extend(self.waiting.into_iter().map(|one| one.mail));
        let stopped = |mail| give_up(mail, "the node stopped before it could be sent".to_owned());
        lost.extend(left.into_iter().map(stopped));
        lost
    }

    fn message(&self, mail: &Mail) -> Option<Message> {
        let to = Mailbox::new(None, mail.to.parse().ok()?);
        let mut id = [0; 16];
        SystemRandom.fill(&mut id).ok()?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        // The domain of the sender: a name of this machine would mean nothing elsewhere.
        let id = format!("<{id}@{}>", self.from.email.domain());
        let builder: MessageBuilder = Message::builder().from(self.from.clone()).to(to);
        self.letters.write(builder.message_id(Some(id)), mail)
    }
}

fn give_up(mail: Mail, why: String) -> GivenUp {
    tracing::error!(kind = mail.kind(), why, "mail not sent");
    GivenUp { mail, why }
}

async fn attempt(transport: Transport, one: Waiting, timeout: Duration) -> Attempt {
    let sent = transport.send(one.message.clone());
    let result = match tokio::time::timeout(timeout, sent).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failed::from(&error)),
        Err(_) => Err(Failed::too_long()),
    };
    if result.is_ok() {
        tracing::info!(kind = one.mail.kind(), "mail sent");
    }
    (one, result)
}

/// An attempt that failed, without what the server said: that may repeat the address.
struct Failed {
    why: String,
    for_good: bool,
}

impl Failed {
    fn too_long() -> Self {
        Self {
            why: "the server took too long".to_owned(),
            for_good: false,
        }
    }
}

impl From<&smtp::Error> for Failed {
    fn from(error: &smtp::Error) -> Self {
        let why = match error.status() {
            Some(code) => format!("the server answered {code}"),
            None if error.is_tls() => "no trusted TLS connection to the server".to_owned(),
            None if error.is_timeout() => return Self::too_long(),
            None if error.is_client() => "the server does not offer what is configured".to_owned(),
            None => "no connection to the server".to_owned(),
        };
        Self {
            why,
            for_good: error.is_permanent(),
        }
    }
}
