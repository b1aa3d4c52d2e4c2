//! Whose data it was: the audit log must be able to say it for every patient.

use super::sessions::{PATIENT, STAFF};
use super::*;
use crate::domain::appointment::Resolution;
use crate::service::{appointments, patients, queue, readings};

impl Clinic {
    async fn log_of(&self, patient: &Actor, limit: u32, before: Option<i64>) -> Vec<AuditRow> {
        self.log("").await;
        let filter = AuditFilter {
            patient_id: patient.patient_id(),
            limit,
            before,
            ..AuditFilter::default()
        };
        let list = self.app.store.read(move |tx| audit::list(tx, &filter));
        list.await.map_err(|error: StoreError| error).unwrap()
    }
}

#[tokio::test]
async fn views_of_many_patients_are_in_the_log_of_each() {
    let clinic = Clinic::new();
    let (ana, eva) = (clinic.patient(1001).await, clinic.patient(1002).await);
    let desk = clinic.staff("desk", Role::Staff).await;
    let app = &clinic.app;
    patients::get(app, &desk, ana.patient_id().unwrap())
        .await
        .unwrap();
    patients::list(app, &desk).await.unwrap();
    patients::get(app, &desk, eva.patient_id().unwrap())
        .await
        .unwrap();
    readings::all(app, &desk).await.unwrap();
    queue::entries(app, &desk, None).await.unwrap();
    patients::me(app, &ana).await.unwrap();
    let all = clinic.log_of(&ana, 100, None).await;
    let actions: Vec<_> = all.iter().map(|row| row.action.as_str()).collect();
    let expected = [
        "patient.read",
        "queue.list",
        "reading.list_all",
        "patient.list",
        "patient.read",
    ];
    assert_eq!(actions, expected);
    // Page by page it is the same.
    let mut paged = clinic.log_of(&ana, 2, None).await;
    while paged.len() < all.len() {
        let before = paged.last().map(|row| row.seq);
        paged.extend(clinic.log_of(&ana, 2, before).await);
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn a_wrong_password_is_in_the_log_of_whose_account_it_was() {
    let clinic = Clinic::new();
    let (ana, boss) = (
        clinic.patient(1001).await,
        clinic.staff("boss", Role::Admin).await,
    );
    for (audience, name) in [(PATIENT, "1001"), (STAFF, "boss"), (PATIENT, "9999")] {
        let refused = clinic.log_in(audience, name, "wrong").await;
        assert_eq!(code(&refused), "bad_credentials");
    }
    let log = clinic.log("session.log_in").await;
    let of_whom: Vec<_> = log
        .iter()
        .map(|row| (row.patient_id, row.object_kind.as_deref(), row.object_id))
        .collect();
    let (ana, boss) = (ana.patient_id(), boss.staff_id());
    let expected = [
        (None, None, None),
        (None, Some("staff"), boss),
        (ana, Some("patient"), ana),
    ];
    assert_eq!(of_whom, expected);
    // Who tried is not known.
    assert!(log.iter().all(|row| row.actor_kind == "anonymous"));
}

#[tokio::test]
async fn what_was_refused_names_what_it_was_for() {
    let clinic = Clinic::new();
    let desk = clinic.staff("desk", Role::Staff).await;
    let app = &clinic.app;
    let refused = queue::prioritize(app, &desk, 77, 1, Some("fever".into())).await;
    assert_eq!(code(&refused), "not_found");
    let resolution = Resolution {
        appointment_id: 78,
        change_basal_type: None,
        change_basal_dose: None,
        change_basal_time: None,
        change_fast_type: None,
        change_ratio: None,
        change_sensitivity: None,
        emergency_care: false,
        needed_physical_appointment: false,
        glucose_scale: None,
    };
    let refused = appointments::resolve(app, &desk, resolution).await;
    assert_eq!(code(&refused), "not_found");
    let priority = clinic.log("queue.prioritize").await;
    assert_eq!(priority[0].object_kind.as_deref(), Some("queue_entry"));
    assert_eq!(priority[0].object_id, Some(77));
    let resolution = clinic.log("resolution.create").await;
    assert_eq!(resolution[0].object_kind.as_deref(), Some("appointment"));
    assert_eq!(resolution[0].object_id, Some(78));
}
