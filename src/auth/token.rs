//! Access tokens: short-lived JWTs (RFC 9068 `at+jwt`) signed with Ed25519 (RFC 8037).
//!
//! The verifier follows RFC 8725 (JWT best current practices) and is deliberately narrow: one
//! algorithm, one type, and a header of exactly `alg`, `typ` and `kid`. Whatever else a header
//! could say (`jku`, `jwk`, `x5u`, `x5c`, `crit`, `zip`) is refused, so nothing in a token can
//! choose the key or the algorithm. The key comes from `kid`, which must be one that this node
//! knows, and each key may only speak for its own issuer.
//!
//! `aud` separates patients from staff: in the legacy backend either gateway accepted the other's
//! tokens. The time is a parameter; there is no leeway, since the node that signs is usually the
//! one that verifies. Whether the session (`jti`) was revoked is not known here: ask the store.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::limits::ACCESS_TOKEN_BYTES_MAX;

/// The media type of access tokens, RFC 9068 section 2.1.
const TYPE: &str = "at+jwt";

/// Whom a token lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The patient's routes.
    Patient,
    /// The back office.
    Staff,
}

impl Audience {
    /// The `aud` claim.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "islet:patient",
            Self::Staff => "islet:staff",
        }
    }
}

/// What a token says about its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `aud`: whom the token lets in.
    pub audience: Audience,
    /// `sub`: the DNI of a patient, the user name of staff. Not empty.
    pub subject: String,
    /// `uid`: the row id of the user.
    pub user_id: i64,
    /// `jti`: the id of the session. Not empty.
    pub session_id: String,
    /// `gen`: the generation of refresh tokens that it was handed out with, see `auth/refresh.rs`.
    pub generation: u64,
    /// `iat`: when it was issued, in seconds since 1970.
    pub issued_at_s: i64,
    /// `exp`: the first second in which it is no longer valid.
    pub expires_at_s: i64,
}

/// Why a token was not accepted. Both mean 401; the text of neither says more.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// A genuine token whose time is over: refresh it.
    #[error("the access token has expired; refresh it or log in again")]
    Expired,
    /// Not a token of this network for this audience.
    #[error("the access token is not valid; log in again")]
    Invalid,
}

/// Why a key or a token could not be made.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum TokenKeyError {
    /// The bytes are not an Ed25519 key in PKCS#8.
    #[error("the signing key is not an Ed25519 key in PKCS#8 form; restore it or make a new one")]
    Rejected,
    /// The cryptographic library failed.
    #[error("no key or signature could be made; try again")]
    Failed,
}

/// A key that may verify, and the issuer it speaks for.
struct VerifyingKey {
    issuer: String,
    key: DecodingKey,
}

/// The signing key of this node and every key whose tokens it accepts.
pub struct TokenKeys {
    issuer: String,
    key_id: String,
    public_key: Vec<u8>,
    signing: EncodingKey,
    verifying: HashMap<String, VerifyingKey>,
}

impl TokenKeys {
    /// Makes a new signing key for `issuer` (the node's name), and its PKCS#8 form to be kept in a
    /// protected file.
    ///
    /// # Errors
    /// [`TokenKeyError::Failed`] if the library could not make one.
    pub fn generate(issuer: &str) -> Result<(Self, Zeroizing<Vec<u8>>), TokenKeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| TokenKeyError::Failed)?;
        let document = pair.to_pkcs8().map_err(|_| TokenKeyError::Failed)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        Ok((Self::from_pkcs8(issuer, &pkcs8)?, pkcs8))
    }

    /// The signing key from its PKCS#8 DER form.
    ///
    /// # Errors
    /// [`TokenKeyError::Rejected`] if `pkcs8` is not an Ed25519 key.
    pub fn from_pkcs8(issuer: &str, pkcs8: &[u8]) -> Result<Self, TokenKeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| TokenKeyError::Rejected)?;
        let public_key = pair.public_key().as_ref().to_vec();
        let keys = Self {
            issuer: issuer.to_owned(),
            key_id: key_id(&public_key),
            public_key: public_key.clone(),
            signing: EncodingKey::from_ed_der(pkcs8),
            verifying: HashMap::new(),
        };
        Ok(keys.accepting(issuer, &public_key))
    }

    /// Also accepts tokens that `issuer` signed with the Ed25519 key `public_key` (32 bytes): an
    /// older key of this node after a rotation, or the key of another node of the network.
    #[must_use]
    pub fn accepting(mut self, issuer: &str, public_key: &[u8]) -> Self {
        let key = VerifyingKey {
            issuer: issuer.to_owned(),
            key: DecodingKey::from_ed_der(public_key),
        };
        self.verifying.insert(key_id(public_key), key);
        self
    }

    /// The public half of the signing key (32 bytes), for other nodes.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`TokenKeyError::Failed`] if the library could not sign.
    pub fn issue(&self, claims: &Claims) -> Result<String, TokenKeyError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.key_id.clone());
        let wire = WireClaims {
            iss: self.issuer.clone(),
            aud: claims.audience.as_str().to_owned(),
            sub: claims.subject.clone(),
            exp: claims.expires_at_s,
            iat: claims.issued_at_s,
            nbf: None,
            jti: claims.session_id.clone(),
            generation: claims.generation,
            uid: claims.user_id,
        };
        jsonwebtoken::encode(&header, &wire, &self.signing).map_err(|_| TokenKeyError::Failed)
    }

    /// Accepts or refuses a token for `audience` at `now_s` (seconds since 1970).
    ///
    /// # Errors
    /// [`TokenError::Expired`] if time is the only thing wrong with it, else
    /// [`TokenError::Invalid`].
    pub fn verify(
        &self,
        token: &str,
        audience: Audience,
        now_s: i64,
    ) -> Result<Claims, TokenError> {
        let header = strict_header(token).ok_or(TokenError::Invalid)?;
        let key = self.verifying.get(&header.kid).ok_or(TokenError::Invalid)?;
        let validation = validation(&key.issuer, audience);
        let wire = jsonwebtoken::decode::<WireClaims>(token, &key.key, &validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        // The library also takes lists; ours are single strings, which the struct has ensured.
        if wire.sub.is_empty() || wire.jti.is_empty() || wire.nbf.is_some_and(|nbf| now_s < nbf) {
            return Err(TokenError::Invalid);
        }
        if now_s >= wire.exp {
            return Err(TokenError::Expired);
        }
        Ok(Claims {
            audience,
            subject: wire.sub,
            user_id: wire.uid,
            session_id: wire.jti,
            generation: wire.generation,
            issued_at_s: wire.iat,
            expires_at_s: wire.exp,
        })
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKeys({}, {}, ..)", self.issuer, self.key_id)
    }
}

/// The claims as they travel. `serde` refuses a claim that appears twice. Unknown claims are
/// ignored, so that a newer node may add some.
#[derive(Serialize, Deserialize)]
struct WireClaims {
    iss: String,
    aud: String,
    sub: String,
    exp: i64,
    iat: i64,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    nbf: Option<i64>,
    jti: String,
    #[serde(rename = "gen")]
    generation: u64,
    uid: i64,
}

/// A claim that may be absent but not `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    i64::deserialize(deserializer).map(Some)
}

/// The only header that is accepted. An unknown or repeated member is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader {
    alg: String,
    typ: String,
    kid: String,
}

/// The header, if the token has a bearable size, three parts and nothing suspicious in the first.
fn strict_header(token: &str) -> Option<StrictHeader> {
    if token.len() > ACCESS_TOKEN_BYTES_MAX || token.split('.').count() != 3 {
        return None;
    }
    let (encoded, _) = token.split_once('.')?;
    let json = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    // serde would also read a struct from a JSON array.
    if !json.starts_with(b"{") {
        return None;
    }
    let header: StrictHeader = serde_json::from_slice(&json).ok()?;
    (header.alg == "EdDSA" && header.typ == TYPE).then_some(header)
}

/// What the library checks for us. Times are not among it: it would read the system's clock.
fn validation(issuer: &str, audience: Audience) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.leeway = 0;
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience.as_str()]);
    validation
}

/// The name of a key: the first 16 hexadecimal digits of the BLAKE3 hash of the public key.
fn key_id(public_key: &[u8]) -> String {
    let mut id = blake3::hash(public_key).to_hex().to_string();
    id.truncate(16);
    id
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
