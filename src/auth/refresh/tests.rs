//! Rotation case by case; `simulation.rs` plays whole histories.

use rstest::rstest;

use super::*;

const GRACE_MS: i64 = 30_000;
const LIFE_MS: i64 = 604_800_000;

/// A family in generation 5 whose newest token was handed out at 0.
fn family() -> FamilyState {
    FamilyState {
        generation: 5,
        ..FamilyState::begin(0)
    }
}

fn record(generation: u64) -> RefreshRecord {
    RefreshRecord {
        generation,
        replaced: false,
        expires_at_ms: LIFE_MS,
    }
}

const SIBLING: RefreshDecision = RefreshDecision::Retry {
    siblings_kept: REFRESH_SIBLINGS_MAX - 1,
};
const REPLACE: RefreshDecision = RefreshDecision::Retry { siblings_kept: 0 };

#[rstest]
#[case::current(5, 0, RefreshDecision::Rotate)]
#[case::current_later(5, LIFE_MS - 1, RefreshDecision::Rotate)]
#[case::current_expired(5, LIFE_MS, RefreshDecision::Expired)]
#[case::previous_at_once(4, 0, SIBLING)]
#[case::previous_at_the_end_of_grace(4, GRACE_MS, SIBLING)]
#[case::previous_after_grace(4, GRACE_MS + 1, REPLACE)]
#[case::previous_expired(4, LIFE_MS, RefreshDecision::Expired)]
#[case::previous_after_the_clock_was_set_back(4, -86_400_000, SIBLING)]
#[case::older(3, 0, RefreshDecision::Reuse)]
#[case::much_older(0, GRACE_MS + 1, RefreshDecision::Reuse)]
#[case::older_and_expired(3, LIFE_MS, RefreshDecision::Expired)]
#[case::unknown_generation(6, 0, RefreshDecision::Revoked)]
fn table(#[case] generation: u64, #[case] now_ms: i64, #[case] expected: RefreshDecision) {
    assert_eq!(
        decide(&record(generation), &family(), now_ms, GRACE_MS),
        expected
    );
    let revoked = FamilyState {
        revoked: true,
        ..family()
    };
    let decision = decide(&record(generation), &revoked, now_ms, GRACE_MS);
    assert_eq!(decision, RefreshDecision::Revoked);
}

#[test]
fn a_successor_known_to_be_used_ends_the_retries_after_grace() {
    let family = FamilyState {
        current_used: true,
        ..family()
    };
    assert_eq!(decide(&record(4), &family, GRACE_MS, GRACE_MS), SIBLING);
    assert_eq!(
        decide(&record(4), &family, GRACE_MS + 1, GRACE_MS),
        RefreshDecision::Reuse
    );
    assert_eq!(
        decide(&record(5), &family, GRACE_MS + 1, GRACE_MS),
        RefreshDecision::Rotate
    );
}

#[rstest]
#[case(5)]
#[case(4)]
fn a_replaced_token_is_a_reuse_at_any_time(#[case] generation: u64) {
    let replaced = RefreshRecord {
        replaced: true,
        ..record(generation)
    };
    for now_ms in [0, GRACE_MS + 1] {
        let decision = decide(&replaced, &family(), now_ms, GRACE_MS);
        assert_eq!(decision, RefreshDecision::Reuse);
    }
}

#[test]
fn each_retry_starts_the_grace_period_again() {
    let family = family().after(REPLACE, 100_000);
    assert_eq!(
        decide(&record(4), &family, 100_000 + GRACE_MS, GRACE_MS),
        SIBLING
    );
    let family = family.after(SIBLING, 120_000);
    assert_eq!(
        decide(&record(4), &family, 120_000 + GRACE_MS, GRACE_MS),
        SIBLING
    );
    assert_eq!(
        decide(&record(4), &family, 120_001 + GRACE_MS, GRACE_MS),
        REPLACE
    );
    assert_eq!(family.generation, 5);
}

#[test]
fn ten_parallel_refreshes_have_one_successor_generation() {
    let mut family = family();
    let mut decisions = Vec::new();
    for now_ms in 100..110 {
        let decision = decide(&record(5), &family, now_ms, GRACE_MS);
        family = family.after(decision, now_ms);
        decisions.push(decision);
    }
    assert_eq!(family.generation, 6);
    assert_eq!(decisions[0], RefreshDecision::Rotate);
    assert!(decisions[1..].iter().all(|&decision| decision == SIBLING));
}

#[test]
fn only_rotation_and_reuse_change_what_is_valid() {
    let state = family();
    let rotated = state.after(RefreshDecision::Rotate, 7);
    assert_eq!(
        rotated,
        FamilyState {
            generation: 6,
            issued_at_ms: 7,
            ..state
        }
    );
    assert!(state.after(RefreshDecision::Reuse, 7).revoked);
    for decision in [RefreshDecision::Expired, RefreshDecision::Revoked] {
        assert_eq!(state.after(decision, 7), state);
    }
}
