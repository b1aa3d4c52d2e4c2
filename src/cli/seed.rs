//! `islet seed`: well-known log-ins for tests of the phone app, in an empty node.

use super::control::{Request, Response, perform};
use super::founding::{First, NewNode};
use super::{DataDir, Failure, founding, output};
use crate::service::seed::SeedError;

/// Shown by `islet seed --help`.
pub(super) const HELP: &str =
    "Loads patients 40123456 / thepassword and 40123457 / thepassword2, admin \
admin / admin, and a queue of 5 places. Everybody knows these passwords: never use it for a \
clinic.

Works on a directory that does not exist or is empty, and on a node that holds nobody but its \
founding admin (who keeps their own password, even when called admin). Refuses any other.

Example:
  islet --data /tmp/try seed && islet --data /tmp/try serve";

/// Runs `islet seed`.
///
/// # Errors
/// When the node holds anybody besides its founder.
pub(super) fn run(data: &DataDir) -> Result<(), Failure> {
    let admin = if data.holds_node() {
        match perform(data, Request::Seed)? {
            Response::Seeded { admin } => admin,
            other => return Err(Failure::new(format!("unexpected answer: {other:?}"))),
        }
    } else {
        let config = data.config(|_| {})?;
        let new = NewNode {
            clinic: config.clinic,
            hosts: config.hosts,
        };
        founding::create(data, &new, First::WellKnown)?;
        true
    };
    let admin = if admin {
        "admin / admin (back office)"
    } else {
        "(the founder is called admin and keeps their own password)"
    };
    output::line(&format!(
        "Well-known log-ins were loaded; everybody knows them, so no real patient may be here:\n  \
         40123456 / thepassword\n  40123457 / thepassword2\n  {admin}"
    ))
}

impl From<SeedError> for Failure {
    fn from(error: SeedError) -> Self {
        match error {
            SeedError::Failed(error) => error.into(),
            refused => Self::new(refused.to_string()),
        }
    }
}
