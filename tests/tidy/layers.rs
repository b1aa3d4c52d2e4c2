//! Who may know whom: crates, modules, and the purity of `sync/` and `src/domain/`.

use std::collections::BTreeSet;

use super::scan::{self, CodePath};
use super::tree::{File, Tree, within};

/// Crates that only these places may name.
const CRATES: [(&[&str], &[&str]); 5] = [
    (&["rusqlite"], &["src/store"]),
    (
        &["axum", "hyper", "hyper_util", "tower_http", "utoipa"],
        &["src/http", "src/live", "src/peer"],
    ),
    (&["jsonwebtoken", "argon2"], &["src/auth"]),
    (
        &["clap", "clap_complete", "rpassword", "indicatif"],
        &["src/cli", "src/config", "src/config.rs", "src/main.rs"],
    ),
    // The configuration checks the sender's address as the mailer will read it.
    (&["lettre"], &["src/mail", "src/mail.rs", "src/config"]),
];

/// Which modules of the crate a top-level module may know, from the bottom up. Everybody may know
/// [`EVERYBODY`]. `store::StoreError` stands for that one name.
const LAYERS: [(&str, &[&str]); 14] = [
    ("limits", &[]),
    ("domain", &[]),
    ("clock", &["domain"]),
    // Not the store: its primitives are pure.
    ("auth", &[]),
    // From auth only the record of a refresh token, a plain value.
    ("store", &["domain", "clock", "auth::refresh"]),
    ("service", &["store", "domain", "clock", "auth"]),
    ("demo", &["service", "store", "domain", "clock", "auth"]),
    // Of the store only plain values: HTTP must never read or write by itself.
    (
        "http",
        &[
            "service",
            "domain",
            "clock",
            "auth",
            "store::StoreError",
            "store::Health",
            "store::staff::Staff",
            "store::idempotency::IdempotencyKey",
        ],
    ),
    ("live", &["service", "domain", "clock", "auth"]),
    // Of HTTP only the loop that accepts connections and its bounds.
    (
        "peer",
        &[
            "http::listen",
            "service",
            "store",
            "domain",
            "clock",
            "auth",
        ],
    ),
    ("config", &["http", "service", "domain", "auth"]),
    ("mail", &["config", "service", "domain", "auth", "clock"]),
    ("telemetry", &["config"]),
    (
        "cli",
        &[
            "demo",
            "http",
            "live",
            "peer",
            "config",
            "mail",
            "telemetry",
            "service",
            "store",
            "domain",
            "clock",
            "auth",
        ],
    ),
];

/// Bounds are named constants in one place, so everybody may read them.
const EVERYBODY: &str = "limits";

/// Known exceptions: file, what it may name, why. One that is not needed any more is a finding.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "src/http/health.rs",
    "store::queue",
    "readiness means that the database answers a query",
)];

pub(crate) fn crates_stay_where_they_belong(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust(&["src"]) {
        for CodePath { line, segments } in scan::paths(&file.shipped) {
            let rule = CRATES
                .iter()
                .find(|(names, _)| names.contains(&segments[0].as_str()));
            if let Some((_, places)) = rule
                && !places.iter().any(|place| within(&file.path, place))
            {
                findings.push(format!(
                    "{}:{line}: `{}` belongs in {}; move this there and call it",
                    file.path,
                    segments[0],
                    places.join(", ")
                ));
            }
        }
    }
    findings
}

/// Modules of the crate as their folders: `src/a/b.rs` is `["a", "b"]`.
fn module_of(path: &str) -> Vec<&str> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut names: Vec<&str> = inside.split('/').collect();
    if matches!(names.last(), Some(&("mod" | "lib"))) {
        names.pop();
    }
    names
}

/// The path from the crate's root that `path` in `file` means, when it leaves the own module.
fn from_root(file: &File, path: &CodePath) -> Option<Vec<String>> {
    let first = path.segments[0].as_str();
    if first == "crate" || (first == "islet" && file.path == "src/main.rs") {
        return Some(path.segments[1..].to_vec());
    }
    let up = path.segments.iter().take_while(|name| *name == "super");
    let up = up.count();
    (up > 0 && up >= module_of(&file.path).len()).then(|| path.segments[up..].to_vec())
}

pub(crate) fn modules_know_only_what_lies_below_them(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let mut needed = BTreeSet::new();
    for file in tree.rust(&["src"]) {
        let own = module_of(&file.path).first().copied().unwrap_or("lib");
        if matches!(own, "main" | "lib") {
            continue;
        }
        let Some((_, known)) = LAYERS.iter().find(|(name, _)| *name == own) else {
            findings.push(format!(
                "{}:1: module `{own}` has no place yet; add it to LAYERS in tests/tidy/layers.rs",
                file.path
            ));
            continue;
        };
        for path in scan::paths(&file.shipped) {
            let Some(target) = from_root(file, &path) else {
                continue;
            };
            let Some(name) = target.first().map(String::as_str) else {
                continue;
            };
            let is_module = LAYERS.iter().any(|(module, _)| *module == name);
            if !is_module || name == own || name == EVERYBODY || permits(known, &target) {
                continue;
            }
            let excepted = EXCEPTIONS
                .iter()
                .position(|(path, what, _)| *path == file.path && permits(&[*what], &target));
            if let Some(exception) = excepted {
                needed.insert(exception);
                continue;
            }
            findings.push(format!(
                "{}:{}: `{own}` must not know `{}`; it may know: {}. Go through the layer below, \
                 or pass the value in",
                file.path,
                path.line,
                target.join("::"),
                if known.is_empty() { "nothing" } else { "" }.to_owned() + &known.join(", ")
            ));
        }
    }
    for (number, (path, what, _)) in EXCEPTIONS.iter().enumerate() {
        if tree.paths.contains(*path) && !needed.contains(&number) {
            findings.push(format!(
                "{path}:1: no longer names `{what}`; delete its exception in tests/tidy/layers.rs"
            ));
        }
    }
    findings
}

/// Whether one of `known` is `target` or a start of it.
fn permits(known: &[&str], target: &[String]) -> bool {
    known.iter().any(|allowed| {
        let allowed: Vec<&str> = allowed.split("::").collect();
        target.len() >= allowed.len() && target.iter().zip(&allowed).all(|(a, b)| a == b)
    })
}

/// The table itself must point one way only. Returns the modules that lie on a circle.
pub(crate) fn circles() -> Vec<&'static str> {
    let reaches = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(name) = open.pop() {
            let below = LAYERS.iter().find(|(module, _)| *module == name);
            for next in below.map_or(&[][..], |(_, known)| known) {
                let next = next.split("::").next().unwrap_or_default().to_owned();
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen.contains(from)
    };
    LAYERS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| reaches(name))
        .collect()
}

fn forbid(tree: &Tree, folder: &str, forbidden: &[&str], advice: &str, findings: &mut Vec<String>) {
    for file in tree.rust(&[folder]) {
        for path in scan::paths(&file.shipped) {
            let named = |bad: &&&str| permits(&[**bad], &path.segments);
            if let Some(bad) = forbidden.iter().find(named) {
                findings.push(format!("{}:{}: `{bad}`: {advice}", file.path, path.line));
            }
        }
    }
}

pub(crate) fn the_sync_engine_is_pure(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let forbidden = [
        "tokio",
        "futures",
        "std::time",
        "std::net",
        "std::fs",
        "std::thread",
        "std::process",
        "std::env",
        "std::io",
        "rand",
        "getrandom",
        "rusqlite",
        // Its signatures are deterministic; its keys and random numbers are not.
        "aws_lc_rs::rand",
        "SystemRandom",
        "generate",
    ];
    let advice = "the replication engine has no I/O, clock, threads or randomness; take the \
                  result as a parameter";
    forbid(tree, "sync/src", &forbidden, advice, &mut findings);
    findings
}

pub(crate) fn the_domain_is_pure(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let forbidden = [
        "tokio",
        "std::fs",
        "std::thread",
        "std::process",
        "std::env",
        "std::io",
        "serde",
        "serde_json",
        "tracing",
        "islet_sync",
    ];
    let advice = "the domain is types and rules only; I/O, wire forms and logs belong to a layer \
                  above";
    forbid(tree, "src/domain", &forbidden, advice, &mut findings);
    findings
}

pub(crate) fn time_comes_in_as_a_parameter(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust(&["src/domain", "src/service", "src/auth"]) {
        for CodePath { line, segments } in scan::paths(&file.shipped) {
            let last = segments.last().map(String::as_str);
            if segments.iter().any(|name| name == "SystemTime") || last == Some("now") {
                findings.push(format!(
                    "{}:{line}: `{}` reads a clock; use the transaction's `now()`, or take the \
                     time as a parameter",
                    file.path,
                    segments.join("::")
                ));
            }
        }
    }
    findings
}

pub(crate) fn lib_rs_is_a_map_and_nothing_else(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust(&["src/lib.rs", "sync/src/lib.rs"]) {
        for (index, line) in file.shipped.lines().enumerate() {
            let line = line.trim();
            let module = line.trim_start_matches("pub ").starts_with("mod ") && line.ends_with(';');
            if !(line.is_empty() || module || line.starts_with("#![")) {
                findings.push(format!(
                    "{}:{}: only `mod` declarations belong here; move this into a module",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    findings
}
