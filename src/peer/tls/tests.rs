//! Both sides of the handshake against certificates that lie.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{ClientConnection, Connection, ServerConnection};

use super::*;

fn identity() -> Identity {
    Identity::from_pkcs8(Identity::generate().unwrap()).unwrap()
}

/// What both sides say at the end of a handshake in memory; the server's side with the key that it
/// saw.
fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> (Result<(), Error>, Result<Option<PublicKey>, Error>) {
    let name = ServerName::try_from("islet.invalid").unwrap();
    let mut client: Connection = ClientConnection::new(client, name).unwrap().into();
    let mut server: Connection = ServerConnection::new(server).unwrap().into();
    let (mut at_client, mut at_server) = (Ok(()), Ok(()));
    for _ in 0..8 {
        at_server = at_server.and_then(|()| carry(&mut client, &mut server));
        at_client = at_client.and_then(|()| carry(&mut server, &mut client));
    }
    let key = server
        .peer_certificates()
        .and_then(|chain| key_of(chain.first()?));
    assert!(at_client.is_err() || at_server.is_err() || !client.is_handshaking());
    (at_client, at_server.map(|()| key))
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut input = bytes.as_slice();
    while !input.is_empty() {
        to.read_tls(&mut input).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

/// A client with any certificate and key, which expects `server`.
fn hostile_client(
    server: &Identity,
    certified: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> Arc<ClientConfig> {
    let provider = provider();
    let verifier = Arc::new(ByKey::new(&provider, Some(*server.public_key())));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match certified {
        Some((certificate, key)) => builder
            .with_client_auth_cert(vec![certificate], key)
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

#[test]
fn two_nodes_know_each_other_by_key() {
    let (a, b) = (identity(), identity());
    let client = client_config(&a, b.public_key()).unwrap();
    let (at_client, at_server) = shake(client, server_config(&b).unwrap());
    assert_eq!((at_client, at_server), (Ok(()), Ok(Some(*a.public_key()))));
}

#[test]
fn a_client_goes_on_with_no_other_server() {
    let (a, b, other) = (identity(), identity(), identity());
    let client = client_config(&a, other.public_key()).unwrap();
    let (at_client, _) = shake(client, server_config(&b).unwrap());
    let expected = CertificateError::ApplicationVerificationFailure;
    assert_eq!(at_client, Err(Error::InvalidCertificate(expected)));
}

#[test]
fn a_client_without_a_certificate_is_turned_away() {
    let server = identity();
    let (_, at_server) = shake(
        hostile_client(&server, None),
        server_config(&server).unwrap(),
    );
    assert_eq!(at_server, Err(Error::NoCertificatesPresented));
}

#[test]
fn another_type_of_key_is_turned_away() {
    let server = identity();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    let client = hostile_client(&server, Some((certificate.into(), private(&key))));
    let (_, at_server) = shake(client, server_config(&server).unwrap());
    // The server asks for Ed25519 alone, so a client with another key has nothing to show.
    assert_eq!(at_server, Err(Error::NoCertificatesPresented));
    let der = CertificateParams::default().self_signed(&key).unwrap();
    assert_eq!(key_of(der.der()), None);
}

#[test]
fn an_expired_certificate_is_as_good_as_any() {
    let server = identity();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1999, 1, 1);
    params.not_after = date_time_ymd(2000, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let client = hostile_client(&server, Some((certificate.into(), private(&key))));
    let (at_client, at_server) = shake(client, server_config(&server).unwrap());
    let seen: PublicKey = key.public_key_raw().try_into().unwrap();
    assert_eq!((at_client, at_server), (Ok(()), Ok(Some(seen))));
}

/// Shows one certificate and signs with the key of another.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for Impostor {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_certificate_without_its_key_is_turned_away() {
    let (server, member) = (identity(), identity());
    let (stolen, _) = member.certificate().unwrap();
    let own = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let signer: Arc<dyn SigningKey> = provider()
        .key_provider
        .load_private_key(private(&own))
        .unwrap();
    let mut config = ClientConfig::clone(&hostile_client(&server, None));
    let certified = CertifiedKey::new(vec![stolen], signer);
    config.client_auth_cert_resolver = Arc::new(Impostor(Arc::new(certified)));
    let (_, at_server) = shake(Arc::new(config), server_config(&server).unwrap());
    let bad = CertificateError::BadSignature;
    assert_eq!(at_server, Err(Error::InvalidCertificate(bad)));
}

#[test]
fn tls_1_2_is_not_spoken() {
    let (server, member) = (identity(), identity());
    let (certificate, key) = member.certificate().unwrap();
    let provider = provider();
    let verifier = Arc::new(ByKey::new(&provider, Some(*server.public_key())));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let (at_client, at_server) = shake(Arc::new(config), server_config(&server).unwrap());
    assert!(at_client.is_err() || at_server.is_err());
}
