//! What is new for somebody since they last asked: for phones that were offline, and for live sessions.

use super::{App, Error, policy};
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::domain::text::Invalid;
use crate::limits;
use crate::store::feed::{self, Scope};

pub use crate::store::feed::{Change, Cursor, How, Item, News};

/// Whose news: of the acting patient, of the patients that staff name, or of all.
///
/// # Errors
/// When the actor may not see them, or names too many.
pub fn audience(
    app: &App,
    actor: &Actor,
    patients: Option<Vec<i64>>,
) -> Result<Option<Vec<i64>>, Error> {
    if actor.patient_id().is_some() {
        return policy::patient(app, actor, "change.list").map(|id| Some(vec![id]));
    }
    policy::staff(app, actor, "change.list")?;
    let most = limits::FOLLOWED_MAX;
    if patients.as_ref().is_some_and(|them| them.len() > most) {
        return Err(Error::invalid("patient_id")(Invalid::new(
            format!("must be at most {most} patients; leave it out to follow all"),
            format!("pueden ser como máximo {most} pacientes; omítalo para seguir a todos"),
        )));
    }
    Ok(patients)
}

/// The news after a cursor, or all there is without one.
///
/// # Errors
/// [`Error::StartAfresh`] when the cursor is of no use; when the actor may not see it.
pub async fn list(
    app: &App,
    actor: &Actor,
    patients: Option<Vec<i64>>,
    after: Option<Cursor>,
    limit: u32,
) -> Result<News, Error> {
    let patients = audience(app, actor, patients)?;
    let marks = app.store.told_marks();
    let whose = patients.clone();
    let found = app.store.read(move |tx| {
        let scope = Scope::of(tx, whose.as_deref())?;
        Ok::<_, Error>(feed::news(
            tx,
            &marks,
            &scope,
            after.as_ref(),
            limit as usize,
        )?)
    });
    let news = found.await?.ok_or(Error::StartAfresh)?;
    if !news.changes.is_empty() {
        note_shown(app, actor, patients.as_deref())?;
    }
    Ok(news)
}

/// Notes that the news of these patients, or of all, were shown.
pub(super) fn note_shown(app: &App, actor: &Actor, patients: Option<&[i64]>) -> Result<(), Error> {
    let Some(patients) = patients else {
        // What shows the data of many belongs to the log of each.
        app.store
            .note_access(Entry::new(actor, "reading.list_all"))?;
        return Ok(());
    };
    for id in patients {
        app.store
            .note_access(Entry::new(actor, "change.list").of_patient(*id))?;
    }
    Ok(())
}
