//! Certificates to the second: validity, serial numbers and extensions of authority and leaf. Must
//! never reuse a serial number or a leaf's key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, NameConstraints, SanType, SerialNumber, date_time_ymd,
};

use super::TlsError;
use crate::limits::{CA_YEARS, CLOCK_FLOOR_S, LEAF_BACKDATE_DAYS, LEAF_DAYS};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Unix time in seconds, never before the node's own release: a clock without a battery starts in
/// 1970 or at the last shutdown, and a certificate dated then would be refused.
pub(super) fn plausible_s(now: SystemTime) -> u64 {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    seconds.max(CLOCK_FLOOR_S)
}

/// First and last second of a certificate's life, in Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from_s: u64,
    pub(super) to_s: u64,
}

impl Validity {
    /// From 2020, so that no clock is too early, for [`CA_YEARS`] from now.
    pub(super) fn of_authority(now: SystemTime) -> Self {
        let life_s = CA_YEARS * 365 * DAY.as_secs();
        Self {
            from_s: 1_577_836_800,
            to_s: plausible_s(now) + life_s,
        }
    }

    /// [`LEAF_DAYS`] in all, the first few of them past.
    pub(super) fn of_leaf(now: SystemTime) -> Self {
        let from_s = plausible_s(now) - LEAF_BACKDATE_DAYS * DAY.as_secs();
        // Both ends count (RFC 5280, 4.1.2.5).
        Self {
            from_s,
            to_s: from_s + LEAF_DAYS * DAY.as_secs() - 1,
        }
    }

    /// A third of the life is left, or the clock says that it has not begun.
    pub(super) fn wants_renewal(self, now: SystemTime) -> bool {
        let now_s = plausible_s(now);
        now_s < self.from_s || now_s >= self.to_s - (self.to_s - self.from_s) / 3
    }

    fn apply(self, params: &mut CertificateParams) {
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(self.from_s);
        params.not_after = epoch + Duration::from_secs(self.to_s);
    }
}

/// 127 random bits (RFC 5280, 4.1.2.2: positive, at most 20 bytes).
fn serial() -> Result<[u8; 16], TlsError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| TlsError::NoRandomness)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(bytes)
}

fn named(common_name: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Islet");
    name.push(DnType::CommonName, common_name);
    name
}

/// May sign leaves, for names within the constraints, and nothing else. Its name is unique, so
/// that phones which trust two nodes can tell their authorities apart.
pub(super) fn authority(
    hostname: &str,
    constraints: NameConstraints,
    now: SystemTime,
) -> Result<CertificateParams, TlsError> {
    let serial = serial()?;
    let mut params = CertificateParams::default();
    let unique = u32::from_be_bytes([serial[1], serial[2], serial[3], serial[4]]);
    params.distinguished_name = named(format!("Islet {hostname} {unique:08x}"));
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(constraints);
    Validity::of_authority(now).apply(&mut params);
    Ok(params)
}

/// May act as a TLS server under these names, and nothing else.
pub(super) fn leaf(names: Vec<SanType>, validity: Validity) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Islet".to_owned());
    params.serial_number = Some(SerialNumber::from_slice(&serial()?));
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    validity.apply(&mut params);
    Ok(params)
}
