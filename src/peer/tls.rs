//! TLS between nodes: both sides show a certificate, and what counts is the Ed25519 key in it.
//!
//! Names, dates and issuers are not looked at: the clock of a clinic's computer may be years off, and
//! an expired certificate must never stop a LAN. That the other side *has* the key is proved by the
//! signature over the handshake (RFC 8446, 4.4.3), which is verified like any other. A client goes
//! on only with the server that it expects; a server hands the key to the handler, which asks whether
//! it is a member's. Must never accept a handshake whose signature was not verified.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureScheme, version,
};
use subtle::ConstantTimeEq;
use thiserror::Error as ThisError;

use super::identity::{Identity, IdentityError, PublicKey};

/// SubjectPublicKeyInfo of Ed25519 up to the key (RFC 8410, 4).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// HTTP/2 alone.
const ALPN: &[u8] = b"h2";

/// Why TLS cannot be used.
#[derive(Debug, ThisError)]
pub enum TlsError {
    /// The node's own certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The library refused the settings.
    #[error("TLS between nodes cannot be set up: {0}")]
    Settings(#[from] Error),
}

/// For the port that peers connect to. A client without a certificate is turned away.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, TlsError> {
    let (certificate, key) = identity.certificate()?;
    let provider = provider();
    let verifier = Arc::new(ByKey::new(&provider, None));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would rest on a key that was proved some other time.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// For a connection to the node with the key `expected` and to no other.
///
/// # Errors
/// [`TlsError`].
pub fn client_config(
    identity: &Identity,
    expected: &PublicKey,
) -> Result<Arc<ClientConfig>, TlsError> {
    let (certificate, key) = identity.certificate()?;
    let provider = provider();
    let verifier = Arc::new(ByKey::new(&provider, Some(*expected)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The key of a certificate, if it is an Ed25519 key. Proves nothing by itself.
#[must_use]
pub fn key_of(certificate: &CertificateDer<'_>) -> Option<PublicKey> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let info = parsed.subject_public_key_info();
    info.as_ref().strip_prefix(&SPKI)?.try_into().ok()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Accepts Ed25519 keys: one of them, or any.
#[derive(Debug)]
struct ByKey {
    expected: Option<PublicKey>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ByKey {
    fn new(provider: &CryptoProvider, expected: Option<PublicKey>) -> Self {
        Self {
            expected,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    fn accept(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let key = key_of(certificate).ok_or(CertificateError::BadEncoding)?;
        match &self.expected {
            Some(expected) if !bool::from(expected.ct_eq(&key)) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(()),
        }
    }

    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }
}

/// TLS 1.2 is not offered; whoever gets here all the same is turned away.
fn never() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerIncompatible::Tls12NotOffered.into())
}

impl ServerCertVerifier for ByKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.accept(end_entity)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        never()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for ByKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.accept(end_entity)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        never()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests;
