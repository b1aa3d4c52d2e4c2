//! Making a node: everything or nothing.
//!
//! All of it is built in `.init` inside the data directory and then moved to its place, the
//! database last: a directory is a node exactly when it holds the database. A run that was cut
//! off leaves `.init` behind, by which the next run knows that the rest is its own to replace.
//! Must never touch a directory that holds a node, or files that it did not make.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use islet_sync::chain::ReplicaId;

use super::data_dir::{AUDIT_KEY, CONFIG_FILE, KEYS, NODE_KEY, TLS, TOKEN_KEY, make_node_key};
use super::progress::Progress;
use super::{DataDir, Failure, files, node};
use crate::auth::token::TokenKeys;
use crate::auth::{Random, Secret, SystemRandom};
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::config::Config;
use crate::demo;
use crate::domain::account::{Email, Username};
use crate::domain::actor::{Actor, Role};
use crate::domain::time::Timestamp;
use crate::http::tls::CertificateAuthority;
use crate::service::mail::Mailer;
use crate::service::{self, App};
use crate::store::{DATABASE_FILE, DirLock, LEASE_FILE, NewReplica, Store, StoreError};

/// Where a node is built.
const STAGE: &str = ".init";
/// Where the keys of a node that joins lie until it is there ([`keys_to_join`]).
const JOINING: &str = ".join";
/// What may lie in a directory that becomes a node: the operator's own configuration, our lock,
/// and what a file system puts into its root.
const HARMLESS: [&str; 5] = [CONFIG_FILE, "lock", "lost+found", STAGE, JOINING];

/// What a new node is told about itself.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Name of the clinic.
    pub clinic: String,
    /// Names and addresses beyond the LAN's own that its certificates may name.
    pub hosts: Vec<String>,
}

/// Who can log in at first.
#[derive(Clone, Debug)]
pub enum First {
    /// The founder, an admin.
    Admin {
        /// Log-in name.
        username: Username,
        /// Where recovery mails go.
        email: Email,
        /// Checked against the rules for staff.
        password: Secret,
    },
    /// The well-known log-ins of [`service::seed`], for tests.
    WellKnown,
    /// The invented clinic of [`demo`].
    Demo(demo::Plan),
}

/// Makes the node and answers with the fingerprint of its certificate authority.
///
/// # Errors
/// When the directory holds a node or anything else, or something cannot be made; nothing is left
/// behind that would keep a second attempt from succeeding.
pub fn create(data: &DataDir, new: &NewNode, first: First) -> Result<String, Failure> {
    prepare(data, |stage| {
        let created_at = match &first {
            First::Demo(plan) => plan.founded(),
            _ => SystemClock.now(),
        };
        let fingerprint = build(data, stage, new, created_at)?;
        node::block_on(fill(stage, first))?;
        Ok(fingerprint)
    })
}

/// Makes a node: `build` puts everything into the stage that it is handed.
///
/// # Errors
/// As [`create`].
pub(super) fn prepare<T>(
    data: &DataDir,
    build: impl FnOnce(&DataDir) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let existed = data.path().exists();
    refuse_occupied(data)?;
    let dir = data.path();
    files::private_dir(dir).map_err(|error| Failure::io("make", dir, &error))?;
    let result = DirLock::take(dir)
        .map_err(Failure::from)
        .and_then(|_lock| build_and_publish(data, build));
    if result.is_err() {
        let _ = fs::remove_dir_all(data.join(STAGE));
        if !existed {
            let _ = fs::remove_file(data.join("lock"));
            let _ = fs::remove_dir(dir);
        }
    }
    result
}

/// Whether a node can be made here.
///
/// # Errors
/// When the directory holds a node or anything else.
pub fn refuse_occupied(data: &DataDir) -> Result<(), Failure> {
    if data.holds_node() {
        return Err(StoreError::Exists(data.path().to_owned()).into());
    }
    let dir = data.path();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| Failure::io("list", dir, &error))?,
    };
    // Keys and certificates next to a stage are of a run that was cut off.
    let cut_off = data.join(STAGE).exists();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::io("list", dir, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = cut_off && [KEYS, TLS, LEASE_FILE].contains(&name.as_str());
        if !ours && !HARMLESS.contains(&name.as_str()) {
            return Err(Failure::new(format!(
                "{} is not empty (it holds {name}): choose an empty or new directory",
                dir.display()
            )));
        }
    }
    Ok(())
}

fn build_and_publish<T>(
    data: &DataDir,
    build: impl FnOnce(&DataDir) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // Looked at again now that nobody else can be at it.
    refuse_occupied(data)?;
    clear(data).map_err(|error| Failure::io("clear", data.path(), &error))?;
    let stage = DataDir::new(data.join(STAGE));
    let built = build(&stage)?;
    publish(data, &stage).map_err(|error| Failure::io("fill", data.path(), &error))?;
    // The keys are in their place.
    forget_joining(data);
    Ok(built)
}

/// Removes what a run that was cut off has left.
fn clear(data: &DataDir) -> io::Result<()> {
    if !data.join(STAGE).exists() {
        return Ok(());
    }
    for name in [KEYS, TLS] {
        match fs::remove_dir_all(data.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_file(data.join(LEASE_FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_dir_all(data.join(STAGE))
}

/// Keys, certificate authority, configuration and an empty database.
fn build(
    data: &DataDir,
    stage: &DataDir,
    new: &NewNode,
    created_at: Timestamp,
) -> Result<String, Failure> {
    let audit_key = keys(stage)?;
    let node_id = stage.identity()?.node_id();
    token_key(&stage.join(KEYS), &node_id)?;
    let authority = CertificateAuthority::create(&stage.join(TLS), &new.hosts, SystemTime::now());
    let authority = authority.map_err(|error| Failure::new(error.to_string()))?;
    if !data.join(CONFIG_FILE).exists() {
        let text = Config::new_file(&new.clinic, &new.hosts);
        files::write_private(stage.path(), CONFIG_FILE, text.as_bytes())
            .map_err(writing(stage.path()))?;
    }
    let (mut replica_id, mut network) = ([0; 16], [0; 16]);
    for bytes in [&mut replica_id, &mut network] {
        SystemRandom
            .fill(bytes)
            .map_err(|error| Failure::new(error.to_string()))?;
    }
    let replica = NewReplica {
        number: 0,
        replica_id: ReplicaId(replica_id),
        network,
        node_id,
        clinic: new.clinic.clone(),
        created_at,
    };
    Store::create(stage.path(), &replica, &audit_key)?;
    Ok(authority.fingerprint())
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::io("write", path, &error)
}

/// The directory of the keys, with those of the audit log, which comes back, and of the node.
pub(super) fn keys(stage: &DataDir) -> Result<zeroize::Zeroizing<[u8; 32]>, Failure> {
    let keys = stage.join(KEYS);
    files::private_dir(stage.path()).map_err(writing(stage.path()))?;
    files::private_dir(&keys).map_err(writing(&keys))?;
    let audit_key = audit_key(&keys)?;
    make_node_key(&keys)?;
    Ok(audit_key)
}

fn audit_key(keys: &Path) -> Result<zeroize::Zeroizing<[u8; 32]>, Failure> {
    let mut audit_key = zeroize::Zeroizing::new([0; 32]);
    let filled = SystemRandom.fill(audit_key.as_mut());
    filled.map_err(|error| Failure::new(error.to_string()))?;
    files::write_private(keys, AUDIT_KEY, audit_key.as_ref()).map_err(writing(keys))?;
    Ok(audit_key)
}

/// The same for a node that joins. By the key of the node the others know it, and from their answer on it belongs to
/// them: so that key and the one for access tokens, which they are told, are kept beside the stage until
/// all is done, and a run after one that was cut off goes on as the same node.
pub(super) fn keys_to_join(
    data: &DataDir,
    stage: &DataDir,
) -> Result<zeroize::Zeroizing<[u8; 32]>, Failure> {
    let kept = DataDir::new(data.join(JOINING));
    let (kept_keys, stage_keys) = (kept.join(KEYS), stage.join(KEYS));
    for dir in [kept.path(), &kept_keys, stage.path(), &stage_keys] {
        files::private_dir(dir).map_err(writing(dir))?;
    }
    let node_id = kept.identity()?.node_id();
    if !kept_keys.join(TOKEN_KEY).exists() {
        token_key(&kept_keys, &node_id)?;
    }
    for name in [NODE_KEY, TOKEN_KEY] {
        let key = fs::read(kept_keys.join(name)).map(zeroize::Zeroizing::new);
        let key = key.map_err(|error| Failure::io("read", &kept_keys.join(name), &error))?;
        files::write_private(&stage_keys, name, &key).map_err(writing(&stage_keys))?;
    }
    audit_key(&stage_keys)
}

/// Whether the keys of a node that joins are kept here.
pub(super) fn is_joining(data: &DataDir) -> bool {
    data.join(JOINING).exists()
}

/// Forgets them: they are in their place, or no other node knows them.
pub(super) fn forget_joining(data: &DataDir) {
    if let Err(error) = fs::remove_dir_all(data.join(JOINING))
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, "the directory {JOINING} is of no more use and cannot be removed");
    }
}

/// The key that signs access tokens of the node `node_id`.
pub(super) fn token_key(keys: &Path, node_id: &str) -> Result<(), Failure> {
    let made = TokenKeys::generate(node_id);
    let (_, pkcs8) = made.map_err(|error| Failure::new(error.to_string()))?;
    files::write_private(keys, TOKEN_KEY, &pkcs8).map_err(writing(keys))
}

/// Puts the first people into the database and closes it.
async fn fill(stage: &DataDir, first: First) -> Result<(), Failure> {
    let config = Config::default();
    let manual = Arc::new(ManualClock::default());
    let clock: Arc<dyn Clock> = match &first {
        First::Demo(_) => Arc::clone(&manual) as Arc<dyn Clock>,
        _ => Arc::new(SystemClock),
    };
    let app = node::open_at(stage, &config, Mailer::default(), clock).await;
    let app = app.map_err(|error| error.into_failure(stage))?;
    let filled = put_first(&app, &manual, first).await;
    app.store.close();
    filled
}

async fn put_first(app: &App, clock: &ManualClock, first: First) -> Result<(), Failure> {
    let operator = Actor::operator();
    match first {
        First::Admin {
            username,
            email,
            password,
        } => {
            service::staff::register(app, &operator, username, email, password, Role::Admin, None)
                .await?;
        }
        First::WellKnown => {
            service::seed::load(app, &operator).await?;
        }
        First::Demo(plan) => {
            let progress = Progress::new();
            let show = |what: &str, share: f64| progress.show(what, share);
            demo::load(app, clock, &plan, &show).await?;
        }
    }
    Ok(())
}

/// Closing the store folds the write-ahead log into the database, and only warns when that fails.
/// What is still in the log, the founder even, would be lost with the stage.
fn refuse_unfolded(stage: &DataDir) -> io::Result<()> {
    let log = stage.join(&format!("{DATABASE_FILE}-wal"));
    match fs::metadata(&log) {
        Ok(found) if found.len() > 0 => Err(io::Error::other(
            "the disk did not take all of the new database: look at it and try again",
        )),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Moves everything to its place, the database last.
fn publish(data: &DataDir, stage: &DataDir) -> io::Result<()> {
    refuse_unfolded(stage)?;
    for name in [KEYS, TLS, CONFIG_FILE, LEASE_FILE] {
        let from = stage.join(name);
        if from.exists() {
            fs::rename(from, data.join(name))?;
        }
    }
    files::sync_dir(data.path())?;
    fs::rename(stage.join(DATABASE_FILE), data.join(DATABASE_FILE))?;
    files::sync_dir(data.path())?;
    // From here on there is a node; what is left of the stage is only untidy.
    let _ = fs::remove_dir_all(stage.path());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(log: &[u8]) -> (tempfile::TempDir, io::Result<()>) {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path().to_owned());
        let stage = DataDir::new(data.join(STAGE));
        fs::create_dir_all(stage.join(KEYS)).unwrap();
        fs::write(stage.join(DATABASE_FILE), "database").unwrap();
        fs::write(stage.join("islet.db-wal"), log).unwrap();
        let published = publish(&data, &stage);
        (dir, published)
    }

    #[test]
    fn a_database_whose_last_writes_are_in_its_log_is_not_published() {
        let (dir, published) = staged(b"the founder");
        assert!(published.unwrap_err().to_string().contains("try again"));
        let names = fs::read_dir(dir.path()).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [STAGE]);
    }

    #[test]
    fn an_empty_log_is_no_reason() {
        let (dir, published) = staged(b"");
        published.unwrap();
        assert!(dir.path().join(DATABASE_FILE).exists());
        assert!(!dir.path().join(STAGE).exists());
    }
}
