//! The only place that knows HTTP. It translates between the wire and the services and must never
//! decide who may do what, nor touch the store.

pub mod app;
pub mod listen;
pub mod tls;
