//! Many readings of the past at once: from another system, a file, or another node.
//!
//! Goes through the bulk lane, so that nobody who records a reading now waits for it.

use std::collections::BTreeMap;

use super::NO_PATIENT;
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::domain::glucose::{NewReading, PastReading};
use crate::domain::text::Invalid;
use crate::limits;
use crate::service::{App, Error, policy};
use crate::store::{Audited, Lane, Read, WriteTx, patients, readings};

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Readings that were stored.
    pub new: usize,
    /// Readings that were there already.
    pub repeated: usize,
}

/// Stores readings of one patient in one transaction with one audit entry. One that is stored with
/// the same time, value, type, source and notes is left out, so a batch can be sent again.
///
/// # Errors
/// When the actor is not staff, there is no such patient, the batch has more than
/// [`limits::IMPORT_READINGS_MAX`] readings, or one was recorded in the future; nothing is stored
/// then. [`Error::Busy`] when too many batches wait.
pub async fn import_batch(
    app: &App,
    actor: &Actor,
    patient_id: i64,
    batch: Vec<PastReading>,
) -> Result<Imported, Error> {
    policy::staff(app, actor, "reading.import")?;
    if batch.len() > limits::IMPORT_READINGS_MAX {
        let most = limits::IMPORT_READINGS_MAX;
        let reason = Invalid::new(
            format!("must be at most {most}: send several batches"),
            format!("pueden ser como máximo {most}: envíe varias partes"),
        );
        return Err(Error::invalid("readings")(reason));
    }
    let refusal = Entry::new(actor, "reading.import").of_patient(patient_id);
    let actor = actor.clone();
    app.write_in(Lane::Bulk, refusal, move |tx| {
        store(tx, &actor, patient_id, batch)
    })
    .await
}

fn store(
    tx: &mut WriteTx<'_>,
    actor: &Actor,
    patient_id: i64,
    batch: Vec<PastReading>,
) -> Result<Audited<Imported>, Error> {
    if !patients::exists(tx, patient_id)? {
        return Err(NO_PATIENT);
    }
    let standing = patients::resolve(tx, patient_id)?;
    let sent = batch.len();
    let mut days: BTreeMap<i64, i64> = BTreeMap::new();
    for past in batch {
        if past.recorded_at > tx.now() {
            return Err(Error::invalid("recorded_at")(Invalid::new(
                "must not be in the future",
                "no puede estar en el futuro",
            )));
        }
        let (measured_at, recorded_at) = (past.measured_at, past.recorded_at);
        let new = NewReading {
            patient_id: standing,
            glucose: past.glucose,
            reading_type: past.reading_type,
            source: past.source,
            measured_at: Some(measured_at),
            notes: past.notes,
        };
        if !readings::is_first(tx, standing, measured_at)?
            && (readings::find_same(tx, &new, measured_at)?.is_some()
                || readings::find_corrected(tx, &new, measured_at)?.is_some())
        {
            continue;
        }
        readings::insert_recorded(tx, &new, measured_at, recorded_at)?;
        *days.entry(recorded_at.day_number()).or_default() += 1;
    }
    let new = usize::try_from(days.values().sum::<i64>()).unwrap_or(sent);
    let imported = Imported {
        new,
        repeated: sent - new,
    };
    if new > 0 {
        patients::count_past_readings(tx, standing, &days)?;
    }
    let entry = Entry::new(actor, "reading.import").of_patient(patient_id);
    let detail = format!("{new} new, {} repeated", imported.repeated);
    Ok(tx.audit(&entry.detail(detail))?.with(imported))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::Secret;
    use crate::clock::ManualClock;
    use crate::domain::account::Email;
    use crate::domain::actor::Who;
    use crate::domain::glucose::{Glucose, ReadingType, Source};
    use crate::domain::patient::{Dni, NewPatient};
    use crate::domain::time::Timestamp;
    use crate::service::testing;

    const NOW: Timestamp = Timestamp(1_772_755_449_000);
    const DAY_MS: i64 = 24 * 3600 * 1000;

    async fn node() -> (App, tempfile::TempDir, i64) {
        let (app, dir) = testing::app(Arc::new(ManualClock::at(NOW)));
        let new = NewPatient {
            dni: Dni::parse("30111222").unwrap(),
            name: "Ana".into(),
            surname: "Paz".into(),
            email: Email::parse("ana@example.org").unwrap(),
            tidepool: None,
            hospital_account: "HC-1".into(),
            blocked: false,
            former_times_measured: 5,
            former_max_streak: 1,
        };
        let password = Secret::new("una clave larga".into());
        let operator = Actor::operator();
        let made = crate::service::patients::register(&app, &operator, new, password, None).await;
        (app, dir, made.unwrap().id)
    }

    /// Four readings, recorded `days_ago` before now.
    fn full_day(days_ago: i64) -> Vec<PastReading> {
        (0..4)
            .map(|number| {
                let at = Timestamp(NOW.0 - days_ago * DAY_MS - number * 60_000);
                PastReading {
                    glucose: Glucose::from_mg_dl(100.0 + number as f64).unwrap(),
                    reading_type: ReadingType::Otro,
                    source: Source::Import,
                    measured_at: at,
                    recorded_at: at,
                    notes: None,
                }
            })
            .collect()
    }

    async fn import(app: &App, id: i64, batch: Vec<PastReading>) -> Result<Imported, Error> {
        import_batch(app, &Actor::operator(), id, batch).await
    }

    #[tokio::test]
    async fn days_may_come_in_any_order_and_twice() {
        let (app, _dir, id) = node().await;
        for days_ago in [2, 0, 3, 1, 7] {
            let imported = import(&app, id, full_day(days_ago)).await.unwrap();
            assert_eq!(
                imported,
                Imported {
                    new: 4,
                    repeated: 0
                }
            );
        }
        let mut again = full_day(1);
        again.push(full_day(20).remove(0));
        let imported = import(&app, id, again).await.unwrap();
        assert_eq!(
            imported,
            Imported {
                new: 1,
                repeated: 4
            }
        );
        let counters = app.store.read(move |tx| patients::counters(tx, id)).await;
        let counters = counters.map_err(Error::from).unwrap();
        assert_eq!((counters.times_measured, counters.max_streak), (26, 4));
        assert_eq!(counters.streak_on(NOW.day()), 4);
    }

    #[tokio::test]
    async fn what_cannot_be_imported_leaves_nothing() {
        let (app, _dir, id) = node().await;
        let mut late = full_day(0);
        late[3].recorded_at = Timestamp(NOW.0 + 1);
        let many = (0..=limits::IMPORT_READINGS_MAX / 4)
            .flat_map(|_| full_day(0))
            .collect();
        for batch in [late, many] {
            let refused = import(&app, id, batch).await;
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
        }
        let nobody = import(&app, id + 1, full_day(0)).await;
        assert!(matches!(nobody, Err(Error::NotFound(_))), "{nobody:?}");
        // A patient could make up a streak.
        let patient = Actor::operator().becomes(Who::Patient(id), None);
        let own = import_batch(&app, &patient, id, full_day(0)).await;
        assert!(matches!(own, Err(Error::Forbidden)), "{own:?}");
        let stored = app.store.read(|tx| readings::newest_of_all(tx, 10)).await;
        assert_eq!(stored.map_err(Error::from).unwrap(), []);
    }
}
