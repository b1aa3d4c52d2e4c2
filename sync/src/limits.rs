//! Every bound of the replication engine, each with its reason.
//!
//! What comes from a peer or from the cloud is checked against these before memory is set aside
//! for it. Whoever writes keeps them too, so that a bound never stands between two honest nodes.

/// Changes in one segment. At this size the signature costs 0.02 bytes a change, and what a broken
/// link has to repeat stays below a second on a slow one.
pub const SEGMENT_CHANGES_MAX: usize = 4_096;
/// Bytes of all changes of a segment when decoded. Holds the largest change twice; a decoder's
/// memory and time are bounded by it, whatever the segment claims.
pub const SEGMENT_DECODED_BYTES_MAX: usize = 8 << 20;
/// Bytes of an encoded segment. Changes that do not compress at all grow by their framing only.
pub const SEGMENT_BYTES_MAX: usize = SEGMENT_DECODED_BYTES_MAX + (64 << 10);
/// How many times longer compressed text may become. Text that shrinks more is kept as it is, so
/// that the memory set aside for text is bounded by the bytes that did arrive.
pub const SEGMENT_TEXT_RATIO_MAX: usize = 64;
/// Distinct forms of operations (entity, action, fields and kinds of values) in a segment. The
/// node has about 40; an operation beyond the bound travels as plain bytes.
pub const SEGMENT_FORMS_MAX: usize = 256;
/// Columns of a segment, 2.5 KiB of statistics each. The node has about 70.
pub const SEGMENT_COLUMNS_MAX: usize = 1_024;
/// Columns of a segment that remember a value per key, 32 KiB each.
pub const SEGMENT_KEYED_COLUMNS_MAX: usize = 64;
/// Replicas whose row ids a segment names in short. Beyond it an id takes its full length.
pub const SEGMENT_REPLICAS_MAX: usize = 64;
/// Distinct texts that a segment repeats in short. Beyond it a text is written out again.
pub const SEGMENT_TEXTS_MAX: usize = 4_096;
/// Entries of a version vector in a message: replicas that a network ever had. Twenty nodes that are each restored once a
/// year need 400 in twenty years.
pub const VECTOR_ENTRIES_MAX: u64 = 4096;
/// How far ahead of the wall clock a stamp from elsewhere may be and still move the local clock,
/// milliseconds. Clocks that are set by people differ by minutes.
pub const CLOCK_AHEAD_MAX_MS: i64 = 10 * 60 * 1000;
