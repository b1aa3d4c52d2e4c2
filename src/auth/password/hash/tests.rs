//! Stored hashes: ours, wrapped legacy ones, damaged and hostile ones.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const SALT: [u8; SALT_BYTES] = *b"0123456789abcdef";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// A stored hash with these cost parameters; its digest matches nothing.
fn stored(version: &str, costs: &str) -> String {
    format!(
        "$argon2id${version}${costs}$MDEyMzQ1Njc4OWFiY2RlZg${}",
        "A".repeat(43)
    )
}

#[test]
fn a_new_hash_matches_its_password_only() {
    let mut memory = Memory::new();
    let hash = PasswordHash::compute(&secret("ñandú 77"), SALT, &mut memory).unwrap();
    assert!(hash.matches(&secret("ñandú 77"), &mut memory).unwrap());
    assert!(!hash.matches(&secret("ñandú 78"), &mut memory).unwrap());
    assert!(!hash.matches(&secret(""), &mut memory).unwrap());
    assert!(!hash.needs_rehash());
}

/// The expected string comes from the reference implementation in C (through argon2-cffi 25):
/// `hash_secret(b"password", b"0123456789abcdef", 2, 19456, 1, 32, Type.ID)`.
#[test]
fn the_stored_form_is_that_of_the_reference_implementation() {
    let expected = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg\
                    $0qsHs573+LgGInzYb7sRqlOTBmqY4X6srNEm6ybpJ20";
    let hash = PasswordHash::compute(&secret("password"), SALT, &mut Memory::new()).unwrap();
    assert_eq!(hash.to_stored(), expected);
    assert_eq!(PasswordHash::parse(expected).unwrap(), hash);
}

#[test]
fn composed_and_decomposed_letters_are_the_same_password() {
    let mut memory = Memory::new();
    let hash = PasswordHash::compute(&secret("a\u{f1}o nuevo"), SALT, &mut memory).unwrap();
    assert!(
        hash.matches(&secret("an\u{303}o nuevo"), &mut memory)
            .unwrap()
    );
}

#[test]
fn a_wrapped_legacy_hash_matches_the_password() {
    // SHA-256 of `thepassword`.
    let hex = "85d8fa8fa6bdd3db050005b44ec3c5302b389ced054ec7d59eac2edba2251946";
    assert_eq!(sha256_hex(&secret("thepassword")).expose(), hex);
    let mut memory = Memory::new();
    let hash = PasswordHash::wrapped(hex);
    assert!(hash.is_wrapped() && hash.needs_rehash());
    assert!(hash.matches(&secret("thepassword"), &mut memory).unwrap());
    assert!(!hash.matches(&secret("thepassword2"), &mut memory).unwrap());
    assert!(
        !hash.matches(&secret(hex), &mut memory).unwrap(),
        "the hex is not a password"
    );

    let stored = hash.to_stored();
    assert!(stored.starts_with("$sha256$argon2id$") && !stored.contains(hex));
    assert_eq!(PasswordHash::parse(&stored).unwrap(), hash);
}

#[test]
fn weaker_parameters_are_accepted_and_marked_for_renewal() {
    for costs in ["m=19455,t=2,p=1", "m=19456,t=1,p=1", "m=8,t=1,p=1"] {
        let hash = PasswordHash::parse(&stored("v=19", costs)).unwrap();
        assert!(hash.needs_rehash(), "{costs}");
    }
    for costs in ["m=19456,t=2,p=1", "m=65536,t=4,p=4"] {
        let hash = PasswordHash::parse(&stored("v=19", costs)).unwrap();
        assert!(!hash.needs_rehash(), "{costs}");
    }
}

#[rstest]
#[case::memory_4_gib("m=4194304,t=2,p=1")]
#[case::memory_just_above("m=65537,t=2,p=1")]
#[case::memory_max("m=4294967295,t=1,p=1")]
#[case::passes("m=19456,t=5,p=1")]
#[case::passes_max("m=8,t=4294967295,p=1")]
#[case::lanes("m=19456,t=2,p=16777215")]
fn absurd_costs_are_refused_unattempted(#[case] costs: &str) {
    let refused = PasswordHash::parse(&stored("v=19", costs));
    assert_eq!(refused, Err(StoredHashError::TooExpensive));
}

#[rstest]
#[case::empty("")]
#[case::not_phc("hunter2")]
#[case::legacy_hex("85d8fa8fa6bdd3db050005b44ec3c5302b389ced054ec7d59eac2edba2251946")]
#[case::tag_only("$sha256")]
#[case::other_algorithm(stored("v=19", "m=19456,t=2,p=1").replace("argon2id", "argon2i"))]
#[case::bcrypt("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW")]
#[case::old_version(stored("v=16", "m=19456,t=2,p=1"))]
#[case::no_version("$argon2id$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAA")]
#[case::no_memory(stored("v=19", "t=2,p=1"))]
#[case::no_passes(stored("v=19", "m=19456,t=0,p=1"))]
#[case::no_lanes(stored("v=19", "m=19456,t=2,p=0"))]
#[case::too_little_for_lanes(stored("v=19", "m=31,t=2,p=4"))]
#[case::negative(stored("v=19", "m=-1,t=2,p=1"))]
#[case::overflow(stored("v=19", "m=99999999999,t=2,p=1"))]
#[case::extra_parameter(stored("v=19", "m=19456,t=2,p=1,keyid=AAAA"))]
#[case::no_digest("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg")]
#[case::short_digest("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAA")]
#[case::short_salt(
    "$argon2id$v=19$m=19456,t=2,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)]
#[case::trailing(format!("{}$x", stored("v=19", "m=19456,t=2,p=1")))]
#[case::twice_wrapped(format!("$sha256$sha256{}", stored("v=19", "m=19456,t=2,p=1")))]
#[case::huge("$".repeat(1 << 20))]
fn damaged_hashes_are_refused(#[case] stored: impl AsRef<str>) {
    assert_eq!(
        PasswordHash::parse(stored.as_ref()),
        Err(StoredHashError::Malformed)
    );
}

#[test]
fn memory_is_lazy_reused_and_trimmed() {
    let mut memory = Memory::new();
    assert_eq!(memory.0.capacity(), 0);
    PasswordHash::dummy()
        .matches(&secret("x"), &mut memory)
        .unwrap();
    let first = memory.0.as_ptr();
    PasswordHash::dummy()
        .matches(&secret("y"), &mut memory)
        .unwrap();
    assert_eq!(memory.0.as_ptr(), first, "the buffer was allocated again");

    let larger = PasswordHash::parse(&stored("v=19", "m=32768,t=1,p=1")).unwrap();
    larger.matches(&secret("x"), &mut memory).unwrap();
    assert_eq!(memory.0.len(), MEMORY_KIB as usize);
}

#[test]
fn debug_hides_salt_and_digest() {
    let hash = PasswordHash::parse(&stored("v=19", "m=19456,t=2,p=1")).unwrap();
    assert_eq!(format!("{hash:?}"), "PasswordHash(Direct, ..)");
}

proptest! {
    #[test]
    fn no_stored_text_panics(text in "\\PC{0,300}") {
        let _ = PasswordHash::parse(&text);
    }

    #[test]
    fn no_nearly_valid_text_panics_and_what_is_read_is_bounded(
        tag in "(\\$sha256)?", m in 0_u64..u64::MAX / 2, t in 0_u32..9, p in 0_u32..9,
        salt in "[A-Za-z0-9+/]{0,70}", digest in "[A-Za-z0-9+/]{0,90}",
    ) {
        let m = m >> (m % 60);
        let text = format!("{tag}$argon2id$v=19$m={m},t={t},p={p}${salt}${digest}");
        if let Ok(hash) = PasswordHash::parse(&text) {
            prop_assert!(hash.memory_kib <= PASSWORD_STORED_MEMORY_KIB_MAX);
            prop_assert!(hash.passes <= PASSWORD_STORED_PASSES_MAX);
            prop_assert_eq!(PasswordHash::parse(&hash.to_stored()).unwrap(), hash);
        }
    }
}
