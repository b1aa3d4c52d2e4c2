//! A real node for black-box tests: the binary, its data directory, and clients that speak to it
//! as anonymous, patient, staff or admin.
//!
//! Each test binary uses a part of this.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

pub(crate) mod pair;

use std::io::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

/// The log-ins of `islet seed`.
pub(crate) const PATIENT: (&str, &str) = ("40123456", "thepassword");
pub(crate) const OTHER_PATIENT: (&str, &str) = ("40123457", "thepassword2");
pub(crate) const ADMIN: (&str, &str) = ("admin", "admin");

/// The binary under test. It sees none of the settings of whoever runs the tests.
pub(crate) fn islet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_islet"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ISLET_") {
            command.env_remove(name);
        }
    }
    command.env("ISLET_LOG", "warn");
    // Unless a test is about other nodes, there are none.
    command.env("ISLET_PEER", "off");
    command.env("ISLET_DISCOVERY", "false");
    command
}

/// Runs a command to its end and returns what it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?} failed: {out}{err}");
    out.into_owned()
}

/// Says aloud that a test cannot run on this machine, and records it where the whole run counts it.
pub(crate) fn skip(name: &str, reason: &str) {
    eprintln!("SKIPPED: {name}: {reason}");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(target.join("skipped-tests.txt"));
    writeln!(file.unwrap(), "{name}: {reason}").unwrap();
}

/// A running node. Killed when dropped.
pub(crate) struct Node {
    child: Child,
    data: PathBuf,
    /// Where `data` lies, when it goes with the node.
    dir: Option<TempDir>,
    pub(crate) patient_url: String,
    pub(crate) backoffice_url: String,
    pub(crate) https_url: String,
    /// Where other nodes connect, when `--peer` was among the flags.
    pub(crate) peer_address: String,
}

impl Node {
    /// A node with the seed's two patients and its admin.
    pub(crate) fn seeded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(islet()
            .arg("seed")
            .arg("--data")
            .arg(dir.path().join("node")));
        Self::serve(dir, &[])
    }

    /// Serves the data directory `node` inside `dir`.
    pub(crate) fn serve(dir: TempDir, flags: &[&str]) -> Self {
        let mut node = Self::start(&mut islet(), &dir.path().join("node"), flags);
        node.dir = Some(dir);
        node
    }

    /// Serves `data`, which stays when the node goes. `command` is [`islet`] with an environment.
    pub(crate) fn start(command: &mut Command, data: &Path, flags: &[&str]) -> Self {
        let (child, ready) = spawn(command, data, flags);
        let url = |name: &str| {
            let mut words = ready.split_whitespace().skip_while(|word| *word != name);
            words
                .nth(1)
                .unwrap_or_default()
                .trim_end_matches(',')
                .to_owned()
        };
        Self {
            patient_url: url("ready:"),
            backoffice_url: url("backoffice"),
            https_url: url("https"),
            peer_address: url("peer"),
            child,
            data: data.to_owned(),
            dir: None,
        }
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the node as systemd would and returns its exit code.
    pub(crate) fn stop(mut self) -> (Option<i32>, Option<TempDir>) {
        run(Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string()));
        (self.child.wait().unwrap().code(), self.dir.take())
    }

    /// How the node ended by itself, once it has.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Somebody without a token, at the patients' port.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(&self.patient_url, None)
    }

    /// The first patient.
    pub(crate) async fn patient(&self) -> Client {
        Client::log_in(&self.patient_url, PATIENT).await
    }

    /// The second patient.
    pub(crate) async fn other_patient(&self) -> Client {
        Client::log_in(&self.patient_url, OTHER_PATIENT).await
    }

    /// The administrator, at the back office.
    pub(crate) async fn admin(&self) -> Client {
        Client::log_in(&self.backoffice_url, ADMIN).await
    }

    /// Somebody without a token, at the back office.
    pub(crate) fn anonymous_at_backoffice(&self) -> Client {
        Client::new(&self.backoffice_url, None)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `serve` on free ports of loopback and waits for its ready line.
fn spawn(command: &mut Command, data: &Path, flags: &[&str]) -> (Child, String) {
    command.arg("serve").arg("--data").arg(data);
    for flag in ["--http", "--backoffice", "--https"] {
        if !flags.contains(&flag) {
            command.args([flag, "127.0.0.1:0"]);
        }
    }
    let mut child = command.args(flags).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let Some(Ok(ready)) = lines.next() else {
        let status = child.wait().unwrap();
        panic!("serve ended with {status} before it was ready");
    };
    // Keeps the pipe open, and takes nothing more from it.
    std::thread::spawn(move || lines.for_each(drop));
    (child, ready)
}

/// A client with or without a token.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    pub(crate) token: Option<String>,
}

impl Client {
    pub(crate) fn new(base: &str, token: Option<String>) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            http,
            base: base.to_owned(),
            token,
        }
    }

    pub(crate) async fn log_in(base: &str, login: (&str, &str)) -> Self {
        let mut client = Self::new(base, None);
        let answer = client.token(login).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        client.token = Some(answer.body["access_token"].as_str().unwrap().to_owned());
        client
    }

    /// `POST /token`.
    pub(crate) async fn token(&self, (username, password): (&str, &str)) -> Answer {
        let form = [("username", username), ("password", password)];
        self.send(self.request(Method::POST, "/token").form(&form))
            .await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// The answer, or none when the node went away before it was whole.
    pub(crate) async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        Answer::read(request.send().await?).await
    }

    /// The same client, token and all, at another address.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self::new(base, self.token.clone())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send(self.request(Method::POST, path)).await
    }

    pub(crate) async fn put(&self, path: &str) -> Answer {
        self.send(self.request(Method::PUT, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put_json(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn patch_json(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body))
            .await
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    /// The JSON, or null when it is none.
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    async fn read(response: Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self {
            status,
            headers,
            body,
            text,
        })
    }

    /// The body, when the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.body
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}
