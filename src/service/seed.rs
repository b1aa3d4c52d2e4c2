//! Well-known log-ins for tests of the phone app: two patients and an admin whose passwords are
//! printed in public.
//!
//! This is the only place that goes around the rules for passwords, so it only works on a node
//! that holds nobody yet, which is checked in the transaction that inserts them, and it leaves a
//! mark in the audit log. Must never be reachable from the network.

use thiserror::Error;

use super::{App, Error};
use crate::auth::Secret;
use crate::auth::password::{PasswordHash, PasswordHasher};
use crate::domain::account::{Email, Username};
use crate::domain::actor::{Actor, Role, Who};
use crate::domain::audit::{Entry, Object};
use crate::domain::patient::{Dni, NewPatient};
use crate::domain::text::Invalid;
use crate::store::{Lane, Read, StoreError, WriteTx, patients, queue, staff};

/// DNI, password, name, surname and hospital account of the patients.
const PATIENTS: [[&str; 5]; 2] = [
    ["40123456", "thepassword", "Test", "User", "test_account_1"],
    [
        "40123457",
        "thepassword2",
        "Second",
        "Tester",
        "test_account_2",
    ],
];
const ADMIN: &str = "admin";
const ADMIN_PASSWORD: &str = "admin";
const QUEUE_SIZE: i64 = 5;

/// Why the well-known log-ins were not loaded. Nothing was changed.
#[derive(Debug, Error)]
pub enum SeedError {
    /// Somebody is registered already.
    #[error(
        "well-known log-ins are for an empty node only, and this one has {0}: use a new data directory"
    )]
    NotEmpty(&'static str),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<StoreError> for SeedError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Invalid> for SeedError {
    fn from(error: Invalid) -> Self {
        Self::Failed(Error::Internal(error.to_string()))
    }
}

/// What was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// Whether the admin was: a founder of the same name keeps their own password.
    pub admin: bool,
}

/// Loads the two patients, the admin and the size of the queue. A founding admin may be there.
///
/// # Errors
/// [`SeedError::NotEmpty`], and when the actor is not the operator at the machine.
pub async fn load(app: &App, actor: &Actor) -> Result<Seeded, SeedError> {
    if actor.who != Who::Operator {
        return Err(Error::Forbidden.into());
    }
    app.store.read(|tx| refuse_people(tx)).await?;
    let mut people = Vec::with_capacity(PATIENTS.len());
    for [dni, password, name, surname, account] in PATIENTS {
        let patient = NewPatient {
            dni: Dni::parse(dni)?,
            name: name.into(),
            surname: surname.into(),
            email: Email::parse(&format!("test{dni}@diabetactic.com"))?,
            tidepool: None,
            hospital_account: account.into(),
            blocked: false,
            former_times_measured: 0,
            former_max_streak: 0,
        };
        people.push((patient, hash(app, password).await?));
    }
    let admin = (
        Username::parse(ADMIN)?,
        Email::parse("admin@example.com")?,
        hash(app, ADMIN_PASSWORD).await?,
    );
    let actor = actor.clone();
    app.store
        .write(Lane::Interactive, move |tx| {
            refuse_people(tx)?;
            let seeded = insert(tx, &people, &admin)?;
            let entry = Entry::new(&actor, "node.seed").on(Object::Node, 0);
            let entry = entry.detail("well-known log-ins were loaded: not for real patients");
            Ok(tx.audit(&entry)?.with(seeded))
        })
        .await
}

async fn hash(app: &App, password: &str) -> Result<String, Error> {
    let password = Secret::new(password.to_owned());
    Ok(app.hasher.hash(&password).await?.to_stored())
}

fn refuse_people(tx: &impl Read) -> Result<(), SeedError> {
    if !patients::list(tx, 0, 1)?.is_empty() {
        return Err(SeedError::NotEmpty("patients"));
    }
    if staff::list(tx, 0, 2)?.len() > 1 {
        return Err(SeedError::NotEmpty("staff besides its founder"));
    }
    Ok(())
}

fn insert(
    tx: &mut WriteTx<'_>,
    people: &[(NewPatient, String)],
    (username, email, hash): &(Username, Email, String),
) -> Result<Seeded, SeedError> {
    for (patient, hash) in people {
        patients::insert(tx, patient, hash)?;
    }
    queue::set_size(tx, QUEUE_SIZE)?;
    let admin = !staff::taken(tx, username.as_str(), None)?;
    if admin {
        if staff::taken(tx, email.as_str(), None)? {
            return Err(Error::Taken("email").into());
        }
        staff::insert(tx, username, email, hash, Role::Admin)?;
    }
    Ok(Seeded { admin })
}

/// A stored account with a well-known name.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// `patient` or `staff`, and the name.
    pub name: String,
    password: &'static str,
    hash: Option<PasswordHash>,
}

/// Accounts that may have a well-known password: finding out costs a hash each, see
/// [`still_work`].
///
/// # Errors
/// When the disk fails.
pub fn candidates(tx: &impl Read) -> Result<Vec<Candidate>, StoreError> {
    let mut found = Vec::new();
    for [dni, password, ..] in PATIENTS {
        let login = patients::login(tx, dni)?.filter(|login| !login.blocked);
        found.extend(login.map(|login| Candidate {
            name: format!("patient {dni}"),
            password,
            hash: PasswordHash::parse(&login.password_hash).ok(),
        }));
    }
    let admin = staff::by_name(tx, ADMIN)?.filter(|admin| !admin.blocked);
    found.extend(admin.map(|admin| Candidate {
        name: format!("staff {ADMIN}"),
        password: ADMIN_PASSWORD,
        hash: PasswordHash::parse(&admin.password_hash).ok(),
    }));
    Ok(found)
}

/// The names of those that anybody can log in as.
///
/// # Errors
/// When the hasher has no thread free.
pub async fn still_work(
    hasher: &PasswordHasher,
    candidates: Vec<Candidate>,
) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for candidate in candidates {
        let password = Secret::new(candidate.password.to_owned());
        if hasher.verify(password, candidate.hash).await? {
            names.push(candidate.name);
        }
    }
    Ok(names)
}
