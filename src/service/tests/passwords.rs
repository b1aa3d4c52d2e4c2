//! Choosing another password, while other things happen to the account.

use std::pin::pin;

use super::sessions::{PATIENT, STAFF};
use super::*;
use crate::service::{patients, recovery, sessions, staff};

const NEW: &str = "la yerba está cara";

impl Clinic {
    /// A member of staff (or else a patient) who is logged in, and the refresh token.
    async fn somebody(&self, is_staff: bool) -> (Actor, Secret) {
        let (audience, name) = if is_staff {
            self.staff("dra.paz", Role::Staff).await;
            (STAFF, "dra.paz")
        } else {
            self.patient(1001).await;
            (PATIENT, "1001")
        };
        let tokens = self.log_in(audience, name, PASSWORD).await.unwrap();
        let actor = self.authenticate(audience, &tokens).await.unwrap();
        (actor, tokens.refresh)
    }

    async fn change_password(&self, actor: &Actor, current: &str) -> Result<(), Error> {
        match actor.who {
            Who::Patient(_) => {
                patients::change_password(&self.app, actor, secret(current), secret(NEW)).await
            }
            _ => staff::change_password(&self.app, actor, secret(NEW)).await,
        }
    }

    /// Whether the password is still the old one.
    async fn unchanged(&self) -> bool {
        let stored = password_hash().to_stored();
        self.read(move |tx| {
            let sql = "SELECT count(*) FROM (SELECT password_hash AS hash FROM patient UNION ALL
                       SELECT password_hash FROM staff) WHERE hash = ?";
            tx.connection()
                .query_row(sql, [stored], |row| row.get::<_, i64>(0))
        })
        .await
            == 1
    }
}

/// Lets `request` go on until the node has begun a hash for it.
async fn until_a_hash_has_begun<T: std::fmt::Debug>(
    clinic: &Clinic,
    request: std::pin::Pin<&mut impl Future<Output = T>>,
) {
    let before = clinic.app.hasher.hashes_started();
    let begun = async {
        while clinic.app.hasher.hashes_started() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {}
        result = request => panic!("{result:?}"),
    }
}

#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    LoggedOut,
    Blocked,
    Recovered,
}

#[rstest::rstest]
#[tokio::test]
async fn nobody_who_was_put_out_meanwhile_changes_the_password(
    #[values(false, true)] is_staff: bool,
    #[values(Meanwhile::LoggedOut, Meanwhile::Blocked, Meanwhile::Recovered)] meanwhile: Meanwhile,
) {
    let clinic = Clinic::new();
    let (actor, refresh) = clinic.somebody(is_staff).await;
    let (app, operator) = (&clinic.app, Actor::operator());
    // Handed out before the change begins: the reset then has one hash to make, and the change two.
    let handed_out = if matches!(meanwhile, Meanwhile::Recovered) {
        let code = match actor.who {
            Who::Patient(id) => recovery::desk_code(app, &operator, id).await,
            _ => recovery::staff_code(app, &operator, actor.staff_id().unwrap()).await,
        };
        Some(code.unwrap().grouped())
    } else {
        None
    };
    let mut change = pin!(clinic.change_password(&actor, PASSWORD));
    until_a_hash_has_begun(&clinic, change.as_mut()).await;
    match meanwhile {
        Meanwhile::LoggedOut => sessions::revoke(app, &anonymous(), refresh.expose()).await,
        Meanwhile::Blocked if is_staff => {
            let done = staff::set_blocked(app, &operator, "dra.paz".into(), true);
            done.await.map(drop)
        }
        Meanwhile::Blocked => {
            let done = patients::set_blocked(app, &operator, "1001".into(), true);
            done.await.map(drop)
        }
        Meanwhile::Recovered => {
            let code = handed_out.unwrap();
            let password = secret("otra clave distinta 9");
            recovery::reset(app, &anonymous(), code.expose(), password).await
        }
    }
    .unwrap();
    assert_eq!(code(&change.await), "unauthenticated");
    let recovered = matches!(meanwhile, Meanwhile::Recovered);
    assert_eq!(clinic.unchanged().await, !recovered);
    let action = ["patient.change_password", "staff.change_password"][usize::from(is_staff)];
    let log = clinic.log(action).await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].outcome, "denied");
}

#[tokio::test]
async fn of_two_changes_at_once_the_second_is_told_to_try_again() {
    let clinic = Clinic::new();
    let (actor, _) = clinic.somebody(true).await;
    let mut slow = pin!(clinic.change_password(&actor, PASSWORD));
    until_a_hash_has_begun(&clinic, slow.as_mut()).await;
    assert_eq!(code(&clinic.change_password(&actor, PASSWORD).await), "ok");
    assert_eq!(code(&slow.await), "busy");
}

/// As with a log-in: otherwise somebody at an unlocked phone could guess without end.
#[tokio::test]
async fn wrong_passwords_count_when_the_caller_hangs_up() {
    let clinic = Clinic::new();
    let (actor, _) = clinic.somebody(false).await;
    for _ in 1..=5 {
        let mut change = pin!(clinic.change_password(&actor, "wrong"));
        until_a_hash_has_begun(&clinic, change.as_mut()).await;
    }
    let change = clinic.change_password(&actor, PASSWORD);
    assert_eq!(code(&change.await), "throttled");
}

/// Every name of an account, and the password change, draw on one budget.
#[rstest::rstest]
#[case::patient(false, &["1001", "p1001@clinic.test", " P1001@Clinic.Test "])]
#[case::staff(true, &["dra.paz", "DRA.PAZ", "dra.paz@clinic.test"])]
#[tokio::test]
async fn an_account_has_five_guesses_whatever_it_is_called(
    #[case] is_staff: bool,
    #[case] names: &[&str],
) {
    let clinic = Clinic::new();
    let audience = if is_staff { STAFF } else { PATIENT };
    let (actor, _) = clinic.somebody(is_staff).await;
    let device = |last| Actor {
        address: Some(IpAddr::from([10, 0, 1, last])),
        ..anonymous()
    };
    let mut guesses = 0;
    if !is_staff {
        let change = clinic.change_password(&actor, "wrong");
        assert_eq!(code(&change.await), "wrong_password");
        guesses += 1;
    }
    for name in names.iter().cycle().take(5 - usize::from(guesses)) {
        guesses += 1;
        let device = device(guesses);
        let wrong = clinic.log_in_from(&device, audience, name, "wrong");
        assert_eq!(code(&wrong.await), "bad_credentials");
    }
    let other = device(9);
    for name in names {
        let late = clinic.log_in_from(&other, audience, name, PASSWORD);
        assert_eq!(code(&late.await), "throttled", "{name}");
    }
    if !is_staff {
        let change = clinic.change_password(&actor, PASSWORD);
        assert_eq!(code(&change.await), "throttled");
    }
}

/// An account cannot be told from a name that nobody has.
#[tokio::test]
async fn unknown_names_are_throttled_as_known_ones() {
    let clinic = Clinic::new();
    for number in 1..=6 {
        let device = Actor {
            address: Some(IpAddr::from([10, 0, 1, number])),
            ..anonymous()
        };
        let refused = clinic.log_in_from(&device, PATIENT, "x@clinic.test", "wrong");
        let expected = ["bad_credentials", "throttled"][usize::from(number == 6)];
        assert_eq!(code(&refused.await), expected);
    }
}

#[tokio::test]
async fn recovery_mails_are_counted_by_account_too() {
    let clinic = Clinic::new();
    clinic.staff("dra.paz", Role::Staff).await;
    for number in 1..=6 {
        let device = Actor {
            address: Some(IpAddr::from([10, 0, 1, number])),
            ..anonymous()
        };
        let name = ["dra.paz", "dra.paz@clinic.test"][usize::from(number % 2)];
        let asked = recovery::request_mail(&clinic.app, &device, STAFF, name).await;
        assert_eq!(code(&asked), ["ok", "throttled"][usize::from(number == 6)]);
    }
}
