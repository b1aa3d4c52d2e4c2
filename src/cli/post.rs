//! The post of a node: what hands mails over, and what delivers them where a mail server is configured.

use super::{DataDir, Failure, ask};
use crate::config::Config;
use crate::mail::Postman;
use crate::service::mail::Mailer;

/// The mailer, and the postman when a mail server is configured.
///
/// # Errors
/// When the password cannot be read, or the server's name cannot be used.
pub(super) fn office(
    data: &DataDir,
    config: &Config,
) -> Result<(Mailer, Option<Postman>), Failure> {
    let server = &config.mail;
    if server.host.is_empty() {
        return Ok((Mailer::default(), None));
    }
    // A relative path starts in the data directory.
    let file = data.join(&server.password_file);
    let password = match server.password_file.as_str() {
        "" => None,
        _ => Some(ask::password(
            Some(&file),
            &server.user,
            "mail.password_file",
        )?),
    };
    let (mailer, postman) =
        Postman::new(config, password).map_err(|error| Failure::new(error.to_string()))?;
    Ok((mailer, Some(postman)))
}
