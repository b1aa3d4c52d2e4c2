//! The reference client: a phone that is offline, comes back, and is killed at any moment.
//!
//! What it has to do is in docs/API.md. Everything that it must not lose is in one file, which it replaces as a whole.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::support::{Answer, Client};

/// Numbers from a seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// The phone is gone: what was not in the file is lost.
#[derive(Debug)]
pub(super) struct Killed;

/// What runs on the phone. Made anew from the file after each kill.
pub(super) struct Phone<'a> {
    pub(super) client: Client,
    file: PathBuf,
    pub(super) kept: Value,
    /// One in so many moments is the last; 0 for none.
    pub(super) risk: u64,
    dice: &'a mut Dice,
}

impl<'a> Phone<'a> {
    pub(super) fn start(client: Client, file: PathBuf, dice: &'a mut Dice) -> Self {
        let kept = std::fs::read(&file).map_or_else(
            |_| json!({"outbox": [], "readings": {}, "cursor": null, "count": 0}),
            |bytes| serde_json::from_slice(&bytes).unwrap(),
        );
        Self {
            client,
            file,
            kept,
            risk: 6,
            dice,
        }
    }

    /// A moment at which the phone may be killed.
    fn live(&mut self) -> Result<(), Killed> {
        if self.risk > 0 && self.dice.throw(self.risk) == 0 {
            return Err(Killed);
        }
        Ok(())
    }

    fn keep(&mut self) -> Result<(), Killed> {
        self.live()?;
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, self.kept.to_string()).unwrap();
        self.live()?;
        std::fs::rename(beside, &self.file).unwrap();
        self.live()
    }

    /// Takes a reading. It is taken once it is kept.
    pub(super) fn measure(&mut self) -> Result<(), Killed> {
        let count = self.kept["count"].as_u64().unwrap() + 1;
        self.kept["count"] = count.into();
        let mut reading = super::super::stick(u32::try_from(count).unwrap(), 100.0);
        reading["client_id"] = json!(count.to_string());
        self.kept["outbox"].as_array_mut().unwrap().push(reading);
        self.keep()
    }

    /// Sends a request. The answer may be lost on the way, and so may the request.
    async fn send(&mut self, request: reqwest::RequestBuilder) -> Result<Option<Answer>, Killed> {
        self.live()?;
        let answer = self.client.try_send(request);
        let patience = match self.risk {
            0 => Duration::from_secs(20),
            _ => Duration::from_millis(1 + self.dice.throw(12)),
        };
        let answer = tokio::time::timeout(patience, answer).await;
        self.live()?;
        Ok(answer.ok().and_then(Result::ok))
    }

    /// Hands in what waits, then fetches what is new. Answers whether all of it was done.
    pub(super) async fn sync(&mut self) -> Result<bool, Killed> {
        let sent = self.kept["outbox"].clone();
        if sent != json!([]) {
            let post = self
                .client
                .request(reqwest::Method::POST, "/v1/readings/batch");
            let Some(answer) = self.send(post.json(&json!({"readings": sent}))).await? else {
                return Ok(false);
            };
            let outcomes = answer.expect(200)["items"].as_array().unwrap().clone();
            assert!(
                outcomes.iter().all(|it| it["outcome"] != "rejected"),
                "{outcomes:?}"
            );
            let done = |reading: &Value| {
                outcomes
                    .iter()
                    .any(|it| it["client_id"] == reading["client_id"])
            };
            self.kept["outbox"]
                .as_array_mut()
                .unwrap()
                .retain(|it| !done(it));
            self.keep()?;
        }
        loop {
            let mut path = "/v1/changes?limit=7".to_owned();
            if let Some(cursor) = self.kept["cursor"].as_str() {
                path.push_str("&after=");
                path.push_str(cursor);
            }
            let get = self.client.request(reqwest::Method::GET, &path);
            let Some(answer) = self.send(get).await? else {
                return Ok(false);
            };
            if answer.status == 410 {
                (self.kept["cursor"], self.kept["readings"]) = (Value::Null, json!({}));
                continue;
            }
            let news = answer.expect(200);
            self.take(&news);
            // What came and how far it came are kept together.
            self.keep()?;
            if news["more"] == false {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, news: &Value) {
        let readings: &mut Map<String, Value> = self.kept["readings"].as_object_mut().unwrap();
        for item in news["items"].as_array().unwrap() {
            let id = item["id"].to_string();
            match (item["kind"].as_str(), item["change"].as_str()) {
                (Some("reading"), Some("removed")) => drop(readings.remove(&id)),
                (Some("reading"), Some(_)) => drop(readings.insert(id, item["data"].clone())),
                _ => {}
            }
        }
        self.kept["cursor"] = news["next"].clone();
    }
}
