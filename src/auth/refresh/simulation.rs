//! Random histories of a phone, a network that loses and delays, and a thief.
//!
//! The node is a model of what the store must do. Times are simulated. proptest prints the
//! smallest failing history and its seed.

use proptest::prelude::*;

use super::*;

const GRACE_MS: i64 = 30_000;
/// The phone gives up on an answer after this.
const PHONE_TIMEOUT_MS: i64 = 8_000;
/// A request that the phone gave up on may still arrive this long after it was sent.
const LINGER_MS: i64 = 20_000;
/// Steps of one history; with the cases, more than 100,000 requests of each kind in a run.
const STEPS: usize = 100;
const PHONE_CASES: u32 = 200;
const THEFT_CASES: u32 = 1_000;

/// The index of a record in [`Node::records`].
type Token = usize;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Party {
    Owner,
    Thief,
}

struct Node {
    family: FamilyState,
    records: Vec<RefreshRecord>,
    /// Who last received a token.
    last_served: Party,
    /// How often the owner received one although the thief had overtaken him (more than the grace
    /// period apart), since the last theft and since both refreshed within the grace period.
    overtaken: u32,
}

impl Node {
    fn new() -> Self {
        let first = RefreshRecord {
            generation: 0,
            replaced: false,
            expires_at_ms: i64::MAX,
        };
        Self {
            family: FamilyState::begin(0),
            records: vec![first],
            last_served: Party::Owner,
            overtaken: 0,
        }
    }

    /// The transaction of the store.
    fn present(
        &mut self,
        party: Party,
        token: Token,
        now_ms: i64,
        received: bool,
    ) -> Result<Token, RefreshDecision> {
        let record = self.records[token];
        let before = self.family;
        let decision = decide(&record, &before, now_ms, GRACE_MS);
        self.family = before.after(decision, now_ms);
        let older = !before.revoked && record.generation + 1 < before.generation;
        assert!(
            !older || decision == RefreshDecision::Reuse,
            "n-2 got {decision:?}"
        );
        match decision {
            RefreshDecision::Rotate => assert_eq!(record.generation, before.generation),
            RefreshDecision::Retry { siblings_kept } => {
                assert_eq!(record.generation + 1, before.generation);
                let newest_first = self.records.iter_mut().rev();
                let live = newest_first
                    .take_while(|it| it.generation == before.generation)
                    .filter(|it| !it.replaced);
                live.skip(siblings_kept as usize)
                    .for_each(|it| it.replaced = true);
            }
            _ => {
                assert_eq!(
                    self.family.revoked,
                    before.revoked || decision == RefreshDecision::Reuse
                );
                return Err(decision);
            }
        }
        let rotated = u64::from(decision == RefreshDecision::Rotate);
        assert_eq!(self.family.generation, before.generation + rotated);
        self.records.push(RefreshRecord {
            generation: self.family.generation,
            replaced: false,
            expires_at_ms: i64::MAX,
        });
        if received && party != self.last_served {
            let apart = now_ms - before.issued_at_ms > GRACE_MS;
            let owner_again = u32::from(party == Party::Owner);
            self.overtaken = if apart {
                self.overtaken + owner_again
            } else {
                0
            };
            self.last_served = party;
        }
        Ok(self.records.len() - 1)
    }
}

/// One request of the phone: when it arrives after it was sent, and whether its answer gets back.
#[derive(Debug, Clone, Copy)]
struct Request {
    delay_ms: i64,
    answered: bool,
}

/// The phone refreshes: some requests at once, one of the answers kept or none (a crash before it
/// is stored), then a pause.
#[derive(Debug, Clone)]
struct Refresh {
    requests: Vec<Request>,
    kept: Option<prop::sample::Index>,
    used_at_once: bool,
    pause_ms: i64,
}

fn refresh() -> impl Strategy<Value = Refresh> {
    let request = (prop_oneof![0..100_i64, 0..LINGER_MS], any::<bool>())
        .prop_map(|(delay_ms, answered)| Request { delay_ms, answered });
    let pause = prop_oneof![0..1_000_i64, 0..60_000_i64, 0..86_400_000_i64];
    (
        prop::collection::vec(request, 1..=10),
        prop::option::weighted(0.7, any::<prop::sample::Index>()),
        any::<bool>(),
        pause,
    )
        .prop_map(|(requests, kept, used_at_once, pause_ms)| Refresh {
            requests,
            kept,
            used_at_once,
            pause_ms,
        })
}

struct Phone {
    /// What is in its storage.
    token: Token,
    /// Requests under way: arrival, token, and the refresh they belong to if somebody still waits.
    under_way: Vec<(i64, Token, Option<usize>)>,
}

impl Phone {
    /// Lets every request that arrives until `until_ms` arrive, in order; the answers by refresh.
    fn deliver(&mut self, node: &mut Node, until_ms: i64) -> Vec<(usize, Token)> {
        self.under_way.sort_unstable();
        let arrived = self
            .under_way
            .partition_point(|&(arrival_ms, ..)| arrival_ms <= until_ms);
        let mut answers = Vec::new();
        for (arrival_ms, token, refresh) in self.under_way.drain(..arrived) {
            let fresh = node
                .present(Party::Owner, token, arrival_ms, true)
                .unwrap_or_else(|refused| panic!("the phone was refused: {refused:?}"));
            answers.extend(refresh.map(|refresh| (refresh, fresh)));
        }
        answers
    }
}

/// A phone on a bad network, alone: it is never refused.
fn play_phone(history: &[Refresh]) {
    let mut node = Node::new();
    let mut phone = Phone {
        token: 0,
        under_way: Vec::new(),
    };
    let mut now_ms = 1_000_000;
    for (number, refresh) in history.iter().enumerate() {
        phone.deliver(&mut node, now_ms);
        for request in &refresh.requests {
            let waited_for = request.answered && request.delay_ms < PHONE_TIMEOUT_MS;
            let refresh = waited_for.then_some(number);
            phone
                .under_way
                .push((now_ms + request.delay_ms, phone.token, refresh));
        }
        now_ms += PHONE_TIMEOUT_MS;
        let mut answers = phone.deliver(&mut node, now_ms);
        answers.retain(|&(refresh, _)| refresh == number);
        now_ms += refresh.pause_ms;
        if let (Some(kept), false) = (refresh.kept, answers.is_empty()) {
            phone.token = kept.get(&answers).1;
            node.family.current_used |= refresh.used_at_once;
            // It has an access token now, and does not refresh before that has expired.
            now_ms += GRACE_MS;
        }
    }
    assert!(!node.family.revoked);
}

#[derive(Debug, Clone, Copy)]
enum Move {
    /// The owner refreshes; the answer may be lost.
    Owner { answered: bool },
    /// The thief copies what the phone has stored.
    Steal,
    /// The thief presents one of his tokens.
    Thief(prop::sample::Index),
    /// An access token of the current generation is accepted.
    Use,
}

fn moves() -> impl Strategy<Value = (i64, Move)> {
    let pause = prop_oneof![0..GRACE_MS, (GRACE_MS + 1)..3_600_000_i64];
    let action = prop_oneof![
        4 => any::<bool>().prop_map(|answered| Move::Owner { answered }),
        1 => Just(Move::Steal),
        3 => any::<prop::sample::Index>().prop_map(Move::Thief),
        1 => Just(Move::Use),
    ];
    (pause, action)
}

/// Owner and thief on one family. Returns whether the family has ended.
fn play_theft(history: &[(i64, Move)]) -> bool {
    let mut node = Node::new();
    let (mut owner, mut stolen) = (0, Vec::new());
    let mut now_ms = 0;
    for &(pause_ms, action) in history {
        now_ms += pause_ms;
        let before = node.family.revoked;
        match action {
            Move::Owner { answered } => {
                let answer = node.present(Party::Owner, owner, now_ms, answered);
                owner = answer.ok().filter(|_| answered).unwrap_or(owner);
            }
            Move::Steal => {
                stolen.push(owner);
                node.overtaken = 0;
            }
            Move::Thief(choice) if !stolen.is_empty() => {
                let token = *choice.get(&stolen);
                stolen.extend(node.present(Party::Thief, token, now_ms, true));
            }
            Move::Thief(_) => {}
            Move::Use => node.family.current_used = true,
        }
        assert!(!before || node.family.revoked, "an ended family came back");
        assert!(node.overtaken <= 1, "owner and thief took turns unnoticed");
    }
    node.family.revoked
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(PHONE_CASES))]

    #[test]
    fn an_honest_phone_is_never_logged_out(history in prop::collection::vec(refresh(), STEPS)) {
        play_phone(&history);
    }
}

proptest! {
    #![proptest_config(cases(THEFT_CASES))]

    #[test]
    fn a_thief_and_an_owner_cannot_take_turns(history in prop::collection::vec(moves(), STEPS)) {
        play_theft(&history);
    }
}

/// The turns that the property allows, one by one.
#[test]
fn a_thief_is_found_out_at_the_owners_next_refresh() {
    let mut node = Node::new();
    let stolen = 0;
    let thief = node.present(Party::Thief, stolen, 1_000_000, true).unwrap();
    let owner = node.present(Party::Owner, 0, 2_000_000, true).unwrap();
    assert_eq!(
        node.present(Party::Thief, thief, 3_000_000, true),
        Err(RefreshDecision::Reuse)
    );
    assert_eq!(
        node.present(Party::Owner, owner, 3_000_001, true),
        Err(RefreshDecision::Revoked)
    );
}

#[test]
fn most_thefts_end_the_family() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let histories = prop::collection::vec(moves(), STEPS);
    let ended = (0..100)
        .filter(|_| play_theft(&histories.new_tree(&mut runner).unwrap().current()))
        .count();
    assert!(ended >= 99, "only {ended} of 100 thefts were noticed");
}
