//! The use cases on a real store in a temporary directory.

mod appointments;
mod live;
mod of_whom;
mod passwords;
mod queue;
mod queue_race;
mod readings;
mod recovery;
mod refresh;
mod sessions;
mod standing;

use std::net::IpAddr;
use std::sync::OnceLock;

use super::*;
use crate::auth::Secret;
use crate::auth::password::{HasherLimits, PasswordHash};
use crate::auth::random::testing::SeededRandom;
use crate::clock::ManualClock;
use crate::domain::account::{Email, Username};
use crate::domain::actor::{Role, Who};
use crate::domain::patient::{Dni, NewPatient};
use crate::domain::time::Timestamp;
use crate::store::audit::{self, AuditFilter, AuditRow};
use crate::store::{Lane, Read, ReadTx, StoreError};

/// 2026-03-05 15:04:09 in Argentina.
const NOW: Timestamp = Timestamp(1_772_733_849_000);
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The password of every patient and member of staff.
const PASSWORD: &str = "mate cocido y facturas";

/// A node with its use cases, a clock that stands still, and a letter box.
struct Clinic {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    mails: std::sync::Mutex<tokio::sync::mpsc::Receiver<mail::Mail>>,
    _dir: tempfile::TempDir,
}

impl Clinic {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let (mut app, dir) = testing::app(clock.clone());
        let (mailer, mails) = tokio::sync::mpsc::channel(16);
        app.mailer = Mailer::new(mailer);
        app.random = Arc::new(SeededRandom::new(7));
        Self {
            app: Arc::new(app),
            clock,
            mails: mails.into(),
            _dir: dir,
        }
    }

    fn pass(&self, ms: i64) {
        self.clock.set(Timestamp(self.clock.now().0 + ms));
    }

    /// As if the node had been running for a minute longer: the throttle forgets.
    fn let_the_throttle_forget(&mut self) {
        let app = Arc::get_mut(&mut self.app).unwrap();
        app.started = app.started.checked_sub(Duration::from_secs(61)).unwrap();
    }

    /// Registers a patient with this number without the cost of a hash.
    async fn patient(&self, number: u32) -> Actor {
        let id = self
            .insert_patient(number, &password_hash().to_stored())
            .await;
        actor(Who::Patient(id))
    }

    async fn insert_patient(&self, number: u32, hash: &str) -> i64 {
        let (new, hash) = (new_patient(number), hash.to_owned());
        let write = self.app.store.write(Lane::Interactive, move |tx| {
            let id = crate::store::patients::insert(tx, &new, &hash)?;
            let entry = crate::domain::audit::Entry::new(&Actor::system(), "test.patient");
            Ok::<_, StoreError>(tx.audit(&entry)?.with(id))
        });
        write.await.unwrap()
    }

    /// Registers a member of staff without the cost of a hash.
    async fn staff(&self, username: &str, role: Role) -> Actor {
        let email = Email::parse(&format!("{username}@clinic.test")).unwrap();
        let username = Username::parse(username).unwrap();
        let hash = password_hash().to_stored();
        let write = self.app.store.write(Lane::Interactive, move |tx| {
            let id = crate::store::staff::insert(tx, &username, &email, &hash, role)?;
            let entry = crate::domain::audit::Entry::new(&Actor::system(), "test.staff");
            Ok::<_, StoreError>(tx.audit(&entry)?.with(id))
        });
        actor(Who::Staff(write.await.unwrap(), role))
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ReadTx<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> T {
        let read = self.app.store.read(move |tx| Ok::<_, StoreError>(job(tx)?));
        read.await.unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.read(move |tx| tx.connection().query_row(sql, [], |row| row.get(0)))
            .await
    }

    /// The audit entries of an action that are durable, newest first.
    async fn log(&self, action: &str) -> Vec<AuditRow> {
        let filter = AuditFilter {
            action: Some(action.to_owned()),
            limit: 1_000,
            ..AuditFilter::default()
        };
        self.log_page(filter).await
    }

    /// What somebody did, newest first.
    async fn log_by(&self, kind: &str, id: Option<i64>) -> Vec<AuditRow> {
        let filter = AuditFilter {
            actor: Some((kind.to_owned(), id)),
            limit: 1_000,
            ..AuditFilter::default()
        };
        self.log_page(filter).await
    }

    async fn log_page(&self, filter: AuditFilter) -> Vec<AuditRow> {
        // An entry of something seen travels with the next write.
        let entry = crate::domain::audit::Entry::new(&Actor::system(), "test.flush");
        let flush = self
            .app
            .store
            .write(Lane::Essential, move |tx| tx.audit(&entry));
        flush.await.map_err(|error: StoreError| error).unwrap();
        let list = self.app.store.read(move |tx| audit::list(tx, &filter));
        list.await.unwrap()
    }

    /// What must hold at any time: the logs are whole, and each change has its entry.
    async fn assert_logs_whole(&self) {
        let report = self.app.store.verify_audit().await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        let changes = self.number("SELECT count(*) FROM change").await;
        let named =
            "SELECT count(DISTINCT change_seq) FROM audit_entry WHERE change_seq IS NOT NULL";
        assert_eq!(self.number(named).await, changes);
    }
}

fn new_patient(number: u32) -> NewPatient {
    NewPatient {
        dni: Dni::parse(&number.to_string()).unwrap(),
        name: "Ana".into(),
        surname: "Paz".into(),
        email: Email::parse(&format!("p{number}@clinic.test")).unwrap(),
        tidepool: None,
        hospital_account: format!("HC-{number}"),
        blocked: false,
        former_times_measured: 0,
        former_max_streak: 0,
    }
}

/// A real hash of [`PASSWORD`], computed once.
fn password_hash() -> PasswordHash {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    let compute = || {
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(8));
        let hasher = PasswordHasher::start(HasherLimits::default(), random).unwrap();
        runtime().block_on(async { hasher.hash(&secret(PASSWORD)).await.unwrap() })
    };
    // Not on a thread that runs async code already.
    HASH.get_or_init(|| std::thread::spawn(compute).join().unwrap())
        .clone()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn actor(who: Who) -> Actor {
    Actor {
        who,
        session: None,
        address: Some(IpAddr::from([10, 0, 0, 1])),
        request_id: Some("request".into()),
    }
}

fn anonymous() -> Actor {
    actor(Who::Anonymous)
}

/// The stable code of a refusal, or `ok`.
fn code<T>(result: &Result<T, Error>) -> &'static str {
    result.as_ref().map_or_else(Error::code, |_| "ok")
}
