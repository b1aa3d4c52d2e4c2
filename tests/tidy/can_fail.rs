//! Each rule is fed a bad snippet and must find it, and a good one and must not.

use super::tree::Tree;
use super::{Rule, code, layers, scan, text};

/// `rule` finds exactly the lines `wanted` (`file:line`) in `files`.
#[track_caller]
fn finds(rule: Rule, files: &[(&str, &str)], wanted: &[&str]) {
    let findings = rule(&Tree::of(files));
    let found: Vec<&str> = findings
        .iter()
        .map(|finding| finding.split(": ").next().unwrap())
        .collect();
    assert_eq!(found, wanted, "{findings:#?}");
}

#[test]
fn a_crate_in_the_wrong_place() {
    let rule = layers::crates_stay_where_they_belong;
    let bad = "//! M.\nuse rusqlite::Connection;\nfn f() { axum::serve(); }\n";
    finds(
        rule,
        &[("src/service/a.rs", bad)],
        &["src/service/a.rs:2", "src/service/a.rs:3"],
    );
    finds(
        rule,
        &[("src/store/a.rs", "use rusqlite::{Connection, params};")],
        &[],
    );
    finds(
        rule,
        &[("src/storeroom/a.rs", "use rusqlite::Row;")],
        &["src/storeroom/a.rs:1"],
    );
    finds(rule, &[("src/auth/a.rs", "use argon2::Argon2;")], &[]);
    finds(
        rule,
        &[("src/http/a.rs", "use jsonwebtoken::decode;")],
        &["src/http/a.rs:1"],
    );
    finds(
        rule,
        &[("src/http/a.rs", "#[derive(clap::Args)] struct A;")],
        &["src/http/a.rs:1"],
    );
    finds(
        rule,
        &[(
            "src/service/a.rs",
            "// use rusqlite::Row;\nlet a = \"axum::x\";",
        )],
        &[],
    );
}

#[test]
fn a_module_that_looks_up() {
    let rule = layers::modules_know_only_what_lies_below_them;
    let at_1 = |path: &str| format!("{path}:1");
    for (path, code) in [
        ("src/store/a.rs", "use crate::service::App;"),
        ("src/service/a.rs", "use crate::{http::app, store::Store};"),
        ("src/domain/a.rs", "fn f() { crate::store::open(); }"),
        ("src/domain/mod.rs", "use super::clock::Clock;"),
        (
            "src/domain/a/b.rs",
            "use super::super::super::auth::Secret;",
        ),
        ("src/http/a.rs", "use crate::store::Lane;"),
        ("src/store/a.rs", "use crate::auth::Secret;"),
        ("src/misc/a.rs", "use crate::domain::Dni;"),
    ] {
        finds(rule, &[(path, code)], &[&at_1(path)]);
    }
    for (path, code) in [
        (
            "src/service/a.rs",
            "use crate::store::{Lane, Store as S};\nuse crate::limits;",
        ),
        (
            "src/http/a.rs",
            "use crate::store::StoreError;\nuse super::app;",
        ),
        (
            "src/store/a.rs",
            "use super::tx::Read;\nuse crate::auth::refresh::FamilyState;",
        ),
        ("src/main.rs", "fn main() { islet::cli::run(); }"),
        (
            "src/store/a.rs",
            "#[cfg(test)]\nmod tests { use crate::service::App; }",
        ),
    ] {
        finds(rule, &[(path, code)], &[]);
    }
    finds(
        rule,
        &[("src/http/health.rs", "//! M.\nuse crate::store::queue;")],
        &[],
    );
    finds(
        rule,
        &[("src/http/health.rs", "//! M.")],
        &["src/http/health.rs:1"],
    );
    assert_eq!(
        layers::circles(),
        Vec::<&str>::new(),
        "LAYERS goes round in circles"
    );
}

#[test]
fn an_impure_engine_or_domain() {
    let sync = layers::the_sync_engine_is_pure;
    let bad = "use std::{fmt, time::Instant};\nuse std::fs;\nfn f() { tokio::spawn(x); }\n";
    finds(
        sync,
        &[("sync/src/a.rs", bad)],
        &["sync/src/a.rs:1", "sync/src/a.rs:2", "sync/src/a.rs:3"],
    );
    finds(
        sync,
        &[("sync/src/a.rs", "use std::borrow::Cow;\nuse std::timer::X;")],
        &[],
    );
    let domain = layers::the_domain_is_pure;
    let bad = "use serde::Serialize;\nfn f() { std::fs::read(p); }";
    finds(
        domain,
        &[("src/domain/a.rs", bad)],
        &["src/domain/a.rs:1", "src/domain/a.rs:2"],
    );
    finds(
        domain,
        &[(
            "src/domain/a.rs",
            "use std::net::IpAddr;\nuse jiff::civil::Date;",
        )],
        &[],
    );
}

#[test]
fn a_clock_where_time_is_a_parameter() {
    let rule = layers::time_comes_in_as_a_parameter;
    let bad = "use std::time::SystemTime;\nlet now = Instant::now();\nlet a = jiff::Zoned::now();";
    finds(
        rule,
        &[("src/service/a.rs", bad)],
        &[
            "src/service/a.rs:1",
            "src/service/a.rs:2",
            "src/service/a.rs:3",
        ],
    );
    finds(
        rule,
        &[(
            "src/domain/a.rs",
            "let now = tx.now();\nlet d = clock.now();",
        )],
        &[],
    );
    finds(
        rule,
        &[("src/store/a.rs", "let now = Instant::now();")],
        &[],
    );
}

#[test]
fn code_in_the_map() {
    let rule = layers::lib_rs_is_a_map_and_nothing_else;
    let bad = "//! Map.\n\npub mod a;\npub use a::B;\n";
    finds(rule, &[("src/lib.rs", bad)], &["src/lib.rs:4"]);
    finds(
        rule,
        &[("src/lib.rs", "//! Map.\n\npub mod a;\nmod b;\n")],
        &[],
    );
}

#[test]
fn a_silent_module() {
    let rule = code::every_module_says_what_it_is_for;
    finds(
        rule,
        &[("src/a.rs", "use x::y;\n//! Late.")],
        &["src/a.rs:1"],
    );
    finds(
        rule,
        &[("tests/api/a.rs", "/// Not a module.")],
        &["tests/api/a.rs:1"],
    );
    finds(
        rule,
        &[("src/a.rs", "//! For a thing.\n"), ("README.md", "x")],
        &[],
    );
}

#[test]
fn a_file_that_is_too_long() {
    let rule = code::no_file_is_too_long;
    finds(
        rule,
        &[("tests/a.rs", &"//\n".repeat(701))],
        &["tests/a.rs:701"],
    );
    finds(rule, &[("tests/a.rs", &"//\n".repeat(700))], &[]);
    let tree = Tree::of(&[("src/a.rs", &"//\n".repeat(351)), ("src/b.rs", "//")]);
    assert_eq!(
        code::sizes(&tree),
        "2 Rust files, median 1 lines\n   351 src/a.rs"
    );
}

#[test]
fn a_panic_outside_tests() {
    let rule = code::nothing_panics_outside_tests;
    let bad = "fn f() {\n  a.unwrap();\n  b.expect(\"x\");\n  panic!();\n}\n";
    finds(
        rule,
        &[("src/a.rs", bad)],
        &["src/a.rs:2", "src/a.rs:3", "src/a.rs:4"],
    );
    let good = "// a.unwrap()\nlet a = \"panic!\";\nb.unwrap_or(1);\nlet c = r#\".expect(\"#;\n";
    finds(rule, &[("src/a.rs", good)], &[]);
    let after = "#[cfg(test)]\nmod tests { fn f() { a.unwrap(); } }\nfn g() { b.unwrap(); }";
    finds(rule, &[("src/a.rs", after)], &["src/a.rs:3"]);
}

#[test]
fn a_test_module_in_its_own_file() {
    let rule = code::nothing_panics_outside_tests;
    let bad = "fn f() { a.unwrap(); }";
    let declared = "#[cfg(test)]\nmod tests;\n";
    finds(
        rule,
        &[("src/a.rs", declared), ("src/a/tests.rs", bad)],
        &[],
    );
    finds(
        rule,
        &[("src/a/mod.rs", declared), ("src/a/tests/deep.rs", bad)],
        &[],
    );
    finds(
        rule,
        &[("src/a.rs", "mod tests;"), ("src/a/tests.rs", bad)],
        &["src/a/tests.rs:1"],
    );
}

#[test]
fn a_lint_that_is_switched_off() {
    let rule = code::lints_are_expected_with_a_reason;
    let bad = "#[allow(dead_code)]\n#[allow(x, reason = \"y\")]\n#[expect(z)]\n";
    finds(
        rule,
        &[("src/a.rs", bad)],
        &["src/a.rs:1", "src/a.rs:2", "src/a.rs:3"],
    );
    finds(
        rule,
        &[("src/a.rs", "#[expect(x, reason = \"why\")]\n")],
        &[],
    );
    finds(
        rule,
        &[("tests/a.rs", "#![allow(x, reason = \"why\")]\n")],
        &[],
    );
    finds(rule, &[("tests/a.rs", "#![allow(x)]\n")], &["tests/a.rs:1"]);
}

#[test]
fn a_print_outside_the_command_line() {
    let rule = code::only_the_command_line_prints;
    let bad = "fn f() { eprintln!(\"x\"); }\nfn g() { dbg!(1); }";
    finds(
        rule,
        &[("src/store/a.rs", bad)],
        &["src/store/a.rs:1", "src/store/a.rs:2"],
    );
    finds(
        rule,
        &[
            ("src/cli/a.rs", bad),
            ("src/main.rs", bad),
            ("tests/a.rs", bad),
        ],
        &[],
    );
}

#[test]
fn an_unsafe_block() {
    let rule = code::nothing_is_unsafe;
    finds(
        rule,
        &[("benches/a.rs", "fn f() { unsafe { g() } }")],
        &["benches/a.rs:1"],
    );
    finds(
        rule,
        &[("src/a.rs", "// unsafe\nfn unsafe_code() { f(\"unsafe\"); }")],
        &[],
    );
}

#[test]
fn a_limit_that_nothing_keeps_to() {
    let rule = code::every_limit_is_used;
    let limits = "//! L.\n/// Used.\npub const A_MAX: usize = 1;\npub const B_MAX: usize = 2;\n";
    let user = "use crate::limits::A_MAX;\n#[cfg(test)]\nmod t { use crate::limits::B_MAX; }";
    finds(
        rule,
        &[("src/limits.rs", limits), ("src/a.rs", user)],
        &["src/limits.rs:4"],
    );
    finds(rule, &[("src/a.rs", user)], &["src/limits.rs:1"]);
}

#[test]
fn a_test_that_is_skipped_in_silence() {
    let rule = code::skipped_tests_are_recorded;
    let bad = concat!("//! T.\nfn t() { eprintln!(\"SKIP", "PED: no openssl\"); }");
    finds(rule, &[("src/tests.rs", bad)], &["src/tests.rs:2"]);
    let good = format!("{bad}\n// target/skipped-tests.txt");
    finds(rule, &[("src/tests.rs", &good)], &[]);
}

#[test]
fn a_registry_or_a_foreign_path() {
    let rule = text::the_tree_names_no_registry_and_no_foreign_path;
    let bad = concat!("one\nindex.crates", ".io\n/wo", "rk/x\n");
    finds(
        rule,
        &[
            ("tools/setup.sh", bad),
            ("Cargo.lock", bad),
            ("sync/fuzz/Cargo.lock", bad),
        ],
        &["tools/setup.sh:2", "tools/setup.sh:3"],
    );
    finds(
        rule,
        &[("tools/NotCargo.lock", bad)],
        &["tools/NotCargo.lock:2", "tools/NotCargo.lock:3"],
    );
    finds(rule, &[("README.md", "homework/x and a framework/y")], &[]);
}

#[test]
fn a_link_that_leads_nowhere() {
    let rule = text::links_in_documents_resolve;
    let bad = "# T\n[a](docs/NO.md)\n[b](#no)\n[c](../out.md)\n[d]: docs/NONE.md\n";
    let lines = ["README.md:2", "README.md:3", "README.md:4", "README.md:5"];
    finds(rule, &[("README.md", bad)], &lines);
    let good = "# The title\n[a](docs/A.md#two-words) [b](#the-title) [c](https://e.test/x) \
                [d](src)\n`[no](link)`\n```\n[no](link)\n```\n";
    let other = ("docs/A.md", "# A\n## Two words!\n[up](../README.md)\n");
    finds(rule, &[("README.md", good), other, ("src/a.rs", "")], &[]);
}

#[test]
fn a_mention_of_a_file_that_does_not_exist() {
    let rule = text::files_that_are_mentioned_exist;
    let bad = "//! See src/store/gone.rs and docs/A.md.\n";
    finds(
        rule,
        &[("src/a.rs", bad), ("docs/A.md", "")],
        &["src/a.rs:1"],
    );
    finds(
        rule,
        &[("docs/A.md", "`src/a.rs`, `schema.sql`"), ("src/a.rs", "")],
        &[],
    );
}

#[test]
fn comments_and_literals_are_not_code() {
    let text = "a /* b /* c */ d */ e // f\n'g' '\\'' 'h \"i\\\"j\" r#\"k\"l\"# br\"m\" rest";
    let blank = scan::blank(text);
    let words: Vec<&str> = blank.split_whitespace().collect();
    assert_eq!(words, ["a", "e", "'h", "rest"]);
    assert_eq!(blank.lines().count(), 2);
}

#[test]
fn groups_of_paths_are_taken_apart() {
    let paths: Vec<String> = scan::paths("use a::{b, c::{d as e, f}, self}; g::h(i.j); k")
        .into_iter()
        .map(|path| path.segments.join("::"))
        .collect();
    assert_eq!(paths, ["a::b", "a::c::d", "a::c::f", "a::self", "g::h"]);
}
