//! A mail that is on its way, and how long it is worth while to try.

use std::time::Duration;

use lettre::Message;
use tokio::time::Instant;

use crate::auth::token::Audience;
use crate::limits;
use crate::service::Lifetimes;
use crate::service::mail::{Mail, MailContent};

/// How long an attempt may take, how many there are at once, and when there is no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For one attempt.
    pub(super) timeout: Duration,
    /// Attempts at once: one server that says nothing must not hold up all mails.
    pub(super) at_once: usize,
    /// Before the second attempt, and the longest between two.
    pub(super) pause: (Duration, Duration),
    /// How long a link to a patient works, and one to staff.
    pub(super) links: (Duration, Duration),
    /// How long anything else is tried.
    pub(super) rest: Duration,
}

impl Patience {
    pub(super) fn new(lifetimes: &Lifetimes) -> Self {
        Self {
            timeout: limits::MAIL_TIMEOUT,
            at_once: limits::MAILS_AT_ONCE,
            pause: limits::MAIL_PAUSE,
            links: (lifetimes.patient_recovery, lifetimes.staff_recovery),
            rest: limits::MAIL_TRIED_FOR,
        }
    }

    fn of(&self, mail: &Mail) -> Duration {
        match mail.content {
            MailContent::Recovery(Audience::Patient, _) => self.links.0,
            MailContent::Recovery(Audience::Staff, _) => self.links.1,
            MailContent::ResolutionReady => self.rest,
        }
    }
}

/// A mail between two attempts.
pub(super) struct Waiting {
    pub(super) mail: Mail,
    pub(super) message: Message,
    /// When to try.
    pub(super) due: Instant,
    /// Attempts that failed.
    pub(super) tried: u32,
    pause: Duration,
    until: Instant,
}

impl Waiting {
    pub(super) fn new(mail: Mail, message: Message, patience: &Patience, now: Instant) -> Self {
        Self {
            due: now,
            tried: 0,
            pause: patience.pause.0,
            until: now + patience.of(&mail),
            mail,
            message,
        }
    }

    /// Waits for the next attempt, ever longer. Answers no when that would be too late.
    pub(super) fn wait_again(&mut self, patience: &Patience, now: Instant) -> bool {
        self.tried += 1;
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(patience.pause.1);
        self.due < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::SystemRandom;
    use crate::auth::opaque::{OpaqueToken, Purpose};
    use crate::config::Config;

    /// Seconds from the first attempt at which `mail` is tried again.
    fn attempts(mail: Mail) -> Vec<u64> {
        let patience = Patience::new(&Config::default().lifetimes());
        let message = Message::builder()
            .from("a@example.org".parse().unwrap())
            .to("b@example.org".parse().unwrap())
            .body(String::new())
            .unwrap();
        let start = Instant::now();
        let mut waiting = Waiting::new(mail, message, &patience, start);
        let mut at = Vec::new();
        while waiting.wait_again(&patience, waiting.due) {
            at.push((waiting.due - start).as_secs());
        }
        at
    }

    #[test]
    fn a_resolution_is_announced_for_hours_ever_less_often() {
        let at = attempts(Mail::resolution_ready("ana@clinic.test".into()));
        assert_eq!(at[..4], [2, 6, 14, 30]);
        let last = *at.last().unwrap();
        assert!((11 * 3600..12 * 3600).contains(&last), "{at:?}");
        assert!(at.len() < 60, "{at:?}");
        let longest = at.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert_eq!(longest, limits::MAIL_PAUSE.1.as_secs());
    }

    #[test]
    fn a_link_is_sent_only_while_it_works() {
        let token = OpaqueToken::generate(Purpose::Recovery, &SystemRandom).unwrap();
        let last = |audience| {
            let mail = Mail::recovery(audience, "ana@clinic.test".into(), &token);
            *attempts(mail).last().unwrap()
        };
        assert!((400..900).contains(&last(Audience::Patient)));
        assert!((120..300).contains(&last(Audience::Staff)));
    }
}
