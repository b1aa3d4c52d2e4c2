//! What every Rust file must and must not do.

use super::scan;
use super::tree::{File, Tree};

/// All Rust of the project.
const ALL: [&str; 4] = ["src", "sync", "tests", "benches"];
/// What is shipped.
const SHIPPED: [&str; 2] = ["src", "sync/src"];
/// Files longer than this are listed, longer than [`LINES_MAX`] refused.
const LINES_LONG: usize = 350;
const LINES_MAX: usize = 700;

pub(crate) fn every_module_says_what_it_is_for(tree: &Tree) -> Vec<String> {
    let silent = |file: &&File| !file.text.trim_start().starts_with("//!");
    let finding = |file: &File| {
        format!(
            "{}:1: open with `//!`: what it is for and what it must never do",
            file.path
        )
    };
    tree.rust(&ALL).filter(silent).map(finding).collect()
}

fn longest(tree: &Tree) -> Vec<(usize, &str)> {
    let mut sizes: Vec<_> = tree
        .rust(&ALL)
        .map(|file| (file.text.lines().count(), file.path.as_str()))
        .collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}

/// A note on the sizes of files: the median, and those that deserve a look.
pub(crate) fn sizes(tree: &Tree) -> String {
    let sizes = longest(tree);
    let median = sizes.get(sizes.len() / 2).map_or(0, |(lines, _)| *lines);
    let mut note = format!("{} Rust files, median {median} lines", sizes.len());
    for (lines, path) in sizes.iter().filter(|(lines, _)| *lines > LINES_LONG) {
        note.push_str(&format!("\n  {lines:4} {path}"));
    }
    note
}

pub(crate) fn no_file_is_too_long(tree: &Tree) -> Vec<String> {
    let too_long = |(lines, _): &(usize, &str)| *lines > LINES_MAX;
    let finding = |(lines, path): (usize, &str)| {
        format!("{path}:{lines}: over {LINES_MAX} lines; split it by subject")
    };
    longest(tree)
        .into_iter()
        .filter(too_long)
        .map(finding)
        .collect()
}

/// Finds `needles` in what is shipped, unless the file lies in one of `except`.
fn find(tree: &Tree, needles: &[&str], except: &[&str], advice: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust(&SHIPPED).filter(|file| !file.is_rust_in(except)) {
        for needle in needles {
            for (at, _) in file.shipped.match_indices(needle) {
                let before = file.shipped[..at].chars().next_back();
                let inside_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
                if inside_word && !needle.starts_with('.') {
                    continue;
                }
                let line = scan::line_of(&file.shipped, at);
                findings.push(format!("{}:{line}: `{needle}`: {advice}", file.path));
            }
        }
    }
    findings
}

pub(crate) fn nothing_panics_outside_tests(tree: &Tree) -> Vec<String> {
    let needles = [
        ".unwrap()",
        ".expect(",
        ".unwrap_err()",
        ".expect_err(",
        "panic!",
        "todo!",
        "unimplemented!",
        "unreachable!",
    ];
    find(tree, &needles, &[], "return an error that says what to do")
}

pub(crate) fn only_the_command_line_prints(tree: &Tree) -> Vec<String> {
    let needles = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
    let except = ["src/cli", "src/main.rs"];
    find(
        tree,
        &needles,
        &except,
        "use `tracing`; only the command line prints",
    )
}

pub(crate) fn nothing_is_unsafe(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust(&ALL) {
        for line in scan::lines_with_word(&file.code, "unsafe") {
            findings.push(format!(
                "{}:{line}: no `unsafe` here; find a safe way or a crate that has one",
                file.path
            ));
        }
    }
    findings
}

/// In shipped code a lint is `expect`ed, so that it goes when it is not needed any more. Tests that
/// share a module may `allow`. Either way a reason is given.
pub(crate) fn lints_are_expected_with_a_reason(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust(&ALL) {
        for kind in ["allow", "expect"] {
            let inner = format!("#![{kind}(");
            let outer = format!("#[{kind}(");
            let starts = file.code.match_indices(&inner);
            for (at, _) in starts.chain(file.code.match_indices(&outer)) {
                let attribute = &file.code[at..];
                let attribute = &attribute[..attribute.find(']').unwrap_or(attribute.len())];
                let line = scan::line_of(&file.code, at);
                if kind == "allow" && file.is_rust_in(&SHIPPED) {
                    findings.push(format!(
                        "{}:{line}: use `#[expect(…, reason = \"…\")]` instead of `allow`",
                        file.path
                    ));
                } else if scan::lines_with_word(attribute, "reason").is_empty() {
                    findings.push(format!("{}:{line}: give a `reason = \"…\"`", file.path));
                }
            }
        }
    }
    findings
}

pub(crate) fn every_limit_is_used(tree: &Tree) -> Vec<String> {
    const FILE: &str = "src/limits.rs";
    let Some(limits) = tree.files.iter().find(|file| file.path == FILE) else {
        return vec![format!("{FILE}:1: is missing; every bound is named there")];
    };
    let mut findings = Vec::new();
    for (index, line) in limits.shipped.lines().enumerate() {
        let Some(rest) = line.trim_start().strip_prefix("pub const ") else {
            continue;
        };
        let name = rest.split(':').next().unwrap_or_default().trim();
        let uses: usize = tree
            .rust(&SHIPPED)
            .map(|file| scan::lines_with_word(&file.shipped, name).len())
            .sum();
        // The declaration is one.
        if uses < 2 {
            findings.push(format!(
                "{FILE}:{}: nothing keeps to `{name}`; use it or delete it",
                index + 1
            ));
        }
    }
    findings
}

/// A test that cannot run on a machine says so where the run counts it: in
/// `target/skipped-tests.txt`, not only on the screen.
pub(crate) fn skipped_tests_are_recorded(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    // In two parts, so that this file does not find itself.
    let word = concat!("SKIP", "PED");
    for file in tree.rust(&ALL) {
        let recorded = file.text.contains("skipped-tests.txt");
        for (at, _) in file.text.match_indices(word).filter(|_| !recorded) {
            let line = scan::line_of(&file.text, at);
            findings.push(format!(
                "{}:{line}: append `name: reason` to target/skipped-tests.txt, so that the test \
                 does not count as passed",
                file.path
            ));
        }
    }
    findings
}
