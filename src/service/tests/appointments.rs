//! Forms and resolutions.

use super::*;
use crate::domain::appointment::{Form, Resolution};
use crate::domain::queue::QueueAction;
use crate::service::{appointments, queue};

fn form() -> Form {
    Form {
        glucose_objective: 110.0,
        insulin_type: "rapid".into(),
        dose: 10.5,
        fast_insulin: "rapid".into(),
        fixed_dose: 4.0,
        ratio: 12.0,
        sensitivity: 40.0,
        pump_type: "none".into(),
        control_data: String::new(),
        motives: vec!["AJUSTE".into(), "OTRO".into()],
        another_treatment: None,
        other_motive: Some("dudas".into()),
    }
}

fn resolution(appointment_id: i64) -> Resolution {
    Resolution {
        appointment_id,
        change_basal_type: Some("glargina".into()),
        change_basal_dose: Some(14.0),
        change_basal_time: Some("22:00".into()),
        change_fast_type: None,
        change_ratio: None,
        change_sensitivity: None,
        emergency_care: false,
        needed_physical_appointment: true,
        glucose_scale: Some("[[80,120,2]]".into()),
    }
}

/// A patient whose place is accepted.
async fn accepted(clinic: &Clinic, staff: &Actor, number: u32) -> Actor {
    let patient = clinic.patient(number).await;
    queue::open(&clinic.app, staff).await.unwrap();
    let place = queue::submit(&clinic.app, &patient)
        .await
        .unwrap()
        .placement;
    queue::decide(&clinic.app, staff, place, QueueAction::Accept)
        .await
        .unwrap();
    patient
}

#[tokio::test]
async fn numbers_that_are_none_are_refused_and_nothing_is_stored() {
    let clinic = Clinic::new();
    let staff = clinic.staff("dra.paz", Role::Staff).await;
    let ana = accepted(&clinic, &staff, 1).await;
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let forms = [
            Form {
                glucose_objective: bad,
                ..form()
            },
            Form {
                dose: bad,
                ..form()
            },
            Form {
                fixed_dose: bad,
                ..form()
            },
            Form {
                ratio: bad,
                ..form()
            },
            Form {
                sensitivity: bad,
                ..form()
            },
        ];
        for form in forms {
            assert_eq!(
                code(&appointments::create(&clinic.app, &ana, form).await),
                "invalid"
            );
        }
    }
    let sent = appointments::create(&clinic.app, &ana, form())
        .await
        .unwrap();
    let bad = [
        Resolution {
            change_ratio: Some(f64::NAN),
            ..resolution(sent.id)
        },
        Resolution {
            change_basal_dose: Some(f64::INFINITY),
            ..resolution(sent.id)
        },
        Resolution {
            change_sensitivity: Some(f64::NAN),
            ..resolution(sent.id)
        },
        Resolution {
            glucose_scale: Some("[[1,".into()),
            ..resolution(sent.id)
        },
    ];
    for bad in bad {
        assert_eq!(
            code(&appointments::resolve(&clinic.app, &staff, bad).await),
            "invalid"
        );
    }
    assert_eq!(clinic.number("SELECT count(*) FROM appointment").await, 1);
    assert_eq!(clinic.number("SELECT count(*) FROM resolution").await, 0);
}

#[tokio::test]
async fn a_form_and_its_resolution_come_back_as_they_were_sent() {
    let clinic = Clinic::new();
    let staff = clinic.staff("dra.paz", Role::Staff).await;
    let ana = accepted(&clinic, &staff, 1).await;
    let sent = appointments::create(&clinic.app, &ana, form())
        .await
        .unwrap();
    assert_eq!(sent.form, form());
    assert_eq!(
        appointments::mine(&clinic.app, &ana).await.unwrap(),
        std::slice::from_ref(&sent)
    );
    let id = ana.patient_id().unwrap();
    assert_eq!(
        appointments::of_patient(&clinic.app, &staff, id, 1)
            .await
            .unwrap(),
        std::slice::from_ref(&sent)
    );
    let read = || appointments::resolution(&clinic.app, &ana, sent.id);
    assert_eq!(code(&read().await), "not_found");
    // Sent twice, it is one decision and one mail.
    for _ in 0..2 {
        appointments::resolve(&clinic.app, &staff, resolution(sent.id))
            .await
            .unwrap();
        assert_eq!(read().await.unwrap(), resolution(sent.id));
    }
    assert_eq!(clinic.number("SELECT count(*) FROM resolution").await, 1);
    assert!(clinic.mails.lock().unwrap().try_recv().is_ok());
    assert!(clinic.mails.lock().unwrap().try_recv().is_err());
    let other = Resolution {
        emergency_care: true,
        ..resolution(sent.id)
    };
    appointments::resolve(&clinic.app, &staff, other.clone())
        .await
        .unwrap();
    assert_eq!(read().await.unwrap(), other);
    clinic.assert_logs_whole().await;
}

#[tokio::test]
async fn another_patients_resolution_does_not_exist_and_that_is_in_the_log() {
    let clinic = Clinic::new();
    let staff = clinic.staff("dra.paz", Role::Staff).await;
    let (ana, eva) = (accepted(&clinic, &staff, 1).await, clinic.patient(2).await);
    let sent = appointments::create(&clinic.app, &ana, form())
        .await
        .unwrap();
    let hers = appointments::resolution(&clinic.app, &eva, sent.id).await;
    appointments::resolve(&clinic.app, &staff, resolution(sent.id))
        .await
        .unwrap();
    let resolved = appointments::resolution(&clinic.app, &eva, sent.id).await;
    let unknown = appointments::resolution(&clinic.app, &eva, 999).await;
    // Neither whether there is one nor whether it is resolved can be told apart.
    for result in [hers, resolved] {
        assert_eq!(format!("{result:?}"), format!("{unknown:?}"));
    }
    let log = clinic.log("resolution.read").await;
    let denied: Vec<_> = log
        .iter()
        .map(|row| (row.outcome.as_str(), row.actor_id, row.patient_id))
        .collect();
    assert_eq!(denied, [("denied", eva.patient_id(), ana.patient_id()); 2]);
}
