//! Choosing another password, while other things happen to the account.

use std::pin::pin;

use super::sessions::{PATIENT, STAFF};
use super::*;
use crate::limits;
use crate::service::{passwords, patients, recovery, sessions, staff};
use crate::store::sessions::Owner;

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
        self.choose(actor, current, NEW).await
    }

    /// Sends any new password, with the current one where that is asked for.
    async fn choose(&self, actor: &Actor, current: &str, new: &str) -> Result<(), Error> {
        match actor.who {
            Who::Patient(_) => {
                patients::change_password(&self.app, actor, secret(current), secret(new)).await
            }
            _ => staff::change_password(&self.app, actor, secret(new)).await,
        }
    }

    /// Another password, by a code.
    async fn recover(&self, actor: &Actor) -> Result<(), Error> {
        let owner = match actor.who {
            Who::Patient(id) => Owner::Patient(id),
            _ => Owner::Staff(actor.staff_id().unwrap()),
        };
        let write = self.app.store.write(Lane::Essential, move |tx| {
            passwords::store(tx, owner, "the hash of another", false)?;
            crate::store::sessions::revoke_all(tx, owner, None)?;
            let entry = crate::domain::audit::Entry::new(&Actor::system(), "test.recover");
            Ok::<_, Error>(tx.audit(&entry)?)
        });
        write.await
    }

    /// How often anything was changed.
    async fn changes(&self) -> i64 {
        self.number("SELECT count(*) FROM change").await
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
    let mut change = pin!(clinic.change_password(&actor, PASSWORD));
    until_a_hash_has_begun(&clinic, change.as_mut()).await;
    match meanwhile {
        Meanwhile::LoggedOut => {
            sessions::revoke(app, &anonymous(), PATIENT, refresh.expose()).await
        }
        Meanwhile::Blocked if is_staff => {
            let done = staff::set_blocked(app, &operator, "dra.paz".into(), true);
            done.await.map(drop)
        }
        Meanwhile::Blocked => {
            let done = patients::set_blocked(app, &operator, "1001".into(), true);
            done.await.map(drop)
        }
        // As a reset writes it, without the time of its hashes.
        Meanwhile::Recovered => clinic.recover(&actor).await,
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
        assert_eq!(code(&asked), ["throttled", "ok"][usize::from(number == 1)]);
    }
}

/// A phone that lost the answer sends the same request again, with what was the current password then.
#[rstest::rstest]
#[tokio::test]
async fn a_change_that_is_sent_again_changes_nothing_and_is_answered_alike(
    #[values(false, true)] is_staff: bool,
) {
    let clinic = Clinic::new();
    let (actor, _) = clinic.somebody(is_staff).await;
    clinic.pass(1);
    let send = |new| clinic.choose(&actor, PASSWORD, new);
    assert_eq!(code(&send(NEW).await), "ok");
    let stored = clinic.changes().await;
    for _ in 0..3 {
        assert_eq!(code(&send(NEW).await), "ok");
    }
    assert_eq!(clinic.changes().await, stored);
    // None of them was a failed attempt.
    let (audience, name) = [(PATIENT, "1001"), (STAFF, "dra.paz")][usize::from(is_staff)];
    for _ in 0..4 {
        let guess = clinic.log_in(audience, name, "wrong").await;
        assert_eq!(code(&guess), "bad_credentials");
    }
    // Another session of the account has chosen nothing.
    let tokens = clinic.log_in(audience, name, NEW).await.unwrap();
    let other = clinic.authenticate(audience, &tokens).await.unwrap();
    let expected = ["wrong_password", "invalid"][usize::from(is_staff)];
    let again = clinic.choose(&other, PASSWORD, NEW).await;
    assert_eq!(code(&again), expected);
    // Nor is it a repeat after some minutes.
    clinic.pass(i64::try_from(limits::PASSWORD_REPEAT.as_millis()).unwrap());
    assert_eq!(code(&send(NEW).await), expected);
    clinic.assert_logs_whole().await;
}

#[rstest::rstest]
#[tokio::test]
async fn the_present_password_is_no_new_one(#[values(false, true)] is_staff: bool) {
    let clinic = Clinic::new();
    let (actor, _) = clinic.somebody(is_staff).await;
    clinic.pass(1);
    let same = clinic.choose(&actor, PASSWORD, PASSWORD).await;
    let Err(Error::Invalid { field, reason }) = same else {
        panic!("{same:?}");
    };
    assert_eq!(field, "new_password");
    assert!(reason.in_spanish("").contains("distinta"), "{reason:?}");
    assert!(clinic.unchanged().await);
    // What was chosen a moment ago, with itself as the current one, is not the same request either.
    assert_eq!(code(&clinic.change_password(&actor, PASSWORD).await), "ok");
    if !is_staff {
        assert_eq!(code(&clinic.choose(&actor, NEW, NEW).await), "invalid");
    }
}
