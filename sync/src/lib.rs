//! The replication engine of Islet: ids, the hybrid logical clock, and the operations that make
//! up a change, with their encoding.
//!
//! Pure by rule: bytes and states in, bytes and states out. It must never touch a file, a socket,
//! a clock, a thread or a source of randomness; whoever calls it passes those results in.
//!
//! * [`chain`]: the hash chain over a log, and signed heads
//! * [`causality`]: who had seen what, and what may be applied next
//! * [`branch`]: a log that was written on in two ways
//! * [`register`]: values that were written at the same time, and which of them is shown
//! * [`rules`]: the replicated tables and how each field merges
//! * [`kind`]: what a field may hold
//! * [`apply`]: one operation on a state
//! * [`exchange`]: what nodes say to each other
//! * [`escrow`]: rights to the places of a queue day
//! * [`incarnation`]: whether a node may go on as the replica that it was
//! * [`id`]: replica numbers and the row ids built from them
//! * [`dot`]: the name of a change, and version vectors
//! * [`hlc`]: the hybrid logical clock
//! * [`op`]: one operation on one row
//! * [`change`]: the operations of one committed transaction, and their bytes
//! * [`segment`]: a run of changes, small
//! * [`limits`]: every bound
//! * [`varint`]: the integers that the bytes are made of

pub mod apply;
pub mod branch;
pub mod causality;
pub mod chain;
pub mod change;
pub mod dot;
pub mod escrow;
pub mod exchange;
pub mod frame;
pub mod hlc;
pub mod id;
pub mod incarnation;
pub mod kind;
pub mod limits;
pub mod op;
pub mod register;
pub mod rules;
pub mod segment;
pub mod varint;
