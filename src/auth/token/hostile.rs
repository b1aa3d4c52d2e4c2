//! A table of hostile tokens. Unless a case is about the signature, each is signed with the node's
//! own key, so that it is the named fault that is refused and not a wrong signature.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use aws_lc_rs::{hmac, signature::Ed25519KeyPair};
use serde_json::{Map, Value, json};

use super::*;

const NOW_S: i64 = 1_800_000_000;

struct Forge {
    keys: TokenKeys,
    pair: Ed25519KeyPair,
}

impl Forge {
    fn new() -> Self {
        let (keys, pkcs8) = TokenKeys::generate("nodo-1").unwrap();
        Self {
            keys,
            pair: Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap(),
        }
    }

    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.keys.key_id})
    }

    /// A token of these two texts with a right signature.
    fn sign(&self, header: &str, payload: &str) -> String {
        let message = message(header.as_bytes(), payload.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// A right token but for the changed members of the header; `null` removes one.
    fn with_header(&self, changes: &Value) -> String {
        self.sign(&changed(self.header(), changes), &payload().to_string())
    }

    /// A right token but for the changed claims; `null` removes one.
    fn with_claims(&self, changes: &Value) -> String {
        self.sign(&self.header().to_string(), &changed(payload(), changes))
    }

    fn valid(&self) -> String {
        self.with_claims(&json!({}))
    }
}

fn payload() -> Value {
    json!({"iss": "nodo-1", "aud": "islet:patient", "sub": "40123456", "exp": NOW_S + 60,
           "iat": NOW_S, "jti": "s-1", "gen": 3, "uid": 7})
}

fn message(header: &[u8], payload: &[u8]) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    )
}

fn changed(mut object: Value, changes: &Value) -> String {
    let members: &mut Map<_, _> = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    object.to_string()
}

fn algorithms(forge: &Forge, cases: &mut Vec<(String, String)>) {
    let claims = payload().to_string();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "RS256", "PS256", "ES256",
        "ES384", "Ed25519", "Ed448", "eddsa", "EDDSA", "EdDSA ",
    ] {
        let header = changed(forge.header(), &json!({ "alg": alg }));
        cases.push((format!("alg {alg:?}, signed"), forge.sign(&header, &claims)));
    }
    for alg in ["none", "EdDSA"] {
        let header = changed(forge.header(), &json!({ "alg": alg }));
        let unsigned = message(header.as_bytes(), claims.as_bytes());
        cases.push((format!("alg {alg}, no signature"), format!("{unsigned}.")));
        cases.push((format!("alg {alg}, two parts"), unsigned));
    }
    let header = changed(forge.header(), &json!({"alg": "HS256"}));
    let confused = message(header.as_bytes(), claims.as_bytes());
    let hex: String = forge
        .keys
        .public_key()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for (name, secret) in [
        ("raw", forge.keys.public_key()),
        ("hex", hex.as_bytes()),
        ("empty", b""),
    ] {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret),
            confused.as_bytes(),
        );
        let token = format!("{confused}.{}", URL_SAFE_NO_PAD.encode(tag));
        cases.push((
            format!("HS256 with the public key as secret ({name})"),
            token,
        ));
    }
    for (name, alg) in [
        ("number", json!(1)),
        ("list", json!(["EdDSA"])),
        ("object", json!({})),
    ] {
        cases.push((
            format!("alg is a {name}"),
            forge.with_header(&json!({ "alg": alg })),
        ));
    }
}

fn signatures(forge: &Forge, cases: &mut Vec<(String, String)>) {
    let mut push = |name: &str, token: String| cases.push((name.to_owned(), token));
    let message = message(
        forge.header().to_string().as_bytes(),
        payload().to_string().as_bytes(),
    );
    let signed = |signature: &[u8]| format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    let right = forge.pair.sign(message.as_bytes());
    let right = right.as_ref();

    let stranger = Ed25519KeyPair::generate().unwrap();
    push(
        "signed by a stranger",
        signed(stranger.sign(message.as_bytes()).as_ref()),
    );
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let other_curve = ec.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    push("signed on another curve", signed(other_curve.as_ref()));
    push("zero signature", signed(&[0; 64]));
    push("short signature", signed(&right[..63]));
    push("long signature", signed(&[right, &[0]].concat()));
    push("doubled signature", signed(&[right, right].concat()));
    push(
        "S + L: malleable signature",
        signed(&plus_group_order(right)),
    );
    // The encoding of the neutral element as R with S = 0 passes with keys of small order only.
    let mut neutral = [0; 64];
    neutral[0] = 1;
    push("neutral element", signed(&neutral));
    push("padded signature", format!("{}==", signed(right)));
    push(
        "signature in standard base64",
        format!("{message}.++//{}", URL_SAFE_NO_PAD.encode(right)),
    );
    let other = forge.with_claims(&json!({"uid": 8}));
    let (other, _) = other.rsplit_once('.').unwrap();
    push(
        "signature of another token",
        format!("{other}.{}", URL_SAFE_NO_PAD.encode(right)),
    );
}

/// The signature with the group order L added to S: the same equation holds without the check.
fn plus_group_order(signature: &[u8]) -> Vec<u8> {
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut changed = signature.to_vec();
    let mut carry = 0;
    for (byte, l) in changed[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(l) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    changed
}

fn headers(forge: &Forge, cases: &mut Vec<(String, String)>) {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519",
                     "x": URL_SAFE_NO_PAD.encode(forge.keys.public_key())});
    for (name, changes) in [
        ("no typ", json!({"typ": null})),
        ("typ JWT", json!({"typ": "JWT"})),
        ("typ in capitals", json!({"typ": "AT+JWT"})),
        (
            "typ with application/",
            json!({"typ": "application/at+jwt"}),
        ),
        ("typ refresh", json!({"typ": "rt+jwt"})),
        ("typ is a list", json!({"typ": ["at+jwt"]})),
        ("no alg", json!({"alg": null})),
        ("no kid", json!({"kid": null})),
        ("empty kid", json!({"kid": ""})),
        ("unknown kid", json!({"kid": "0123456789abcdef"})),
        ("kid is a path", json!({"kid": "../../../../dev/null"})),
        ("kid is SQL", json!({"kid": "x' UNION SELECT 'key' --"})),
        (
            "kid is an address",
            json!({"kid": "https://example.com/key"}),
        ),
        (
            "kid in capitals",
            json!({"kid": forge.keys.key_id.to_uppercase()}),
        ),
        (
            "kid with a space",
            json!({"kid": format!("{} ", forge.keys.key_id)}),
        ),
        ("kid is a number", json!({"kid": 7})),
        ("jku", json!({"jku": "https://example.com/keys.json"})),
        ("jwk", json!({ "jwk": jwk })),
        ("x5u", json!({"x5u": "https://example.com/cert.pem"})),
        ("x5c", json!({"x5c": ["MIIB"]})),
        ("x5t", json!({"x5t": "AAAA"})),
        ("crit", json!({"crit": ["exp"]})),
        ("empty crit", json!({"crit": []})),
        ("b64 false", json!({"b64": false, "crit": ["b64"]})),
        ("zip", json!({"zip": "DEF"})),
        ("enc", json!({"enc": "A256GCM"})),
        ("cty", json!({"cty": "JWT"})),
        ("unknown member", json!({"debug": true})),
    ] {
        cases.push((name.to_owned(), forge.with_header(&changes)));
    }
    let kid = &forge.keys.key_id;
    for (name, header) in [
        (
            "header twice alg",
            format!(r#"{{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#),
        ),
        (
            "header twice kid",
            format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"x","kid":"{kid}"}}"#),
        ),
        ("header is a list", format!(r#"["EdDSA","at+jwt","{kid}"]"#)),
        ("header is null", "null".to_owned()),
        ("header is empty", String::new()),
        ("header is deep", format!("{{\"alg\":{}", "[".repeat(1_500))),
        ("header is not JSON", "alg=EdDSA".to_owned()),
        ("header with more after it", format!("{}x", forge.header())),
    ] {
        cases.push((name.to_owned(), forge.sign(&header, &payload().to_string())));
    }
}

fn claims(forge: &Forge, cases: &mut Vec<(String, String)>) {
    for name in ["iss", "aud", "sub", "exp", "iat", "jti", "gen", "uid"] {
        cases.push((
            format!("no {name}"),
            forge.with_claims(&json!({ name: null })),
        ));
        let is_null = payload()
            .to_string()
            .replacen(&format!("\"{name}\":"), "\"x\":", 1);
        let is_null = is_null.replacen('{', &format!("{{\"{name}\":null,"), 1);
        cases.push((
            format!("{name} is null"),
            forge.sign(&forge.header().to_string(), &is_null),
        ));
        let twice = payload().to_string();
        let value = &payload()[name];
        let twice = twice.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        cases.push((
            format!("{name} twice"),
            forge.sign(&forge.header().to_string(), &twice),
        ));
    }
    for (name, changes) in [
        ("staff audience", json!({"aud": "islet:staff"})),
        (
            "both audiences",
            json!({"aud": ["islet:staff", "islet:patient"]}),
        ),
        ("audience in a list", json!({"aud": ["islet:patient"]})),
        ("no audience", json!({"aud": ""})),
        ("other issuer", json!({"iss": "nodo-2"})),
        ("issuers in a list", json!({"iss": ["nodo-1"]})),
        ("issuer with a space", json!({"iss": "nodo-1 "})),
        ("empty subject", json!({"sub": ""})),
        ("subject is a number", json!({"sub": 40_123_456})),
        ("empty session", json!({"jti": ""})),
        ("user id is text", json!({"uid": "7"})),
        ("user id is a fraction", json!({"uid": 7.5})),
        ("user id is huge", json!({"uid": u64::MAX})),
        ("generation is text", json!({"gen": "3"})),
        ("generation is negative", json!({"gen": -1})),
        ("exp is text", json!({"exp": "9999999999"})),
        ("exp is a fraction", json!({"exp": 9_999_999_999.5})),
        ("exp is huge", json!({"exp": 1e300})),
        ("exp is negative", json!({"exp": -1})),
        ("exp is true", json!({"exp": true})),
        ("exp is a list", json!({"exp": [NOW_S + 60]})),
        ("iat is text", json!({"iat": "now"})),
        ("not yet valid", json!({"nbf": NOW_S + 1})),
        ("nbf is text", json!({"nbf": "0"})),
    ] {
        cases.push((name.to_owned(), forge.with_claims(&changes)));
    }
    for (name, payload) in [
        (
            "nbf is null",
            payload().to_string().replacen('{', "{\"nbf\":null,", 1),
        ),
        ("payload is a list", "[]".to_owned()),
        ("payload is empty", String::new()),
        (
            "payload is cut off",
            payload().to_string().trim_end_matches('}').to_owned(),
        ),
    ] {
        cases.push((
            name.to_owned(),
            forge.sign(&forge.header().to_string(), &payload),
        ));
    }
}

fn shapes(forge: &Forge, cases: &mut Vec<(String, String)>) {
    let valid = forge.valid();
    let (header, rest) = valid.split_once('.').unwrap();
    for (name, token) in [
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("many dots", ".".repeat(4_000)),
        ("four parts", format!("{valid}.")),
        (
            "five parts, as encrypted tokens have",
            format!("{valid}.a.b"),
        ),
        ("leading dot", format!(".{valid}")),
        ("space before", format!(" {valid}")),
        ("line end after", format!("{valid}\n")),
        ("NUL after", format!("{valid}\0")),
        ("with the scheme", format!("Bearer {valid}")),
        ("padded header", format!("{header}=.{rest}")),
        (
            "JSON serialisation",
            json!({"payload": rest, "signatures": []}).to_string(),
        ),
        ("1 MiB", "a".repeat(1 << 20)),
        ("1 MiB of dots", ".".repeat(1 << 20)),
        (
            "valid but above 4 KiB",
            forge.with_claims(&json!({"note": "n".repeat(4_096)})),
        ),
        ("letters outside ASCII", valid.replacen('.', "。", 1)),
    ] {
        cases.push((name.to_owned(), token));
    }
}

#[test]
fn every_hostile_token_is_refused() {
    let forge = Forge::new();
    let verify = |token: &str| forge.keys.verify(token, Audience::Patient, NOW_S);
    assert!(verify(&forge.valid()).is_ok(), "the forge itself must work");

    let mut cases = Vec::new();
    algorithms(&forge, &mut cases);
    signatures(&forge, &mut cases);
    headers(&forge, &mut cases);
    claims(&forge, &mut cases);
    shapes(&forge, &mut cases);
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    for (name, token) in cases {
        assert_eq!(verify(&token), Err(TokenError::Invalid), "{name}");
    }
    for exp in [NOW_S, NOW_S - 1, 0] {
        let token = forge.with_claims(&json!({ "exp": exp }));
        assert_eq!(verify(&token), Err(TokenError::Expired), "exp {exp}");
    }
}

#[test]
fn harmless_differences_are_accepted() {
    let forge = Forge::new();
    for changes in [
        json!({"nbf": NOW_S}),
        json!({"exp": i64::MAX}),
        json!({"iat": NOW_S + 3_600}),
        json!({"sv": 3, "future": {"claim": []}}),
    ] {
        let token = forge.with_claims(&changes);
        assert!(
            forge.keys.verify(&token, Audience::Patient, NOW_S).is_ok(),
            "{changes}"
        );
    }
}
