//! Values that are well formed and cannot work, with what to do about each.

use std::fmt::Display;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::{Config, MailServer, MailTls};
use crate::domain::account::Email;
use crate::domain::text;
use crate::http::listen::check_plain;
use crate::http::tls::check_host;
use crate::limits;

/// Everything that is wrong with `config`.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let mut found = Problems::default();
    if let Err(why) = text::line(&config.clinic) {
        found.add("clinic", why);
    }
    addresses(config, &mut found);
    for host in &config.hosts {
        if let Err(why) = check_host(host) {
            found.add("hosts", why);
        }
    }
    for origin in &config.cors_origins {
        origin_is_bare(origin, &mut found);
    }
    found.within(
        "workers",
        config.workers as u64,
        1,
        limits::WORKERS_MAX as u64,
    );
    if !is_log_filter(&config.log) {
        let why = "use error, warn, info, debug or trace, or parts such as islet::http=debug";
        found.add("log", format!("{:?} is no level; {why}", config.log));
    }
    numbers(config, &mut found);
    if !config.mail.host.is_empty() {
        mail(&config.mail, &mut found);
    }
    found.0
}

/// The library would take a misspelt level for the name of a part of the program.
fn is_log_filter(text: &str) -> bool {
    let level = |text: &str| !text.is_empty() && text.parse::<LevelFilter>().is_ok();
    let parts = text.split(',').map(str::trim);
    let named = |part: &str| match part.rsplit_once('=') {
        Some((_, after)) => level(after),
        None => level(part),
    };
    EnvFilter::try_new(text).is_ok() && parts.into_iter().all(named)
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, key: &str, why: impl Display) {
        self.0.push(format!("{key}: {why}"));
    }

    fn within(&mut self, key: &str, value: u64, min: u64, max: u64) {
        if !(min..=max).contains(&value) {
            self.add(key, format!("{value} must be from {min} to {max}"));
        }
    }
}

fn addresses(config: &Config, found: &mut Problems) {
    let plain = [("http", config.http), ("backoffice", config.backoffice)];
    for (key, address) in plain {
        if let Some(addr) = address.get()
            && let Err(why) = check_plain(addr, config.allow_plain_lan)
        {
            found.add(key, why);
        }
    }
    let all = [config.http, config.backoffice, config.https].map(super::Address::get);
    let on: Vec<_> = all.into_iter().flatten().collect();
    if on.is_empty() {
        found.add(
            "https",
            "nothing listens: give http, backoffice or https an address",
        );
    }
    let on: Vec<_> = on.into_iter().chain(config.peer.get()).collect();
    for (index, addr) in on.iter().enumerate() {
        if addr.port() != 0 && on[..index].contains(addr) {
            let keys = "http, backoffice, https, peer";
            found.add(keys, format!("{addr} is given twice"));
        }
    }
}

/// `scheme://host[:port]` and nothing else: browsers send origins in this form.
fn origin_is_bare(origin: &str, found: &mut Problems) {
    let bare = origin.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            && !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))
    });
    if !bare {
        let why = format!("{origin:?} must look like https://app.example.org, without a path or *");
        found.add("cors_origins", why);
    }
}

fn numbers(config: &Config, found: &mut Problems) {
    let (tokens, login, connections) = (config.tokens, config.login, config.connections);
    let day_minutes: u64 = 24 * 60;
    for (key, value, max) in [
        ("tokens.access_minutes", tokens.access_minutes, day_minutes),
        ("tokens.refresh_days", tokens.refresh_days, 365),
        (
            "tokens.patient_recovery_minutes",
            tokens.patient_recovery_minutes,
            day_minutes,
        ),
        (
            "tokens.staff_recovery_minutes",
            tokens.staff_recovery_minutes,
            day_minutes,
        ),
        ("tokens.desk_code_hours", tokens.desk_code_hours, 7 * 24),
        ("login.window_s", login.window_s, 3600),
    ] {
        found.within(key, value.into(), 1, max);
    }
    for (key, value, max) in [
        (
            "login.account_failures_max",
            login.account_failures_max,
            100,
        ),
        (
            "login.address_failures_max",
            login.address_failures_max,
            10_000,
        ),
        (
            "connections.total_max",
            connections.total_max,
            limits::CONNECTIONS_CONFIGURED_MAX,
        ),
        (
            "connections.per_address_max",
            connections.per_address_max,
            connections.total_max,
        ),
        (
            "connections.loopback_max",
            connections.loopback_max,
            connections.total_max,
        ),
    ] {
        found.within(key, value as u64, 1, max as u64);
    }
}

fn mail(mail: &MailServer, found: &mut Problems) {
    if !is_sender(&mail.from) {
        found.add(
            "mail.from",
            "must be a sender such as \"Clínica <no-responder@example.org>\"",
        );
    }
    for (key, url) in [
        ("mail.patient_url", &mail.patient_url),
        ("mail.staff_url", &mail.staff_url),
    ] {
        let ok = url.starts_with("https://") || url.starts_with("http://");
        if !ok || url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '?') {
            found.add(
                key,
                "must be an address such as https://pi.local:8443, without a ?",
            );
        }
    }
    if mail.user.is_empty() != mail.password_file.is_empty() {
        found.add(
            "mail.user",
            "give user and password_file together, or neither",
        );
    }
    if mail.tls == MailTls::None && !mail.user.is_empty() && !is_this_machine(&mail.host) {
        found.add(
            "mail.tls",
            "\"none\" would send the mail password over the network: use \"tls\" or \"starttls\"",
        );
    }
    found.within("mail.port", mail.port.into(), 1, 65_535);
}

/// An address, or `Name <address>`.
fn is_sender(text: &str) -> bool {
    let plain = |name: &str| !name.contains(|c: char| c.is_control() || "<>@,;:\"".contains(c));
    match text.trim().strip_suffix('>') {
        Some(inner) => inner
            .split_once('<')
            .is_some_and(|(name, address)| plain(name) && Email::parse(address).is_ok()),
        None => Email::parse(text).is_ok(),
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}
