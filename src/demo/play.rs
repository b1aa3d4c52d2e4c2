//! Plays the demo's events through the use cases, as whoever does it, at the time of the event.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::people::{PATIENTS, People, RESET};
use super::plan::{Event, Plan, Step};
use super::queue::{PLACES, URGENT};
use super::{DemoError, forms};
use crate::auth::password::PasswordHash;
use crate::clock::ManualClock;
use crate::domain::actor::{Actor, Who};
use crate::domain::appointment::Resolution;
use crate::domain::patient::PatientPatch;
use crate::domain::queue::QueueAction;
use crate::limits;
use crate::service::{App, appointments, patients, queue, readings, staff};

const ADMIN: usize = 0;
const DOCTOR: usize = 1;
const DESK: usize = 3;

/// What a patient has by now.
#[derive(Clone, Default)]
struct Chart {
    id: i64,
    placement: i64,
    /// The form of the last visit, as it is stored.
    appointment: i64,
}

/// Everything that the events need.
pub(super) struct Player<'a> {
    app: &'a App,
    clock: &'a ManualClock,
    plan: &'a Plan,
    people: People,
    hashes: Vec<PasswordHash>,
    staff: Vec<Actor>,
    charts: Vec<Chart>,
}

impl<'a> Player<'a> {
    /// Registers the staff, and hashes the patients' passwords, each with a salt of its own.
    pub(super) async fn new(
        app: &'a App,
        clock: &'a ManualClock,
        plan: &'a Plan,
        people: People,
    ) -> Result<Self, DemoError> {
        let mut actors = Vec::with_capacity(people.staff.len());
        let workers = people.staff.iter().zip(&people.staff_passwords);
        for (number, (worker, password)) in workers.enumerate() {
            let made = staff::register(
                app,
                actors.first().unwrap_or(&Actor::operator()),
                worker.username.clone(),
                worker.email.clone(),
                password.clone(),
                worker.role,
                None,
            )
            .await?;
            actors.push(device(Who::Staff(made.id, worker.role), 10 + number));
        }
        let hash = || app.hasher.hash(&people.patient_password);
        let hashes = stream::iter(0..PATIENTS)
            .map(|_| hash())
            .buffered(limits::PASSWORD_HASHES_AT_ONCE)
            .try_collect()
            .await
            .map_err(crate::service::Error::from)?;
        Ok(Self {
            app,
            clock,
            plan,
            people,
            hashes,
            staff: actors,
            charts: vec![Chart::default(); PATIENTS],
        })
    }

    /// Makes it happen.
    pub(super) async fn play(&mut self, step: Step) -> Result<(), DemoError> {
        self.clock.set(step.at);
        let (app, desk) = (self.app, &self.staff[DESK]);
        match step.event {
            Event::Register(patient) => self.register(patient).await?,
            Event::Block(patient) => {
                let patch = PatientPatch {
                    blocked: Some(true),
                    ..PatientPatch::default()
                };
                let id = self.charts[patient].id;
                patients::edit(app, &self.staff[ADMIN], id, patch, None).await?;
            }
            Event::Readings(patient, batch) => {
                let id = self.charts[patient].id;
                readings::import_batch(app, &Actor::operator(), id, batch).await?;
            }
            Event::OpenQueue => {
                queue::resize(app, desk, PLACES).await?;
                queue::open(app, desk).await?;
            }
            Event::CloseQueue => queue::close(app, desk).await?,
            Event::Submit(patient) => {
                let place = queue::submit(app, &self.patient(patient)).await?;
                self.charts[patient].placement = place.placement;
            }
            Event::Decide(patient, action) => {
                self.decide(patient, action).await?;
            }
            Event::GoFirst(patient) => {
                let place = self.charts[patient].placement;
                let reason = Some(URGENT.to_owned());
                queue::prioritize(app, &self.staff[DOCTOR], place, 5, reason).await?;
            }
            Event::Cancel(patient) => queue::cancel(app, &self.patient(patient)).await?,
            Event::SendForm { patient, visit } => {
                let form = forms::form(self.plan.seed, patient, visit);
                let made = appointments::create(app, &self.patient(patient), form).await?;
                self.charts[patient].appointment = made.id;
            }
            Event::Resolve {
                patient,
                visit,
                doctor,
            } => {
                let resolution = self.resolution(patient, visit);
                appointments::resolve(app, &self.staff[doctor], resolution).await?;
            }
        }
        Ok(())
    }

    async fn register(&mut self, patient: usize) -> Result<(), DemoError> {
        let made = patients::register_hashed(
            self.app,
            &self.staff[DESK],
            self.people.patients[patient].clone(),
            &self.hashes[patient],
            patient == RESET,
            None,
        )
        .await?;
        self.charts[patient].id = made.id;
        Ok(())
    }

    async fn decide(&self, patient: usize, action: QueueAction) -> Result<(), DemoError> {
        let place = self.charts[patient].placement;
        queue::decide(self.app, &self.staff[DESK], place, action).await?;
        Ok(())
    }

    fn resolution(&self, patient: usize, visit: usize) -> Resolution {
        let seed = self.plan.seed;
        let form = forms::form(seed, patient, visit);
        let id = self.charts[patient].appointment;
        forms::resolution(seed, patient, visit, &form, id)
    }

    fn patient(&self, patient: usize) -> Actor {
        device(Who::Patient(self.charts[patient].id), 100 + patient)
    }
}

/// Somebody at a device of their own, with an address that exists nowhere (RFC 5737).
fn device(who: Who, number: usize) -> Actor {
    let host = u8::try_from(number).unwrap_or(u8::MAX);
    Actor {
        address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host))),
        ..Actor::operator().becomes(who, None)
    }
}
