//! Tokens and codes: their form, and that kinds are never mistaken for each other.

use std::collections::HashSet;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::auth::SystemRandom;
use crate::auth::random::testing::{NoRandom, SeededRandom};

#[rstest]
#[case(Purpose::Refresh, "irt_")]
#[case(Purpose::Recovery, "imt_")]
fn a_token_is_recognised_and_read_back(#[case] purpose: Purpose, #[case] prefix: &str) {
    let token = OpaqueToken::generate(purpose, &SystemRandom).unwrap();
    assert!(token.expose().starts_with(prefix));
    assert_eq!(token.expose().len(), 47);
    let read = OpaqueToken::parse(purpose, token.expose()).unwrap();
    assert_eq!(read.digest(), token.digest());
}

#[test]
fn each_purpose_has_its_own_form_and_digest() {
    let refresh = OpaqueToken::generate(Purpose::Refresh, &SeededRandom::new(1)).unwrap();
    assert_eq!(
        OpaqueToken::parse(Purpose::Recovery, refresh.expose()).unwrap_err(),
        NotOpaque
    );
    let recovery = OpaqueToken {
        purpose: Purpose::Recovery,
        text: refresh.text.clone(),
    };
    assert_ne!(refresh.digest(), recovery.digest());
}

/// A digest that changes would log everybody out after an upgrade.
#[test]
fn digests_are_stable() {
    let text = format!("irt_{}", "A".repeat(43));
    let token = OpaqueToken::parse(Purpose::Refresh, &text).unwrap();
    let digest = blake3::Hash::from(token.digest()).to_hex();
    assert_eq!(
        digest.as_str(),
        "f5eee8e906bc1ee54b923d5ef7c4d42442c34e1560b3f2e7cf85af044b631a29"
    );
    let digest = blake3::Hash::from(DeskCode::parse("ABC-DEFG-HJK").unwrap().digest()).to_hex();
    assert_eq!(
        digest.as_str(),
        "820eac6fb272b9b088c9d55c8257391da731282fe962811d8d91e4554c589292"
    );
}

#[test]
fn tokens_and_codes_differ_and_need_random_bytes() {
    let random = SeededRandom::new(2);
    let tokens = (0..1_000).map(|_| OpaqueToken::generate(Purpose::Refresh, &random).unwrap());
    let codes = (0..1_000).map(|_| DeskCode::generate(&random).unwrap());
    let digests: HashSet<_> = tokens
        .map(|token| token.digest())
        .chain(codes.map(|code| code.digest()))
        .collect();
    assert_eq!(digests.len(), 2_000);
    assert_eq!(
        OpaqueToken::generate(Purpose::Refresh, &NoRandom).unwrap_err(),
        RandomError
    );
    assert_eq!(DeskCode::generate(&NoRandom).unwrap_err(), RandomError);
}

#[test]
fn debug_hides_tokens_and_codes() {
    let random = SeededRandom::new(3);
    let token = OpaqueToken::generate(Purpose::Refresh, &random).unwrap();
    let code = DeskCode::generate(&random).unwrap();
    let shown = format!("{token:?} {code:?} {:?}", code.grouped());
    assert!(
        !shown.contains(token.expose()) && !shown.contains(code.0.expose()),
        "{shown}"
    );
}

#[rstest]
#[case::empty("")]
#[case::prefix_only("irt_")]
#[case::no_prefix("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
#[case::short(format!("irt_{}", "A".repeat(42)))]
#[case::long(format!("irt_{}", "A".repeat(44)))]
#[case::padded(format!("irt_{}=", "A".repeat(43)))]
#[case::bits_left_over(format!("irt_{}B", "A".repeat(42)))]
#[case::standard_alphabet(format!("irt_+/{}", "A".repeat(41)))]
#[case::space(format!(" irt_{}", "A".repeat(43)))]
#[case::prefix_in_capitals(format!("IRT_{}", "A".repeat(43)))]
#[case::huge(format!("irt_{}", "A".repeat(1 << 20)))]
fn malformed_tokens_are_refused(#[case] text: impl AsRef<str>) {
    assert_eq!(
        OpaqueToken::parse(Purpose::Refresh, text.as_ref()).unwrap_err(),
        NotOpaque
    );
}

#[rstest]
#[case::as_shown("ABC-DEFG-HJK")]
#[case::as_dictated("abc defg hjk")]
#[case::together("abcdefghjk")]
#[case::with_other_dashes("ABC – DEFG — HJK\n")]
#[case::dots("abc.defg.hjk")]
#[case::v_for_b("AVC-DEFG-HJK")]
fn a_code_is_read_however_it_is_typed(#[case] typed: &str) {
    let expected = DeskCode::parse("ABC-DEFG-HJK").unwrap().digest();
    assert_eq!(DeskCode::parse(typed).unwrap().digest(), expected);
}

#[rstest]
#[case::empty("")]
#[case::separators("--- ---- ---")]
#[case::short("ABC-DEFG-HJ")]
#[case::long("ABC-DEFG-HJKM")]
#[case::zero("ABC-DEFG-HJ0")]
#[case::letter_o("ABC-DEFG-HJO")]
#[case::accent("ABC-DÉFG-HJK")]
#[case::sign("ABC-DEFG-HJ%")]
#[case::wide_letters("ＡＢＣＤＥＦＧＨＪＫ")]
#[case::huge("A".repeat(1 << 20))]
fn other_codes_are_refused(#[case] typed: impl AsRef<str>) {
    assert_eq!(DeskCode::parse(typed.as_ref()).unwrap_err(), NotOpaque);
}

#[test]
fn every_character_is_about_as_likely() {
    let random = SeededRandom::new(4);
    let mut counts = [0_u32; 29];
    for _ in 0..10_000 {
        for letter in DeskCode::generate(&random).unwrap().0.expose().bytes() {
            let position = CODE_ALPHABET
                .iter()
                .position(|&known| known == letter)
                .unwrap();
            counts[position] += 1;
        }
    }
    // 100,000 draws of 29: 3,448 each, standard deviation 58. A plain `% 29` would give the first
    // 24 characters 3,516 and the last five 3,125.
    for (letter, count) in CODE_ALPHABET.iter().zip(counts) {
        assert!(
            (3_200..3_700).contains(&count),
            "{}: {count}",
            char::from(*letter)
        );
    }
}

proptest! {
    #[test]
    fn a_shown_code_is_read_back(seed in 0_u64..1 << 31) {
        let code = DeskCode::generate(&SeededRandom::new(seed)).unwrap();
        let shown = code.grouped();
        prop_assert_eq!(shown.expose().len(), 12);
        let read = DeskCode::parse(&shown.expose().to_lowercase()).unwrap();
        prop_assert_eq!(read.digest(), code.digest());
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,150}") {
        let _ = DeskCode::parse(&text);
        let _ = OpaqueToken::parse(Purpose::Refresh, &text);
    }
}
