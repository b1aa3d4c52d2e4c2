//! The clinic's types and rules: what a reading is, when a queue is full, how a streak counts.
//!
//! Pure by rule: no I/O, no clock, no SQL, no HTTP. Time comes in as a parameter. Types here are
//! valid by construction; whoever holds a [`patient::Dni`] need not check it again.

pub mod account;
pub mod actor;
pub mod appointment;
pub mod audit;
pub mod conflict;
pub mod glucose;
pub mod node_name;
pub mod patient;
pub mod queue;
pub mod search;
pub mod streak;
pub mod text;
pub mod time;
