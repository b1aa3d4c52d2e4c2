//! The replication engine. Pure: no I/O, no clock, no randomness.
