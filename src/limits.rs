//! Every bound of the node, each with its reason: queues, pages, bodies, batches, timeouts.
//!
//! Nothing in Islet grows without a limit named here. A limit never drops data that was
//! acknowledged; it refuses work before it is accepted, with an answer that says when to try again.

use std::time::Duration;

// ---- HTTP ---------------------------------------------------------------------------------

/// Largest request body. The biggest legitimate body is an appointment form with long free
/// texts (a few KiB); 256 KiB leaves room without letting a phone fill the memory.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

// ---- Connections --------------------------------------------------------------------------

/// Open connections in all. A clinic has a few dozen phones and desks; 256 sockets with their
/// buffers cost a few MiB and stay far below the usual limit of 1,024 open files.
pub const CONNECTIONS_MAX: usize = 256;
/// Open connections of one address (IPv6: of one /64, which is what one household or one phone
/// gets). A browser opens six, a clinic behind one access point shares this many.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 32;
/// Open connections of loopback, where a reverse proxy speaks for everybody and load tests run.
/// One address' worth of places stays out of its reach.
pub const CONNECTIONS_LOOPBACK_MAX: usize = CONNECTIONS_MAX - CONNECTIONS_PER_ADDRESS_MAX;
/// From the accepted socket to the finished TLS handshake: two round trips and one signature.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first chance to send a request (or the first byte after a pause) to its whole header.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection kept open between two requests. Phones poll more often than this or not at all.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// From the header to the last byte of the answer. Streams that live long opt out.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// After [`REQUEST_TIMEOUT`] the answer that says so gets this long to leave before the socket is
/// closed on a client that does not read.
pub const REQUEST_OVERRUN: Duration = Duration::from_secs(2);
/// Time a request body may keep the node waiting before its rate is looked at: one lost packet on
/// bad Wi-Fi is not an attack.
pub const BODY_GRACE: Duration = Duration::from_secs(5);
/// Slowest request body, in bytes per second of waiting. A reading is under 1 kB.
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 1000;
/// A connection that has made the node wait for less than this keeps its place: some round trips
/// on busy Wi-Fi, or a slow phone's part of a handshake.
pub const FRESH_FOR: Duration = Duration::from_millis(100);
/// Connections that the kernel holds for one listener while nobody can be sent away yet. The last
/// of them waits 2,048 / ([`CONNECTIONS_LOOPBACK_MAX`] / [`FRESH_FOR`]) = 0.9 s; one that finds the
/// queue full tries again after a whole second.
pub const ACCEPT_QUEUE_MAX: u32 = 2048;
/// How often overdue connections are looked for; the time-outs above are exact to this much.
pub const REAP_EVERY: Duration = Duration::from_millis(250);
/// How long a stop waits for requests that were accepted.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits for a connection without a request to flush its last answer.
pub const STOP_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// First and longest pause after `accept` failed for want of files or memory: the wait must be
/// long enough for places to free themselves and short enough that nobody notices.
pub const ACCEPT_PAUSE: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_millis(1000));
/// Requests that one HTTP/2 connection may have open: a page with its parts, not a flood.
pub const H2_STREAMS_MAX: u32 = 32;
/// Bytes of one request's header fields, in HTTP/2 (decoded) and HTTP/1 (read buffer). A token is
/// about 1 kB.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Receive window of one HTTP/2 stream in bytes.
pub const H2_STREAM_WINDOW: u32 = 64 * 1024;
/// Receive window of one HTTP/2 connection in bytes: the most that its streams can make the node
/// hold together.
pub const H2_CONNECTION_WINDOW: u32 = 256 * 1024;
/// Bytes of answers held per HTTP/2 stream for a client that reads slowly.
pub const H2_SEND_BYTES_MAX: usize = 64 * 1024;
/// HTTP/2 ping interval and the time allowed for its answer: finds phones that left the Wi-Fi
/// while a stream was open.
pub const H2_PING: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(10));

// ---- TLS ----------------------------------------------------------------------------------

/// Life of the certificate authority in years: longer than the hardware, because replacing it
/// means visiting every phone.
pub const CA_YEARS: u64 = 20;
/// Life of a leaf certificate in days; browsers refuse more than 398.
pub const LEAF_DAYS: u64 = 397;
/// A leaf is dated back by this many days, for phones whose clock is behind.
pub const LEAF_BACKDATE_DAYS: u64 = 7;
/// How often the leaf is compared with the clock and with the machine's names and addresses. The
/// check costs microseconds, and an address that DHCP changed must not lock phones out for long.
pub const LEAF_CHECK_EVERY: Duration = Duration::from_secs(60);
/// Unix time in seconds of 2026-01-01: a clock that shows less is wrong, and certificates are dated
/// as if it showed this.
pub const CLOCK_FLOOR_S: u64 = 1_767_225_600;
/// Names and addresses in one leaf: keeps the handshake in one packet train even on a machine
/// with many container bridges.
pub const LEAF_NAMES_MAX: usize = 64;
