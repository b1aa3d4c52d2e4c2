//! What real clients think of the leaves: rustls (through reqwest) and OpenSSL.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::*;

use super::super::leaf::Validity;
use super::super::names::{Host, Names};
use super::*;
use crate::http::listen::{ConnectionLimits, Kind, Listener, Scheme, bind, serve};
use crate::limits::{CLOCK_FLOOR_S, LEAF_DAYS};

const DAY: Duration = Duration::from_secs(86_400);

fn identity(authority: &Arc<CertificateAuthority>, hosts: &[&str]) -> TlsIdentity {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    TlsIdentity::new(Arc::clone(authority), &hosts, SystemTime::now()).unwrap()
}

async fn start(identity: &Arc<TlsIdentity>) -> SocketAddr {
    let app = Router::new().route(
        "/",
        get(|Extension(scheme): Extension<Scheme>| async move { format!("{scheme:?}") }),
    );
    let kind = Kind::Tls(Arc::clone(identity));
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = bind(Listener {
        addr,
        kind,
        app,
        option: "--https",
    })
    .unwrap();
    let addr = bound.addr();
    tokio::spawn(serve(
        vec![bound],
        ConnectionLimits::default(),
        CancellationToken::new(),
    ));
    addr
}

/// A client that trusts this authority only and finds every host at `addr`.
fn client(authority: &CertificateAuthority, host: &str, addr: SocketAddr) -> reqwest::Client {
    let root = reqwest::Certificate::from_der(authority.der()).unwrap();
    let builder = reqwest::Client::builder()
        .tls_certs_only([root])
        .tls_info(true)
        .resolve(host, addr);
    builder.timeout(Duration::from_secs(20)).build().unwrap()
}

async fn ask(
    client: &reqwest::Client,
    host: &str,
    addr: SocketAddr,
) -> reqwest::Result<reqwest::Response> {
    client
        .get(format!("https://{host}:{}/", addr.port()))
        .send()
        .await
}

fn serial_of(answer: &reqwest::Response) -> String {
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    let (_, leaf) = X509Certificate::from_der(info.peer_certificate().unwrap()).unwrap();
    leaf.raw_serial_as_string()
}

/// A leaf for any names, past the checks that the node itself makes.
fn forge(authority: &CertificateAuthority, names: &[&str]) -> Vec<CertificateDer<'static>> {
    let params = rcgen::CertificateParams::new(
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>(),
    )
    .unwrap();
    let validity = Validity::of_leaf(SystemTime::now());
    let params = leaf::leaf(params.subject_alt_names, validity).unwrap();
    authority.issue(&params).unwrap().0
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_served_over_http2() {
    let (_dir, authority) = authority(&["clinica.example"]);
    let identity = Arc::new(identity(&authority, &["clinica.example"]));
    let addr = start(&identity).await;
    for host in ["clinica.example", "localhost", "127.0.0.1"] {
        let answer = ask(&client(&authority, host, addr), host, addr)
            .await
            .unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2, "{host}");
        assert_eq!(answer.text().await.unwrap(), "Https");
    }
}

#[tokio::test]
async fn a_client_that_trusts_another_authority_is_not_served() {
    let ((_dir, authority), (_other_dir, other)) = (authority(&[]), super::authority(&[]));
    let addr = start(&Arc::new(identity(&authority, &[]))).await;
    let refused = ask(&client(&other, "localhost", addr), "localhost", addr).await;
    assert!(format!("{:?}", refused.unwrap_err()).contains("UnknownIssuer"));
}

/// The reason for name constraints.
#[tokio::test]
async fn a_leaf_for_a_name_outside_the_lan_is_refused_by_rustls() {
    let (_dir, authority) = authority(&[]);
    let params =
        rcgen::CertificateParams::new(vec!["google.com".to_owned(), "x.local".to_owned()]).unwrap();
    for (names, accepted) in [
        (&params.subject_alt_names[1..], true),
        (&params.subject_alt_names[..], false),
    ] {
        let validity = Validity::of_leaf(SystemTime::now());
        let (chain, key) = authority
            .issue(&leaf::leaf(names.to_vec(), validity).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
            let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await?;
            let _ = stream.read(&mut [0; 1024]).await?;
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await
        });
        let host = if accepted { "x.local" } else { "google.com" };
        let answer = ask(&client(&authority, host, addr), host, addr).await;
        match answer {
            Ok(answer) => assert!(accepted && answer.status() == 204),
            Err(error) => assert!(
                !accepted && format!("{error:?}").contains("NameConstraintViolation"),
                "{error:?}"
            ),
        }
    }
}

/// Whether `test` cannot run here. Then it is on the list of skipped tests, so that the run does not
/// count it as passed.
fn skipped_without_openssl(test: &str) -> bool {
    if Command::new("openssl").arg("version").output().is_ok() {
        return false;
    }
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/target/skipped-tests.txt");
    let mut list = OpenOptions::new()
        .create(true)
        .append(true)
        .open(list)
        .unwrap();
    writeln!(list, "{test}: there is no `openssl` command").unwrap();
    true
}

#[test]
fn openssl_holds_the_authority_to_its_names() {
    if skipped_without_openssl("openssl_holds_the_authority_to_its_names") {
        return;
    }
    let (dir, authority) = authority(&["clinica.example", "203.0.113.7"]);
    let leaf = dir.path().join("leaf.pem");
    let verdict = |names: &[&str]| {
        let chain = forge(&authority, names);
        std::fs::write(&leaf, pem_of(&chain[0])).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"]);
        let output = openssl
            .arg(dir.path().join("tls/ca.crt"))
            .arg(&leaf)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for good in [
        "localhost",
        "islet.local",
        "clinica.example",
        "203.0.113.7",
        "10.1.2.3",
        "172.31.0.1",
        "192.168.1.5",
        "169.254.9.9",
        "100.64.0.1",
        "127.0.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
    ] {
        let (accepted, text) = verdict(&[good]);
        assert!(accepted, "{good}: {text}");
    }
    for bad in [
        "google.com",
        "notlocal",
        "local.com",
        "example",
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "203.0.113.8",
        "2001:4860:4860::8888",
        "::2",
    ] {
        let (accepted, text) = verdict(&["localhost", bad]);
        assert!(
            !accepted && text.contains("permitted subtree violation"),
            "{bad}: {text}"
        );
    }
}

fn pem_of(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[test]
fn the_authority_may_sign_leaves_and_nothing_else() {
    let (_dir, authority) = authority(&[]);
    let (_, certificate) = X509Certificate::from_der(authority.der()).unwrap();
    let basic = certificate.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca && basic.value.path_len_constraint == Some(0));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert_eq!(
        usage.value.flags,
        (1 << 5) | (1 << 6),
        "keyCertSign and cRLSign"
    );
    assert!(certificate.name_constraints().unwrap().unwrap().critical);
    let years =
        certificate.validity.not_after.timestamp() - certificate.validity.not_before.timestamp();
    assert!(years > 10 * 365 * 86_400);
    assert!(certificate.validity.not_before.timestamp() < i64::try_from(CLOCK_FLOOR_S).unwrap());
}

#[test]
fn a_leaf_is_for_tls_servers_and_short_lived() {
    let (_dir, authority) = authority(&[]);
    let chain = forge(&authority, &["localhost"]);
    assert_eq!(
        &*chain[1],
        authority.der(),
        "the authority is sent along for pins"
    );
    let (_, certificate) = X509Certificate::from_der(&chain[0]).unwrap();
    let usage = certificate.extended_key_usage().unwrap().unwrap();
    assert!(usage.value.server_auth && !usage.value.client_auth && !usage.value.any);
    assert!(!certificate.is_ca());
    let validity = &certificate.validity;
    let life = validity.not_after.timestamp() - validity.not_before.timestamp();
    assert!(life < i64::try_from(LEAF_DAYS).unwrap() * 86_400 && LEAF_DAYS <= 397);
    assert!(validity.is_valid());
}

#[test]
fn a_wrong_clock_makes_no_certificate_that_is_over_or_yet_to_come() {
    let authority = Validity::of_authority(UNIX_EPOCH);
    let leaf = Validity::of_leaf(UNIX_EPOCH);
    assert!(leaf.from_s > authority.from_s && leaf.to_s < authority.to_s);
    assert!(leaf.from_s < CLOCK_FLOOR_S && leaf.to_s > CLOCK_FLOOR_S);
    // The clock is set right a year later: time for a new one.
    assert!(!leaf.wants_renewal(UNIX_EPOCH));
    assert!(leaf.wants_renewal(UNIX_EPOCH + Duration::from_secs(CLOCK_FLOOR_S) + 365 * DAY));
    // It was ahead and is set back.
    let future = UNIX_EPOCH + Duration::from_secs(CLOCK_FLOOR_S) + 3650 * DAY;
    assert!(Validity::of_leaf(future).wants_renewal(future - 365 * DAY));
}

#[test]
fn a_leaf_is_renewed_in_its_last_third_or_when_names_change() {
    let (_dir, authority) = authority(&[]);
    let now = SystemTime::now();
    let identity = identity(&authority, &[]);
    let names = |ip: &str| Names::new(&[], "pi", [ip.parse().unwrap()], authority.permitted());
    assert!(identity.refresh_for(names("10.0.0.5"), now).unwrap());
    assert!(!identity.refresh_for(names("10.0.0.5"), now).unwrap());
    assert!(identity.refresh_for(names("10.0.0.6"), now).unwrap());
    assert!(identity.names().contains(&"10.0.0.6".to_owned()));
    assert!(!identity.names().contains(&"10.0.0.5".to_owned()));
    assert!(
        !identity
            .refresh_for(names("10.0.0.6"), now + 250 * DAY)
            .unwrap()
    );
    assert!(
        identity
            .refresh_for(names("10.0.0.6"), now + 260 * DAY)
            .unwrap()
    );
}

#[test]
fn a_leaf_names_only_what_the_authority_may_vouch_for() {
    let (_dir, authority) = authority(&["clinica.example"]);
    let found = [
        "192.168.1.5",
        "8.8.8.8",
        "fd00::5",
        "2001:db8::5",
        "::ffff:10.0.0.9",
    ];
    let found = found.map(|ip| ip.parse().unwrap());
    let hosts = [Host::parse("Clinica.Example.").unwrap()];
    let names = Names::new(&hosts, "pi.lan", found, authority.permitted()).to_strings();
    let expected = [
        "clinica.example",
        "localhost",
        "pi.local",
        "10.0.0.9",
        "127.0.0.1",
        "192.168.1.5",
        "::1",
        "fd00::5",
    ];
    assert_eq!(names, expected);
    let many = (0..=255).map(|n| format!("10.0.0.{n}").parse().unwrap());
    let names = Names::new(&hosts, "pi", many, authority.permitted()).to_strings();
    assert_eq!(names.len(), crate::limits::LEAF_NAMES_MAX);
    assert!(names.contains(&"clinica.example".to_owned()));
}

#[test]
fn addresses_that_no_leaf_can_name_are_told() {
    let (_dir, authority) = authority(&["198.51.100.7"]);
    let of_machine = [
        "127.0.0.1",
        "192.168.1.5",
        "192.0.2.2",
        "198.51.100.7",
        "2001:db8::7",
        "fd00::2",
    ];
    let of_machine = of_machine.map(|text| text.parse().unwrap());
    let told = authority.permitted().leaves_out(of_machine);
    assert_eq!(told, ["192.0.2.2".parse::<std::net::Ipv4Addr>().unwrap()]);
}

#[test]
fn a_host_that_the_authority_was_not_made_for_is_refused_aloud() {
    let (_dir, authority) = authority(&["clinica.example"]);
    for host in ["other.example", "8.8.8.8"] {
        let made = TlsIdentity::new(
            Arc::clone(&authority),
            &[host.to_owned()],
            SystemTime::now(),
        );
        let text = made.err().unwrap().to_string();
        assert!(
            text.contains(host) && text.contains("clinica.example, local, localhost"),
            "{text}"
        );
    }
    identity(
        &authority,
        &["www.clinica.example", "10.9.8.7", "[fd00::1]"],
    );
}

#[tokio::test]
async fn a_renewed_leaf_is_seen_by_new_connections_while_old_ones_live_on() {
    let (_dir, authority) = authority(&[]);
    // Still good for a while, and due for another.
    let made = SystemTime::now() - Duration::from_secs(300 * 86_400);
    let identity = TlsIdentity::new(Arc::clone(&authority), &[], made).unwrap();
    let identity = Arc::new(identity);
    let addr = start(&identity).await;
    let old = client(&authority, "localhost", addr);
    let first = serial_of(&ask(&old, "localhost", addr).await.unwrap());
    assert!(identity.refresh(SystemTime::now()).unwrap());
    assert_eq!(
        serial_of(&ask(&old, "localhost", addr).await.unwrap()),
        first,
        "the same connection"
    );
    let new = client(&authority, "localhost", addr);
    assert_ne!(
        serial_of(&ask(&new, "localhost", addr).await.unwrap()),
        first
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut() {
    let (_dir, authority) = authority(&[]);
    let kind = Kind::Tls(Arc::new(identity(&authority, &[])));
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = bind(Listener {
        addr,
        kind,
        app: Router::new(),
        option: "--https",
    })
    .unwrap();
    let addr = bound.addr();
    let limits = ConnectionLimits {
        handshake_timeout: Duration::from_millis(300),
        ..Default::default()
    };
    tokio::spawn(serve(
        vec![bound],
        ConnectionLimits {
            header_timeout: 100 * DAY,
            ..limits
        },
        CancellationToken::new(),
    ));
    // The head of a record that says that 512 bytes follow.
    for start in [&b""[..], b"\x16\x03\x01\x02\x00"] {
        let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        stream.write_all(start).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 8])).await;
        assert!(matches!(ended.expect("still open"), Ok(0) | Err(_)));
    }
}

#[test]
fn fingerprint_and_pin_are_what_openssl_says() {
    if skipped_without_openssl("fingerprint_and_pin_are_what_openssl_says") {
        return;
    }
    let run = |command: &str, dir: &Path| {
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(dir)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (dir, authority) = authority(&[]);
    let text = run(
        "openssl x509 -in tls/ca.crt -noout -fingerprint -sha256",
        dir.path(),
    );
    assert!(
        text.ends_with(&format!("={}", authority.fingerprint())),
        "{text}"
    );
    let pin = run(
        "openssl x509 -in tls/ca.crt -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl enc -base64",
        dir.path(),
    );
    assert_eq!(pin, authority.spki_pin());
}
