//! Live sessions: nothing is lost to the slow, and nobody listens on without a good log-in.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::token::Audience;
use crate::domain::glucose::{Glucose, NewReading, ReadingType, Source};
use crate::limits;
use crate::service::changes::{self, Item};
use crate::service::live::{self, Event, Pass, Session};
use crate::service::readings;

async fn measure(clinic: &Clinic, who: &Actor, mg_dl: i64) {
    let new = NewReading {
        patient_id: who.patient_id().unwrap(),
        glucose: Glucose::from_mg_dl(mg_dl as f64).unwrap(),
        reading_type: ReadingType::Cena,
        source: Source::Sensor,
        measured_at: Some(Timestamp(NOW.0 - mg_dl)),
        notes: None,
    };
    readings::create(&clinic.app, who, new, None).await.unwrap();
}

async fn pass(clinic: &Clinic) -> Pass {
    let tokens = clinic
        .log_in(Audience::Patient, "1001", PASSWORD)
        .await
        .unwrap();
    Pass {
        audience: Audience::Patient,
        token: tokens.access,
    }
}

/// The values of the readings in these events.
fn values(events: &[Event]) -> Vec<i64> {
    let value = |event: &Event| match event {
        Event::Change(changes::Change {
            item: Item::Reading(Ok(reading)),
            ..
        }) => Some(reading.glucose_mg_dl as i64),
        _ => None,
    };
    events.iter().filter_map(value).collect()
}

#[tokio::test]
async fn who_is_too_slow_misses_nothing() {
    let clinic = Clinic::new();
    let ana = clinic.patient(1001).await;
    let stop = CancellationToken::new();
    let hub = tokio::spawn(live::run(Arc::clone(&clinic.app), stop.clone()));
    let pass = pass(&clinic).await;
    let mut slow = Session::open(&clinic.app, &anonymous(), pass.clone(), None, None)
        .await
        .unwrap();
    let mut quick = Session::open(&clinic.app, &anonymous(), pass, None, None)
        .await
        .unwrap();
    let mut seen = Vec::new();
    let many = i64::try_from(limits::LIVE_BATCHES_MAX).unwrap() * 3;
    for value in 1..=many {
        measure(&clinic, &ana, value).await;
        while seen.len() < usize::try_from(value).unwrap() {
            seen.extend(values(&quick.next().await.unwrap()));
        }
    }
    assert_eq!(seen, (1..=many).collect::<Vec<_>>());
    let mut late = Vec::new();
    while late.len() < seen.len() {
        late.extend(values(&slow.next().await.unwrap()));
    }
    assert_eq!(late, seen);
    assert!(slow.cursor().covers(&quick.cursor()) && quick.cursor().covers(&slow.cursor()));
    stop.cancel();
    hub.await.unwrap();
    assert_eq!(code(&quick.next().await), "busy", "the node has stopped");
}

#[tokio::test]
async fn only_so_many_listen_at_once_and_a_ticket_is_good_once_and_briefly() {
    let mut clinic = Clinic::new();
    Arc::get_mut(&mut clinic.app).unwrap().live = live::Live::new(1);
    clinic.patient(1001).await;
    let pass = pass(&clinic).await;
    let open = async |pass| Session::open(&clinic.app, &anonymous(), pass, None, None).await;
    let only = open(pass.clone()).await.unwrap();
    assert_eq!(code(&open(pass.clone()).await), "busy");
    drop(only);
    let ticket = live::ticket(&clinic.app, pass.clone()).unwrap();
    let staff = live::redeem(&clinic.app, Audience::Staff, ticket.expose());
    assert_eq!(code(&staff), "unauthenticated");
    // Shown at the wrong door it is used up as well.
    assert_eq!(
        code(&live::redeem(
            &clinic.app,
            Audience::Patient,
            ticket.expose()
        )),
        "unauthenticated"
    );
    let ticket = live::ticket(&clinic.app, pass.clone()).unwrap();
    let redeemed = live::redeem(&clinic.app, Audience::Patient, ticket.expose()).unwrap();
    drop(open(redeemed).await.unwrap());
    let late = live::ticket(&clinic.app, pass).unwrap();
    clinic.let_the_throttle_forget();
    assert_eq!(
        code(&live::redeem(&clinic.app, Audience::Patient, late.expose())),
        "unauthenticated"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_grows_old_ends_the_session() {
    let clinic = Clinic::new();
    clinic.patient(1001).await;
    let pass = pass(&clinic).await;
    let mut session = Session::open(&clinic.app, &anonymous(), pass, None, None)
        .await
        .unwrap();
    session.next().await.unwrap();
    assert_eq!(session.next().await.unwrap(), [], "a heartbeat");
    clinic.pass(31 * 60_000);
    assert_eq!(code(&session.next().await), "token_expired");
}
