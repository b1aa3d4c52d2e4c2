//! Who this node is: one Ed25519 key, made once. Its public half is the node's name on the network,
//! and the only thing that peers trust it by. Must never leave its file, nor be replaced because
//! something is wrong with it: a node with another key is another node.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use islet_sync::chain::Signer;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use zeroize::Zeroizing;

use super::hex;

/// An Ed25519 public key (RFC 8032).
pub type PublicKey = [u8; 32];

/// Why there is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// The bytes are not such a key.
    #[error("the node's key is not an Ed25519 key in PKCS#8 form: restore it from a backup")]
    Rejected,
    /// The cryptographic library failed.
    #[error("no key or certificate could be made: try again")]
    Failed,
}

/// The key of this node.
pub struct Identity {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: Ed25519KeyPair,
    public_key: PublicKey,
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Identity({})", self.node_id())
    }
}

impl Identity {
    /// A new key in PKCS#8 DER form, to be kept in a private file.
    ///
    /// # Errors
    /// [`IdentityError::Failed`].
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| IdentityError::Failed)?;
        let document = pair.to_pkcs8().map_err(|_| IdentityError::Failed)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The identity with this key.
    ///
    /// # Errors
    /// [`IdentityError::Rejected`] if it is not an Ed25519 key.
    pub fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, IdentityError> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| IdentityError::Rejected)?;
        let public_key = pair.public_key().as_ref().try_into();
        Ok(Self {
            pkcs8,
            public_key: public_key.map_err(|_| IdentityError::Rejected)?,
            pair,
        })
    }

    /// The name of this node.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The short form of the name, for people and logs.
    #[must_use]
    pub fn node_id(&self) -> String {
        node_id(&self.public_key)
    }

    /// The same key, for the node's log.
    ///
    /// # Errors
    /// [`IdentityError::Rejected`] if the library does not take it any more.
    pub fn signer(&self) -> Result<Signer, IdentityError> {
        Signer::from_pkcs8(&self.pkcs8).map_err(|_| IdentityError::Rejected)
    }

    /// Signs `message` (RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }

    /// A certificate that carries the key through TLS, and the key. Nobody looks at its names and
    /// dates.
    pub(super) fn certificate(
        &self,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), IdentityError> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.to_vec());
        let key = KeyPair::try_from(&der).map_err(|_| IdentityError::Rejected)?;
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, self.node_id());
        params.distinguished_name = name;
        let certificate = params.self_signed(&key);
        let certificate = certificate.map_err(|_| IdentityError::Failed)?;
        Ok((certificate.into(), der.into()))
    }
}

/// First half of the SHA-256 of the key in hexadecimal: 32 characters.
#[must_use]
pub fn node_id(key: &PublicKey) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
    hex(&digest.as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_key_is_the_same_node_each_time_and_signs_as_itself() {
        let pkcs8 = Identity::generate().unwrap();
        let (first, second) = (
            Identity::from_pkcs8(pkcs8.clone()).unwrap(),
            Identity::from_pkcs8(pkcs8).unwrap(),
        );
        assert_eq!(first.public_key(), second.public_key());
        assert_eq!(first.node_id().len(), 32);
        let other = Identity::from_pkcs8(Identity::generate().unwrap()).unwrap();
        assert_ne!(first.node_id(), other.node_id());
        let (message, signature) = (b"head", first.sign(b"head"));
        let verify =
            |key: &PublicKey| UnparsedPublicKey::new(&ED25519, key).verify(message, &signature);
        assert!(verify(first.public_key()).is_ok());
        assert!(verify(other.public_key()).is_err());
    }

    #[test]
    fn the_short_name_is_half_of_the_sha256() {
        // SHA-256 of 32 zero bytes, FIPS 180-4.
        assert_eq!(node_id(&[0; 32]), "66687aadf862bd776c8fc18b8e9f8e20");
    }

    #[test]
    fn other_bytes_are_no_identity_and_the_key_is_not_shown() {
        let refused = Identity::from_pkcs8(Zeroizing::new(vec![1, 2, 3]));
        assert_eq!(refused.err(), Some(IdentityError::Rejected));
        let identity = Identity::from_pkcs8(Identity::generate().unwrap()).unwrap();
        let shown = format!("{identity:?}");
        assert_eq!(shown, format!("Identity({})", identity.node_id()));
    }
}
