//! Every bound of the node, each with its reason: queues, pages, bodies, batches, timeouts.
//!
//! Nothing in Islet grows without a limit named here. A limit never drops data that was
//! acknowledged; it refuses work before it is accepted, with an answer that says when to try again.

use std::time::Duration;

// ---- HTTP ---------------------------------------------------------------------------------

/// Largest request body. The biggest legitimate body is an appointment form with long free
/// texts (a few KiB); 256 KiB leaves room without letting a phone fill the memory.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
