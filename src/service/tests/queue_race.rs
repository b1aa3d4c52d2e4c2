//! Requests for the last place at the same time, from several threads, through the real writer.

use super::*;
use crate::domain::queue::QueueAction;
use crate::service::queue;

const ROUNDS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_requests_for_the_last_place_one_gets_it() {
    let clinic = Arc::new(Clinic::new());
    let staff = clinic.staff("dra.paz", Role::Staff).await;
    let rivals = [
        clinic.patient(1).await,
        clinic.patient(2).await,
        clinic.patient(3).await,
    ];
    queue::open(&clinic.app, &staff).await.unwrap();
    queue::resize(&clinic.app, &staff, 1).await.unwrap();
    let mut winners = [0; 3];
    for round in 0..ROUNDS {
        let start = Arc::new(tokio::sync::Barrier::new(rivals.len()));
        let race = rivals.iter().map(|rival| {
            let (clinic, rival, start) = (Arc::clone(&clinic), rival.clone(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                queue::submit(&clinic.app, &rival).await
            })
        });
        let answers = futures_util::future::join_all(race.collect::<Vec<_>>()).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let won: Vec<_> = answers
            .iter()
            .filter_map(|answer| answer.as_ref().ok())
            .collect();
        assert_eq!(won.len(), 1, "round {round}: {answers:?}");
        assert!(won[0].new);
        assert_eq!(
            answers
                .iter()
                .filter(|answer| code(answer) == "queue_full")
                .count(),
            2
        );
        let winner = answers.iter().position(Result::is_ok).unwrap();
        winners[winner] += 1;
        let placement = won[0].placement;
        // The place becomes free in another way each time.
        match round % 3 {
            0 => queue::cancel(&clinic.app, &rivals[winner]).await.unwrap(),
            1 => drop(
                queue::decide(&clinic.app, &staff, placement, QueueAction::NoShow)
                    .await
                    .unwrap(),
            ),
            _ => queue::clear(&clinic.app, &staff).await.unwrap(),
        }
    }
    clinic.assert_logs_whole().await;
    let placements = clinic
        .number("SELECT count(DISTINCT id) FROM queue_entry")
        .await;
    assert_eq!(placements, winners.iter().sum::<i64>());
}

/// The phone sends the same request again while the first is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_patient_who_asks_many_times_at_once_has_one_place() {
    let clinic = Arc::new(Clinic::new());
    let (staff, patient) = (
        clinic.staff("dra.paz", Role::Staff).await,
        clinic.patient(1).await,
    );
    queue::open(&clinic.app, &staff).await.unwrap();
    let requests = (0..20).map(|_| {
        let (clinic, patient) = (Arc::clone(&clinic), patient.clone());
        tokio::spawn(async move { queue::submit(&clinic.app, &patient).await.unwrap() })
    });
    let answers = futures_util::future::join_all(requests.collect::<Vec<_>>()).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.new).count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer.placement == answers[0].placement)
    );
    assert_eq!(clinic.number("SELECT count(*) FROM queue_entry").await, 1);
}
