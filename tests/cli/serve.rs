//! `islet serve`: the ready line, stopping, refusals, and what must not reach the log.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use super::{PASSWORD, founded, islet, islet_ok, names_in};
use crate::support::{self, Client, Node, PATIENT};

const FREE: [&str; 6] = [
    "--http",
    "127.0.0.1:0",
    "--backoffice",
    "127.0.0.1:0",
    "--https",
    "off",
];

/// A node whose standard error is kept.
struct Logged {
    child: Child,
    ready: String,
    url: String,
    /// Reads along, so that a full pipe never holds the node up.
    log: JoinHandle<String>,
}

impl Logged {
    fn start(data: &Path, flags: &[&str], log: &str) -> Self {
        Self::start_as(support::islet(), data, flags, log)
    }

    fn start_as(mut command: Command, data: &Path, flags: &[&str], log: &str) -> Self {
        command.env("ISLET_LOG", log);
        command.arg("--data").arg(data).arg("serve").args(flags);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        let out = child.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut ready).unwrap();
        let url = ready.split_whitespace().nth(2).unwrap().to_owned();
        let mut err = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        Self {
            child,
            ready,
            url,
            log,
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        support::run(Command::new("kill").args([signal, &pid]));
    }

    /// Stops it; answers with its exit code, the rest of its output, and its log.
    fn end(mut self, signal: &str) -> (i32, String, String) {
        self.signal(signal);
        let mut out = String::new();
        let rest = self.child.stdout.as_mut().unwrap();
        rest.read_to_string(&mut out).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        (code, out, self.log.join().unwrap())
    }
}

#[test]
fn one_line_tells_the_real_addresses_and_a_signal_ends_it_well() {
    let (_dir, data) = founded();
    let flags = [
        "--http",
        "127.0.0.1:0",
        "--backoffice",
        "127.0.0.1:0",
        "--https",
        "127.0.0.1:0",
    ];
    for signal in ["-TERM", "-INT"] {
        let node = Logged::start(&data, &flags, "info");
        let words: Vec<_> = node.ready.split_whitespace().collect();
        assert_eq!(words[..2], ["islet", "ready:"]);
        assert!(words[2].starts_with("http://127.0.0.1:") && !words[2].ends_with(":0"));
        assert_eq!((words[3], words[5]), ("backoffice", "https"));
        assert!(words[4].starts_with("http://127.0.0.1:"), "{words:?}");
        assert!(words[6].starts_with("https://127.0.0.1:"), "{words:?}");
        assert_eq!(words[7..9], ["(CA", "sha256"]);
        assert_eq!(words[9].matches(':').count(), 31);
        let (code, rest, log) = node.end(signal);
        assert_eq!((code, rest.as_str()), (0, ""), "{log}");
        assert!(log.contains("stopped"), "{log}");
        // The database of a stopped node is one file, and nothing that belongs to a process is left.
        assert_eq!(
            names_in(&data),
            [
                "audit.head",
                "ballast",
                "config.toml",
                "islet.db",
                "keys",
                "lock",
                "replica.lease",
                "tls"
            ]
        );
    }
}

#[test]
fn what_was_accepted_is_finished_after_the_signal() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    islet_ok(&data, &["seed"]);
    let node = Logged::start(&data, &FREE, "info");
    let body = "username=40123456&password=thepassword";
    let mut stream = TcpStream::connect(node.url.trim_start_matches("http://")).unwrap();
    let (first, second) = body.split_at(10);
    let head = format!(
        "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The node asks for the body: the request is accepted.
    let mut answer = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 100"), "{line}");
    stream.write_all(first.as_bytes()).unwrap();
    node.signal("-TERM");
    // No new connection is taken any more.
    let address = node.url.trim_start_matches("http://").to_owned();
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
    stream.write_all(second.as_bytes()).unwrap();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("HTTP/1.1 200") && rest.contains("access_token"),
        "{rest}"
    );
    let mut node = node;
    assert_eq!(node.child.wait().unwrap().code(), Some(0));
    let log = islet_ok(&data, &["audit", "log", "--action", "session.log_in"]);
    assert!(log.contains("patient:40123456 session.log_in ok"), "{log}");
}

#[test]
fn a_second_node_on_the_same_directory_is_refused_and_hurts_nothing() {
    let (dir, data) = founded();
    let _node = Node::serve(dir, &[]);
    islet(&data, &[&["serve"], &FREE[..]].concat()).refused(1, "in use by another islet process");
    islet_ok(&data, &["user", "list"]);
}

#[tokio::test]
async fn https_is_trusted_by_who_trusts_the_authority() {
    let (dir, data) = founded();
    let node = Node::serve(dir, &[]);
    let pem = std::fs::read(data.join("tls/ca.crt")).unwrap();
    let trusting = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .build()
        .unwrap();
    let url = format!("{}/health", node.https_url);
    let answer = trusting.get(&url).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "{\"status\":\"ok\"}");
    let strangers = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(strangers.get(&url).send().await.is_err());
}

#[test]
fn addresses_that_cannot_be_are_refused_with_the_option_to_change() {
    let (_dir, data) = founded();
    let serve = |flags: &[&str]| islet(&data, &[&["serve"], flags].concat());
    serve(&["--http", "0.0.0.0:0"]).refused(1, "--allow-plain-lan");
    serve(&["--http", "nowhere"]).refused(2, "such as 127.0.0.1:8000");
    serve(&["--http", "off", "--backoffice", "off", "--https", "off"])
        .refused(1, "nothing listens");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    serve(&["--http", &address, "--https", "off"]).refused(1, "choose another with --http");
    // None of these has left a lock or a socket behind.
    assert_eq!(
        names_in(&data),
        [
            "audit.head",
            "ballast",
            "config.toml",
            "islet.db",
            "keys",
            "lock",
            "replica.lease",
            "tls"
        ]
    );
}

#[test]
fn plain_http_on_the_lan_needs_consent() {
    let (_dir, data) = founded();
    let flags = [
        "--http",
        "0.0.0.0:0",
        "--backoffice",
        "off",
        "--https",
        "off",
    ];
    let node = Logged::start(
        &data,
        &[&flags[..], &["--allow-plain-lan"]].concat(),
        "info",
    );
    assert!(
        node.ready.starts_with("islet ready: http://0.0.0.0:"),
        "{}",
        node.ready
    );
    assert_eq!(node.end("-TERM").0, 0);
}

#[tokio::test]
async fn neither_secrets_nor_query_strings_reach_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    islet_ok(&data, &["seed"]);
    let flags = [
        &FREE[..4],
        &["--https", "127.0.0.1:0", "--log-format", "json"],
    ]
    .concat();
    let node = Logged::start(&data, &flags, "trace");
    let words: Vec<_> = node.ready.split_whitespace().collect();
    let (office, https) = (words[4].to_owned(), words[6].to_owned());
    let patient = Client::log_in(&node.url, PATIENT).await;
    let query = "/glucose/create?glucose_level=123&reading_type=CENA&notes=zanahoria";
    patient.post(query).await.expect(201);
    patient.get("/reset-password?token=remolacha").await;
    patient.get("/nowhere?q=berenjena").await;
    let admin = Client::log_in(&office, support::ADMIN).await;
    admin
        .put("/admin/password?new_password=calabaza+de+invierno")
        .await
        .expect(200);
    let pem = std::fs::read(data.join("tls/ca.crt")).unwrap();
    let h2 = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .build()
        .unwrap();
    let url = format!("{https}/users/me?q=berenjena");
    let token = patient.token.clone().unwrap();
    let answer = h2.get(url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let (code, _, log) = node.end("-TERM");
    assert_eq!(code, 0);
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
    assert!(log.contains("ANYBODY CAN LOG IN"), "{log}");
    let secrets = [
        "thepassword",
        "zanahoria",
        "remolacha",
        "berenjena",
        "calabaza",
        "irt_",
        &token,
    ];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} reached the log");
    }
}

#[test]
fn a_founders_password_is_not_in_the_directory() {
    let (_dir, data) = founded();
    let bytes = std::fs::read(data.join("islet.db")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("$argon2id$") && !text.contains(PASSWORD));
}

/// A node whose bound on open files was set by a shell, with 100 connections that say nothing.
fn crowded(data: &Path, ulimit: &str) -> (Logged, Vec<TcpStream>) {
    let islet = support::islet();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {ulimit} && exec \"$0\" \"$@\"")]);
    command.arg(islet.get_program());
    for (name, value) in islet.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let node = Logged::start_as(command, data, &FREE, "warn");
    let address = node.url.trim_start_matches("http://").to_owned();
    let idle = (0..100).map(|_| TcpStream::connect(&address).unwrap());
    let idle = idle.collect();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    (node, idle)
}

#[test]
fn a_low_bound_on_open_files_is_raised() {
    let (_dir, data) = founded();
    let (node, idle) = crowded(&data, "-Sn 64");
    let proc = |name: &str| format!("/proc/{}/{name}", node.child.id());
    let bounds = std::fs::read_to_string(proc("limits")).unwrap();
    let bounds = bounds
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let words: Vec<_> = bounds.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{bounds}");
    // Nobody had to go for want of files.
    assert!(std::fs::read_dir(proc("fd")).unwrap().count() > idle.len());
    let (_, _, log) = node.end("-TERM");
    assert_eq!(log, "");
}

#[test]
fn where_few_files_may_be_open_fewer_connections_are_taken_and_that_is_said() {
    let (_dir, data) = founded();
    let (node, _idle) = crowded(&data, "-n 128");
    let (_, _, log) = node.end("-TERM");
    assert!(log.contains("the node takes 64 connections"), "{log}");
    assert!(log.contains("LimitNOFILE="), "{log}");
    assert!(!log.contains("cannot accept"), "{log}");
    let few = format!(
        "ulimit -n 40 && exec {} serve --data {}",
        env!("CARGO_BIN_EXE_islet"),
        data.display()
    );
    let ended = super::finish(Command::new("sh").args(["-c", &few]), "");
    ended.refused(1, "too few for a node");
}

#[tokio::test]
async fn a_browser_that_forgets_https_is_shown_the_way() {
    let (dir, _data) = founded();
    let node = Node::serve(dir, &[]);
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let plain = node.https_url.replace("https://", "http://");
    let answer = client.get(format!("{plain}/ca?x=1")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 307);
    assert_eq!(
        answer.headers()["location"],
        format!("{}/ca?x=1", node.https_url)
    );
    let answer = client.post(format!("{plain}/token")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400);
    assert!(answer.text().await.unwrap().contains("https://"));
}

#[test]
fn an_address_that_no_certificate_can_name_is_told() {
    let (_dir, data) = founded();
    let node = Logged::start(&data, &FREE, "warn");
    assert_eq!(node.end("-TERM").2, "");
    let doctor = islet(&data, &["doctor"]).out;
    let told = doctor
        .lines()
        .find(|line| line.contains("addresses"))
        .unwrap()
        .to_owned();
    let of_machine = if_addrs::get_if_addrs().unwrap();
    let public = of_machine
        .iter()
        .map(if_addrs::Interface::ip)
        .find(|ip| match ip {
            std::net::IpAddr::V4(ip) => {
                let shared = ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]);
                !ip.is_private() && !ip.is_loopback() && !ip.is_link_local() && !shared
            }
            std::net::IpAddr::V6(_) => false,
        });
    let Some(public) = public else {
        assert!(told.starts_with("ok"), "{told}");
        support::skip(
            "an_address_that_no_certificate_can_name_is_told",
            "all addresses are private",
        );
        return;
    };
    assert!(
        told.starts_with("WARN") && told.contains(&public.to_string()),
        "{told}"
    );
    let everywhere = [&FREE[..4], &["--https", "[::]:0"]].concat();
    let node = Logged::start(&data, &everywhere, "warn");
    let (_, _, log) = node.end("-TERM");
    assert!(
        log.contains(&public.to_string()) && log.contains("islet new-authority"),
        "{log}"
    );
}
