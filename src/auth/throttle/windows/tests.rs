//! The windows of failures against a slow and simple model.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const WINDOW_MS: u64 = 60_000;

fn windows(keys: usize) -> Windows {
    Windows::new(ThrottleLimits {
        keys,
        ..ThrottleLimits::default()
    })
}

fn keys(account: &str, address: &str) -> Keys {
    Keys::new(Tried::LogIn, account, address.parse().unwrap())
}

fn refused(seconds: u64) -> Admission {
    Admission::Refused(RetryAfter { seconds })
}

fn fail(windows: &mut Windows, keys: Keys, now_ms: u64) {
    assert_eq!(windows.try_admit(keys, now_ms), Admission::Admitted);
    let _ = windows.record_failure(keys, now_ms);
    windows.release(keys);
}

fn succeed(windows: &mut Windows, keys: Keys, now_ms: u64) {
    assert_eq!(windows.try_admit(keys, now_ms), Admission::Admitted);
    windows.forgive_account(keys);
    windows.release(keys);
}

#[test]
fn the_sixth_failure_of_an_account_waits_for_the_first_to_be_a_minute_old() {
    let mut windows = windows(100);
    for number in 0..5 {
        fail(
            &mut windows,
            keys("ana", &format!("10.0.0.{number}")),
            number * 1_000,
        );
    }
    let next = keys("ana", "10.0.1.1");
    assert_eq!(windows.try_admit(next, 5_000), refused(55));
    assert_eq!(windows.try_admit(next, WINDOW_MS - 1), refused(1));
    fail(&mut windows, next, WINDOW_MS);
    assert_eq!(windows.try_admit(next, WINDOW_MS), refused(1));
    fail(&mut windows, next, WINDOW_MS + 1_000);
}

#[test]
fn the_sixth_failure_of_an_address_is_refused_whatever_the_account() {
    let mut windows = windows(100);
    for number in 0..5 {
        fail(&mut windows, keys(&format!("user{number}"), "10.0.0.1"), 0);
    }
    assert_eq!(windows.try_admit(keys("ana", "10.0.0.1"), 0), refused(60));
    fail(&mut windows, keys("ana", "10.0.0.2"), 0);
}

#[test]
fn one_who_mistypes_does_not_shut_the_door_on_the_others_of_the_address() {
    let mut windows = windows(100);
    for _ in 0..5 {
        fail(&mut windows, keys("ana", "10.0.0.1"), 0);
    }
    assert_eq!(windows.try_admit(keys("ana", "10.0.0.1"), 0), refused(60));
    for other in ["eva", "luis", "marta", "pedro"] {
        fail(&mut windows, keys(other, "10.0.0.1"), 1_000);
    }
    // A fifth account: the address is closed to further ones, those that failed have guesses left.
    assert_eq!(
        windows.try_admit(keys("raúl", "10.0.0.1"), 1_000),
        refused(59)
    );
    fail(&mut windows, keys("eva", "10.0.0.1"), 2_000);
    // Eva gets in at last, and Ana's failures are a minute old.
    succeed(&mut windows, keys("eva", "10.0.0.1"), 3_000);
    fail(&mut windows, keys("raúl", "10.0.0.1"), 3_000);
    assert_eq!(
        windows.try_admit(keys("inés", "10.0.0.1"), 3_000),
        refused(57)
    );
    fail(&mut windows, keys("inés", "10.0.0.1"), WINDOW_MS);
}

#[test]
fn successes_never_count() {
    let mut windows = windows(100);
    for _ in 0..1_000 {
        succeed(&mut windows, keys("ana", "10.0.0.1"), 0);
    }
    assert_eq!((windows.accounts.len(), windows.networks.len()), (0, 0));
}

#[test]
fn a_success_forgives_the_account_but_not_the_others_of_the_address() {
    let mut windows = windows(100);
    let ana = keys("ana", "10.0.0.1");
    for number in 0..5 {
        for _ in 0..4 {
            fail(&mut windows, ana, 0);
        }
        succeed(&mut windows, ana, 0);
        fail(&mut windows, keys(&format!("other{number}"), "10.0.0.1"), 0);
    }
    assert_eq!(windows.try_admit(ana, 0), refused(60));
    fail(&mut windows, keys("ana", "10.0.0.2"), 0);
}

#[test]
fn attempts_under_way_count_until_they_are_decided() {
    let mut windows = windows(100);
    let ana = keys("ana", "10.0.0.1");
    for _ in 0..5 {
        assert_eq!(windows.try_admit(ana, 0), Admission::Admitted);
    }
    assert_eq!(windows.try_admit(ana, 0), Admission::Wait);
    assert_eq!(
        windows.try_admit(keys("ana", "10.0.0.2"), 0),
        Admission::Wait
    );
    let others = ["eva", "luis", "marta", "pedro"].map(|name| keys(name, "10.0.0.1"));
    for other in others {
        assert_eq!(windows.try_admit(other, 0), Admission::Admitted);
    }
    assert_eq!(
        windows.try_admit(keys("raúl", "10.0.0.1"), 0),
        Admission::Wait
    );
    for other in others {
        windows.release(other);
    }
    windows.release(ana);
    assert_eq!(windows.try_admit(ana, 0), Admission::Admitted);
    for _ in 0..5 {
        let _ = windows.record_failure(ana, 10);
        windows.release(ana);
    }
    assert_eq!(windows.try_admit(ana, 10), refused(60));
}

#[rstest]
#[case::same_64("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true)]
#[case::other_64("2001:db8:1:2::1", "2001:db8:1:3::1", false)]
#[case::mapped("::ffff:10.0.0.1", "10.0.0.1", true)]
#[case::other_v4("10.0.0.1", "10.0.0.2", false)]
#[case::other_mapped("::ffff:10.0.0.1", "::ffff:10.0.0.2", false)]
fn addresses_count_by_subscriber(#[case] one: &str, #[case] other: &str, #[case] same: bool) {
    assert_eq!(keys("x", one).network == keys("x", other).network, same);
}

#[test]
fn accounts_are_the_same_whatever_the_case() {
    assert_eq!(
        keys(" Ana@Example.com", "::1").account,
        keys("ana@example.com", "::1").account
    );
    assert_ne!(
        keys("patient:1", "::1").account,
        keys("staff:1", "::1").account
    );
}

#[test]
fn a_full_table_forgets_whoever_failed_least() {
    let mut windows = windows(8);
    let guesser = keys("guesser", "10.0.0.1");
    for _ in 0..5 {
        fail(&mut windows, guesser, 0);
    }
    for number in 0..1_000 {
        fail(
            &mut windows,
            keys(
                &format!("a{number}"),
                &format!("10.1.{}.{}", number / 250, number % 250),
            ),
            1,
        );
        assert!(windows.accounts.len() <= 8 && windows.networks.len() <= 8);
    }
    assert_eq!(windows.try_admit(guesser, 2), refused(60));
}

#[test]
fn a_table_full_of_attempts_under_way_makes_newcomers_wait() {
    let mut windows = windows(2);
    let (a, b, c) = (
        keys("a", "10.0.0.1"),
        keys("b", "10.0.0.2"),
        keys("c", "10.0.0.3"),
    );
    assert_eq!(windows.try_admit(a, 0), Admission::Admitted);
    assert_eq!(windows.try_admit(b, 0), Admission::Admitted);
    assert_eq!(windows.try_admit(c, 0), Admission::Wait);
    windows.release(a);
    assert_eq!(windows.try_admit(c, 0), Admission::Admitted);
}

#[test]
fn old_failures_make_room_first() {
    let mut windows = windows(2);
    fail(&mut windows, keys("a", "10.0.0.1"), 0);
    fail(&mut windows, keys("b", "10.0.0.2"), WINDOW_MS);
    fail(&mut windows, keys("c", "10.0.0.3"), WINDOW_MS + 1);
    assert!(
        windows
            .accounts
            .entries
            .contains_key(&keys("b", "::1").account)
    );
    assert!(
        !windows
            .accounts
            .entries
            .contains_key(&keys("a", "::1").account)
    );
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Start { account: usize, address: usize },
    Fail(prop::sample::Index),
    Succeed(prop::sample::Index),
    Leave(prop::sample::Index),
    Pass { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let start =
        (0..3_usize, 0..3_usize).prop_map(|(account, address)| Step::Start { account, address });
    prop_oneof![
        4 => start,
        3 => any::<prop::sample::Index>().prop_map(Step::Fail),
        1 => any::<prop::sample::Index>().prop_map(Step::Succeed),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        2 => (0..20_000_u64).prop_map(|ms| Step::Pass { ms }),
    ]
}

/// A naive model: who failed when, never forgotten.
#[derive(Default)]
struct Model {
    now_ms: u64,
    under_way: Vec<(usize, usize)>,
    account_failures: Vec<(usize, u64)>,
    /// Address, account, when.
    address_failures: Vec<(usize, usize, u64)>,
}

impl Model {
    fn is_recent(&self, at_ms: u64) -> bool {
        at_ms + WINDOW_MS > self.now_ms
    }

    /// Accounts with failures of an address.
    fn accounts_of(&self, address: usize) -> BTreeSet<usize> {
        let recent = self.address_failures.iter();
        let recent = recent.filter(|it| it.0 == address && self.is_recent(it.2));
        recent.map(|it| it.1).collect()
    }

    fn expected(&self, account: usize, address: usize) -> &'static str {
        let of_account = self.account_failures.iter();
        let failures = of_account.filter(|it| it.0 == account && self.is_recent(it.1));
        let failures = failures.count();
        let under_way = self.under_way.iter().filter(|it| it.0 == account).count();
        let failed = self.accounts_of(address);
        let trying = self.under_way.iter().filter(|it| it.1 == address);
        let trying: BTreeSet<_> = trying.map(|it| it.0).collect();
        let all = failed.union(&trying).count();
        assert!(failures <= 5 && all <= 2, "more than may be in a minute");
        let is_new = !failed.contains(&account) && !trying.contains(&account);
        if failures == 5 || (is_new && failed.len() == 2) {
            "refused"
        } else if failures + under_way >= 5 || (is_new && all == 2) {
            "wait"
        } else {
            "admitted"
        }
    }
}

proptest! {
    #[test]
    fn it_agrees_with_a_naive_model(steps in prop::collection::vec(step(), 1..300)) {
        // As many accounts as there are in the model would never fill an address.
        let mut windows = Windows::new(ThrottleLimits {
            address_failures: 2,
            ..ThrottleLimits::default()
        });
        let mut model = Model::default();
        let named = |(account, address): (usize, usize)| {
            keys(&format!("account{account}"), &format!("10.0.0.{address}"))
        };
        for step in steps {
            let mut decided = |choice: prop::sample::Index| {
                let count = model.under_way.len();
                (count > 0).then(|| model.under_way.swap_remove(choice.index(count)))
            };
            match step {
                Step::Pass { ms } => model.now_ms += ms,
                Step::Start { account, address } => {
                    let expected = model.expected(account, address);
                    let got = match windows.try_admit(named((account, address)), model.now_ms) {
                        Admission::Admitted => {
                            model.under_way.push((account, address));
                            "admitted"
                        }
                        Admission::Wait => "wait",
                        Admission::Refused(RetryAfter { seconds }) => {
                            prop_assert!((1..=60).contains(&seconds));
                            "refused"
                        }
                    };
                    prop_assert_eq!(got, expected);
                }
                Step::Fail(choice) => {
                    let Some(it) = decided(choice) else { continue };
                    model.account_failures.push((it.0, model.now_ms));
                    model.address_failures.push((it.1, it.0, model.now_ms));
                    let _ = windows.record_failure(named(it), model.now_ms);
                    windows.release(named(it));
                }
                Step::Succeed(choice) => {
                    let Some(it) = decided(choice) else { continue };
                    model.account_failures.retain(|failure| failure.0 != it.0);
                    model.address_failures.retain(|failure| (failure.1, failure.0) != it);
                    windows.forgive_account(named(it));
                    windows.release(named(it));
                }
                Step::Leave(choice) => {
                    let Some(it) = decided(choice) else { continue };
                    windows.release(named(it));
                }
            }
        }
    }
}

#[test]
fn what_is_tried_counts_for_itself() {
    let mut windows = windows(100);
    let of = |what, account: &str| Keys::new(what, account, "10.0.0.1".parse().unwrap());
    for number in 0..5 {
        fail(
            &mut windows,
            of(Tried::RecoveryMail, &format!("mail:{number}")),
            0,
        );
    }
    let mail = windows.try_admit(of(Tried::RecoveryMail, "mail:5"), 0);
    assert_eq!(mail, refused(60));
    let again = Keys::new(Tried::RecoveryMail, "mail:1", "10.0.0.2".parse().unwrap());
    assert_eq!(windows.try_admit(again, 1_000), refused(59));
    let log_in = windows.try_admit(of(Tried::LogIn, "patient:1"), 0);
    assert_eq!(log_in, Admission::Admitted);
    let code = windows.try_admit(of(Tried::RecoveryCode, "reset:1"), 0);
    assert_eq!(code, Admission::Admitted);
}
