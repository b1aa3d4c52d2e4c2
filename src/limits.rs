//! Every bound of the node, each with its reason: queues, pages, bodies, batches, timeouts.
//!
//! Nothing in Islet grows without a limit named here. A limit never drops data that was
//! acknowledged; it refuses work before it is accepted, with an answer that says when to try again.

use std::time::Duration;

// ---- HTTP ---------------------------------------------------------------------------------

/// Largest request body, bytes. The biggest legitimate body is an appointment form with long free
/// texts (a few KiB); 256 KiB leaves room without letting a phone fill the memory.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

// ---- Store --------------------------------------------------------------------------------

/// Writes that people wait for, queued for the writer thread. A full queue at 1,000 writes a
/// second is a one-second wait; longer than that, a phone had better try again.
pub const INTERACTIVE_WRITES_MAX: usize = 1_024;
/// Bulk writes (imports, changes of peers) queued for the writer thread. Each is a chunk, and
/// whoever sends them waits for each.
pub const BULK_WRITES_MAX: usize = 16;
/// Writes committed together with one fsync. Bounds how much one failed commit takes with it.
pub const BATCH_WRITES_MAX: usize = 256;
/// Batches of interactive writes after which a waiting bulk write goes first, so that it cannot
/// starve.
pub const BULK_TURN_BATCHES: u32 = 8;
/// Access entries waiting to be written. Reads are refused when the log cannot keep up with them.
pub const ACCESS_ENTRIES_MAX: usize = 4_096;
/// How long an access entry may wait for a write to travel with. Durable within a second is
/// promised; half of that leaves room for a slow card.
pub const ACCESS_DELAY: Duration = Duration::from_millis(500);
/// Reader threads, each with its own connection. A Raspberry Pi has four cores and one card.
pub const READERS: usize = 3;
/// Reads queued for the reader threads.
pub const READS_MAX: usize = 1_024;
/// A read that takes longer is cut off: it would keep the write-ahead log from shrinking.
pub const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Virtual machine steps between two looks at the clock during a read; about a millisecond.
pub const READ_TIMEOUT_CHECK_STEPS: i32 = 100_000;
/// Pages of write-ahead log after which the writer copies them back: 4 MiB of 4 KiB pages.
pub const WAL_CHECKPOINT_PAGES: u32 = 1_000;
/// The write-ahead log file is cut back to this when it is reset.
pub const WAL_BYTES_MAX: u32 = 16 << 20;
/// Page cache of the writer, KiB.
pub const WRITER_CACHE_KIB: u32 = 8 * 1024;
/// Page cache of each reader, KiB.
pub const READER_CACHE_KIB: u32 = 2 * 1024;
/// How long a connection waits for another process (such as `islet audit`) to let go of a lock.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection. The store has fewer than a hundred.
pub const STATEMENTS_MAX: usize = 128;
