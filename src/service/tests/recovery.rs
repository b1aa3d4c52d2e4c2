//! Forgotten passwords: mails and codes from the desk.

use super::sessions::{PATIENT, STAFF};
use super::*;
use crate::limits;
use crate::service::mail::MailContent;
use crate::service::recovery;

const CHOSEN: &str = "la yerba está cara";

impl Clinic {
    /// The token in the next mail, if there is one.
    fn mailed(&self) -> Option<(String, String)> {
        let mail = self.mails.lock().unwrap().try_recv().ok()?;
        match mail.content {
            MailContent::Recovery(_, token) => Some((mail.to, token.expose().to_owned())),
            MailContent::ResolutionReady => None,
        }
    }

    async fn reset(&self, token: &str, password: &str) -> Result<(), Error> {
        recovery::reset(&self.app, &anonymous(), token, secret(password)).await
    }
}

#[tokio::test]
async fn a_mailed_token_works_once_and_ends_every_session() {
    let clinic = Clinic::new();
    clinic.patient(1001).await;
    let tokens = clinic.log_in(PATIENT, "1001", PASSWORD).await.unwrap();
    recovery::request_mail(&clinic.app, &anonymous(), PATIENT, "p1001@clinic.test")
        .await
        .unwrap();
    let (to, token) = clinic.mailed().unwrap();
    assert_eq!(to, "p1001@clinic.test");
    // A weak password does not cost the token.
    assert_eq!(code(&clinic.reset(&token, "123456").await), "invalid");
    assert_eq!(code(&clinic.reset(&token, CHOSEN).await), "ok");
    assert_eq!(
        code(&clinic.reset(&token, "otra cosa distinta").await),
        "recovery_invalid"
    );
    assert_eq!(
        code(&clinic.authenticate(PATIENT, &tokens).await),
        "unauthenticated"
    );
    assert_eq!(
        code(&clinic.log_in(PATIENT, "1001", PASSWORD).await),
        "bad_credentials"
    );
    assert_eq!(code(&clinic.log_in(PATIENT, "1001", CHOSEN).await), "ok");
    let log = clinic.log("recovery.").await;
    let said: Vec<_> = log
        .iter()
        .map(|row| (row.action.as_str(), row.outcome.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("recovery.reset", "denied"),
            ("recovery.reset", "ok"),
            ("recovery.request", "ok")
        ]
    );
    clinic.assert_logs_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_token_in_two_hands_changes_the_password_once() {
    let clinic = Clinic::new();
    clinic.patient(1001).await;
    recovery::request_mail(&clinic.app, &anonymous(), PATIENT, "p1001@clinic.test")
        .await
        .unwrap();
    let (_, token) = clinic.mailed().unwrap();
    let (one, other) = tokio::join!(
        clinic.reset(&token, "primera opción"),
        clinic.reset(&token, "segunda opción")
    );
    let mut codes = [code(&one), code(&other)];
    codes.sort_unstable();
    assert_eq!(codes, ["ok", "recovery_invalid"]);
}

#[tokio::test]
async fn asking_for_unknown_people_looks_the_same_and_mails_nobody() {
    let clinic = Clinic::new();
    clinic.staff("dra.paz", Role::Staff).await;
    for (audience, name) in [
        (PATIENT, "x@clinic.test"),
        (PATIENT, "1001"),
        (STAFF, "nadie"),
    ] {
        let asked = recovery::request_mail(&clinic.app, &anonymous(), audience, name).await;
        assert_eq!(code(&asked), "ok");
        assert_eq!(clinic.mailed(), None);
    }
    assert_eq!(
        code(&recovery::request_mail(&clinic.app, &anonymous(), STAFF, "dra.paz").await),
        "ok"
    );
    assert!(clinic.mailed().is_some());
    assert_eq!(clinic.app.hasher.hashes_started(), 0);
}

#[tokio::test]
async fn codes_expire_by_the_clock_each_after_its_time() {
    let clinic = Clinic::new();
    let (ana, boss) = (
        clinic.patient(1001).await,
        clinic.staff("dra.paz", Role::Admin).await,
    );
    let ask = async |audience, name| {
        recovery::request_mail(&clinic.app, &anonymous(), audience, name)
            .await
            .unwrap();
        clinic.mailed().unwrap().1
    };
    let patient_token = ask(PATIENT, "p1001@clinic.test").await;
    let staff_token = ask(STAFF, "dra.paz").await;
    let desk = recovery::desk_code(&clinic.app, &boss, ana.patient_id().unwrap())
        .await
        .unwrap();
    clinic.pass(300_000);
    assert_eq!(
        code(&clinic.reset(&staff_token, CHOSEN).await),
        "recovery_expired"
    );
    clinic.pass(600_000);
    assert_eq!(
        code(&clinic.reset(&patient_token, CHOSEN).await),
        "recovery_expired"
    );
    clinic.pass(HOUR_MS - 900_000 - 1);
    // The code from the desk outlived a mail that was asked for before it, and is typed by hand.
    let typed = desk.grouped().expose().to_lowercase().replace('-', " ");
    assert_eq!(code(&clinic.reset(&typed, CHOSEN).await), "ok");
    assert_eq!(
        code(&clinic.reset(&typed, "otra cosa distinta").await),
        "recovery_invalid"
    );
    let late = recovery::staff_code(&clinic.app, &boss, boss.staff_id().unwrap())
        .await
        .unwrap();
    clinic.pass(HOUR_MS);
    assert_eq!(
        code(&clinic.reset(late.grouped().expose(), CHOSEN).await),
        "recovery_expired"
    );
}

#[tokio::test]
async fn a_stranger_who_asks_for_a_mail_does_not_spoil_the_code_from_the_desk() {
    let clinic = Clinic::new();
    let (ana, boss) = (
        clinic.patient(1001).await,
        clinic.staff("dra.paz", Role::Staff).await,
    );
    let make = || recovery::desk_code(&clinic.app, &boss, ana.patient_id().unwrap());
    let (first, second) = (make().await.unwrap(), make().await.unwrap());
    recovery::request_mail(&clinic.app, &anonymous(), PATIENT, "p1001@clinic.test")
        .await
        .unwrap();
    let (_, mailed) = clinic.mailed().unwrap();
    // A newer code replaces the one before it; whichever kind is used ends the other.
    assert_eq!(
        code(&clinic.reset(first.grouped().expose(), CHOSEN).await),
        "recovery_invalid"
    );
    assert_eq!(
        code(&clinic.reset(second.grouped().expose(), CHOSEN).await),
        "ok"
    );
    assert_eq!(
        code(&clinic.reset(&mailed, "otra cosa distinta").await),
        "recovery_invalid"
    );
}

#[tokio::test]
async fn who_may_hand_out_codes() {
    let clinic = Clinic::new();
    let (ana, desk) = (
        clinic.patient(1001).await,
        clinic.staff("recepcion", Role::Staff).await,
    );
    let (app, id) = (&clinic.app, ana.patient_id().unwrap());
    assert_eq!(code(&recovery::desk_code(app, &ana, id).await), "forbidden");
    assert_eq!(
        code(&recovery::desk_code(app, &anonymous(), id).await),
        "unauthenticated"
    );
    assert_eq!(
        code(&recovery::desk_code(app, &desk, 999).await),
        "not_found"
    );
    assert_eq!(
        code(&recovery::staff_code(app, &desk, desk.staff_id().unwrap()).await),
        "forbidden"
    );
    assert_eq!(code(&recovery::desk_code(app, &desk, id).await), "ok");
}

#[tokio::test]
async fn guessing_codes_and_asking_for_mails_is_slow_and_shuts_nobody_out() {
    let clinic = Clinic::new();
    let (ana, nobody) = (clinic.patient(1001).await, anonymous());
    for _ in 0..5 {
        assert_eq!(
            code(&clinic.reset("7KQ-M2RT-9XA", CHOSEN).await),
            "recovery_invalid"
        );
    }
    assert_eq!(
        code(&clinic.reset("7KQ-M2RT-9XA", CHOSEN).await),
        "throttled"
    );
    for number in 1001..=1006 {
        let name = format!("p{number}@clinic.test");
        let asked = recovery::request_mail(&clinic.app, &nobody, PATIENT, &name).await;
        assert_eq!(
            code(&asked),
            ["ok", "throttled"][usize::from(number == 1006)]
        );
    }
    // Everybody behind this address can still log in.
    let tokens = clinic.log_in(PATIENT, "1001", PASSWORD).await.unwrap();
    assert_eq!(
        clinic.authenticate(PATIENT, &tokens).await.unwrap().who,
        ana.who
    );
    assert_eq!(clinic.app.hasher.hashes_started(), 1);
}

/// The app sends a request up to four times.
#[tokio::test]
async fn a_mail_that_is_asked_for_again_at_once_is_one_mail() {
    let mut clinic = Clinic::new();
    clinic.patient(1001).await;
    let nobody = anonymous();
    let ask = || recovery::request_mail(&clinic.app, &nobody, PATIENT, "p1001@clinic.test");
    let answers = tokio::join!(ask(), ask(), ask(), ask());
    let mut codes = [&answers.0, &answers.1, &answers.2, &answers.3].map(code);
    codes.sort_unstable();
    // Whoever is throttled is answered alike: `asking_for_a_mail_tells_nothing`.
    assert_eq!(codes, ["ok", "throttled", "throttled", "throttled"]);
    assert!(clinic.mailed().is_some());
    assert_eq!(clinic.mailed(), None);
    assert_eq!(clinic.log("recovery.request").await.len(), 1);
    clinic.let_the_throttle_forget();
    let again = recovery::request_mail(&clinic.app, &nobody, PATIENT, "p1001@clinic.test").await;
    assert_eq!(code(&again), "ok");
    assert!(clinic.mailed().is_some());
}

#[tokio::test]
async fn a_reset_that_is_sent_again_changes_nothing_and_is_answered_alike() {
    let clinic = Clinic::new();
    let (ana, boss) = (
        clinic.patient(1001).await,
        clinic.staff("dra.paz", Role::Staff).await,
    );
    recovery::request_mail(&clinic.app, &anonymous(), PATIENT, "p1001@clinic.test")
        .await
        .unwrap();
    let (_, link) = clinic.mailed().unwrap();
    let desk = recovery::desk_code(&clinic.app, &boss, ana.patient_id().unwrap());
    let desk = desk.await.unwrap().grouped().expose().to_owned();
    clinic.pass(1);
    assert_eq!(code(&clinic.reset(&desk, CHOSEN).await), "ok");
    let tokens = clinic.log_in(PATIENT, "1001", CHOSEN).await.unwrap();
    let changes = "SELECT count(*) FROM change";
    let before = clinic.number(changes).await;
    for _ in 0..6 {
        assert_eq!(code(&clinic.reset(&desk, CHOSEN).await), "ok");
    }
    assert_eq!(clinic.number(changes).await, before);
    assert_eq!(code(&clinic.authenticate(PATIENT, &tokens).await), "ok");
    assert_eq!(clinic.log("recovery.reset").await.len(), 7);
    // A guess at the password is one, whichever code it comes with.
    for code_in_hand in [&desk, &link, &desk, &link] {
        let guess = clinic.reset(code_in_hand, "otra cosa distinta").await;
        assert_eq!(code(&guess), "recovery_invalid");
    }
    let elsewhere = Actor {
        address: Some(IpAddr::from([10, 0, 1, 9])),
        ..anonymous()
    };
    let guess = clinic
        .log_in_from(&elsewhere, PATIENT, "1001", "wrong")
        .await;
    assert_eq!(code(&guess), "bad_credentials");
    let sixth = clinic
        .log_in_from(&elsewhere, PATIENT, "1001", CHOSEN)
        .await;
    assert_eq!(code(&sixth), "throttled");
    clinic.assert_logs_whole().await;
}

#[tokio::test]
async fn a_code_is_forgotten_when_it_would_have_expired() {
    let clinic = Clinic::new();
    clinic.patient(1001).await;
    recovery::request_mail(&clinic.app, &anonymous(), PATIENT, "p1001@clinic.test")
        .await
        .unwrap();
    let (_, token) = clinic.mailed().unwrap();
    assert_eq!(code(&clinic.reset(&token, CHOSEN).await), "ok");
    clinic.pass(899_999);
    assert_eq!(code(&clinic.reset(&token, CHOSEN).await), "ok");
    clinic.pass(1);
    let late = clinic.reset(&token, CHOSEN).await;
    assert_eq!(code(&late), "recovery_invalid");
}

/// The first of both still computes a hash when the second comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_reset_sent_twice_at_once_is_answered_alike() {
    let clinic = Clinic::new();
    clinic.patient(1001).await;
    recovery::request_mail(&clinic.app, &anonymous(), PATIENT, "p1001@clinic.test")
        .await
        .unwrap();
    let (_, token) = clinic.mailed().unwrap();
    let (one, other) = tokio::join!(clinic.reset(&token, CHOSEN), clinic.reset(&token, CHOSEN));
    assert_eq!((code(&one), code(&other)), ("ok", "ok"));
    let log = clinic.log("recovery.reset").await;
    let repeated = log
        .iter()
        .filter(|it| it.detail.as_deref() == Some("repeated"));
    assert_eq!((log.len(), repeated.count()), (2, 1));
}

#[tokio::test]
async fn a_password_that_must_be_replaced_is_not_replaced_by_itself() {
    let clinic = Clinic::new();
    let (ana, boss) = (
        clinic.patient(1001).await,
        clinic.staff("dra.paz", Role::Staff).await,
    );
    let (id, hash) = (ana.patient_id().unwrap(), password_hash().to_stored());
    let write = clinic.app.store.write(Lane::Interactive, move |tx| {
        crate::store::patients::set_password(tx, id, &hash, true)?;
        let entry = crate::domain::audit::Entry::new(&Actor::system(), "test.require");
        tx.audit(&entry)
    });
    write.await.map_err(|error: StoreError| error).unwrap();
    let desk = recovery::desk_code(&clinic.app, &boss, id).await.unwrap();
    let desk = desk.grouped().expose().to_owned();
    assert_eq!(code(&clinic.reset(&desk, PASSWORD).await), "invalid");
    let required = "SELECT password_reset_required FROM patient";
    assert_eq!(clinic.number(required).await, 1);
    assert_eq!(code(&clinic.reset(&desk, CHOSEN).await), "ok");
    assert_eq!(clinic.number(required).await, 0);
}

/// Somebody asks for mails for an account as often as the throttle lets them.
#[tokio::test]
async fn a_mailed_link_works_however_many_others_are_asked_for() {
    let mut clinic = Clinic::new();
    clinic.patient(1001).await;
    let ask = async |clinic: &Clinic| {
        recovery::request_mail(&clinic.app, &anonymous(), PATIENT, "p1001@clinic.test").await
    };
    assert_eq!(code(&ask(&clinic).await), "ok");
    let (_, token) = clinic.mailed().unwrap();
    for _ in 1..15 {
        clinic.let_the_throttle_forget();
        clinic.pass(59_000);
        while ask(&clinic).await.is_ok() {
            clinic.mailed();
        }
    }
    assert_eq!(clinic.number("SELECT count(*) FROM recovery").await, 15);
    assert_eq!(code(&clinic.reset(&token, CHOSEN).await), "ok");
}

#[tokio::test]
async fn recovery_links_are_bounded_and_those_that_expired_go() {
    let mut clinic = Clinic::new();
    clinic.patient(1001).await;
    let most = i64::from(limits::RECOVERY_MAILS_MAX);
    for _ in 0..most + 5 {
        clinic.let_the_throttle_forget();
        let asked =
            recovery::request_mail(&clinic.app, &anonymous(), PATIENT, "p1001@clinic.test").await;
        assert_eq!(code(&asked), "ok");
        clinic.mailed();
    }
    assert_eq!(clinic.number("SELECT count(*) FROM recovery").await, most);
    clinic.pass(900_000);
    clinic.let_the_throttle_forget();
    let asked =
        recovery::request_mail(&clinic.app, &anonymous(), PATIENT, "p1001@clinic.test").await;
    assert_eq!(code(&asked), "ok");
    assert_eq!(clinic.number("SELECT count(*) FROM recovery").await, 1);
}
