//! Patients and the counters that the app shows.

use std::collections::BTreeMap;

use islet_sync::op::Value;
use jiff::civil::Date;
use rusqlite::{Row, params};

use super::entity::PATIENT;
use super::tx::{Read, all, one, prepared};
use super::{StoreError, WriteTx, twins};
use crate::domain::patient::{Dni, NewPatient, Patient, PatientPatch};
use crate::domain::streak::{Counters, READINGS_A_DAY};
use crate::domain::time::{Timestamp, day_of, number_of};
use crate::limits;

const SELECT: &str =
    "SELECT p.id, p.dni, p.name, p.surname, p.email, p.tidepool, p.hospital_account,
    p.blocked, c.times_measured, c.streak, c.max_streak, c.streak_last_day
    FROM patient p JOIN patient_counter c ON c.patient_id = p.id";

/// What a log-in needs to know.
#[derive(Clone, Debug)]
pub struct PatientLogin {
    /// Row id.
    pub id: i64,
    /// Log-in name.
    pub dni: String,
    /// Given name.
    pub name: String,
    /// Family name.
    pub surname: String,
    /// Where recovery mails go.
    pub email: String,
    /// Whether the account may not be used.
    pub blocked: bool,
    /// As [`crate::auth::password::PasswordHash`] stores it.
    pub password_hash: String,
    /// Whether the owner must choose another password first.
    pub password_reset_required: bool,
}

impl PatientLogin {
    /// What a password must not tell.
    #[must_use]
    pub fn names(&self) -> [&str; 4] {
        [&self.dni, &self.email, &self.name, &self.surname]
    }
}

/// Inserts a patient and their counters.
///
/// # Errors
/// When a unique field is taken (look first with [`taken`]) or the disk fails.
pub fn insert(
    tx: &mut WriteTx<'_>,
    new: &NewPatient,
    password_hash: &str,
) -> Result<i64, StoreError> {
    let now = tx.now();
    let id = tx.insert(
        &PATIENT,
        &[
            new.dni.as_str().into(),
            (&new.name).into(),
            (&new.surname).into(),
            new.email.as_str().into(),
            new.tidepool.as_deref().into(),
            (&new.hospital_account).into(),
            new.blocked.into(),
            password_hash.into(),
            false.into(),
            new.former_times_measured.into(),
            new.former_max_streak.into(),
            now.0.into(),
            now.0.into(),
            0_i64.into(),
        ],
    )?;
    let counters = Counters {
        times_measured: new.former_times_measured,
        max_streak: new.former_max_streak,
        ..Counters::default()
    };
    save_counters(tx, id, &counters)?;
    Ok(id)
}

/// Sets what `patch` names.
///
/// # Errors
/// When a unique field is taken or the disk fails.
pub fn update(tx: &mut WriteTx<'_>, id: i64, patch: &PatientPatch) -> Result<(), StoreError> {
    let id = resolve(tx, id)?;
    let mut values: Vec<(&'static str, Value<'_>)> = Vec::new();
    if let Some(name) = &patch.name {
        values.push(("name", name.into()));
    }
    if let Some(surname) = &patch.surname {
        values.push(("surname", surname.into()));
    }
    if let Some(email) = &patch.email {
        values.push(("email", email.as_str().into()));
    }
    if let Some(tidepool) = &patch.tidepool {
        values.push(("tidepool", tidepool.as_deref().into()));
    }
    if let Some(account) = &patch.hospital_account {
        values.push(("hospital_account", account.into()));
    }
    if let Some(blocked) = patch.blocked {
        tx.end_sessions();
        values.push(("blocked", blocked.into()));
    }
    if values.is_empty() {
        return Ok(());
    }
    values.push(("updated_at", tx.now().0.into()));
    tx.update(&PATIENT, id, &values)
}

/// Stores a new password hash.
///
/// # Errors
/// When the disk fails.
pub fn set_password(
    tx: &mut WriteTx<'_>,
    id: i64,
    hash: &str,
    reset_required: bool,
) -> Result<(), StoreError> {
    let id = resolve(tx, id)?;
    tx.end_sessions();
    let now = tx.now();
    tx.update(
        &PATIENT,
        id,
        &[
            ("password_hash", hash.into()),
            ("password_reset_required", reset_required.into()),
            ("updated_at", now.0.into()),
        ],
    )
}

/// The id that stands for a person: of one who was registered on two nodes that were cut off from each
/// other, the smaller of both.
///
/// # Errors
/// When the disk fails.
pub fn resolve(tx: &impl Read, id: i64) -> Result<i64, StoreError> {
    twins::patient(tx, id)
}

/// One patient.
///
/// # Errors
/// When the disk fails.
pub fn by_id(tx: &impl Read, id: i64) -> Result<Option<Patient>, StoreError> {
    let id = resolve(tx, id)?;
    let today = tx.now().day();
    one(tx, &format!("{SELECT} WHERE p.id = ?"), [id], |row| {
        from_row(row, today)
    })
}

/// One patient by DNI.
///
/// # Errors
/// When the disk fails.
pub fn by_dni(tx: &impl Read, dni: &str) -> Result<Option<Patient>, StoreError> {
    let today = tx.now().day();
    one(
        tx,
        &format!("{SELECT} WHERE p.dni = ? ORDER BY p.id LIMIT 1"),
        [Dni::canonical(dni)],
        |row| from_row(row, today),
    )
}

/// Whether there is such a patient.
///
/// # Errors
/// When the disk fails.
pub fn exists(tx: &impl Read, id: i64) -> Result<bool, StoreError> {
    Ok(one(tx, "SELECT 1 FROM patient WHERE id = ?", [id], |_| Ok(()))?.is_some())
}

/// Patients in the order of their ids, after `after`.
///
/// # Errors
/// When the disk fails.
pub fn list(tx: &impl Read, after: i64, limit: u32) -> Result<Vec<Patient>, StoreError> {
    let today = tx.now().day();
    let sql = format!(
        "{SELECT} WHERE p.id > ? AND NOT EXISTS (SELECT 1 FROM patient_link WHERE alias = p.id)
         ORDER BY p.id LIMIT ?"
    );
    all(tx, &sql, params![after, limit], |row| from_row(row, today))
}

/// The ids of up to `limit` patients after `after` that `finds` chooses by DNI, name and surname, in order. Reads at most
/// [`limits::SEARCHED_PATIENTS_MAX`].
///
/// # Errors
/// When the disk fails.
pub fn search(
    tx: &impl Read,
    after: i64,
    limit: u32,
    finds: impl Fn(&str, &str, &str) -> bool,
) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT id, dni, name, surname FROM patient WHERE id > ?
               AND NOT EXISTS (SELECT 1 FROM patient_link WHERE alias = patient.id) ORDER BY id LIMIT ?";
    let mut statement = prepared(tx, sql)?;
    let mut rows = statement.query(params![after, limits::SEARCHED_PATIENTS_MAX])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| {
            row.get_ref(column)
                .map(|value| value.as_str().unwrap_or_default())
        };
        if finds(text(1)?, text(2)?, text(3)?) {
            found.push(row.get(0)?);
            if found.len() >= limit as usize {
                break;
            }
        }
    }
    Ok(found)
}

/// What a log-in with `name` (a DNI, or an e-mail address) needs to know.
///
/// # Errors
/// When the disk fails.
pub fn login(tx: &impl Read, name: &str) -> Result<Option<PatientLogin>, StoreError> {
    if name.contains('@') {
        return login_where(tx, "email", name);
    }
    login_where(tx, "dni", Dni::canonical(name))
}

/// The same by row id.
///
/// # Errors
/// When the disk fails.
pub fn login_by_id(tx: &impl Read, id: i64) -> Result<Option<PatientLogin>, StoreError> {
    let id = resolve(tx, id)?;
    login_where(tx, "id", id)
}

fn login_where(
    tx: &impl Read,
    column: &str,
    value: impl rusqlite::ToSql,
) -> Result<Option<PatientLogin>, StoreError> {
    let sql = format!(
        "SELECT id, dni, email, blocked, password_hash, password_reset_required, name, surname
         FROM patient WHERE {column} = ? ORDER BY id LIMIT 1"
    );
    let found = one(tx, &sql, [value], |row| {
        Ok(PatientLogin {
            id: row.get(0)?,
            dni: row.get(1)?,
            email: row.get(2)?,
            blocked: row.get(3)?,
            password_hash: row.get(4)?,
            password_reset_required: row.get(5)?,
            name: row.get(6)?,
            surname: row.get(7)?,
        })
    })?;
    // Whoever was registered twice may use either e-mail address with its password, and is one patient.
    found
        .map(|login: PatientLogin| {
            Ok(PatientLogin {
                id: resolve(tx, login.id)?,
                ..login
            })
        })
        .transpose()
}

/// A field that must be unique, to be asked for with [`taken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// The DNI.
    Dni,
    /// The e-mail address, without regard to case.
    Email,
    /// The hospital account.
    HospitalAccount,
}

/// Whether another patient than `except` has this value.
///
/// # Errors
/// When the disk fails.
pub fn taken(
    tx: &impl Read,
    field: Unique,
    value: &str,
    except: Option<i64>,
) -> Result<bool, StoreError> {
    let column = match field {
        Unique::Dni => "dni",
        Unique::Email => "email",
        Unique::HospitalAccount => "hospital_account",
    };
    let sql = format!("SELECT 1 FROM patient WHERE {column} = ? AND id IS NOT ?");
    Ok(one(tx, &sql, params![value, except], |_| Ok(()))?.is_some())
}

/// The stored counters of a patient.
///
/// # Errors
/// When the disk fails or there is no such patient.
pub fn counters(tx: &impl Read, id: i64) -> Result<Counters, StoreError> {
    let id = resolve(tx, id)?;
    let sql = "SELECT times_measured, streak, max_streak, streak_last_day FROM patient_counter
               WHERE patient_id = ?";
    let found = one(tx, sql, [id], |row| counters_from_row(row, 0))?;
    found.ok_or_else(|| StoreError::Damaged(format!("patient {id} has no counters")))
}

/// Readings recorded on `day`.
///
/// # Errors
/// When the disk fails.
pub fn readings_on(tx: &impl Read, id: i64, day: Date) -> Result<i64, StoreError> {
    let id = resolve(tx, id)?;
    let sql = "SELECT readings FROM patient_day WHERE patient_id = ? AND day_number = ?";
    Ok(one(tx, sql, [id, number_of(day)], |row| row.get(0))?.unwrap_or(0))
}

/// Counts a new reading of a patient whose id [`resolve`] has answered with.
///
/// # Errors
/// When the disk fails.
pub fn count_reading(tx: &mut WriteTx<'_>, id: i64, day: Date) -> Result<(), StoreError> {
    count_past_readings(tx, id, &BTreeMap::from([(number_of(day), 1)]))
}

/// Counts readings that were recorded on days of these numbers, which may be any days of the past; less than 0
/// takes back.
///
/// # Errors
/// When the disk fails.
pub fn count_past_readings(
    tx: &mut WriteTx<'_>,
    id: i64,
    days: &BTreeMap<i64, i64>,
) -> Result<(), StoreError> {
    let (mut full, mut no_longer_full) = (Vec::new(), false);
    for (day, readings) in days {
        let before = count_on(tx, id, *day, *readings)?;
        let after = before + readings;
        if before < READINGS_A_DAY && after >= READINGS_A_DAY {
            full.push(day_of(*day));
        }
        no_longer_full |= before >= READINGS_A_DAY && after < READINGS_A_DAY;
    }
    let new = days.values().sum::<i64>();
    if full.is_empty() && !no_longer_full {
        // Days that neither become full nor cease to be move no streak.
        let sql =
            "UPDATE patient_counter SET times_measured = times_measured + ? WHERE patient_id = ?";
        tx.local(sql, [new, id])?;
        return Ok(());
    }
    let mut counters = counters(tx, id)?;
    counters.times_measured += new;
    let follow = match (counters.last_day, full.first()) {
        (Some(last), Some(first)) => last < *first,
        _ => true,
    };
    if follow && !no_longer_full {
        full.into_iter().for_each(|day| counters.count_day(day));
    } else {
        // They lie before or between those that are there, or one of these is none any more.
        counters = rebuild(tx, id, counters.times_measured)?;
    }
    save_counters(tx, id, &counters)
}

/// Counts readings of one day, or takes some back. Answers with how many there were.
///
/// Not one statement: an upsert has a journal of its own, which takes longer the more its transaction has changed.
fn count_on(tx: &WriteTx<'_>, id: i64, day: i64, readings: i64) -> Result<i64, StoreError> {
    let sql = "SELECT readings FROM patient_day WHERE day_number = ? AND patient_id = ?";
    let before: Option<i64> = one(tx, sql, [day, id], |row| row.get(0))?;
    let after = before.unwrap_or(0) + readings;
    match before {
        // A day on which nothing counts any more is no day, so that all nodes have the same.
        Some(_) if after <= 0 => {
            let sql = "DELETE FROM patient_day WHERE day_number = ? AND patient_id = ?";
            tx.local(sql, [day, id])?;
        }
        None if after <= 0 => {}
        Some(_) => {
            let sql =
                "UPDATE patient_day SET readings = ?3 WHERE day_number = ?1 AND patient_id = ?2";
            tx.local(sql, [day, id, after])?;
        }
        None => {
            let sql =
                "INSERT INTO patient_day (day_number, patient_id, readings) VALUES (?1, ?2, ?3)";
            tx.local(sql, [day, id, after])?;
        }
    }
    Ok(before.unwrap_or(0))
}

/// Counts everything again from the readings, when rows of two patients became one's.
pub(super) fn recount(tx: &WriteTx<'_>, id: i64) -> Result<(), StoreError> {
    twins::forget_days(tx, id)?;
    let sql = "SELECT recorded_at FROM reading WHERE patient_id = ? AND status = 1";
    let recorded: Vec<i64> = all(tx, sql, [id], |row| row.get(0))?;
    let mut days: BTreeMap<i64, i64> = BTreeMap::new();
    for at in recorded {
        *days.entry(Timestamp(at).day_number()).or_default() += 1;
    }
    let sql = "INSERT INTO patient_day (patient_id, day_number, readings) VALUES (?, ?, ?)";
    for (day, readings) in &days {
        tx.local(sql, [id, *day, *readings])?;
    }
    let sql = "SELECT former_times_measured FROM patient WHERE id = ?";
    let former: i64 = one(tx, sql, [id], |row| row.get(0))?.unwrap_or(0);
    let counters = rebuild(tx, id, former + days.values().sum::<i64>())?;
    save_counters(tx, id, &counters)
}

/// Counts the streaks again from the days.
fn rebuild(tx: &impl Read, id: i64, times_measured: i64) -> Result<Counters, StoreError> {
    let sql = "SELECT former_max_streak FROM patient WHERE id = ?";
    let former_max = one(tx, sql, [id], |row| row.get(0))?.unwrap_or(0);
    // As in the index.
    const { assert!(READINGS_A_DAY == 4) };
    let sql = "SELECT day_number FROM patient_day WHERE patient_id = ? AND readings >= 4 ORDER BY day_number";
    let days: Vec<i64> = all(tx, sql, [id], |row| row.get(0))?;
    Ok(Counters::rebuild(
        times_measured,
        former_max,
        days.into_iter().map(day_of),
    ))
}

fn save_counters(tx: &WriteTx<'_>, id: i64, counters: &Counters) -> Result<(), StoreError> {
    let sql = "INSERT INTO patient_counter (patient_id, times_measured, streak, max_streak, streak_last_day)
               VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET times_measured = ?2, streak = ?3,
               max_streak = ?4, streak_last_day = ?5";
    let last_day = counters.last_day.map(|day| day.to_string());
    tx.local(
        sql,
        params![
            id,
            counters.times_measured,
            counters.streak,
            counters.max_streak,
            last_day
        ],
    )?;
    Ok(())
}

fn counters_from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Counters> {
    let last_day: Option<String> = row.get(first + 3)?;
    Ok(Counters {
        times_measured: row.get(first)?,
        streak: row.get(first + 1)?,
        max_streak: row.get(first + 2)?,
        last_day: last_day.and_then(|day| day.parse().ok()),
    })
}

fn from_row(row: &Row<'_>, today: Date) -> rusqlite::Result<Patient> {
    let counters = counters_from_row(row, 8)?;
    Ok(Patient {
        id: row.get(0)?,
        dni: row.get(1)?,
        name: row.get(2)?,
        surname: row.get(3)?,
        email: row.get(4)?,
        tidepool: row.get(5)?,
        hospital_account: row.get(6)?,
        blocked: row.get(7)?,
        times_measured: counters.times_measured,
        streak: counters.streak_on(today),
        max_streak: counters.max_streak,
    })
}
