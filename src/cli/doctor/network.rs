//! Checks of what came from other nodes: conflicts that nobody has settled, operations that were set aside,
//! logs that do not go on or went on in two ways.

use std::sync::Arc;

use super::Finding;
use crate::cli::DataDir;
use crate::clock::{Clock, SystemClock};
use crate::limits;
use crate::store::removal::{self, Beyond};
use crate::store::waiting::{self, LogTrouble};
use crate::store::{Read, Snapshot, StoreError, branches, conflicts, queue, replica, rights};

/// All of them; nothing when the database cannot be opened, which has a finding of its own.
pub(super) fn check(data: &DataDir) -> Vec<Finding> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Ok(snapshot) = Snapshot::open(data.path(), clock) else {
        return Vec::new();
    };
    vec![
        membership(&snapshot),
        removed_nodes(&snapshot),
        places(&snapshot),
        open_conflicts(&snapshot),
        set_aside(&snapshot),
        logs(&snapshot),
        copies(&snapshot),
    ]
}

fn membership(snapshot: &Snapshot) -> Finding {
    let check = "membership";
    match snapshot.read(|tx| removal::of_this_node(tx)) {
        Ok(None) => Finding::ok(
            check,
            "nobody says that this node was removed from its network",
        ),
        Ok(Some(removal)) => Finding::fail(check, removal.to_string()),
        Err(error) => Finding::fail(check, error.to_string()),
    }
}

fn removed_nodes(snapshot: &Snapshot) -> Finding {
    let check = "removed nodes";
    let found = snapshot.read(|tx| removal::beyond(tx));
    let beyond = match found.map_err(|error: StoreError| error.to_string()) {
        Ok(beyond) => beyond,
        Err(error) => return Finding::fail(check, error),
    };
    let sum = |count: fn(&Beyond) -> u64| beyond.iter().map(count).sum::<u64>();
    let (taken, aside) = (sum(|it| it.taken), sum(|it| it.aside));
    if taken > 0 {
        return Finding::warn(
            check,
            format!(
                "{taken} changes that removed nodes wrote after their removal took effect here before this node heard \
                 of it: `islet peers` lists their rows. Nodes that heard earlier do not have them: look at those rows, \
                 and enter there again what is true"
            ),
        );
    }
    match aside {
        0 => Finding::ok(
            check,
            "nothing that they wrote after their removal came here",
        ),
        _ => Finding::ok(
            check,
            format!(
                "{aside} changes of after their removal are kept without effect: `islet peers` lists their rows"
            ),
        ),
    }
}

fn places(snapshot: &Snapshot) -> Finding {
    let check = "places";
    let found = snapshot.read(|tx| {
        let day = queue::current_day(tx)?;
        let (_, stranded) = rights::other_holders(tx, replica::number(tx)?, &day)?;
        Ok(if day.open { stranded } else { 0 })
    });
    match found.map_err(|error: StoreError| error.to_string()) {
        Ok(0) => Finding::ok(check, "no place of the open queue is out of reach"),
        Ok(stranded) => Finding::warn(
            check,
            format!(
                "{stranded} places of the open queue belong to a node that was removed, or to what a node was before \
                 it was restored, and nobody can give them out: close the queue and open it again"
            ),
        ),
        Err(error) => Finding::fail(check, error),
    }
}

fn open_conflicts(snapshot: &Snapshot) -> Finding {
    let check = "conflicts";
    match snapshot.read(|tx| conflicts::count(tx)) {
        Ok(0) => Finding::ok(check, "none is open"),
        Ok(open) => Finding::warn(
            check,
            format!("{open} open: see `islet conflicts`, and have staff settle them"),
        ),
        Err(error) => Finding::fail(check, error.to_string()),
    }
}

fn set_aside(snapshot: &Snapshot) -> Finding {
    let check = "operations";
    match snapshot.read(|tx| waiting::refused(tx)) {
        Ok(refused) => match refused.first {
            None => Finding::ok(check, "all that came from other nodes were understood"),
            Some(first) => Finding::warn(
                check,
                format!(
                    "{} from other nodes were set aside, first: {first}; they are kept. When another \
                     node has a newer islet, install it here too",
                    refused.count
                ),
            ),
        },
        Err(error) => Finding::fail(check, error.to_string()),
    }
}

fn logs(snapshot: &Snapshot) -> Finding {
    let check = "change logs";
    let found = snapshot.read(|tx| waiting::troubles(tx));
    match found.map_err(|error: StoreError| error.to_string()) {
        Ok(troubles) if troubles.is_empty() => Finding::ok(check, "all go on"),
        Ok(troubles) => {
            let told: Vec<String> = troubles.iter().map(told).collect();
            Finding::warn(check, told.join("; "))
        }
        Err(error) => Finding::fail(check, error),
    }
}

/// Nodes that ran twice, or were put back and written on.
fn copies(snapshot: &Snapshot) -> Finding {
    let check = "copies";
    let found = snapshot.read(|tx| Ok::<_, StoreError>((branches::forks(tx)?, tx.now())));
    let (forks, now) = match found {
        Ok(found) => found,
        Err(error) => return Finding::fail(check, error.to_string()),
    };
    let Some(newest) = forks.first() else {
        return Finding::ok(check, "no node ran from a copy");
    };
    let told: Vec<String> = forks
        .iter()
        .map(|fork| {
            format!(
                "the log of {} (number {}) was written on in two ways after change {}; both are kept, the other as \
                 number {}",
                fork.name,
                fork.of.get(),
                fork.after,
                fork.number.get()
            )
        })
        .collect();
    let told = told.join("; ");
    let told_for_ms = i64::try_from(limits::FORK_TOLD.as_millis()).unwrap_or(i64::MAX);
    if now.0.saturating_sub(newest.seen_at.0) > told_for_ms {
        return Finding::ok(check, told);
    }
    Finding::warn(
        check,
        format!(
            "{told}: make sure that no two computers run from one directory, and look at `islet conflicts`"
        ),
    )
}

fn told(trouble: &LogTrouble) -> String {
    let of = &trouble.of;
    let mut parts = Vec::new();
    if let Some(why) = &trouble.stopped {
        parts.push(format!("nothing more is taken of {of}: {why}"));
    }
    if trouble.waiting > 0 {
        let needs = match &trouble.needs {
            Some((other, seq)) => format!(
                "change {seq} of {other} is missing: connect this node with one that has it"
            ),
            None => "they are applied when the node runs".to_owned(),
        };
        parts.push(format!("{} changes of {of} wait: {needs}", trouble.waiting));
    }
    parts.join("; ")
}
