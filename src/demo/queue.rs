//! The queue of the demo: five days over as many months, and yesterday's, which is still open with
//! people in every state.

use super::calendar::{Calendar, SECOND_MS, later};
use super::dice::Dice;
use super::plan::{Event, Step};
use crate::domain::queue::QueueAction;

/// Places of each day: more than anybody needs, so that some are free.
pub(super) const PLACES: i64 = 12;
/// The reason why a patient goes first.
pub(super) const URGENT: &str = "Hipoglucemias nocturnas repetidas";

/// How far a patient comes on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    First,
    Accepted,
    Denied,
    Formed,
    Resolved,
    Cancelled,
    NoShow,
}

use Fate::{Accepted, Cancelled, Denied, First, Formed, NoShow, Pending, Resolved};

/// A queue day: how many days before today, and who comes, in the order in which they ask.
type QueueDay = (i64, &'static [(usize, Fate)]);

const DAYS: [QueueDay; 6] = [
    (
        132,
        &[
            (0, Resolved),
            (6, Resolved),
            (10, Resolved),
            (12, Denied),
            (11, Resolved),
        ],
    ),
    (
        119,
        &[(1, Resolved), (7, Resolved), (13, NoShow), (2, Resolved)],
    ),
    (
        91,
        &[
            (6, Resolved),
            (3, Cancelled),
            (0, Resolved),
            (14, Resolved),
            (21, Resolved),
        ],
    ),
    (
        61,
        &[
            (4, Resolved),
            (15, Resolved),
            (10, Denied),
            (8, Resolved),
            (5, Resolved),
        ],
    ),
    (
        33,
        &[
            (9, Resolved),
            (1, Resolved),
            (17, NoShow),
            (16, Resolved),
            (11, Resolved),
        ],
    ),
    (
        1,
        &[
            (0, Resolved),
            (3, Accepted),
            (20, Formed),
            (12, Pending),
            (19, Denied),
            (14, Cancelled),
            (2, Pending),
            (15, NoShow),
            (13, Accepted),
            (18, First),
            (16, Pending),
        ],
    ),
];

/// Everything that happens at the queue.
pub(super) fn steps(seed: u64, calendar: Calendar) -> Vec<Step> {
    let mut dice = Dice::new(seed, "queue", 0);
    let mut steps = Vec::new();
    let mut visits = [0; super::people::PATIENTS];
    for (number, &(days_ago, people)) in DAYS.iter().enumerate() {
        let mut happens = |minute: i64, event| {
            let at = later(
                calendar.at(days_ago, minute),
                dice.between(0, 59) * SECOND_MS,
            );
            steps.push(Step { at, event });
        };
        happens(8 * 60, Event::OpenQueue);
        for (place, &(patient, fate)) in people.iter().enumerate() {
            let nth = place as i64;
            let decide = |action| Event::Decide(patient, action);
            happens(8 * 60 + 5 + 7 * nth, Event::Submit(patient));
            match fate {
                Pending => continue,
                First => happens(9 * 60 + 25, Event::GoFirst(patient)),
                Denied => happens(9 * 60 + 40 + 4 * nth, decide(QueueAction::Deny)),
                _ => happens(9 * 60 + 40 + 4 * nth, decide(QueueAction::Accept)),
            }
            match fate {
                Cancelled => happens(10 * 60 + 45 + 6 * nth, Event::Cancel(patient)),
                NoShow => happens(13 * 60 + nth, decide(QueueAction::NoShow)),
                Formed | Resolved => {
                    let visit = visits[patient];
                    visits[patient] += 1;
                    happens(10 * 60 + 45 + 6 * nth, Event::SendForm { patient, visit });
                    if fate == Resolved {
                        let doctor = 1 + (number + place) % 2;
                        let event = Event::Resolve {
                            patient,
                            visit,
                            doctor,
                        };
                        happens(15 * 60 + 9 * nth, event);
                    }
                }
                _ => {}
            }
        }
        if number + 1 < DAYS.len() {
            happens(18 * 60, Event::CloseQueue);
        }
    }
    steps
}
