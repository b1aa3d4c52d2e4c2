//! A forgotten password by mail, from the request to the new log-in, through a mail server that
//! keeps what it gets.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use serde_json::json;

use super::islet_ok;
use crate::support::{Client, Node, PATIENT};

/// Takes one mail and hands it over.
fn mail_server() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mails) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if sender.send(take_mail(stream.unwrap())).is_err() {
                return;
            }
        }
    });
    (port, mails)
}

fn take_mail(mut stream: TcpStream) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    stream.write_all(b"220 test\r\n").unwrap();
    let (mut mail, mut in_data) = (String::new(), false);
    while let Some(Ok(line)) = lines.next() {
        mail.push_str(&format!("{line}\n"));
        let answer: &[u8] = match line.as_str() {
            "." => return mail,
            _ if in_data => b"",
            "DATA" => {
                in_data = true;
                b"354 go on\r\n"
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).unwrap();
    }
    mail
}

#[tokio::test]
async fn a_patient_gets_a_link_that_sets_a_new_password() {
    let (port, mails) = mail_server();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    islet_ok(&data, &["seed"]);
    let config = format!(
        "[mail]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
         from = \"Clínica <no-responder@example.org>\"\npatient_url = \"https://pi.local:8443\"\n\
         staff_url = \"https://pi.local:8443/reset-password\"\n"
    );
    std::fs::write(data.join("config.toml"), config).unwrap();
    let node = Node::serve(dir, &[]);
    let anonymous = node.anonymous();
    let email = json!({"email": "test40123456@diabetactic.com"});
    anonymous
        .post_json("/forgot-password", &email)
        .await
        .expect(200);
    // The answer does not wait for the mail.
    let mail = tokio::task::spawn_blocking(move || mails.recv().unwrap())
        .await
        .unwrap();
    assert!(
        mail.contains("RCPT TO:<test40123456@diabetactic.com>"),
        "{mail}"
    );
    // Quoted-printable: `=` at the end of a line continues it, and stands as `=3D`.
    let text = mail.replace("=\n", "").replace("=3D", "=");
    let (_, link) = text
        .split_once("https://pi.local:8443/reset-password?token=")
        .unwrap();
    let token = link.split_whitespace().next().unwrap();
    let reset = json!({"token": token, "new_password": "otra clave mejor"});
    anonymous
        .post_json("/reset-password", &reset)
        .await
        .expect(200);
    Client::log_in(&node.patient_url, (PATIENT.0, "otra clave mejor")).await;
}

#[test]
fn a_password_file_that_is_not_there_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    islet_ok(&data, &["seed"]);
    let config = "[mail]\nhost = \"mail.example.org\"\nuser = \"islet\"\npassword_file = \"smtp\"\n\
                  from = \"a@example.org\"\npatient_url = \"https://pi.local:8443\"\n\
                  staff_url = \"https://pi.local:8443/reset-password\"\n";
    std::fs::write(data.join("config.toml"), config).unwrap();
    super::islet(&data, &["serve", "--http", "127.0.0.1:0", "--https", "off"])
        .refused(1, "node/smtp");
}

/// `config.toml` with a mail server on this machine.
fn mail_at(port: u16) -> String {
    format!(
        "[mail]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
         from = \"Clínica <no-responder@example.org>\"\npatient_url = \"https://pi.local:8443\"\n\
         staff_url = \"https://pi.local:8443/reset-password\"\n"
    )
}

#[test]
fn a_mail_that_is_given_up_is_in_the_audit_log_and_the_doctor_tells() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    islet_ok(&data, &["seed"]);
    let doctor = |line: &str| {
        let said = islet_ok(&data, &["doctor"]);
        let found = said
            .lines()
            .find(|said| said[4..].trim_start().starts_with(line));
        found.unwrap().to_owned()
    };
    assert!(doctor("mail server").starts_with("ok"));
    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    std::fs::write(data.join("config.toml"), mail_at(port)).unwrap();
    let said = doctor("mail server");
    assert!(
        said.starts_with("WARN") && said.contains("no connection to the server"),
        "{said}"
    );
    assert!(doctor("mails").starts_with("ok"));

    let node = Node::serve(dir, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let email = json!({"email": "test40123456@diabetactic.com"});
        node.anonymous()
            .post_json("/forgot-password", &email)
            .await
            .expect(200);
    });
    // It is tried again until its time is over; a stop ends that.
    let (code, _dir) = node.stop();
    assert_eq!(code, Some(0));
    let log = islet_ok(&data, &["audit", "log", "--action", "mail."]);
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.contains("system mail.give_up failed of patient 40123456: patient recovery: "),
        "{log}"
    );
    assert!(!log.contains('@'), "{log}");
    let said = doctor("mails");
    assert!(
        said.starts_with("WARN") && said.contains("1 given up"),
        "{said}"
    );
    islet_ok(&data, &["audit", "verify"]);
}

#[test]
fn the_doctor_reaches_a_mail_server() {
    let (_dir, data) = super::founded();
    let (port, _mails) = mail_server();
    std::fs::write(data.join("config.toml"), mail_at(port)).unwrap();
    let said = islet_ok(&data, &["doctor"]);
    assert!(
        said.contains(&format!("127.0.0.1:{port} can be reached")),
        "{said}"
    );
}
