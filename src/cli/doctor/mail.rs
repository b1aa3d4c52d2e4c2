//! Checks of the mail: whether the server takes any, and what was given up.

use crate::cli::{DataDir, node, post};
use crate::limits;
use crate::service::mail::GIVE_UP;
use crate::store::Snapshot;
use crate::store::audit::{self, AuditFilter};

use super::Finding;
use crate::domain::time::Timestamp;

/// Whether there is a mail server, and it can be reached.
pub(super) fn server(data: &DataDir) -> Finding {
    let check = "mail server";
    // A configuration with mistakes has a finding of its own.
    let config = data.config(|_| {}).unwrap_or_default();
    let office = post::office(data, &config);
    let Ok((_, Some(postman))) = office else {
        return Finding::ok(check, "none is used: staff hand out one-time codes");
    };
    let (host, port) = (&config.mail.host, config.mail.port);
    match node::block_on(async { Ok(postman.try_server().await) }) {
        Ok(Ok(())) => Finding::ok(check, format!("{host}:{port} can be reached")),
        Ok(Err(why)) => Finding::warn(
            check,
            format!(
                "{host}:{port}: {why}. Mails wait in the running node and are tried again; until \
                 then staff hand out one-time codes"
            ),
        ),
        Err(failure) => Finding::fail(check, failure.text),
    }
}

/// People who wait for a mail that will not come should be told in another way.
pub(super) fn given_up(snapshot: &Snapshot, now: Timestamp) -> Finding {
    let check = "mails";
    let since = Timestamp(now.0 - limits::MAIL_TOLD_DAYS * 24 * 3_600_000);
    let filter = AuditFilter {
        action: Some(GIVE_UP.to_owned()),
        since: Some(since),
        limit: limits::AUDIT_PAGE.1,
        ..AuditFilter::default()
    };
    let days = limits::MAIL_TOLD_DAYS;
    match snapshot.read(|tx| audit::list(tx, &filter)) {
        Err(error) => Finding::fail(check, error.to_string()),
        Ok(rows) => match rows.first() {
            None => Finding::ok(check, format!("none was given up in {days} days")),
            Some(last) => Finding::warn(
                check,
                format!(
                    "{} given up in {days} days, the last at {} ({}): see `islet audit log \
                     --action {GIVE_UP}`, and tell people in another way",
                    rows.len(),
                    Timestamp(last.at).to_rfc3339(),
                    last.detail.as_deref().unwrap_or_default(),
                ),
            ),
        },
    }
}
