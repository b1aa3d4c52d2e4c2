//! The only place that knows HTTP. It translates between the wire and the services and must never
//! decide who may do what, nor touch the store.
//!
//! * [`app`]: the routers of a node, put together
//! * [`front`]: what every request passes first
//! * [`budget`]: how much of requests and answers is in memory at once
//! * [`context`]: request ids, and the [`context::Anonymous`] actor of a request
//! * [`error`]: a service error as an answer
//! * [`fields`]: reading parameters and bodies, with all that is wrong with them in one answer
//! * [`legacy`]: the API that the phone app and the back office speak
//! * [`v1`]: the API for new clients
//! * [`docs`]: the pages that describe the API
//! * [`health`]: is the node alive, can it work
//! * [`home`]: what the bare address shows
//! * [`reset`]: the page where a new password is chosen
//! * [`listen`], [`tls`]: connections and certificates

pub mod app;
pub mod budget;
pub mod context;
pub mod docs;
pub mod error;
pub mod fields;
pub mod front;
pub mod health;
pub mod home;
pub mod legacy;
pub mod listen;
pub mod reset;
pub mod tls;
pub mod v1;
