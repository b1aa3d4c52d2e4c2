//! The audit log, for whoever answers for the node.

use super::{App, Error, policy};
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::store::audit;

pub use crate::store::audit::{AuditFilter, AuditRow};

/// Entries of the log, the newest first. Looking leaves an entry too.
///
/// # Errors
/// When the actor is no administrator.
pub async fn list(app: &App, actor: &Actor, filter: AuditFilter) -> Result<Vec<AuditRow>, Error> {
    policy::admin(app, actor, "audit.list")?;
    let mut entry = Entry::new(actor, "audit.list");
    if let Some(patient_id) = filter.patient_id {
        entry = entry.of_patient(patient_id);
    }
    app.store.note_access(entry)?;
    app.store
        .read(move |tx| Ok(audit::list(tx, &filter)?))
        .await
}
