//! Black-box tests of the HTTP API, against the real binary, as anonymous, patient, staff and
//! admin. Formats are pinned as the phone app and the back office read them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod appointments;
mod bad_input;
mod conflicts;
mod edge;
mod glucose;
mod openapi;
mod profile;
mod queue;
mod session;
mod users;
mod v1;
mod validation;
