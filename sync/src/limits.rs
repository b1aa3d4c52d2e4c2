//! The bounds of the engine, each with its reason.

/// Entries of a version vector in a message: replicas that a network ever had. Twenty nodes that are each restored once a
/// year need 400 in twenty years.
pub const VECTOR_ENTRIES_MAX: u64 = 4096;
/// How far ahead of the wall clock a stamp from elsewhere may be and still move the local clock,
/// milliseconds. Clocks that are set by people differ by minutes.
pub const CLOCK_AHEAD_MAX_MS: i64 = 10 * 60 * 1000;
