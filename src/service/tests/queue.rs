//! The queue against a model of it, under random interleavings.
//!
//! Each round sends several requests at once. They reach the writer in the order in which they were
//! sent, so the model knows what each must be answered.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{BoxFuture, join_all};
use proptest::prelude::*;

use super::*;
use crate::domain::appointment::Form;
use crate::domain::queue::{QueueAction, QueueState as S};
use crate::service::{appointments, queue};

const PATIENTS: usize = 6;

#[derive(Clone, Copy, Debug)]
enum Request {
    Open,
    Close,
    Clear,
    Resize(i64),
    Submit(usize),
    Cancel(usize),
    /// The form, in one of two versions.
    Create(usize, bool),
    /// A staff decision about the nth placement ever given.
    Decide(usize, QueueAction),
    Prioritize(usize, i64),
}

fn request() -> impl Strategy<Value = Request> {
    use Request as R;
    let patient = 0..PATIENTS;
    let place = 0..10usize;
    let action = prop::sample::select(vec![
        QueueAction::Accept,
        QueueAction::Accept,
        QueueAction::Deny,
        QueueAction::NoShow,
        QueueAction::PutBack,
    ]);
    prop_oneof![
        2 => Just(R::Open),
        1 => Just(R::Close),
        1 => Just(R::Clear),
        1 => (0..5i64).prop_map(R::Resize),
        8 => patient.clone().prop_map(R::Submit),
        3 => patient.clone().prop_map(R::Cancel),
        4 => (patient, any::<bool>()).prop_map(|(patient, form)| R::Create(patient, form)),
        8 => (place.clone(), action).prop_map(|(place, action)| R::Decide(place, action)),
        2 => (place, 0..=9i64).prop_map(|(place, priority)| R::Prioritize(place, priority)),
    ]
}

/// A place in the model.
#[derive(Clone, Copy, Debug)]
struct Place {
    placement: i64,
    patient: usize,
    state: S,
    priority: i64,
    /// Which form was sent for it, and the appointment that it became.
    form: Option<(bool, i64)>,
}

/// What the queue should be, from its documents: no SQL, no shared code but the state names.
#[derive(Debug, Default)]
struct Model {
    open: bool,
    any_day: bool,
    size: i64,
    places: Vec<Place>,
}

impl Model {
    fn live(&self) -> impl Iterator<Item = &Place> {
        let live = [S::Pending, S::Accepted, S::Denied, S::Created];
        self.places
            .iter()
            .filter(move |place| live.contains(&place.state))
    }

    fn of(&mut self, patient: usize) -> Option<&mut Place> {
        let at = self.live().position(|place| place.patient == patient)?;
        let placement = self.live().nth(at)?.placement;
        self.places
            .iter_mut()
            .find(|place| place.placement == placement)
    }

    fn occupied(&self) -> i64 {
        let places = self
            .live()
            .filter(|place| matches!(place.state, S::Pending | S::Accepted));
        places.count() as i64
    }

    /// How many go before this waiting patient.
    fn position(&self, patient: usize) -> Option<i64> {
        let mut waiting: Vec<_> = self
            .live()
            .filter(|place| place.state == S::Pending)
            .collect();
        waiting.sort_by_key(|place| (-place.priority, place.placement));
        let at = waiting.iter().position(|place| place.patient == patient)?;
        Some(at as i64)
    }

    /// Applies a request; `answer` is what the node answered, with the id that only it can choose.
    fn apply(&mut self, request: Request, answer: &Result<i64, Error>) {
        let expected = match request {
            Request::Open => {
                if !self.open {
                    let ended = |place: &Place| matches!(place.state, S::Denied | S::Created);
                    self.places
                        .iter_mut()
                        .filter(|place| ended(place))
                        .for_each(clear);
                }
                (self.open, self.any_day) = (true, true);
                "ok"
            }
            Request::Close => {
                self.open = false;
                "ok"
            }
            Request::Clear => {
                let live: BTreeSet<_> = self.live().map(|place| place.placement).collect();
                let places = self.places.iter_mut();
                places
                    .filter(|place| live.contains(&place.placement))
                    .for_each(clear);
                "ok"
            }
            Request::Resize(size) => {
                self.size = size;
                "ok"
            }
            Request::Submit(patient) => self.submit(patient, answer),
            Request::Cancel(patient) => match self.of(patient) {
                None => "ok",
                Some(place) if matches!(place.state, S::Pending | S::Accepted) => {
                    place.state = S::Cancelled;
                    "ok"
                }
                Some(_) => "wrong_state",
            },
            Request::Create(patient, form) => self.create(patient, form, answer),
            Request::Decide(nth, action) => self.decide(nth, action),
            Request::Prioritize(nth, priority) => match self.places.get_mut(nth) {
                Some(place) if matches!(place.state, S::Pending | S::Accepted) => {
                    place.priority = priority;
                    "ok"
                }
                Some(place) if place.state != S::Cleared => "wrong_state",
                _ => "not_found",
            },
        };
        assert_eq!(code(answer), expected, "{request:?} {answer:?}\n{self:#?}");
    }

    fn submit(&mut self, patient: usize, answer: &Result<i64, Error>) -> &'static str {
        let (open, full) = (self.open, self.occupied() >= self.size);
        if let Some(held) = self.of(patient) {
            assert_eq!(
                answer.as_ref().ok(),
                Some(&held.placement),
                "not the same place"
            );
            return "ok";
        }
        if !open {
            return "queue_closed";
        }
        if full {
            return "queue_full";
        }
        let placement = *answer.as_ref().unwrap_or(&-1);
        let new = self.places.iter().all(|place| place.placement < placement);
        assert!(new, "placement {placement} was given before");
        self.places.push(Place {
            placement,
            patient,
            state: S::Pending,
            priority: 0,
            form: None,
        });
        "ok"
    }

    fn create(&mut self, patient: usize, form: bool, answer: &Result<i64, Error>) -> &'static str {
        let Some(place) = self.of(patient) else {
            return "not_in_queue";
        };
        match (place.form, place.state) {
            (Some((sent, id)), _) if sent == form => {
                assert_eq!(answer.as_ref().ok(), Some(&id), "not the same appointment");
                "ok"
            }
            (None, S::Accepted) => {
                place.state = S::Created;
                place.form = answer.as_ref().ok().map(|id| (form, *id));
                "ok"
            }
            _ => "not_accepted",
        }
    }

    fn decide(&mut self, nth: usize, action: QueueAction) -> &'static str {
        let free = self.size - self.occupied();
        let Some(place) = self.places.get_mut(nth) else {
            return "not_found";
        };
        let to = match (action, place.state) {
            (_, S::Cleared) => return "not_found",
            (QueueAction::Accept, S::Pending | S::Accepted) => S::Accepted,
            (QueueAction::Deny, S::Pending | S::Denied) => S::Denied,
            (QueueAction::NoShow, S::Pending | S::Accepted | S::NoShow) => S::NoShow,
            (QueueAction::PutBack, S::Pending | S::Accepted) => S::Pending,
            (QueueAction::PutBack, S::Denied | S::Created) if free > 0 => S::Pending,
            (QueueAction::PutBack, S::Denied | S::Created) => return "queue_full",
            _ => return "wrong_state",
        };
        place.state = to;
        if action == QueueAction::PutBack {
            place.form = None;
        }
        "ok"
    }
}

fn clear(place: &mut Place) {
    place.state = S::Cleared;
}

/// The node side: who asks.
struct People {
    patients: Vec<Actor>,
    staff: [Actor; 2],
}

fn form(which: bool) -> Form {
    Form {
        glucose_objective: if which { 100.0 } else { 110.0 },
        insulin_type: "rapid".into(),
        dose: 10.0,
        fast_insulin: "rapid".into(),
        fixed_dose: 4.0,
        ratio: 12.0,
        sensitivity: 40.0,
        pump_type: "none".into(),
        control_data: String::new(),
        motives: vec!["AJUSTE".into()],
        another_treatment: None,
        other_motive: None,
    }
}

/// Sends a request; `nth` says which of the two members of staff does it.
fn send<'a>(
    clinic: &'a Clinic,
    people: &'a People,
    model: &Model,
    request: Request,
    nth: usize,
) -> BoxFuture<'a, Result<i64, Error>> {
    let (app, staff) = (&clinic.app, &people.staff[nth % 2]);
    let place = |nth: usize| {
        model
            .places
            .get(nth)
            .map_or(1_000_000, |place| place.placement)
    };
    let done = |result: Result<(), Error>| result.map(|()| 0);
    match request {
        Request::Open => Box::pin(async move { done(queue::open(app, staff).await) }),
        Request::Close => Box::pin(async move { done(queue::close(app, staff).await) }),
        Request::Clear => Box::pin(async move { done(queue::clear(app, staff).await) }),
        Request::Resize(size) => {
            Box::pin(async move { done(queue::resize(app, staff, size).await) })
        }
        Request::Submit(patient) => Box::pin(async move {
            let submitted = queue::submit(app, &people.patients[patient]).await;
            submitted.map(|submitted| submitted.placement)
        }),
        Request::Cancel(patient) => {
            Box::pin(async move { done(queue::cancel(app, &people.patients[patient]).await) })
        }
        Request::Create(patient, which) => Box::pin(async move {
            let created = appointments::create(app, &people.patients[patient], form(which)).await;
            created.map(|appointment| appointment.id)
        }),
        Request::Decide(nth, action) => {
            let placement = place(nth);
            Box::pin(async move {
                queue::decide(app, staff, placement, action)
                    .await
                    .map(|_| 0)
            })
        }
        Request::Prioritize(nth, priority) => {
            let placement = place(nth);
            let reason = Some("llegó descompuesta".to_owned());
            Box::pin(async move {
                done(queue::prioritize(app, staff, placement, priority, reason).await)
            })
        }
    }
}

/// What the node shows must be what the model holds.
async fn compare(clinic: &Clinic, people: &People, model: &mut Model) {
    let (app, staff) = (&clinic.app, &people.staff[0]);
    let day = queue::day(app, staff).await.unwrap();
    assert_eq!(
        (day.open, day.size, day.id != 0),
        (model.open, model.size, model.any_day)
    );
    let shown = queue::entries(app, staff, None).await.unwrap();
    let mut shown: Vec<_> = shown
        .iter()
        .map(|it| (it.placement, it.state, it.priority))
        .collect();
    shown.sort_by_key(|it| it.0);
    let expected: Vec<_> = model
        .live()
        .map(|it| (it.placement, it.state, it.priority))
        .collect();
    assert_eq!(shown, expected);
    let mut positions = BTreeMap::new();
    for (number, patient) in people.patients.iter().enumerate() {
        let state = queue::state(app, patient).await.unwrap();
        assert_eq!(state, model.of(number).map(|place| place.state));
        let position = queue::position(app, patient).await.unwrap();
        assert_eq!(position, model.position(number), "patient {number}");
        positions.extend(position.map(|position| (position, patient.patient_id().unwrap())));
    }
    // Positions have no gaps, and staff see the waiting in their order.
    let expected = 0..positions.len() as i64;
    assert!(positions.keys().copied().eq(expected), "{positions:?}");
    let pending = queue::entries(app, staff, Some(S::Pending)).await.unwrap();
    let pending = pending.iter().map(|entry| entry.patient_id);
    assert!(pending.eq(positions.into_values()));
    clinic.assert_logs_whole().await;
}

/// Whatever has happened: a place that becomes free can be had.
async fn assert_not_full_for_good(clinic: &Clinic, people: &People, model: &mut Model) {
    let (app, staff) = (&clinic.app, &people.staff[1]);
    let late = clinic.patient(999).await;
    queue::open(app, staff).await.unwrap();
    queue::resize(app, staff, model.occupied()).await.unwrap();
    assert_eq!(code(&queue::submit(app, &late).await), "queue_full");
    let holder = model
        .live()
        .find(|place| matches!(place.state, S::Pending | S::Accepted));
    match holder {
        Some(place) => {
            let gone = queue::decide(app, staff, place.placement, QueueAction::NoShow).await;
            assert_eq!(code(&gone), "ok");
        }
        None => queue::resize(app, staff, 1).await.unwrap(),
    }
    assert_eq!(code(&queue::submit(app, &late).await), "ok");
}

async fn run(rounds: Vec<Vec<Request>>) {
    let clinic = Clinic::new();
    let mut people = People {
        patients: Vec::new(),
        staff: [
            clinic.staff("dra.paz", Role::Admin).await,
            clinic.staff("recepcion", Role::Staff).await,
        ],
    };
    for number in 0..PATIENTS {
        people
            .patients
            .push(clinic.patient(number as u32 + 1).await);
    }
    let mut model = Model {
        size: crate::domain::queue::SIZE_DEFAULT,
        ..Model::default()
    };
    for round in rounds {
        let requests = round.iter().enumerate();
        let sent = requests.map(|(nth, request)| send(&clinic, &people, &model, *request, nth));
        let answers = join_all(sent.collect::<Vec<_>>()).await;
        // A place that is given in this round cannot be named in it.
        let known = model.places.len();
        for (request, answer) in round.iter().zip(&answers) {
            let named = match request {
                Request::Decide(nth, _) | Request::Prioritize(nth, _) => Some(*nth),
                _ => None,
            };
            match named {
                Some(nth) if nth >= known => assert_eq!(code(answer), "not_found"),
                _ => model.apply(*request, answer),
            }
        }
        clinic.pass(1_000);
        compare(&clinic, &people, &mut model).await;
    }
    assert_not_full_for_good(&clinic, &people, &mut model).await;
    clinic.assert_logs_whole().await;
}

#[test]
fn the_queue_does_what_its_model_does() {
    let runtime = runtime();
    let config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::with_cases(40)
    };
    let rounds = prop::collection::vec(prop::collection::vec(request(), 1..5), 4..24);
    proptest!(config, |(rounds in rounds)| {
        // Most interesting things happen in an open queue.
        let rounds = std::iter::once(vec![Request::Open]).chain(rounds).collect();
        runtime.block_on(run(rounds));
    });
}

/// Found by the test above: the patient has the place, so nobody has to find one.
#[test]
fn a_patient_is_put_back_on_a_day_that_staff_made_too_small() {
    use Request as R;
    let decided = |action| R::Decide(1, action);
    let rounds = [
        R::Open,
        R::Submit(0),
        R::Submit(1),
        R::Submit(2),
        decided(QueueAction::Accept),
        R::Resize(1),
        decided(QueueAction::PutBack),
        decided(QueueAction::Deny),
        // Now it costs a place, and there is none.
        decided(QueueAction::PutBack),
    ];
    runtime().block_on(run(rounds.map(|round| vec![round]).into()));
}

#[tokio::test]
async fn staff_cannot_decide_what_is_not_theirs_to_decide() {
    let clinic = Clinic::new();
    let (staff, patient) = (
        clinic.staff("dra.paz", Role::Staff).await,
        clinic.patient(1).await,
    );
    queue::open(&clinic.app, &staff).await.unwrap();
    let place = queue::submit(&clinic.app, &patient)
        .await
        .unwrap()
        .placement;
    for action in [QueueAction::Create, QueueAction::Clear, QueueAction::Cancel] {
        let refused = queue::decide(&clinic.app, &staff, place, action).await;
        assert_eq!(code(&refused), "invalid", "{action:?}");
    }
    let refused = queue::decide(&clinic.app, &patient, place, QueueAction::Accept).await;
    assert_eq!(code(&refused), "forbidden");
    assert_eq!(
        queue::state(&clinic.app, &patient).await.unwrap(),
        Some(S::Pending)
    );
}
