//! Codes survive typing, and slips are found.

use proptest::prelude::*;

use super::*;
use crate::auth::SystemRandom;

fn invitation(addresses: &[&str]) -> Invitation {
    let addresses = addresses.iter().map(|it| (*it).to_owned()).collect();
    Invitation::new([3; 16], [7; 32], addresses, &SystemRandom).unwrap()
}

fn code(addresses: &[&str]) -> (Invitation, Secret) {
    let invitation = invitation(addresses);
    let code = invitation.code().unwrap();
    (invitation, code)
}

#[test]
fn the_bytes_are_fixed() {
    let invitation = Invitation {
        network: [1; 16],
        public_key: [2; 32],
        secret: Zeroizing::new([3; 16]),
        addresses: vec!["192.168.1.10:8444".into()],
    };
    let grouped = grouped(&invitation.code().unwrap());
    assert_eq!(
        grouped.expose(),
        "040G2-08104-0G208-10408\n\
         G2081-040G4-0G208-1040W\n\
         G2081-040G2-08104-0G206\n\
         81040-G2081-040G2-0810V\n\
         40G30-C1G60-R30C1-G60RH\n\
         30C1G-60R30-42C1A-01187\n\
         GFRXP-21KK0-E"
    );
    assert_eq!(Invitation::parse(grouped.expose()).unwrap(), invitation);
}

#[test]
fn every_kind_of_address_survives() {
    for addresses in [
        &["10.0.0.7:8444", "[fd00::1]:1", "pi.clinic.example:65535"][..],
        &["127.0.0.1:9"],
        &[],
    ] {
        let (invitation, code) = code(addresses);
        assert_eq!(Invitation::parse(code.expose()).unwrap(), invitation);
    }
    for bad in ["", "x", "x:0", "x:70000", ":1", "a b:1", "fd00::1:99x"] {
        assert!(invitation(&[bad]).code().is_err(), "{bad}");
    }
}

#[test]
fn it_may_be_typed_in_any_fashion() {
    let (invitation, code) = code(&["10.0.0.7:8444"]);
    let typed = grouped(&code).expose().to_lowercase();
    let typed = typed.replace('-', "  ").replace('0', "o").replace('1', "l");
    assert_eq!(Invitation::parse(&typed).unwrap(), invitation);
}

#[test]
fn slips_are_found_where_they_were_made() {
    let (_, code) = code(&["10.0.0.7:8444"]);
    let letters: Vec<u8> = code.expose().bytes().collect();
    for at in 0..letters.len() {
        for other in ALPHABET {
            let mut slip = letters.clone();
            slip[at] = *other;
            let read = Invitation::parse(str::from_utf8(&slip).unwrap());
            if *other != letters[at] {
                assert_eq!(read.unwrap_err(), CodeError::Row(at / ROW + 1));
            }
        }
        let mut swapped = letters.clone();
        if at + 1 < letters.len() && letters[at] != letters[at + 1] {
            swapped.swap(at, at + 1);
            let read = Invitation::parse(str::from_utf8(&swapped).unwrap());
            assert!(matches!(read, Err(CodeError::Row(_))), "{at}");
        }
    }
}

#[test]
fn missing_and_moved_rows_are_found() {
    let (_, code) = code(&["10.0.0.7:8444"]);
    let code = code.expose();
    let moved = format!(
        "{}{}{}",
        &code[ROW..2 * ROW],
        &code[..ROW],
        &code[2 * ROW..]
    );
    assert_eq!(Invitation::parse(&moved), Err(CodeError::Row(1)));
    let short = &code[..code.len() / ROW * ROW];
    assert_eq!(Invitation::parse(short), Err(CodeError::Incomplete));
    assert_eq!(Invitation::parse(""), Err(CodeError::Incomplete));
    assert_eq!(Invitation::parse("abc?"), Err(CodeError::Character('?')));
}

#[test]
fn it_is_not_shown_by_accident() {
    let (invitation, code) = code(&["10.0.0.7:8444"]);
    let shown = format!("{invitation:?} {code:?}");
    assert_eq!(shown, r#"Invitation(["10.0.0.7:8444"]) Secret(..)"#);
}

proptest! {
    #[test]
    fn any_text_is_a_code_or_an_error(text in "[0-9A-Za-z -]{0,300}") {
        let _ = Invitation::parse(&text);
    }

    #[test]
    fn any_bytes_in_a_sound_code_are_read_or_refused(mut bytes: Vec<u8>) {
        bytes.insert(0, VERSION);
        let sum = *blake3::hash(&bytes).as_bytes();
        bytes.extend(&sum[..SUM_BYTES]);
        if let Ok(invitation) = Invitation::parse(&write_rows(&bytes)) {
            prop_assert!(invitation.addresses.len() <= PEER_ADDRESSES_MAX);
        }
    }
}
