//! `islet invite`: a one-time code by which another computer joins the network of this node.

use jiff::SpanRelativeTo;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::control::{Request, Response, perform};
use super::{DataDir, Failure, output};
use crate::auth::Secret;
use crate::domain::time::Timestamp;
use crate::peer::invitation::grouped;

/// Options of `islet invite`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Works while the node runs. Examples:
  islet --data /var/lib/islet invite
  islet --data /var/lib/islet invite --valid 2h --address clinic.example.org:8444
  islet --data /var/lib/islet invite --json | jq -r .code

Whoever has the code gets all of the clinic's data: show it to nobody else. It is good for one node.")]
pub(super) struct InviteArgs {
    /// How long it is good, such as 30m, 24h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
    valid: u64,
    /// Where the other node reaches this one, besides the addresses on the LAN
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Print the code as JSON
    #[arg(long)]
    json: bool,
}

/// A time as people write it, in whole seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "must be a time such as 30m, 24h or 7d".to_owned();
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let seconds = time.map_err(|_| wrong())?.as_secs();
    u64::try_from(seconds).map_err(|_| wrong())
}

/// Runs `islet invite`.
///
/// # Errors
/// When this node cannot be reached by others.
pub(super) fn run(args: &InviteArgs, data: &DataDir) -> Result<(), Failure> {
    let request = Request::Invite {
        valid_s: args.valid,
        address: args.address.clone(),
    };
    match perform(data, request)? {
        Response::Invitation {
            code,
            expires_at_ms,
            addresses,
        } => {
            let until = Timestamp(expires_at_ms).to_argentina();
            let grouped = grouped(&code);
            if args.json {
                return output::json(&serde_json::json!({
                    "code": grouped.expose(),
                    "qr": code.expose(),
                    "expires_at_ms": expires_at_ms,
                    "addresses": addresses,
                }));
            }
            output::line(&format!(
                "{}\nOn the new computer, type this, in any fashion, or paste it:\n\n  \
                 islet --data DIR join\n\n{}\n\n\
                 It lets one node in, until {until}, which looks for this one at {}.",
                image(&code)?,
                indented(grouped.expose()),
                addresses.join(", ")
            ))
        }
        other => Err(Failure::new(format!("unexpected answer: {other:?}"))),
    }
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

fn image(code: &Secret) -> Result<String, Failure> {
    let image = QrCode::with_error_correction_level(code.expose(), EcLevel::L);
    let image = image.map_err(|error| Failure::new(format!("no QR image: {error}")))?;
    Ok(image.render::<Dense1x2>().build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("30m", 1_800),
            ("24h", 86_400),
            ("7d", 604_800),
            ("1d 2h", 93_600),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "24", "soon", "-2h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
