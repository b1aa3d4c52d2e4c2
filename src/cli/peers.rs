//! `islet peers`: the nodes of the network and how they do.

use super::control::{Request, Response, perform};
use super::{DataDir, Failure, output};
use crate::domain::time::Timestamp;
use crate::peer::status::PeerReport;
use crate::service::replication::Removal;

/// Options of `islet peers`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Works while the node runs; a node that does not run has seen nobody. Examples:
  islet --data /var/lib/islet peers
  islet --data /var/lib/islet peers --json
  islet --data /var/lib/islet peers rename raspberrypi consultorio-2
  islet --data /var/lib/islet peers revoke consultorio-2"
)]
pub(super) struct PeersArgs {
    #[command(subcommand)]
    command: Option<PeersCommand>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum PeersCommand {
    /// Remove a node from the network, for good
    #[command(
        long_about = "Removes a node from the network. What it wrote so far stays; what it writes \
from now on reaches no other node, and it hears nothing more. A computer that was removed by mistake \
joins again as a new node, with a new invitation."
    )]
    Revoke(RevokeArgs),
    /// Call a node by another name, on all nodes
    #[command(
        long_about = "Calls a node by another name, on all nodes. A node has the name of its computer until \
somebody gives it another; no two nodes of a network may have one name."
    )]
    Rename(RenameArgs),
}

#[derive(Debug, clap::Args)]
struct RenameArgs {
    /// Name, number or id, as `islet peers` shows them
    #[arg(value_name = "NODE")]
    node: String,
    /// The new name
    #[arg(value_name = "NAME")]
    name: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    /// Name, number or id, as `islet peers` shows them
    #[arg(value_name = "NODE")]
    node: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `islet peers …`.
///
/// # Errors
/// When there is no such node.
pub(super) fn run(args: &PeersArgs, data: &DataDir) -> Result<(), Failure> {
    match &args.command {
        Some(PeersCommand::Revoke(revoke)) => {
            match perform(data, Request::RevokePeer(revoke.node.clone()))? {
                Response::PeerRevoked { number, name } if revoke.json => {
                    output::json(&serde_json::json!({ "number": number, "name": name }))
                }
                Response::PeerRevoked { number, name } => {
                    output::line(&format!("{name} (number {number}) is removed"))
                }
                other => Err(Failure::new(format!("unexpected answer: {other:?}"))),
            }
        }
        Some(PeersCommand::Rename(rename)) => {
            let request = Request::RenamePeer {
                which: rename.node.clone(),
                name: rename.name.clone(),
            };
            match perform(data, request)? {
                Response::PeerRenamed { number, name } if rename.json => {
                    output::json(&serde_json::json!({ "number": number, "name": name }))
                }
                Response::PeerRenamed { number, name } => output::line(&format!(
                    "the node with number {number} is called {name} now"
                )),
                other => Err(Failure::new(format!("unexpected answer: {other:?}"))),
            }
        }
        None => match perform(data, Request::ListPeers)? {
            Response::Peers(peers) if args.json => output::json(&peers),
            Response::Peers(peers) => output::line(&table(&peers)),
            other => Err(Failure::new(format!("unexpected answer: {other:?}"))),
        },
    }
}

fn table(peers: &[PeerReport]) -> String {
    if peers.is_empty() {
        return "This node is alone: `islet invite` makes a code for another one.".to_owned();
    }
    let width = peers.iter().map(|peer| peer.name.chars().count());
    let width = width.max().unwrap_or(0).max(4);
    let mut text = format!(
        "{:<width$}  {:>7}  {:<9}  {:<19}  {:<18}  {:>9}  WHERE",
        "NAME", "NUMBER", "STATE", "LAST SEEN", "BEHIND", "CLOCK"
    );
    for peer in peers {
        let state = match peer {
            _ if peer.revoked => "removed",
            _ if peer.this_node => "this node",
            _ if peer.connected.is_some() => "connected",
            _ => "away",
        };
        let clock = peer.clock_offset_ms.map(|ms| format!("{ms:+} ms"));
        let place = match (&peer.connected, &peer.error) {
            (Some(address), _) => address.clone(),
            (None, Some(error)) if !peer.revoked => error.clone(),
            _ => peer.addresses.join(", "),
        };
        text.push_str(&format!(
            "\n{:<width$}  {:>7}  {state:<9}  {:<19}  {:<18}  {:>9}  {place}",
            peer.name,
            peer.number,
            peer.seen_at_ms
                .map_or_else(String::new, |ms| Timestamp(ms).to_argentina()),
            behind(peer),
            clock.unwrap_or_default(),
        ));
    }
    for note in peers.iter().filter_map(beyond).chain(removal(peers)) {
        text.push_str("\n\n");
        text.push_str(&note);
    }
    text
}

/// What a removed node wrote that does not count.
fn beyond(peer: &PeerReport) -> Option<String> {
    let beyond = peer.beyond.as_ref()?;
    let rows = |taken: bool| {
        let rows = beyond.rows.iter().filter(|row| row.taken == taken);
        let rows: Vec<String> = rows
            .map(|row| format!("{} {}", row.table, row.id))
            .collect();
        match rows.len() {
            0 => String::new(),
            _ => format!(": {}", rows.join(", ")),
        }
    };
    let mut parts = Vec::new();
    if beyond.taken > 0 {
        parts.push(format!(
            "{} took effect here before this node heard of the removal; nodes that heard earlier do not have them{}",
            beyond.taken,
            rows(true)
        ));
    }
    if beyond.aside > 0 {
        let rows = rows(false);
        parts.push(format!(
            "{} are kept and have no effect{rows}",
            beyond.aside
        ));
    }
    let text = parts.join("\n  ");
    Some(format!(
        "Changes that {} wrote after its removal:\n  {text}",
        peer.name
    ))
}

/// What it means when this node was removed.
fn removal(peers: &[PeerReport]) -> Option<String> {
    let known = peers.iter().any(|peer| peer.this_node && peer.revoked);
    let away = |peer: &&PeerReport| peer.turned_away_at_ms.is_some() && !peer.revoked;
    let by: Vec<String> = peers
        .iter()
        .filter(away)
        .map(|it| it.name.clone())
        .collect();
    let removal = (known || !by.is_empty()).then_some(Removal { known, by })?;
    Some(format!("Attention: {removal}."))
}

fn behind(peer: &PeerReport) -> String {
    match peer.behind_s {
        _ if peer.this_node || peer.revoked => String::new(),
        None => "never in step".to_owned(),
        Some(_) if peer.behind_changes == 0 && peer.connected.is_some() => "no".to_owned(),
        Some(seconds) => format!("{} changes, {seconds} s", peer.behind_changes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(changes: &serde_json::Value) -> PeerReport {
        let mut report = serde_json::json!({
            "number": 7, "name": "consultorio-2", "node_id": "0a", "this_node": false,
            "revoked": false, "addresses": [], "behind_changes": 0,
        });
        let fields = changes.as_object().unwrap().clone();
        report.as_object_mut().unwrap().extend(fields);
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn what_a_removed_node_wrote_later_is_told_with_its_rows() {
        let row = |id: i64, taken: bool| serde_json::json!({ "table": "reading", "id": id, "taken": taken });
        let beyond =
            serde_json::json!({ "taken": 1, "aside": 2, "rows": [row(4, true), row(5, false)] });
        let removed = report(&serde_json::json!({ "revoked": true, "beyond": beyond }));
        let text = table(&[removed]);
        assert!(
            text.contains("that consultorio-2 wrote after its removal"),
            "{text}"
        );
        assert!(
            text.contains("1 took effect here before") && text.contains("have them: reading 4\n"),
            "{text}"
        );
        assert!(
            text.ends_with("2 are kept and have no effect: reading 5"),
            "{text}"
        );
    }

    #[test]
    fn a_node_that_is_turned_away_says_by_whom_and_what_to_do() {
        let away = serde_json::json!({ "turned_away_at_ms": 1 });
        let text = table(&[report(&away)]);
        assert!(
            text.contains("was removed from the network (so says consultorio-2)"),
            "{text}"
        );
        assert!(text.contains("join with a new, empty directory"), "{text}");
        // The word of a node that was removed itself counts for nothing.
        let away = serde_json::json!({ "turned_away_at_ms": 1, "revoked": true });
        assert!(!table(&[report(&away)]).contains("Attention"));
    }
}
