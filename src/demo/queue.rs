//! The queue of the demo: one day last month with resolutions, and today with people in each state.

use super::{DemoError, Loader, MINUTE_MS, patient};
use crate::domain::appointment::{Form, MOTIVES, Resolution};
use crate::domain::queue::QueueAction;
use crate::service::{appointments, queue};

const PLACES: i64 = 12;

impl Loader<'_> {
    /// Plays both days.
    pub(super) async fn run_queue(&mut self, people: &[i64]) -> Result<(), DemoError> {
        let [a, b, c, d, e, f, g, h, i, j, k, ..] = people else {
            return Err(DemoError::Data("too few people".into()));
        };
        // A clock must not go back: the past day is played at the time of the present one.
        self.clock
            .set(self.plan.until_now(self.plan.now.0 - 180 * MINUTE_MS));
        queue::resize(self.app, &self.admin, PLACES).await?;
        queue::open(self.app, &self.doctor).await?;
        for id in [a, b, c, g] {
            self.whole_appointment(*id, true).await?;
        }
        queue::close(self.app, &self.doctor).await?;
        queue::clear(self.app, &self.doctor).await?;

        queue::open(self.app, &self.doctor).await?;
        self.whole_appointment(*d, true).await?;
        self.whole_appointment(*b, false).await?;
        for id in [e, f] {
            let place = self.submit(*id).await?;
            queue::decide(self.app, &self.doctor, place, QueueAction::Accept).await?;
        }
        let denied = self.submit(*h).await?;
        queue::decide(self.app, &self.doctor, denied, QueueAction::Deny).await?;
        for id in [i, j, a, k] {
            self.submit(*id).await?;
        }
        let urgent = self.submit(*c).await?;
        let reason = Some("cetonas altas por teléfono".to_owned());
        queue::prioritize(self.app, &self.doctor, urgent, 5, reason).await?;
        Ok(())
    }

    async fn submit(&mut self, id: i64) -> Result<i64, DemoError> {
        self.pass_minutes();
        Ok(queue::submit(self.app, &patient(id)).await?.placement)
    }

    /// From the request to the form, and to the doctor's decision when `resolved`.
    async fn whole_appointment(&mut self, id: i64, resolved: bool) -> Result<(), DemoError> {
        let place = self.submit(id).await?;
        self.pass_minutes();
        queue::decide(self.app, &self.doctor, place, QueueAction::Accept).await?;
        self.pass_minutes();
        let form = self.form();
        let made = appointments::create(self.app, &patient(id), form.clone()).await?;
        if resolved {
            self.pass_minutes();
            let resolution = self.resolution(made.id, &form);
            appointments::resolve(self.app, &self.doctor, resolution).await?;
        }
        Ok(())
    }

    fn pass_minutes(&mut self) {
        use crate::clock::Clock;
        let minutes = self.random.i64(1..4);
        self.clock.set(
            self.plan
                .until_now(self.clock.now().0 + minutes * MINUTE_MS),
        );
    }

    fn form(&mut self) -> Form {
        let motive = MOTIVES[self.random.usize(0..MOTIVES.len())];
        let other = motive == "OTRO";
        Form {
            glucose_objective: [100.0, 110.0, 120.0][self.random.usize(0..3)],
            insulin_type: ["rapid", "slow", "mixed"][self.random.usize(0..3)].to_owned(),
            dose: f64::from(self.random.u32(10..40)),
            fast_insulin: ["Humalog", "NovoRapid", "Apidra"][self.random.usize(0..3)].to_owned(),
            fixed_dose: f64::from(self.random.u32(2..8)),
            ratio: f64::from(self.random.u32(8..18)),
            sensitivity: f64::from(self.random.u32(30..70)),
            pump_type: ["none", "pen", "pump"][self.random.usize(0..3)].to_owned(),
            control_data: String::new(),
            motives: vec![motive.to_owned()],
            another_treatment: None,
            other_motive: other.then(|| "cambio de turno de trabajo".to_owned()),
        }
    }

    fn resolution(&mut self, appointment_id: i64, form: &Form) -> Resolution {
        Resolution {
            appointment_id,
            change_basal_type: Some("Lantus".to_owned()),
            change_basal_dose: Some(form.dose + 2.0),
            change_basal_time: Some("22:00".to_owned()),
            change_fast_type: Some(form.fast_insulin.clone()),
            change_ratio: Some(form.ratio - 1.0),
            change_sensitivity: Some(form.sensitivity),
            emergency_care: false,
            needed_physical_appointment: self.random.bool(),
            glucose_scale: Some("[[70,120,2],[121,180,4],[181,250,6]]".to_owned()),
        }
    }
}
