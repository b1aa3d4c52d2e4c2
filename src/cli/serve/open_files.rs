//! The system's bound on open files: raised as far as this user may, and connections held below it.
//! A node that runs out of files takes no connection and cannot say so to anybody.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::Failure;
use crate::http::listen::ConnectionLimits;
use crate::limits;

/// `wanted`, or as much of it as there are files for.
///
/// # Errors
/// When there are too few for a node.
pub(super) fn fit(wanted: ConnectionLimits) -> Result<ConnectionLimits, Failure> {
    let available = raise();
    let fitting = fitting(wanted, available).ok_or_else(|| {
        Failure::new(format!(
            "a process of this user may open {available} files, which is too few for a node: \
             raise the bound (`ulimit -Hn`, LimitNOFILE= of the service) to {} or more",
            wanted.total + limits::FILES_RESERVED
        ))
    })?;
    if fitting.total < wanted.total {
        tracing::warn!(
            connections.total_max = wanted.total,
            "a process of this user may open {available} files only, so the node takes {} \
             connections: raise the bound (`ulimit -Hn`, LimitNOFILE= of the service) to {} or \
             more, or set total_max in [connections]",
            fitting.total,
            wanted.total + limits::FILES_RESERVED
        );
    }
    Ok(fitting)
}

/// Raises the bound and answers with it.
fn raise() -> usize {
    let found = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: found.maximum,
        maximum: found.maximum,
    };
    if found.current != found.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the bound on open files cannot be raised");
    }
    let holds = getrlimit(Resource::Nofile).current;
    // None is no bound at all.
    holds.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    })
}

/// `None` when hardly anybody could connect.
fn fitting(wanted: ConnectionLimits, files: usize) -> Option<ConnectionLimits> {
    let total = wanted
        .total
        .min(files.saturating_sub(limits::FILES_RESERVED));
    if total == wanted.total {
        return Some(wanted);
    }
    // One address must leave room for others, and this machine itself for one of them.
    let per_address = wanted.per_address.min(total / 4);
    let loopback = wanted.loopback.min(total - per_address);
    (per_address > 0).then_some(ConnectionLimits {
        total,
        per_address,
        loopback,
        ..wanted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_held_below_the_files_that_there_are() {
        let wanted = ConnectionLimits::default();
        let of = |files| fitting(wanted, files).map(|it| (it.total, it.per_address, it.loopback));
        let all = (wanted.total, wanted.per_address, wanted.loopback);
        assert_eq!(of(usize::MAX), Some(all));
        assert_eq!(of(wanted.total + limits::FILES_RESERVED), Some(all));
        let (total, per_address, loopback) = of(limits::FILES_RESERVED + 100).unwrap();
        assert_eq!((total, per_address), (100, 25));
        assert!(loopback + per_address <= total);
        assert_eq!(of(limits::FILES_RESERVED + 3), None);
        assert_eq!(of(10), None);
    }
}
