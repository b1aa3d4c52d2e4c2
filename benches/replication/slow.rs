//! Catching up over a slow link: two network namespaces with a token bucket between them
//! (`tc-tbf(8)`). Takes root, and says so when it has none.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::{Source, collect, row, say, text};

const KBIT: f64 = 128.0;
const NAMES: [&str; 2] = ["islet-bench-a", "islet-bench-b"];
const ADDRESSES: [&str; 2] = ["10.213.0.1", "10.213.0.2"];

/// The two namespaces; gone when dropped.
struct Link;

impl Link {
    fn make() -> Result<Self, String> {
        let link = Self;
        for name in NAMES {
            ip(&["netns", "add", name])?;
        }
        let [a, b] = NAMES;
        ip(&[
            "link", "add", "isl-a", "netns", a, "type", "veth", "peer", "name", "isl-b", "netns", b,
        ])?;
        for ((name, device), address) in NAMES.iter().zip(["isl-a", "isl-b"]).zip(ADDRESSES) {
            let address = format!("{address}/24");
            ip(&["-n", name, "address", "add", &address, "dev", device])?;
            ip(&["-n", name, "link", "set", device, "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            let rate = format!("{KBIT}kbit");
            let bucket = ["qdisc", "add", "dev", device, "root", "tbf", "rate", &rate];
            let rest = ["burst", "4kb", "latency", "300ms"];
            run(Command::new("tc")
                .args(["-n", name])
                .args(bucket)
                .args(rest))?;
        }
        Ok(link)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for name in NAMES {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Measures `count` finger-sticks. As a table, as the others are.
pub(crate) fn report(count: usize) {
    let link = match Link::make() {
        Ok(link) => link,
        Err(why) => {
            say(&format!(
                "NOT MEASURED: the slow link cannot be made (are you root?): {why}"
            ));
            return;
        }
    };
    let dir = tempfile::tempdir().unwrap();
    super::run(None, &["sticks", &count.to_string(), &text(dir.path())]);
    let within = |name: &str| {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", name])
            .arg(std::env::current_exe().unwrap());
        command
    };
    let source_dir = dir.path().join("source");
    let at = SocketAddr::new(ADDRESSES[0].parse().unwrap(), 7_443);
    let source = Source::begin(within(NAMES[0]), &source_dir, &at.to_string());
    let (receiver, expected) = (
        text(&dir.path().join("receiver")),
        source.changes.to_string(),
    );
    say("| slow link | measured | goal |\n| --- | ---: | ---: |");
    let args = [
        "receive",
        &receiver,
        &text(&source_dir),
        &source.address,
        &expected,
    ];
    let found = collect(within(NAMES[1]), &args);
    let explained = found["bytes"] * 8.0 / (KBIT * 1_000.0);
    row(
        &format!("{count} readings at {KBIT} kbit/s, s"),
        found["seconds"],
        1,
        "",
    );
    row(
        "against the time that its bytes take",
        found["seconds"] / explained,
        2,
        "1.3",
    );
    drop(source);
    drop(link);
}
