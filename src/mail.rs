//! Sends the mails of the service layer through the configured SMTP server (RFC 5321).
//!
//! Mails leave one after the other, each within a bounded time and with a few attempts. Must never
//! hold up anything else, log an address or a token, or send without the encryption that is
//! configured.

mod letter;
#[cfg(test)]
mod tests;

use std::time::Duration;

use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::auth::Secret;
use crate::config::{Config, MailTls};
use crate::limits;
use crate::service::mail::{Mail, Mailer};
use letter::Letters;

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

/// How long an attempt may take, and the pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one attempt.
    pub timeout: Duration,
    /// Before the second and the third attempt.
    pub pauses: [Duration; 2],
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            timeout: limits::MAIL_TIMEOUT,
            pauses: limits::MAIL_RETRY_PAUSES,
        }
    }
}

/// The sending end of the queue of [`Mailer`].
pub struct Postman {
    queue: mpsc::Receiver<Mail>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    letters: Letters,
    patience: Patience,
}

impl Postman {
    /// A mailer for the services and the postman who empties it, for `config.mail`, whose host is
    /// not empty. `password` goes with `config.mail.user`.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn new(
        config: &Config,
        password: Option<Secret>,
        patience: Patience,
    ) -> Result<(Mailer, Self), MailError> {
        let mail = &config.mail;
        let builder = match mail.tls {
            MailTls::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(&mail.host),
            MailTls::Starttls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&mail.host),
            MailTls::None => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(
                &mail.host,
            )),
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
        };
        Ok((Mailer::new(sender), postman))
    }

    /// Sends until `stop`, then tries once with what is waiting.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let mail = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                mail = self.queue.recv() => mail,
            };
            let Some(mail) = mail else { return };
            self.deliver(&mail, &stop).await;
        }
        while let Ok(mail) = self.queue.try_recv() {
            self.deliver(&mail, &stop).await;
        }
    }

    /// All attempts at one mail. Only the last is made once the node stops.
    async fn deliver(&self, mail: &Mail, stop: &CancellationToken) {
        let kind = letter::kind(mail);
        let Some(message) = self.message(mail) else {
            tracing::error!(kind, "a mail could not be written: is its address one?");
            return;
        };
        let mut pauses = self.patience.pauses.into_iter();
        loop {
            let attempt = self.transport.send(message.clone());
            let failure = match tokio::time::timeout(self.patience.timeout, attempt).await {
                Ok(Ok(_)) => {
                    tracing::info!(kind, "mail sent");
                    return;
                }
                Ok(Err(error)) => Failed::from(&error),
                Err(_) => Failed {
                    why: "the server took too long".into(),
                    for_good: false,
                },
            };
            let pause = pauses
                .next()
                .filter(|_| !failure.for_good && !stop.is_cancelled());
            let Some(pause) = pause else {
                tracing::error!(kind, why = failure.why, "mail not sent");
                return;
            };
            tracing::warn!(kind, why = failure.why, "mail not sent yet; trying again");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn message(&self, mail: &Mail) -> Option<Message> {
        let to = Mailbox::new(None, mail.to.parse().ok()?);
        let builder: MessageBuilder = Message::builder().from(self.from.clone()).to(to);
        self.letters.write(builder.message_id(None), mail)
    }
}

/// An attempt that failed, without what the server said: that may repeat the address.
struct Failed {
    why: String,
    for_good: bool,
}

impl From<&smtp::Error> for Failed {
    fn from(error: &smtp::Error) -> Self {
        let why = match error.status() {
            Some(code) => format!("the server answered {code}"),
            None if error.is_tls() => "no trusted TLS connection to the server".to_owned(),
            None if error.is_timeout() => "the server took too long".to_owned(),
            None if error.is_client() => "the server does not offer what is configured".to_owned(),
            None => "no connection to the server".to_owned(),
        };
        Self {
            why,
            for_good: error.is_permanent(),
        }
    }
}
