//! The certificate authority: made once, opened ever after. Must never be replaced by a new one
//! because something is wrong with it, unless the operator says so, and must never show its key.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::pem::parse_x509_pem;

use super::names::{Host, Permitted, constraints, hostname, machine_addresses};
use super::{TlsError, files, leaf};

const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";

/// The authority that phones and computers trust: ECDSA P-256, path length 0, confined by critical
/// name constraints to the LAN and to the host names it was made with.
pub struct CertificateAuthority {
    pem: String,
    der: CertificateDer<'static>,
    public_key: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    permitted: Permitted,
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CertificateAuthority")
            .field("fingerprint", &self.fingerprint())
            .field("permitted", &self.permitted)
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Makes an authority in `dir`: `ca.key` and `ca.crt` (mode 0600, directory 0700), durable
    /// when this returns. `hosts` are names and addresses beyond the LAN's own that it may vouch
    /// for: one that comes later needs another authority.
    ///
    /// # Errors
    /// [`TlsError::Exists`] if either file is there; [`TlsError::BadHost`]; [`TlsError::Io`].
    pub fn create(dir: &Path, hosts: &[String], now: SystemTime) -> Result<Self, TlsError> {
        let hosts = hosts
            .iter()
            .map(|host| Host::parse(host))
            .collect::<Result<Vec<_>, _>>()?;
        files::private_dir(dir)?;
        for path in [dir.join(KEY), dir.join(CERTIFICATE)] {
            if path.symlink_metadata().is_ok() {
                return Err(TlsError::Exists(path));
            }
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = leaf::authority(&hostname(), constraints(&hosts), now)?;
        let certificate = params.self_signed(&key)?;
        files::write_private(dir, KEY, &key.serialize_pem())?;
        files::write_private(dir, CERTIFICATE, &certificate.pem())?;
        Self::open(dir)
    }

    /// Puts the authority of another node of the same network into `dir`: phones that trust that
    /// node trust this one too. It came over a connection on which both nodes proved who they are.
    ///
    /// # Errors
    /// As [`Self::create`] and [`Self::open`].
    pub fn inherit(dir: &Path, key: &str, certificate: &str) -> Result<Self, TlsError> {
        files::private_dir(dir)?;
        for path in [dir.join(KEY), dir.join(CERTIFICATE)] {
            if path.symlink_metadata().is_ok() {
                return Err(TlsError::Exists(path));
            }
        }
        files::write_private(dir, KEY, key)?;
        files::write_private(dir, CERTIFICATE, certificate)?;
        Self::open(dir)
    }

    /// Opens the authority in `dir`.
    ///
    /// # Errors
    /// [`TlsError::Absent`] if there is none; [`TlsError::Missing`], [`TlsError::Damaged`] or
    /// [`TlsError::Exposed`] if there is one that must not be used as it is.
    pub fn open(dir: &Path) -> Result<Self, TlsError> {
        let (key_path, certificate_path) = (dir.join(KEY), dir.join(CERTIFICATE));
        let files = (
            files::read_private(&key_path)?,
            files::read_private(&certificate_path)?,
        );
        let (key, pem) = match files {
            (Some(key), Some(certificate)) => (key, certificate),
            (None, None) => return Err(TlsError::Absent(dir.to_owned())),
            (None, Some(_)) => return Err(TlsError::Missing(key_path)),
            (Some(_), None) => return Err(TlsError::Missing(certificate_path)),
        };
        files::check_private(dir, 0o700)?;
        let bad_key = |why: &str| TlsError::Damaged {
            path: key_path.clone(),
            why: why.to_owned(),
        };
        let bad_certificate = |why: &str| TlsError::Damaged {
            path: certificate_path.clone(),
            why: why.to_owned(),
        };

        let key = KeyPair::from_pem(&key).map_err(|_| bad_key("not a private key"))?;
        let (_, parsed) =
            parse_x509_pem(pem.as_bytes()).map_err(|_| bad_certificate("not a certificate"))?;
        let certificate = parsed
            .parse_x509()
            .map_err(|_| bad_certificate("not a certificate"))?;
        if certificate.verify_signature(None).is_err() || !certificate.is_ca() {
            return Err(bad_certificate("not the certificate of an authority"));
        }
        let public_key = certificate.public_key().raw.to_vec();
        if key.subject_public_key_info() != public_key {
            return Err(bad_key("it does not belong to ca.crt"));
        }
        let permitted = Permitted::of(&certificate)
            .ok_or_else(|| bad_certificate("it has no name constraints"))?;
        let der = CertificateDer::from(parsed.contents.clone());
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self {
            pem,
            der,
            public_key,
            issuer,
            permitted,
        })
    }

    /// The certificate as text, for people to install.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate as bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the certificate: 32 bytes in upper-case hexadecimal with colons, as phones and
    /// browsers show it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let bytes = self.sha256();
        bytes
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect::<Vec<_>>()
            .join(":")
    }

    /// SHA-256 of the certificate.
    pub(super) fn sha256(&self) -> [u8; 32] {
        sha256(&self.der)
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo) in base64, as `pin-sha256` of RFC 7469 and
    /// as apps pin it. The node sends this certificate along, so that a pin on it can match.
    #[must_use]
    pub fn spki_pin(&self) -> String {
        STANDARD.encode(sha256(&self.public_key))
    }

    /// Why it cannot vouch for some of `hosts`, one error each.
    #[must_use]
    pub fn refuses(&self, hosts: &[String]) -> Vec<TlsError> {
        let check = |host: &String| {
            let host = Host::parse(host)?;
            self.permitted.check(&host)
        };
        hosts.iter().filter_map(|host| check(host).err()).collect()
    }

    /// Addresses of this machine that it cannot vouch for, though people on the LAN may use them.
    ///
    /// # Errors
    /// [`TlsError::Io`] if the machine does not tell its addresses.
    pub fn left_out(&self) -> Result<Vec<Ipv4Addr>, TlsError> {
        Ok(self.permitted.leaves_out(machine_addresses()?))
    }

    pub(super) fn permitted(&self) -> &Permitted {
        &self.permitted
    }

    /// Signs: the chain to present and its new key.
    pub(super) fn issue(
        &self,
        params: &CertificateParams,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((vec![certificate.into(), self.der.clone()], key.into()))
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}
