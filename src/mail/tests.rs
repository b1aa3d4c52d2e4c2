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

/// Sends mails and waits until the postman has done what it can.
async fn send(config: &Config, mails: Vec<Mail>, timeout: Duration) {
    let patience = Patience {
        timeout,
        pauses: [Duration::from_millis(1); 2],
    };
    let (mailer, postman) = Postman::new(config, None, patience).unwrap();
    for mail in mails {
        mailer.send(mail);
    }
    // Without a mailer the queue ends, and with it the postman.
    drop(mailer);
    postman.run(CancellationToken::new()).await;
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
    let server = Server::start(&[Mood::Transient, Mood::Transient, Mood::Friendly], None).await;
    send(
        &config(server.port, MailTls::None),
        vec![recovery(Audience::Patient, &token())],
        LONG,
    )
    .await;
    assert_eq!(server.connections(), 3);
    assert!(server.sessions()[2].contains("DATA"));

    let server = Server::start(&[Mood::Transient], None).await;
    send(
        &config(server.port, MailTls::None),
        vec![recovery(Audience::Patient, &token())],
        LONG,
    )
    .await;
    assert_eq!(server.connections(), 3, "attempts are bounded");

    let server = Server::start(&[Mood::Permanent], None).await;
    send(
        &config(server.port, MailTls::None),
        vec![recovery(Audience::Patient, &token())],
        LONG,
    )
    .await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_holds_up_no_other_mail_for_long() {
    let moods = &[Mood::Silent, Mood::Silent, Mood::Silent, Mood::Friendly];
    let server = Server::start(moods, None).await;
    let mails = vec![
        recovery(Audience::Patient, &token()),
        Mail::resolution_ready("ana@clinic.test".into()),
    ];
    send(
        &config(server.port, MailTls::None),
        mails,
        Duration::from_millis(500),
    )
    .await;
    let sessions = server.sessions();
    assert!(readable(sessions.last().unwrap()).contains("novedades"));
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
    let (mailer, postman) = Postman::new(&config, None, Patience::default()).unwrap();
    mailer.send(recovery(Audience::Patient, &token()));
    mailer.send(Mail::resolution_ready("ana@clinic.test".into()));
    let stop = CancellationToken::new();
    stop.cancel();
    // The mailer is still there: without the stop this would wait for ever.
    postman.run(stop).await;
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
