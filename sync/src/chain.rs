//! The hash chain over the changes of a replica, and the signed heads that vouch for it.
//!
//! ```text
//! digest(change) = BLAKE3("islet change 1" ‖ hlc (8, big endian) ‖ ops)
//! head(0)        = BLAKE3("islet log 1" ‖ replica id (16))
//! head(n)        = BLAKE3(head(n-1) ‖ digest(change n))
//! signature      = Ed25519("islet head 1" ‖ replica id (16) ‖ seq (8, big endian) ‖ head (32))
//! ```
//!
//! The chain runs over changes, not over the segments that carry them, so segments can be cut and
//! joined anywhere, by anybody, and one signature vouches for everything before it (RFC 6962 does
//! the same for certificates with a tree). Ed25519 is RFC 8032: deterministic, no randomness.
//!
//! Must never accept a head whose signature was not checked.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use thiserror::Error;

use crate::hlc::Hlc;

/// Length of a signature, bytes.
pub const SIGNATURE_LEN: usize = 64;

/// What a chain hash or a digest of a change is.
pub type Hash = [u8; 32];

/// The random name of one incarnation of a node's database, 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub [u8; 16]);

impl ReplicaId {
    /// What the first change is chained to. Differs for each replica, so that no change of one
    /// log can stand in another.
    #[must_use]
    pub fn genesis(self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"islet log 1");
        hasher.update(&self.0);
        *hasher.finalize().as_bytes()
    }
}

/// The digest of one change.
#[must_use]
pub fn digest(hlc: Hlc, ops: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"islet change 1");
    hasher.update(&hlc.to_i64().to_be_bytes());
    hasher.update(ops);
    *hasher.finalize().as_bytes()
}

/// The chain hash after a change with this digest.
#[must_use]
pub fn next(head: &Hash, digest: &Hash) -> Hash {
    let mut both = [0; 64];
    both[..32].copy_from_slice(head);
    both[32..].copy_from_slice(digest);
    *blake3::hash(&both).as_bytes()
}

/// Where a log stands: everything up to `seq`, with the chain hash there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of changes.
    pub seq: u64,
    /// The chain hash after the last of them.
    pub hash: Hash,
}

impl Head {
    /// Before the first change of `replica`.
    #[must_use]
    pub fn genesis(replica: ReplicaId) -> Self {
        Self {
            seq: 0,
            hash: replica.genesis(),
        }
    }

    /// After one more change.
    #[must_use]
    pub fn append(&self, digest: &Hash) -> Self {
        Self {
            seq: self.seq + 1,
            hash: next(&self.hash, digest),
        }
    }

    fn statement(&self, replica: ReplicaId) -> [u8; 68] {
        let mut bytes = [0; 68];
        bytes[..12].copy_from_slice(b"islet head 1");
        bytes[12..28].copy_from_slice(&replica.0);
        bytes[28..36].copy_from_slice(&self.seq.to_be_bytes());
        bytes[36..].copy_from_slice(&self.hash);
        bytes
    }
}

/// A head with the signature of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// What is vouched for.
    pub head: Head,
    /// Over the statement in the module's text.
    pub signature: [u8; SIGNATURE_LEN],
}

/// Why a key or signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The seed is not 32 bytes, or the key is of another kind.
    #[error("this is no Ed25519 key")]
    Seed,
    /// Not made by the key's owner over this head.
    #[error("the signature does not fit the log")]
    Signature,
}

/// The private key of a node.
pub struct Signer(Ed25519KeyPair);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(..)")
    }
}

impl Signer {
    /// The key that belongs to a seed of 32 random bytes (RFC 8032, 5.1.5).
    ///
    /// # Errors
    /// When it has another length.
    pub fn from_seed(seed: &[u8]) -> Result<Self, SignatureError> {
        Ed25519KeyPair::from_seed_unchecked(seed)
            .map(Self)
            .map_err(|_| SignatureError::Seed)
    }

    /// The key in PKCS#8 form (RFC 8410), as a node keeps it.
    ///
    /// # Errors
    /// When it is no Ed25519 key.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, SignatureError> {
        Ed25519KeyPair::from_pkcs8(bytes)
            .map(Self)
            .map_err(|_| SignatureError::Seed)
    }

    /// The public key: the name of the node in its network.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        key
    }

    /// Vouches for a head.
    #[must_use]
    pub fn sign(&self, replica: ReplicaId, head: Head) -> SignedHead {
        let made = self.0.sign(&head.statement(replica));
        let mut signature = [0; SIGNATURE_LEN];
        signature.copy_from_slice(made.as_ref());
        SignedHead { head, signature }
    }
}

impl SignedHead {
    /// # Errors
    /// When the owner of `public_key` did not sign this head of `replica`.
    pub fn verify(&self, replica: ReplicaId, public_key: &[u8; 32]) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ED25519, public_key)
            .verify(&self.head.statement(replica), &self.signature)
            .map_err(|_| SignatureError::Signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLICA: ReplicaId = ReplicaId([7; 16]);

    fn head_of(changes: &[(i64, &[u8])]) -> Head {
        changes
            .iter()
            .fold(Head::genesis(REPLICA), |head, (wall_ms, ops)| {
                head.append(&digest(Hlc::default().tick(*wall_ms), ops))
            })
    }

    #[test]
    fn whatever_is_altered_dropped_or_swapped_shows() {
        let whole = head_of(&[(1, b"a"), (2, b"b"), (3, b"c")]);
        assert_eq!(whole.seq, 3);
        for other in [
            head_of(&[(1, b"a"), (2, b"x"), (3, b"c")]),
            head_of(&[(1, b"a"), (9, b"b"), (3, b"c")]),
            head_of(&[(2, b"b"), (1, b"a"), (3, b"c")]),
            head_of(&[(1, b"a"), (3, b"c")]),
        ] {
            assert_ne!(other.hash, whole.hash);
        }
        assert_ne!(
            Head::genesis(ReplicaId([8; 16])).hash,
            Head::genesis(REPLICA).hash
        );
    }

    #[test]
    fn a_signature_holds_for_one_replica_seq_hash_and_key() {
        let signer = Signer::from_seed(&[1; 32]).unwrap();
        let signed = signer.sign(REPLICA, head_of(&[(1, b"a")]));
        let key = signer.public_key();
        assert_eq!(signed.verify(REPLICA, &key), Ok(()));

        assert!(signed.verify(ReplicaId([8; 16]), &key).is_err());
        let mut other = signed;
        other.head.seq += 1;
        assert!(other.verify(REPLICA, &key).is_err());
        let mut other = signed;
        other.head.hash[0] ^= 1;
        assert!(other.verify(REPLICA, &key).is_err());
        let mut other = signed;
        other.signature[63] ^= 1;
        assert!(other.verify(REPLICA, &key).is_err());
        assert!(
            signed
                .verify(REPLICA, &Signer::from_seed(&[2; 32]).unwrap().public_key())
                .is_err()
        );
        assert!(Signer::from_seed(&[1; 31]).is_err());
    }

    #[test]
    fn the_bytes_are_fixed() {
        let signer = Signer::from_seed(&[1; 32]).unwrap();
        let signed = signer.sign(REPLICA, head_of(&[(1_772_755_449_000, b"\x01")]));
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        assert_golden(
            &hex(&signed.head.hash),
            include_str!("../tests/golden/head.hex"),
        );
        assert_golden(
            &hex(&signed.signature),
            include_str!("../tests/golden/signature.hex"),
        );
    }

    fn assert_golden(made: &str, golden: &str) {
        assert_eq!(made, golden.trim());
    }
}
