//! What a patient is told of the queue, and who may look at whose readings page by page.

use super::*;
use crate::domain::queue::QueueAction;
use crate::service::queue;

#[tokio::test]
async fn the_expected_wait_follows_how_fast_it_went_today() {
    let clinic = Clinic::new();
    let staff = actor(Who::Staff(1, Role::Staff));
    queue::resize(&clinic.app, &staff, 9).await.unwrap();
    queue::open(&clinic.app, &staff).await.unwrap();
    let mut people = Vec::new();
    for number in 1..=6 {
        let patient = clinic.patient(number).await;
        let placement = queue::submit(&clinic.app, &patient)
            .await
            .unwrap()
            .placement;
        people.push((patient, placement));
    }
    let last = &people[5].0;
    let wait = async || {
        let standing = queue::standing(&clinic.app, last).await.unwrap();
        (standing.position, standing.expected_wait_ms)
    };
    assert_eq!(wait().await, (Some(5), None));
    // One is called every four minutes.
    for (done, (_, placement)) in people[..3].iter().enumerate() {
        clinic.pass(240_000);
        let accept = QueueAction::Accept;
        queue::decide(&clinic.app, &staff, *placement, accept)
            .await
            .unwrap();
        let left = 4 - i64::try_from(done).unwrap();
        let expected = (done == 2).then_some(240_000 * (left + 1));
        assert_eq!(wait().await, (Some(left), expected));
    }
    let called = queue::standing(&clinic.app, &people[0].0).await.unwrap();
    assert_eq!((called.position, called.expected_wait_ms), (None, None));
}
