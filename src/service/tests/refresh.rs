//! Refresh tokens: rotation, lost answers, reuse, log-out.

use super::sessions::{PATIENT, STAFF};
use super::*;
use crate::service::sessions::{self as use_case, Tokens};

impl Clinic {
    async fn refresh(&self, tokens: &Tokens) -> Result<Tokens, Error> {
        let token = tokens.refresh.expose();
        use_case::refresh(&self.app, &anonymous(), PATIENT, token, self.clock.now()).await
    }

    async fn logged_in(&self) -> Tokens {
        self.patient(1001).await;
        self.log_in(PATIENT, "1001", PASSWORD).await.unwrap()
    }
}

#[tokio::test]
async fn each_refresh_gives_new_tokens_and_the_session_lives_on() {
    let clinic = Clinic::new();
    let mut tokens = clinic.logged_in().await;
    let first = clinic.authenticate(PATIENT, &tokens).await.unwrap();
    // For far longer than one token lives.
    for _ in 0..30 {
        clinic.pass(DAY_MS);
        let next = clinic.refresh(&tokens).await.unwrap();
        assert_ne!(next.refresh.expose(), tokens.refresh.expose());
        assert_eq!(next.expires_in_s, 1_800);
        tokens = next;
        let who = clinic.authenticate(PATIENT, &tokens).await.unwrap();
        assert_eq!((who.who, &who.session), (first.who, &first.session));
    }
    // Tokens that have expired by themselves are forgotten.
    let kept = clinic.number("SELECT count(*) FROM refresh_token").await;
    assert!((8..=9).contains(&kept), "{kept} tokens kept");
    clinic.pass(7 * DAY_MS);
    assert_eq!(code(&clinic.refresh(&tokens).await), "bad_refresh_token");
    assert_eq!(clinic.log("session.refresh").await.len(), 30);
}

#[tokio::test]
async fn an_answer_that_was_lost_can_be_asked_for_again() {
    let clinic = Clinic::new();
    let tokens = clinic.logged_in().await;
    // At once, and a day later: the phone never got the answer.
    let _lost = clinic.refresh(&tokens).await.unwrap();
    let _lost = clinic.refresh(&tokens).await.unwrap();
    clinic.pass(DAY_MS);
    let found = clinic.refresh(&tokens).await.unwrap();
    clinic.pass(60_000);
    assert_eq!(code(&clinic.refresh(&found).await), "ok");
}

#[tokio::test]
async fn a_stolen_token_ends_the_session_and_is_in_the_log() {
    let clinic = Clinic::new();
    let stolen = clinic.logged_in().await;
    let other = clinic.log_in(PATIENT, "1001", PASSWORD).await.unwrap();
    clinic.pass(60_000);
    let second = clinic.refresh(&stolen).await.unwrap();
    clinic.pass(60_000);
    let third = clinic.refresh(&second).await.unwrap();
    clinic.pass(60_000);
    assert_eq!(code(&clinic.authenticate(PATIENT, &third).await), "ok");
    assert_eq!(code(&clinic.refresh(&stolen).await), "bad_refresh_token");
    // The whole family is over, at once; the other device is not.
    assert_eq!(
        code(&clinic.authenticate(PATIENT, &third).await),
        "unauthenticated"
    );
    assert_eq!(code(&clinic.refresh(&third).await), "bad_refresh_token");
    assert_eq!(code(&clinic.authenticate(PATIENT, &other).await), "ok");
    let log = clinic.log("session.refresh").await;
    let denied: Vec<_> = log.iter().filter(|row| row.outcome == "denied").collect();
    assert_eq!(denied.len(), 1);
    assert!(denied[0].detail.as_deref().unwrap().contains("reused"));
    assert!(denied[0].patient_id.is_some() && denied[0].session.is_some());
    clinic.assert_logs_whole().await;
}

/// The app fires ten at once and keeps any of the answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_parallel_refreshes_make_one_generation() {
    let clinic = Clinic::new();
    let mut current = clinic.logged_in().await;
    for step in 1..=5 {
        clinic.pass(60_000);
        let refreshes = (0..10).map(|_| clinic.refresh(&current));
        let answers = futures_util::future::join_all(refreshes).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let generation = clinic
            .number("SELECT max(generation) FROM refresh_token")
            .await;
        assert_eq!(generation, step);
        let texts = answers.iter().map(|tokens| tokens.refresh.expose());
        assert_eq!(texts.collect::<std::collections::BTreeSet<_>>().len(), 10);
        // Whichever of them the phone kept.
        current = answers.into_iter().nth(step as usize).unwrap();
        assert_eq!(code(&clinic.authenticate(PATIENT, &current).await), "ok");
    }
    let log = clinic.log("session.refresh").await;
    assert_eq!(log.len(), 50);
    assert!(log.iter().all(|row| row.outcome == "ok"));
}

#[tokio::test]
async fn a_log_out_ends_the_session_and_can_be_repeated() {
    let clinic = Clinic::new();
    let tokens = clinic.logged_in().await;
    for _ in 0..2 {
        use_case::revoke(&clinic.app, &anonymous(), PATIENT, tokens.refresh.expose())
            .await
            .unwrap();
        assert_eq!(
            code(&clinic.authenticate(PATIENT, &tokens).await),
            "unauthenticated"
        );
        assert_eq!(code(&clinic.refresh(&tokens).await), "bad_refresh_token");
    }
    // A reuse after a log-out is no theft.
    assert_eq!(clinic.log("session.refresh").await.len(), 0);
    let log = clinic.log("session.log_out").await;
    assert!(log.iter().all(|row| row.patient_id.is_some()));
}

#[tokio::test]
async fn an_access_token_ends_its_session_too() {
    let clinic = Clinic::new();
    let (tokens, other) = (clinic.logged_in().await, clinic.logged_in().await);
    for _ in 0..2 {
        let access = tokens.access.expose();
        let revoked = use_case::revoke(&clinic.app, &anonymous(), PATIENT, access).await;
        assert_eq!(code(&revoked), "ok");
        let shown = clinic.authenticate(PATIENT, &tokens).await;
        assert_eq!(code(&shown), "unauthenticated");
        assert_eq!(code(&clinic.refresh(&tokens).await), "bad_refresh_token");
    }
    assert_eq!(code(&clinic.authenticate(PATIENT, &other).await), "ok");
    let log = clinic.log("session.log_out").await;
    assert_eq!((log.len(), log[0].actor_kind.as_str()), (1, "patient"));
    clinic.assert_logs_whole().await;
}

#[tokio::test]
async fn what_is_no_token_is_refused_and_leaves_no_trace() {
    let clinic = Clinic::new();
    let tokens = clinic.logged_in().await;
    let before = clinic.number("SELECT count(*) FROM audit_entry").await;
    let unknown = crate::auth::opaque::OpaqueToken::generate(
        crate::auth::opaque::Purpose::Refresh,
        &SeededRandom::new(99),
    );
    let unknown = unknown.unwrap().expose().to_owned();
    for token in [
        "",
        "x",
        &unknown,
        tokens.access.expose(),
        &"a".repeat(100_000),
    ] {
        let refused = use_case::refresh(&clinic.app, &anonymous(), PATIENT, token, NOW).await;
        assert_eq!(code(&refused), "bad_refresh_token");
        // The other audience's access token is none either.
        let revoked = use_case::revoke(&clinic.app, &anonymous(), STAFF, token).await;
        assert_eq!(code(&revoked), "ok");
    }
    assert_eq!(code(&clinic.authenticate(PATIENT, &tokens).await), "ok");
    // Anybody can send these: they must not fill the log.
    assert_eq!(
        clinic.number("SELECT count(*) FROM audit_entry").await,
        before
    );
    // The other audience's token is none, and survives being shown there.
    let foreign = use_case::refresh(
        &clinic.app,
        &anonymous(),
        STAFF,
        tokens.refresh.expose(),
        NOW,
    )
    .await;
    assert_eq!(code(&foreign), "bad_refresh_token");
    assert_eq!(code(&clinic.refresh(&tokens).await), "ok");
}

#[tokio::test]
async fn sessions_that_are_over_do_not_pile_up() {
    let clinic = Clinic::new();
    clinic.logged_in().await;
    for _ in 0..20 {
        clinic.log_in(PATIENT, "1001", PASSWORD).await.unwrap();
    }
    clinic.pass(98 * DAY_MS);
    for _ in 0..3 {
        clinic.log_in(PATIENT, "1001", PASSWORD).await.unwrap();
    }
    assert_eq!(clinic.number("SELECT count(*) FROM session").await, 3);
    assert_eq!(clinic.number("SELECT count(*) FROM refresh_token").await, 3);
}

/// The previous token outside of the grace period, and whether its successor was used before.
#[rstest::rstest]
#[case::used(true, "bad_refresh_token", "unauthenticated")]
#[case::its_answer_was_lost(false, "ok", "ok")]
#[tokio::test]
async fn a_replaced_token_ends_the_session_once_its_successor_was_used(
    #[case] used: bool,
    #[case] refreshed: &str,
    #[case] session: &str,
) {
    let clinic = Clinic::new();
    let old = clinic.logged_in().await;
    assert_eq!(code(&clinic.authenticate(PATIENT, &old).await), "ok");
    let next = clinic.refresh(&old).await.unwrap();
    // An access token of the generation before shows nothing.
    assert_eq!(code(&clinic.authenticate(PATIENT, &old).await), "ok");
    if used {
        assert_eq!(code(&clinic.authenticate(PATIENT, &next).await), "ok");
        // Within the grace period it may be a straggler.
        assert_eq!(code(&clinic.refresh(&old).await), "ok");
    }
    clinic.pass(31_000);
    assert_eq!(code(&clinic.refresh(&old).await), refreshed);
    assert_eq!(code(&clinic.authenticate(PATIENT, &next).await), session);
}

/// What was noted is not forgotten when the writes that it waits for are refused.
#[tokio::test]
async fn a_use_that_was_noted_waits_for_a_commit() {
    let clinic = Clinic::new();
    let old = clinic.logged_in().await;
    let next = clinic.refresh(&old).await.unwrap();
    assert_eq!(code(&clinic.authenticate(PATIENT, &next).await), "ok");
    let unknown = crate::auth::opaque::OpaqueToken::generate(
        crate::auth::opaque::Purpose::Refresh,
        &SeededRandom::new(99),
    );
    let (unknown, actor) = (unknown.unwrap(), anonymous());
    let refused = use_case::refresh(&clinic.app, &actor, PATIENT, unknown.expose(), NOW);
    assert_eq!(code(&refused.await), "bad_refresh_token");
    let used = "SELECT count(*) FROM session_use";
    assert_eq!(clinic.number(used).await, 0, "nothing was committed");
    clinic.pass(31_000);
    assert_eq!(code(&clinic.refresh(&old).await), "bad_refresh_token");
    assert_eq!(
        clinic
            .number("SELECT count(*) FROM session WHERE revoked_at > 0")
            .await,
        1
    );
}
