//! Patients' phones that hand in readings as fast as they can, and a ledger of what they sent and
//! what was acknowledged.
//!
//! An entry is acknowledged once the whole answer has arrived, never before: what the ledger
//! calls acknowledged must be on the disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use reqwest::Method;
use tokio::task::JoinSet;

use crate::support::{Client, Node};

/// Phones at work at the same time.
pub(crate) const PHONES: usize = 16;
/// 2026-03-06T00:00:00Z: the first reading's time; each further one is a millisecond later.
const FIRST_MEASURED_AT: i64 = 1_772_755_200_000;

/// What was sent and acknowledged in the life of one data directory.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

/// The pages of a [`Ledger`].
#[derive(Default)]
pub(crate) struct Book {
    /// `measured_at` in milliseconds to value in mg/dL, for everything that left a phone.
    pub(crate) sent: BTreeMap<i64, f64>,
    /// Row id to `measured_at`, for what was answered with 201.
    pub(crate) acknowledged: BTreeMap<i64, i64>,
    /// Whether the power is going: answers prove nothing any more.
    pub(crate) closed: bool,
    /// How many answers of each other status came.
    pub(crate) refused: BTreeMap<u16, u32>,
}

impl Ledger {
    pub(crate) fn open(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    /// How many readings were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.open().acknowledged.len()
    }

    /// Hands in one new reading. False when the node is gone.
    pub(crate) async fn post_one(&self, phone: &Client) -> bool {
        let (measured_at, value) = self.open().next();
        let path = format!(
            "/glucose/create?glucose_level={value}&reading_type=OTRO&created_at={}",
            rfc3339(measured_at)
        );
        let request = phone.request(Method::POST, &path);
        let Ok(answer) = phone.try_send(request).await else {
            return false;
        };
        let mut book = self.open();
        if book.closed {
            return true;
        }
        if answer.status == 201 {
            let id = answer.body["id"].as_i64().unwrap();
            assert_eq!(answer.body["glucose_level"], value);
            book.acknowledged.insert(id, measured_at);
        } else {
            *book.refused.entry(answer.status.as_u16()).or_default() += 1;
        }
        true
    }
}

impl Book {
    /// A reading that was never sent before.
    fn next(&mut self) -> (i64, f64) {
        let number = i64::try_from(self.sent.len()).unwrap();
        let value = 40.0 + f64::from(u16::try_from(number * 7919 % 3600).unwrap()) / 10.0;
        let measured_at = FIRST_MEASURED_AT + number;
        self.sent.insert(measured_at, value);
        (measured_at, value)
    }
}

/// Milliseconds since 1970 as the app sends them.
fn rfc3339(at: i64) -> String {
    let (seconds, ms) = ((at - FIRST_MEASURED_AT) / 1000, at % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("2026-03-06T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z")
}

/// Phones at work.
pub(crate) struct Load {
    phones: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Sets [`PHONES`] phones of one patient to work on a node.
    pub(crate) fn start(phone: &Client, ledger: &Ledger) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut phones = JoinSet::new();
        for _ in 0..PHONES {
            let (phone, ledger, stop) = (phone.clone(), ledger.clone(), Arc::clone(&stop));
            phones.spawn(async move {
                while !stop.load(Ordering::Relaxed) && ledger.post_one(&phone).await {}
            });
        }
        Self { phones, stop }
    }

    /// Waits until every phone has its last answer, or has noticed that the node is gone.
    pub(crate) async fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(phone) = self.phones.join_next().await {
            phone.unwrap();
        }
    }
}

/// A phone of the first patient. One that was logged in before must still be: the session was
/// acknowledged too.
pub(crate) async fn phone(node: &Node, former: Option<&Client>) -> Client {
    match former {
        Some(former) => former.at(&node.patient_url),
        None => node.patient().await,
    }
}
