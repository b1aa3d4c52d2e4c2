//! Reads the sources and holds them to the layout of the project: which crate may be named where,
//! which module may know which, what no source file may do. Simple text processing on purpose:
//! when a rule is wrong, it is changed here, in the open.
//!
//! Each rule is a function from a [`Tree`] to findings (`file:line: what to do`). Each has a test
//! in `tidy/can_fail.rs` that feeds it a bad snippet: a rule that cannot fail proves nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;

#[path = "tidy/can_fail.rs"]
mod can_fail;
#[path = "tidy/ci.rs"]
mod ci;
#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/scan.rs"]
mod scan;
#[path = "tidy/text.rs"]
mod text;
#[path = "tidy/tree.rs"]
mod tree;

use tree::Tree;

/// A rule: all that is wrong, one line each.
type Rule = fn(&Tree) -> Vec<String>;

#[track_caller]
fn hold(rule: Rule) {
    let findings = rule(&Tree::of_repository());
    assert!(
        findings.is_empty(),
        "{} finding(s):\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn crates_stay_where_they_belong() {
    hold(layers::crates_stay_where_they_belong);
}

#[test]
fn modules_know_only_what_lies_below_them() {
    hold(layers::modules_know_only_what_lies_below_them);
}

#[test]
fn the_sync_engine_is_pure() {
    hold(layers::the_sync_engine_is_pure);
}

#[test]
fn the_domain_is_pure() {
    hold(layers::the_domain_is_pure);
}

#[test]
fn time_comes_in_as_a_parameter() {
    hold(layers::time_comes_in_as_a_parameter);
}

#[test]
fn lib_rs_is_a_map_and_nothing_else() {
    hold(layers::lib_rs_is_a_map_and_nothing_else);
}

#[test]
fn every_module_says_what_it_is_for() {
    hold(code::every_module_says_what_it_is_for);
}

#[test]
fn nothing_panics_outside_tests() {
    hold(code::nothing_panics_outside_tests);
}

#[test]
fn lints_are_expected_with_a_reason() {
    hold(code::lints_are_expected_with_a_reason);
}

#[test]
fn only_the_command_line_prints() {
    hold(code::only_the_command_line_prints);
}

#[test]
fn nothing_is_unsafe() {
    hold(code::nothing_is_unsafe);
}

#[test]
fn every_limit_is_used() {
    hold(code::every_limit_is_used);
}

#[test]
fn skipped_tests_are_recorded() {
    hold(code::skipped_tests_are_recorded);
}

#[test]
fn no_file_is_too_long() {
    let tree = Tree::of_repository();
    // Past the capture of the test runner: the note is for whoever reads the log.
    let _ = writeln!(std::io::stderr(), "{}", code::sizes(&tree));
    hold(code::no_file_is_too_long);
}

#[test]
fn the_tree_names_no_registry_and_no_foreign_path() {
    hold(text::the_tree_names_no_registry_and_no_foreign_path);
}

#[test]
fn links_in_documents_resolve() {
    hold(text::links_in_documents_resolve);
}

#[test]
fn files_that_are_mentioned_exist() {
    hold(text::files_that_are_mentioned_exist);
}
