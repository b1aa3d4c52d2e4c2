//! Log-in, log-out and who a request comes from.

use super::*;
use crate::auth::token::Audience;
use crate::domain::patient::PatientPatch;
use crate::service::sessions::{self, Tokens};
use crate::service::{patients, staff};

pub(super) const PATIENT: Audience = Audience::Patient;
pub(super) const STAFF: Audience = Audience::Staff;

impl Clinic {
    pub(super) async fn log_in(
        &self,
        audience: Audience,
        name: &str,
        password: &str,
    ) -> Result<Tokens, Error> {
        self.log_in_from(&anonymous(), audience, name, password)
            .await
    }

    pub(super) async fn log_in_from(
        &self,
        actor: &Actor,
        audience: Audience,
        name: &str,
        password: &str,
    ) -> Result<Tokens, Error> {
        sessions::log_in(&self.app, actor, audience, name, secret(password)).await
    }

    pub(super) async fn authenticate(
        &self,
        audience: Audience,
        tokens: &Tokens,
    ) -> Result<Actor, Error> {
        let token = tokens.access.expose();
        sessions::authenticate(&self.app, &anonymous(), audience, token, false).await
    }
}

/// A device with an address of its own.
fn from(last: u8) -> Actor {
    Actor {
        address: Some(IpAddr::from([10, 0, 0, last])),
        ..anonymous()
    }
}

#[tokio::test]
async fn patients_and_staff_get_in_by_each_of_their_names() {
    let clinic = Clinic::new();
    let (ana, boss) = (
        clinic.patient(1001).await,
        clinic.staff("dra.paz", Role::Admin).await,
    );
    for name in ["1001", " 1001 ", "p1001@clinic.test", "P1001@Clinic.Test"] {
        let tokens = clinic.log_in(PATIENT, name, PASSWORD).await.unwrap();
        assert_eq!(tokens.expires_in_s, 1_800);
        let who = clinic.authenticate(PATIENT, &tokens).await.unwrap();
        assert_eq!(who.who, ana.who);
        assert_eq!(
            code(&clinic.authenticate(STAFF, &tokens).await),
            "unauthenticated"
        );
    }
    for name in ["dra.paz", "DRA.PAZ", "dra.paz@clinic.test"] {
        let tokens = clinic.log_in(STAFF, name, PASSWORD).await.unwrap();
        assert_eq!(
            clinic.authenticate(STAFF, &tokens).await.unwrap().who,
            boss.who
        );
        assert_eq!(
            code(&clinic.authenticate(PATIENT, &tokens).await),
            "unauthenticated"
        );
    }
    // A session of its own each; the log names who it was and nothing else.
    let log = clinic.log("session.log_in").await;
    assert_eq!(log.len(), 7);
    assert!(
        log.iter()
            .all(|row| row.outcome == "ok" && row.session.is_some() && row.detail.is_none())
    );
    assert_eq!(
        clinic
            .number("SELECT count(DISTINCT id) FROM session")
            .await,
        7
    );
}

/// Same answer, same number of hashes: who has an account cannot be told.
#[tokio::test]
async fn wrong_names_and_wrong_passwords_look_the_same() {
    let clinic = Clinic::new();
    clinic.patient(1001).await;
    clinic.staff("dra.paz", Role::Staff).await;
    let damaged = clinic.insert_patient(1002, "no hash at all").await;
    assert!(damaged > 0);
    let attempts = [
        (PATIENT, "1001", "wrong"),
        (PATIENT, "9999", PASSWORD),
        (PATIENT, "p1001@clinic.test", "wrong"),
        (PATIENT, "x@clinic.test", PASSWORD),
        (PATIENT, "1002", PASSWORD),
        (PATIENT, "dra.paz", PASSWORD),
        (STAFF, "dra.paz", "wrong"),
        (STAFF, "1001", PASSWORD),
        (STAFF, "", ""),
        (PATIENT, "'; DROP TABLE patient; --", "x"),
    ];
    let mut texts = std::collections::BTreeSet::new();
    for (number, (audience, name, password)) in (0..).zip(attempts) {
        let before = clinic.app.hasher.hashes_started();
        let refused = clinic
            .log_in_from(&from(number), audience, name, password)
            .await;
        assert_eq!(code(&refused), "bad_credentials", "{name}");
        assert_eq!(clinic.app.hasher.hashes_started() - before, 1, "{name}");
        texts.insert(format!("{:?}", refused.unwrap_err()));
    }
    assert_eq!(texts.len(), 1);
    let log = clinic.log("session.log_in").await;
    assert_eq!(log.len(), attempts.len());
    for row in log {
        let said = (row.outcome.as_str(), row.actor_kind.as_str(), row.actor_id);
        assert_eq!(said, ("denied", "anonymous", None));
        assert_eq!(row.detail.as_deref(), Some("wrong name or password"));
    }
    assert_eq!(clinic.number("SELECT count(*) FROM session").await, 0);
}

#[tokio::test]
async fn a_blocked_patient_is_told_so_only_with_the_right_password() {
    let clinic = Clinic::new();
    let (ana, boss) = (
        clinic.patient(1001).await,
        clinic.staff("dra.paz", Role::Staff).await,
    );
    let tokens = clinic.log_in(PATIENT, "1001", PASSWORD).await.unwrap();
    let id = ana.patient_id().unwrap();
    let blocked = patients::toggle_blocked(&clinic.app, &boss, id, None)
        .await
        .unwrap();
    assert!(blocked.blocked);
    // The request that comes next is refused, and so is a new token.
    assert_eq!(
        code(&clinic.authenticate(PATIENT, &tokens).await),
        "unauthenticated"
    );
    assert_eq!(
        code(&clinic.log_in(PATIENT, "1001", "wrong").await),
        "bad_credentials"
    );
    assert_eq!(
        code(&clinic.log_in(PATIENT, "1001", PASSWORD).await),
        "blocked"
    );
    let log = clinic.log("session.log_in").await;
    assert_eq!(
        (log[0].patient_id, log[0].detail.as_deref()),
        (Some(id), Some("blocked"))
    );
    // Let in again, the old session stays ended.
    let patch = PatientPatch {
        blocked: Some(false),
        ..PatientPatch::default()
    };
    patients::edit(&clinic.app, &boss, id, patch, None)
        .await
        .unwrap();
    assert_eq!(
        code(&clinic.authenticate(PATIENT, &tokens).await),
        "unauthenticated"
    );
    assert_eq!(code(&clinic.log_in(PATIENT, "1001", PASSWORD).await), "ok");
}

#[tokio::test]
async fn a_toggle_with_the_same_key_toggles_once() {
    let clinic = Clinic::new();
    let (ana, boss) = (
        clinic.patient(1001).await,
        clinic.staff("dra.paz", Role::Staff).await,
    );
    let id = ana.patient_id().unwrap();
    let toggle = |key| patients::toggle_blocked(&clinic.app, &boss, id, key);
    assert!(toggle(Some([1; 32])).await.unwrap().blocked);
    assert!(toggle(Some([1; 32])).await.unwrap().blocked);
    assert!(!toggle(None).await.unwrap().blocked);
    clinic.assert_logs_whole().await;
    // However it is done, the log says which way, and that nothing changed.
    let set = |blocked, name: Option<&str>| {
        let patch = PatientPatch {
            blocked: Some(blocked),
            name: name.map(str::to_owned),
            ..PatientPatch::default()
        };
        patients::edit(&clinic.app, &boss, id, patch, None)
    };
    set(true, None).await.unwrap();
    set(true, None).await.unwrap();
    set(false, Some("Anita")).await.unwrap();
    let dni = || "1001".to_owned();
    for blocked in [true, false, false] {
        let done = patients::set_blocked(&clinic.app, &boss, dni(), blocked).await;
        assert_eq!(done.unwrap().blocked, blocked);
    }
    let log = clinic.log("patient.").await.into_iter().rev();
    let log = log.filter(|row| row.action != "patient.read");
    let said: Vec<_> = log
        .map(|row| format!("{} {}", row.action, row.detail.unwrap_or_default()))
        .collect();
    let expected = [
        "patient.block blocked",
        "patient.block repeated",
        "patient.unblock unblocked",
        "patient.block blocked",
        "patient.block repeated",
        "patient.update name, unblocked",
        "patient.block blocked",
        "patient.unblock unblocked",
        "patient.unblock repeated",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let clinic = Clinic::new();
    let boss = clinic.staff("dra.paz", Role::Admin).await;
    let block = |name: &str, blocked| {
        let name = name.to_owned();
        staff::set_blocked(&clinic.app, &boss, name, blocked)
    };
    assert_eq!(code(&block("dra.paz", true).await), "last_admin");
    clinic.staff("recepcion", Role::Staff).await;
    assert_eq!(code(&block("dra.paz", true).await), "last_admin");
    clinic.staff("dr.sol", Role::Admin).await;
    assert_eq!(code(&block("dra.paz", true).await), "ok");
    assert_eq!(code(&block("dra.paz", true).await), "ok", "repeated");
    assert_eq!(code(&block("dr.sol", true).await), "last_admin");
    let log = clinic.log("staff.block").await;
    let refused = log.iter().filter(|row| row.outcome == "failed").count();
    assert_eq!(refused, 3, "{log:?}");
    assert_eq!(log[1].detail.as_deref(), Some("repeated"));
}

#[tokio::test]
async fn blocked_staff_and_staff_without_a_role_are_nobody() {
    let clinic = Clinic::new();
    let boss = clinic.staff("dra.paz", Role::Admin).await;
    clinic.staff("recepcion", Role::Staff).await;
    let tokens = clinic.log_in(STAFF, "recepcion", PASSWORD).await.unwrap();
    let name = || "recepcion".to_owned();
    staff::set_blocked(&clinic.app, &boss, name(), true)
        .await
        .unwrap();
    assert_eq!(
        code(&clinic.authenticate(STAFF, &tokens).await),
        "unauthenticated"
    );
    assert_eq!(
        code(&clinic.log_in(STAFF, "recepcion", PASSWORD).await),
        "blocked"
    );
    staff::set_blocked(&clinic.app, &boss, name(), false)
        .await
        .unwrap();
    let tokens = clinic.log_in(STAFF, "recepcion", PASSWORD).await.unwrap();
    assert_eq!(code(&clinic.authenticate(STAFF, &tokens).await), "ok");
}

#[tokio::test]
async fn a_legacy_password_gets_in_once_and_is_hashed_anew() {
    let clinic = Clinic::new();
    let sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"; // "123456789"
    let wrapped = PasswordHash::wrapped(sha256);
    clinic.insert_patient(1001, &wrapped.to_stored()).await;
    assert_eq!(
        code(&clinic.log_in(PATIENT, "1001", "12345678").await),
        "bad_credentials"
    );
    let tokens = clinic.log_in(PATIENT, "1001", "123456789").await.unwrap();
    assert_eq!(code(&clinic.authenticate(PATIENT, &tokens).await), "ok");
    let read = |sql: &'static str| {
        clinic.read(move |tx| {
            tx.connection().query_row(sql, [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
            })
        })
    };
    let (hash, flag) = read("SELECT password_hash, password_reset_required FROM patient").await;
    let stored = PasswordHash::parse(&hash).unwrap();
    assert!(!stored.is_wrapped() && !stored.needs_rehash() && flag);
    assert_eq!(
        code(&clinic.log_in(PATIENT, "1001", "123456789").await),
        "password_reset_required"
    );
    assert_eq!(
        code(&clinic.log_in(PATIENT, "1001", "wrong").await),
        "bad_credentials"
    );
}

/// While the hash is computed, the account changes: what was verified no longer holds.
#[tokio::test]
async fn a_password_that_is_changed_during_a_log_in_ends_it() {
    let clinic = Clinic::new();
    let sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    let wrapped = PasswordHash::wrapped(sha256);
    let id = clinic.insert_patient(1001, &wrapped.to_stored()).await;
    let chosen = password_hash().to_stored();
    let change = async {
        // The log-in has begun its first hash by now, and a second follows.
        while clinic.app.hasher.hashes_started() < 2 {
            tokio::task::yield_now().await;
        }
        let hash = chosen.clone();
        let write = clinic.app.store.write(Lane::Interactive, move |tx| {
            crate::store::patients::set_password(tx, id, &hash, false)?;
            tx.audit(&crate::domain::audit::Entry::new(
                &Actor::system(),
                "test.password",
            ))
        });
        write.await.map_err(|error: StoreError| error).unwrap();
    };
    let (log_in, ()) = tokio::join!(clinic.log_in(PATIENT, "1001", "123456789"), change);
    assert_eq!(code(&log_in), "bad_credentials");
    let stored = clinic.read(|tx| {
        tx.connection()
            .query_row("SELECT password_hash FROM patient", [], |row| {
                row.get::<_, String>(0)
            })
    });
    assert_eq!(stored.await, chosen);
    assert_eq!(clinic.number("SELECT count(*) FROM session").await, 0);
}

#[tokio::test]
async fn access_tokens_expire_by_the_clock() {
    let clinic = Clinic::new();
    clinic.patient(1001).await;
    let tokens = clinic.log_in(PATIENT, "1001", PASSWORD).await.unwrap();
    clinic.pass(1_799_000);
    assert_eq!(code(&clinic.authenticate(PATIENT, &tokens).await), "ok");
    clinic.pass(1_000);
    assert_eq!(
        code(&clinic.authenticate(PATIENT, &tokens).await),
        "token_expired"
    );
    let forged = Tokens {
        access: secret("a.b.c"),
        ..tokens
    };
    assert_eq!(
        code(&clinic.authenticate(PATIENT, &forged).await),
        "unauthenticated"
    );
}

#[tokio::test]
async fn a_password_change_ends_the_other_sessions() {
    let clinic = Clinic::new();
    clinic.staff("dra.paz", Role::Staff).await;
    let here = clinic.log_in(STAFF, "dra.paz", PASSWORD).await.unwrap();
    let elsewhere = clinic.log_in(STAFF, "dra.paz", PASSWORD).await.unwrap();
    let me = clinic.authenticate(STAFF, &here).await.unwrap();
    let weak = staff::change_password(&clinic.app, &me, secret("corta")).await;
    assert_eq!(code(&weak), "invalid");
    staff::change_password(&clinic.app, &me, secret("la yerba está cara"))
        .await
        .unwrap();
    assert_eq!(code(&clinic.authenticate(STAFF, &here).await), "ok");
    assert_eq!(
        code(&clinic.authenticate(STAFF, &elsewhere).await),
        "unauthenticated"
    );
    let (nobody, token) = (anonymous(), elsewhere.refresh.expose());
    let refresh = sessions::refresh(&clinic.app, &nobody, STAFF, token, NOW);
    assert_eq!(code(&refresh.await), "bad_refresh_token");
    assert_eq!(
        code(&clinic.log_in(STAFF, "dra.paz", PASSWORD).await),
        "bad_credentials"
    );
    assert_eq!(
        code(&clinic.log_in(STAFF, "dra.paz", "la yerba está cara").await),
        "ok"
    );
}

#[tokio::test]
async fn the_sixth_failure_of_an_account_must_wait_wherever_it_comes_from() {
    let mut clinic = Clinic::new();
    clinic.patient(1001).await;
    clinic.patient(1002).await;
    for device in 1..=5 {
        let wrong = clinic
            .log_in_from(&from(device), PATIENT, "1001", "wrong")
            .await;
        assert_eq!(code(&wrong), "bad_credentials");
    }
    let before = clinic.app.hasher.hashes_started();
    let refused = clinic
        .log_in_from(&from(6), PATIENT, "1001", PASSWORD)
        .await;
    let Err(Error::Throttled(retry)) = refused else {
        panic!("{refused:?}")
    };
    assert!((1..=60).contains(&retry.seconds), "{retry:?}");
    assert_eq!(clinic.app.hasher.hashes_started(), before);
    assert_eq!(
        code(
            &clinic
                .log_in_from(&from(6), PATIENT, "1002", PASSWORD)
                .await
        ),
        "ok"
    );
    clinic.let_the_throttle_forget();
    assert_eq!(
        code(
            &clinic
                .log_in_from(&from(6), PATIENT, "1001", PASSWORD)
                .await
        ),
        "ok"
    );
}

#[tokio::test]
async fn the_sixth_failure_of_an_address_must_wait_whatever_the_account() {
    let clinic = Clinic::new();
    for number in 1..=6 {
        clinic.patient(1000 + number).await;
    }
    for number in 1..=5 {
        let wrong = clinic
            .log_in(PATIENT, &format!("{}", 1000 + number), "wrong")
            .await;
        assert_eq!(code(&wrong), "bad_credentials");
    }
    assert_eq!(
        code(&clinic.log_in(PATIENT, "1006", PASSWORD).await),
        "throttled"
    );
    let closed = clinic.log("throttle.close").await;
    assert_eq!(closed.len(), 1, "once, not for each refusal: {closed:?}");
    assert_eq!(
        (closed[0].address.as_deref(), closed[0].detail.as_deref()),
        (Some("10.0.0.1"), Some("too many failures: address"))
    );
    assert_eq!(
        code(
            &clinic
                .log_in_from(&from(200), PATIENT, "1006", PASSWORD)
                .await
        ),
        "ok"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_room_with_right_passwords_gets_in() {
    let clinic = Clinic::new();
    for number in 0..67 {
        clinic.patient(1000 + number).await;
    }
    let names: Vec<_> = (0..67).map(|number| format!("{}", 1000 + number)).collect();
    let log_ins = names
        .iter()
        .map(|name| clinic.log_in(PATIENT, name, PASSWORD));
    let results = futures_util::future::join_all(log_ins).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(clinic.number("SELECT count(*) FROM session").await, 67);
}

/// A caller who hangs up has spent a hash of the node; that counts.
#[tokio::test]
async fn failures_count_when_the_caller_hangs_up() {
    let clinic = Clinic::new();
    clinic.patient(1001).await;
    for number in 1..=5 {
        let log_in = clinic.log_in(PATIENT, "1001", "wrong");
        let gone = async {
            while clinic.app.hasher.hashes_started() < number {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = gone => {}
            result = log_in => panic!("{result:?}"),
        }
    }
    // Those who wait get a place once the last one is decided.
    assert_eq!(
        code(&clinic.log_in(PATIENT, "1001", PASSWORD).await),
        "throttled"
    );
}

/// Whose account is attacked is in the log, once, whatever comes after.
#[tokio::test]
async fn an_account_that_takes_no_more_attempts_is_in_the_log_once() {
    let clinic = Clinic::new();
    let ana = clinic.patient(1001).await;
    for number in 1..=8 {
        let from = from(number);
        let wrong = clinic.log_in_from(&from, PATIENT, "1001", "wrong").await;
        assert!(wrong.is_err());
    }
    let closed = clinic.log("throttle.close").await;
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(
        (closed[0].patient_id, closed[0].detail.as_deref()),
        (ana.patient_id(), Some("too many failures: account"))
    );
    assert_eq!(closed[0].outcome, "denied");
}
