//! Against a small SMTP server on loopback that does what a script says.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::auth::SystemRandom;
use crate::auth::opaque::{OpaqueToken, Purpose};
use crate::auth::token::Audience;
use crate::http::tls::{CertificateAuthority, TlsIdentity};

/// How the server takes one connection.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Friendly,
    Transient,
    Permanent,
    Silent,
}

/// Everything that clients sent, one entry a connection.
type Sessions = Arc<Mutex<Vec<String>>>;

struct Server {
    port: u16,
    received: Sessions,
}

impl Server {
    /// Takes the n-th connection in the n-th mood, later ones in the last.
    async fn start(moods: &'static [Mood], tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Sessions::default();
        let shared = Arc::clone(&received);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = {
                    let mut sessions = shared.lock().unwrap();
                    sessions.push(String::new());
                    sessions.len() - 1
                };
                let mood = moods[number.min(moods.len() - 1)];
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => converse(stream, mood, number, &shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, mood, number, &shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, received }
    }

    fn sessions(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mood: Mood,
    number: usize,
    received: &Mutex<Vec<String>>,
) {
    if mood == Mood::Silent {
        let _stream = stream;
        std::future::pending::<()>().await;
        return;
    }
    let mut stream = BufReader::new(stream);
    let mut in_data = false;
    let _ = stream.write_all(b"220 test\r\n").await;
    let mut line = String::new();
    while stream
        .read_line(&mut line)
        .await
        .is_ok_and(|count| count > 0)
    {
        received.lock().unwrap()[number].push_str(&line);
        let answer = match line.trim_end() {
            "." if in_data => {
                in_data = false;
                "250 ok\r\n"
            }
            _ if in_data => "",
            "DATA" => {
                in_data = true;
                "354 go on\r\n"
            }
            "QUIT" => "221 bye\r\n",
            command if command.starts_with("MAIL") && mood == Mood::Transient => "451 later\r\n",
            command if command.starts_with("RCPT") && mood == Mood::Permanent => {
                "550 no such ana@clinic.test here\r\n"
            }
            command if command.starts_with("EHLO") => "250-test\r\n250 8BITMIME\r\n",
            _ => "250 ok\r\n",
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        line.clear();
    }
}

fn config(port: u16, tls: MailTls) -> Config {
    let mut config = Config {
        clinic: "Clínica La Paz".into(),
        ..Config::default()
    };
    config.mail.host = "127.0.0.1".into();
    config.mail.port = port;
    config.mail.tls = tls;
    config.mail.from = "Clínica <no-responder@example.org>".into();
    config.mail.patient_url = "https://pi.local:8443/".into();
    config.mail.staff_url = "https://pi.local:8443/reset-password".into();
    config
}

/// One after the other, with little patience.
fn hasty(timeout: Duration) -> Patience {
    Patience {
        timeout,
        at_once: 1,
        pause: (Duration::from_millis(1), Duration::from_millis(4)),
        links: (Duration::from_millis(100), Duration::from_millis(100)),
        rest: Duration::from_millis(100),
    }
}

/// Sends mails and waits until the postman has done what it can; answers with what it gave up.
async fn send_with(patience: Patience, config: &Config, mails: Vec<Mail>) -> Vec<GivenUp> {
    let (mailer, postman) = Postman::with_patience(config, None, patience).unwrap();
    for mail in mails {
        mailer.send(mail);
    }
    // Without a mailer the queue ends, and with it the postman.
    drop(mailer);
    run(postman, CancellationToken::new()).await
}

async fn run(postman: Postman, stop: CancellationToken) -> Vec<GivenUp> {
    let given_up: Mutex<Vec<GivenUp>> = Mutex::default();
    let tell = |lost: Vec<GivenUp>| {
        given_up.lock().unwrap().extend(lost);
        std::future::ready(())
    };
    postman.run(stop, tell).await;
    given_up.into_inner().unwrap()
}

async fn send(config: &Config, mails: Vec<Mail>, timeout: Duration) -> Vec<GivenUp> {
    send_with(hasty(timeout), config, mails).await
}

const LONG: Duration = Duration::from_secs(30);

fn token() -> OpaqueToken {
    OpaqueToken::generate(Purpose::Recovery, &SystemRandom).unwrap()
}

fn recovery(audience: Audience, token: &OpaqueToken) -> Mail {
    Mail::recovery(audience, "ana@clinic.test".into(), token)
}

/// The text of a message as people see it: quoted-printable and base64 undone.
fn readable(session: &str) -> String {
    let body = session.split_once("\r\n\r\n").unwrap().1;
    if session.contains("Content-Transfer-Encoding: base64") {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD;
        let text: String = body.lines().take_while(|line| *line != ".").collect();
        return String::from_utf8(engine.decode(text).unwrap()).unwrap();
    }
    let joined = body.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let hex = [rest.next().unwrap(), rest.next().unwrap()];
            let hex = std::str::from_utf8(&hex).unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn patients_and_staff_get_their_links() {
    let server = Server::start(&[Mood::Friendly], None).await;
    let (patient, staff) = (token(), token());
    let mails = vec![
        recovery(Audience::Patient, &patient),
        recovery(Audience::Staff, &staff),
    ];
    send(&config(server.port, MailTls::None), mails, LONG).await;
    let sessions = server.sessions();
    assert_eq!(sessions.len(), 2);
    assert!(sessions[0].contains("MAIL FROM:<no-responder@example.org>"));
    assert!(sessions[0].contains("RCPT TO:<ana@clinic.test>"));
    let id = |session: &str| {
        let (_, rest) = session.split_once("Message-ID: <").unwrap();
        rest.split_once('>').unwrap().0.to_owned()
    };
    assert!(
        id(&sessions[0]).ends_with("@example.org"),
        "{}",
        sessions[0]
    );
    assert_ne!(id(&sessions[0]), id(&sessions[1]));
    let link = format!(
        "\r\nhttps://pi.local:8443/reset-password?token={}\r\n",
        patient.expose()
    );
    let text = readable(&sessions[0]);
    assert!(text.contains(&link), "{text}");
    assert!(
        text.contains("15 minutos") && text.contains("contraseña de su cuenta"),
        "{text}"
    );
    let link = format!(
        "https://pi.local:8443/reset-password?token={}\r\n",
        staff.expose()
    );
    let text = readable(&sessions[1]);
    assert!(text.contains(&link) && text.contains("5 minutos"), "{text}");
}

#[tokio::test]
async fn a_resolution_is_announced_without_anything_clinical() {
    let server = Server::start(&[Mood::Friendly], None).await;
    let mail = Mail::resolution_ready("ana@clinic.test".into());
    send(&config(server.port, MailTls::None), vec![mail], LONG).await;
    let text = readable(&server.sessions()[0]);
    assert!(text.contains("Hay novedades sobre su turno"), "{text}");
    for word in ["insulina", "glucosa", "dosis", "urgencia", "resolución"] {
        assert!(!text.to_lowercase().contains(word), "{text}");
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_refusal_is_final() {
    let mail = || vec![recovery(Audience::Patient, &token())];
    let server = Server::start(&[Mood::Transient, Mood::Transient, Mood::Friendly], None).await;
    let patient = Patience {
        links: (LONG, LONG),
        ..hasty(LONG)
    };
    let lost = send_with(patient, &config(server.port, MailTls::None), mail()).await;
    assert_eq!((server.connections(), lost.len()), (3, 0));
    assert!(server.sessions()[2].contains("DATA"));

    // It ends: attempts are bounded.
    let server = Server::start(&[Mood::Transient], None).await;
    let lost = send(&config(server.port, MailTls::None), mail(), LONG).await;
    assert!(server.connections() > 1);
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].why, "the server answered 451");

    let server = Server::start(&[Mood::Permanent], None).await;
    let lost = send(&config(server.port, MailTls::None), mail(), LONG).await;
    assert_eq!((server.connections(), lost.len()), (1, 1));
    assert_eq!(lost[0].why, "the server answered 550");
}

#[tokio::test]
async fn a_server_that_says_nothing_holds_up_no_other_mail() {
    let server = Server::start(&[Mood::Silent, Mood::Friendly], None).await;
    let config = config(server.port, MailTls::None);
    let two = Patience {
        at_once: 2,
        ..hasty(LONG)
    };
    let (mailer, postman) = Postman::with_patience(&config, None, two).unwrap();
    mailer.send(recovery(Audience::Patient, &token()));
    mailer.send(Mail::resolution_ready("ana@clinic.test".into()));
    let stop = CancellationToken::new();
    let post = tokio::spawn(run(postman, stop.clone()));
    // Nobody's time is up: the first is still under way.
    while !server.sessions().concat().contains("\r\n.\r\n") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    post.abort();
}

#[tokio::test]
async fn one_that_waits_lets_others_go_ahead() {
    let moods = &[Mood::Transient, Mood::Friendly];
    let server = Server::start(moods, None).await;
    let config = config(server.port, MailTls::None);
    let patient = Patience {
        pause: (LONG, LONG),
        rest: LONG * 9,
        links: (LONG * 9, LONG * 9),
        ..hasty(LONG)
    };
    let (mailer, postman) = Postman::with_patience(&config, None, patient).unwrap();
    let stop = CancellationToken::new();
    mailer.send(recovery(Audience::Patient, &token()));
    mailer.send(Mail::resolution_ready("ana@clinic.test".into()));
    let post = tokio::spawn(run(postman, stop.clone()));
    while !server.sessions().concat().contains("\r\n.\r\n") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(readable(&server.sessions()[1]).contains("novedades"));
    // A stop tries once more with the one that waits.
    stop.cancel();
    assert_eq!(post.await.unwrap().len(), 0);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn what_a_stop_cannot_send_is_told() {
    let server = Server::start(&[Mood::Transient], None).await;
    let (mailer, postman) = Postman::new(&config(server.port, MailTls::None), None).unwrap();
    mailer.send(recovery(Audience::Patient, &token()));
    let stop = CancellationToken::new();
    stop.cancel();
    let lost = run(postman, stop).await;
    assert_eq!(server.connections(), 1);
    assert_eq!(lost.len(), 1);
    assert!(lost[0].why.contains("the node stopped"), "{}", lost[0].why);
    drop(mailer);
}

#[tokio::test]
async fn more_than_can_wait_are_told_and_not_dropped_in_silence() {
    let server = Server::start(&[Mood::Silent], None).await;
    let config = config(server.port, MailTls::None);
    let (_mailer, mut postman) = Postman::with_patience(&config, None, hasty(LONG)).unwrap();
    let now = Instant::now();
    let mail = || Mail::resolution_ready("ana@clinic.test".into());
    for _ in 0..limits::MAILS_WAITING_MAX {
        assert!(postman.take(mail(), now).is_none());
    }
    let lost = postman.take(mail(), now).unwrap();
    assert_eq!(lost.why, "too many mails wait");
    assert_eq!(postman.waiting.len(), limits::MAILS_WAITING_MAX);
}

#[tokio::test]
async fn the_server_is_tried_without_a_mail() {
    let server = Server::start(&[Mood::Friendly], None).await;
    let (_mailer, postman) = Postman::new(&config(server.port, MailTls::None), None).unwrap();
    assert_eq!(postman.try_server().await, Ok(()));
    assert!(!server.sessions().concat().contains("MAIL"));
    let (_mailer, postman) = Postman::new(&config(server.port, MailTls::Starttls), None).unwrap();
    assert!(
        postman
            .try_server()
            .await
            .unwrap_err()
            .contains("does not offer")
    );
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let (_mailer, postman) = Postman::new(&config(port, MailTls::None), None).unwrap();
    assert!(
        postman
            .try_server()
            .await
            .unwrap_err()
            .contains("no connection")
    );
}

#[tokio::test]
async fn nothing_is_sent_without_the_configured_encryption() {
    // Does not offer STARTTLS.
    let server = Server::start(&[Mood::Friendly], None).await;
    let mail = || vec![recovery(Audience::Patient, &token())];
    send(&config(server.port, MailTls::Starttls), mail(), LONG).await;
    assert!(server.connections() > 0);
    assert!(!server.sessions().concat().contains("RCPT"));

    // Speaks TLS with a certificate that nobody vouches for.
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let authority = CertificateAuthority::create(&dir.path().join("tls"), &[], now).unwrap();
    let identity = TlsIdentity::new(Arc::new(authority), &[], now).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(identity.server_config());
    let server = Server::start(&[Mood::Friendly], Some(acceptor)).await;
    send(&config(server.port, MailTls::Tls), mail(), LONG).await;
    assert!(server.connections() > 0);
    assert_eq!(server.sessions().concat(), "");
}

#[tokio::test]
async fn a_stop_tries_once_with_what_waits() {
    let server = Server::start(&[Mood::Friendly], None).await;
    let config = config(server.port, MailTls::None);
    let (mailer, postman) = Postman::new(&config, None).unwrap();
    mailer.send(recovery(Audience::Patient, &token()));
    mailer.send(Mail::resolution_ready("ana@clinic.test".into()));
    let stop = CancellationToken::new();
    stop.cancel();
    // The mailer is still there: without the stop this would wait for ever.
    assert!(run(postman, stop).await.is_empty());
    assert_eq!(server.sessions().len(), 2);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_tells_why_a_mail_failed_and_neither_address_nor_token() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::start(&[Mood::Permanent], None).await;
    let token = token();
    let mail = vec![recovery(Audience::Patient, &token)];
    send(&config(server.port, MailTls::None), mail, LONG).await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("the server answered 550"), "{text}");
    assert!(
        !text.contains("ana@") && !text.contains(token.expose()),
        "{text}"
    );
}
