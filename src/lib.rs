//! Islet: the edge node of a diabetes clinic. This file is a map of the modules and nothing else.
//!
//! Dependencies point one way: `cli -> {http, live, peer} -> service -> store -> domain`.
//! `tests/tidy.rs` holds the rules.

pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod http;
pub mod limits;
pub mod mail;
pub mod peer;
pub mod service;
pub mod store;
