//! Access tokens that are issued, accepted and too old; `hostile.rs` has the forged ones.

use proptest::prelude::*;

use super::*;

fn claims() -> Claims {
    Claims {
        audience: Audience::Patient,
        subject: "40123456".to_owned(),
        user_id: 9_007_199_254_740_991,
        session_id: "s-1".to_owned(),
        generation: 3,
        issued_at_s: 1_000,
        expires_at_s: 2_800,
    }
}

fn keys(issuer: &str) -> TokenKeys {
    TokenKeys::generate(issuer).unwrap().0
}

#[test]
fn what_was_issued_is_read_back() {
    let keys = keys("nodo-1");
    let token = keys.issue(&claims()).unwrap();
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(keys.verify(&token, Audience::Patient, 1_000), Ok(claims()));
    assert_eq!(
        keys.verify(&token, Audience::Staff, 1_000),
        Err(TokenError::Invalid)
    );
}

#[test]
fn the_header_says_type_algorithm_and_key() {
    let keys = keys("nodo-1");
    let token = keys.issue(&claims()).unwrap();
    let json = URL_SAFE_NO_PAD
        .decode(token.split('.').next().unwrap())
        .unwrap();
    let header: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let kid = &blake3::hash(keys.public_key()).to_hex()[..16];
    assert_eq!(
        header,
        serde_json::json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid})
    );
}

#[test]
fn it_expires_at_the_second() {
    let keys = keys("nodo-1");
    let token = keys.issue(&claims()).unwrap();
    assert!(keys.verify(&token, Audience::Patient, 2_799).is_ok());
    for now_s in [2_800, 2_801, i64::MAX] {
        assert_eq!(
            keys.verify(&token, Audience::Patient, now_s),
            Err(TokenError::Expired)
        );
    }
    // Expiry is not told to somebody who uses the token elsewhere.
    assert_eq!(
        keys.verify(&token, Audience::Staff, 2_800),
        Err(TokenError::Invalid)
    );
}

#[test]
fn keys_survive_a_restart_and_a_rotation() {
    let (old, pkcs8) = TokenKeys::generate("nodo-1").unwrap();
    let token = old.issue(&claims()).unwrap();

    let restarted = TokenKeys::from_pkcs8("nodo-1", &pkcs8).unwrap();
    assert!(restarted.verify(&token, Audience::Patient, 1_000).is_ok());

    let rotated = keys("nodo-1");
    assert_eq!(
        rotated.verify(&token, Audience::Patient, 1_000),
        Err(TokenError::Invalid)
    );
    let rotated = rotated.accepting("nodo-1", old.public_key());
    assert!(rotated.verify(&token, Audience::Patient, 1_000).is_ok());
    let newer = rotated.issue(&claims()).unwrap();
    assert!(rotated.verify(&newer, Audience::Patient, 1_000).is_ok());
    assert_eq!(
        old.verify(&newer, Audience::Patient, 1_000),
        Err(TokenError::Invalid)
    );
}

#[test]
fn a_peer_speaks_for_itself_only() {
    let peer = keys("nodo-2");
    let node = keys("nodo-1").accepting("nodo-2", peer.public_key());
    let token = peer.issue(&claims()).unwrap();
    assert!(node.verify(&token, Audience::Patient, 1_000).is_ok());

    let node = keys("nodo-1").accepting("nodo-3", peer.public_key());
    assert_eq!(
        node.verify(&token, Audience::Patient, 1_000),
        Err(TokenError::Invalid)
    );
}

#[test]
fn other_bytes_are_not_a_key() {
    let (_, pkcs8) = TokenKeys::generate("nodo-1").unwrap();
    for bytes in [
        &[][..],
        b"-----BEGIN PRIVATE KEY-----",
        &pkcs8[..pkcs8.len() - 1],
    ] {
        let rejected = TokenKeys::from_pkcs8("nodo-1", bytes).unwrap_err();
        assert_eq!(rejected, TokenKeyError::Rejected);
    }
}

#[test]
fn debug_hides_the_keys() {
    let keys = keys("nodo-1");
    assert_eq!(
        format!("{keys:?}"),
        format!("TokenKeys(nodo-1, {}, ..)", keys.key_id)
    );
}

proptest! {
    #[test]
    fn no_text_panics_or_passes(text in "\\PC{0,200}(\\.\\PC{0,200}){0,3}") {
        let keys = keys("nodo-1");
        prop_assert_eq!(keys.verify(&text, Audience::Patient, 0), Err(TokenError::Invalid));
    }

    #[test]
    fn no_change_of_a_byte_passes(position in 0_usize..1_000, byte in 0_u8..128) {
        let keys = keys("nodo-1");
        let token = keys.issue(&claims()).unwrap();
        let mut changed = token.clone().into_bytes();
        let position = position % changed.len();
        prop_assume!(changed[position] != byte);
        changed[position] = byte;
        let changed = String::from_utf8(changed).unwrap();
        let answer = keys.verify(&changed, Audience::Patient, 1_000);
        prop_assert_eq!(answer, Err(TokenError::Invalid));
    }
}
