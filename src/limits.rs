//! Every bound of the node, each with its reason: queues, pages, bodies, batches, timeouts.
//!
//! Nothing in Islet grows without a limit named here. A limit never drops data that was
//! acknowledged: it refuses work before it is accepted, with an answer that says when to try again,
//! or it cuts what one answer shows. The legacy API has no pages, so those of its lists that reach
//! their bound are cut; docs/API.md says which end is left out.

use std::time::Duration;

// ---- HTTP ---------------------------------------------------------------------------------

/// Largest request body, bytes. The biggest legitimate body is an appointment form with long free
/// texts (a few KiB); 256 KiB leaves room without letting a phone fill the memory.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest request body of somebody who has not shown a token, bytes. A log-in and a new password are
/// under 4 KiB, with every character written the longest way.
pub const UNKNOWN_BODY_BYTES_MAX: usize = 8 * 1024;
/// Request bodies in memory at once, bytes, over all connections: sixteen of the largest, or thousands
/// of forms. (Parsed, a hostile one takes ninety times as much, but only as many as there are
/// [`WORKERS`] are being parsed.) One address that has no token comes to half of it at most: [`CONNECTIONS_PER_ADDRESS_MAX`] times
/// [`H2_STREAMS_MAX`] times [`UNKNOWN_BODY_BYTES_MAX`].
pub const BODIES_BYTES_MAX: usize = 4 << 20;
/// Answers in memory at once, bytes, over all connections: four of the largest
/// ([`LEGACY_READINGS_MAX`] readings are up to 7 MB), or a thousand of what a phone keeps.
pub const ANSWERS_BYTES_MAX: usize = 32 << 20;
/// Bytes of a large answer that are handed to a connection at once.
pub const ANSWER_PIECE_BYTES: usize = 16 * 1024;
/// Answers of up to this many bytes do not count. [`CONNECTIONS_MAX`] times [`H2_STREAMS_MAX`] of them
/// are as much again as those that do.
pub const ANSWER_BYTES_FREE: usize = 16 * 1024;
/// Bytes of a body that is too large that are read and thrown away before the answer. Whoever sends
/// more is cut off.
pub const BODY_BYTES_DRAINED_MAX: usize = 2 << 20;

/// Motives of one appointment. There are six, and none is a reason to list one twice.
pub const MOTIVES_MAX: usize = 6;

/// Access tokens remembered as good, about 250 bytes each. A clinic has a few hundred phones.
pub const CACHED_SESSIONS_MAX: usize = 8_192;

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
/// Sessions whose first use of new tokens waits to be noted with the next commit: a few at a time,
/// unless nothing can be committed.
pub const SESSION_USES_MAX: usize = 4_096;
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
/// Pages by which the log grows, when it was not begun anew, until they are copied back as well: 2 MiB. Each time
/// costs two flushes, which those who write then wait for too.
pub const WAL_COPY_PAGES: u32 = 512;
/// Pages of write-ahead log after which the writer waits for readers, so that it can begin the log
/// anew: 16 MiB. Readers that take turns without a gap would let it grow for ever.
pub const WAL_RESTART_PAGES: u32 = 4_096;
/// How long the writer waits for those readers, again each time the log has grown by
/// [`WAL_CHECKPOINT_PAGES`]. Reads take milliseconds; one that takes longer is not worth making
/// everybody wait.
pub const WAL_RESTART_WAIT: Duration = Duration::from_millis(250);
/// The write-ahead log file is cut back to this when it is reset.
pub const WAL_BYTES_MAX: u32 = 16 << 20;
/// Page cache of the writer, KiB.
pub const WRITER_CACHE_KIB: u32 = 8 * 1024;
/// Page cache of each reader, KiB.
pub const READER_CACHE_KIB: u32 = 2 * 1024;
/// How long a connection waits for another process (such as `islet audit`) to let go of a lock.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the answer to a write with an idempotency key is kept. A phone that is offline for
/// longer sends times with its readings, which are repeatable by themselves.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Expired rows (sessions, idempotency keys) deleted along with a write that adds one: more than
/// one, so that the table shrinks; few, so that no write pays for a flood of the past.
pub const EXPIRED_ROWS_A_WRITE: u32 = 8;
/// Readings in one answer of the legacy API, which has no pages. The phone app keeps the last 200;
/// this is over three months of a continuous sensor.
pub const LEGACY_READINGS_MAX: u32 = 50_000;
/// Items in one page of `/v1`: by default, and at most.
pub const PAGE: (u32, u32) = (50, 200);
/// Readings in one page of `/v1`: by default, and at most. A thousand are three days of a continuous sensor, 130 kB.
pub const READINGS_PAGE: (u32, u32) = (50, 1_000);
/// Most readings of a selection that are counted for `total`: some milliseconds.
pub const READINGS_COUNTED_MAX: u32 = 10_000;
/// Patients that a search by name reads: names are compared without accents and case, which no index does. Some 20 ms.
pub const SEARCHED_PATIENTS_MAX: u32 = 50_000;
/// Characters of what is searched for.
pub const SEARCH_CHARS_MAX: usize = 100;
/// Pieces of news in one answer of `/v1/changes`: by default, and at most.
pub const NEWS_PAGE: (u32, u32) = (500, 1_000);
/// Rows that were written later and are looked at for one answer: some 50 ms. Beyond it a client begins afresh.
pub const NEWS_WRITTEN_MAX: u32 = 10_000;
/// New rows of all patients that are gone through before the rows of the patient alone are.
pub const NEWS_SCANNED_MAX: u32 = 2_000;
/// Readings in one upload of a phone: three days of a continuous sensor, or some 20 ms of the writer.
pub const UPLOAD_READINGS_MAX: usize = 1_000;
/// Patients whose news staff follow by name.
pub const FOLLOWED_MAX: usize = 50;
/// Bytes of a cursor: some 200 logs, and what a header has room for.
pub const CURSOR_BYTES_MAX: usize = 4 * 1024;
/// Looks of the hub that wait for slow live sessions, all together. Who is slower is told from the store.
pub const LIVE_BATCHES_MAX: usize = 64;
/// One in so many connections at most is a live session, so that there is room for requests.
pub const LIVE_SHARE: usize = 2;
/// Sessions that read what they missed at once: fewer than would fill [`READS_MAX`] when all come back together.
pub const LIVE_CATCH_UPS_AT_ONCE: usize = 4;
/// How often the hub looks without having heard of a commit.
pub const LIVE_LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a live session is told that it lives: less than routers forget a connection after.
pub const LIVE_HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// A client that takes nothing of what it is sent for this long is gone.
pub const LIVE_SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Pieces of news that are read at once for a session that missed some.
pub const LIVE_MISSED_PAGE: usize = 200;
/// Bytes of a message that a WebSocket client may send: it has nothing to say.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = 1024;
/// Bytes that a WebSocket reads at once. The usual 128 KiB for each of thousands would fill the memory.
pub const SOCKET_BUFFER_BYTES: usize = 2 * 1024;
/// Tickets that nobody has used yet.
pub const TICKETS_MAX: usize = 1_024;
/// How long a ticket is good: for one connection, which begins at once.
pub const TICKET_VALID: Duration = Duration::from_secs(30);
/// Bytes of an answer from which on it is worth compressing.
pub const COMPRESSED_BYTES_MIN: usize = 1024;
/// How far ahead of the node's clock a reading may lie, milliseconds: a phone that is set to another
/// time zone, or whose day is wrong by one. What is further ahead is a typing error, and would stay
/// the newest reading for as long.
pub const READING_AHEAD_MAX_MS: i64 = 24 * 3600 * 1000;
/// Patients, staff or appointments in one answer of the legacy API.
pub const LEGACY_ROWS_MAX: u32 = 20_000;
/// Readings written in one transaction of an import. A write that somebody waits for can come
/// behind one such chunk, which takes some 20 ms: less than anybody notices.
pub const IMPORT_READINGS_MAX: usize = 1_000;
/// Space set aside for the day when the disk is full: log-outs and audit entries of weeks.
pub const BALLAST_BYTES: u64 = 16 << 20;
/// How often the end of the audit log is noted outside of the database. Entries of the last moments
/// before that could be cut off unnoticed; more often would wear the card.
pub const AUDIT_HEAD_EVERY: Duration = Duration::from_secs(5);
/// Audit entries that one read verifies: some 100 ms, far from [`READ_TIMEOUT`] and without keeping
/// the write-ahead log from shrinking.
pub const AUDIT_VERIFY_ROWS: u32 = 20_000;
/// Prepared statements kept per connection. The store has fewer than a hundred.
pub const STATEMENTS_MAX: usize = 128;

// ---- Passwords ----------------------------------------------------------------------------

/// Argon2 computations that run at once, each on its own thread. One costs 19 MiB and some
/// 100 ms of one core: two leave half of a four-core board to the readings.
pub const PASSWORD_HASHES_AT_ONCE: usize = 2;

/// Callers that may wait for a hash or be in one. A full waiting room that logs in together is
/// about 70 people; at 15 hashes a second 128 are served within `PASSWORD_WAIT_MAX`.
pub const PASSWORD_QUEUE_MAX: usize = 128;

/// Longest wait for a free hashing thread. The phone gives up on a log-in after 8 s; a later
/// answer is work for nobody.
pub const PASSWORD_WAIT_MAX: Duration = Duration::from_secs(8);

/// Largest memory that a stored hash may ask for, in KiB. Ours ask for 19 MiB; 64 MiB leaves room
/// for a later release of another node, and keeps a hostile row (`m=4194304`) from the memory.
pub const PASSWORD_STORED_MEMORY_KIB_MAX: u32 = 64 * 1024;

/// Most passes over the memory that a stored hash may ask for (ours: 2).
pub const PASSWORD_STORED_PASSES_MAX: u32 = 4;

/// Most lanes that a stored hash may ask for (ours: 1).
pub const PASSWORD_STORED_LANES_MAX: u32 = 4;

/// Longest stored hash string, in bytes (ours: at most 104), checked before it is parsed.
pub const PASSWORD_STORED_BYTES_MAX: usize = 256;

/// Fewest characters of a patient's password: the app's own minimum, so that no patient who was
/// let in by the app is refused by the node.
pub const PASSWORD_PATIENT_CHARS_MIN: usize = 6;

/// Fewest characters of a staff password: staff see everybody's readings.
pub const PASSWORD_STAFF_CHARS_MIN: usize = 12;

/// Fewest letters of a name that a password may not be made of: shorter ones are in too many words.
pub const PASSWORD_NAME_CHARS_MIN: usize = 4;

/// Most characters of any password (NIST SP 800-63B asks for at least 64 to be accepted).
pub const PASSWORD_CHARS_MAX: usize = 128;

// ---- Tokens -------------------------------------------------------------------------------

/// Longest access token that is looked at, in bytes. Ours have about 450; anything longer is
/// refused before a byte of it is parsed.
pub const ACCESS_TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Longest opaque token or one-time code that is looked at, in bytes (ours: 47).
pub const OPAQUE_BYTES_MAX: usize = 128;

/// How long the previous refresh token is answered as a retry, counted from the newest token that
/// was handed out. It must exceed the time-out of the phone (8 s) plus the longest that a request
/// may linger in the node (20 s): a straggler must never look like a thief.
pub const REFRESH_GRACE: Duration = Duration::from_secs(30);

/// How long a session is remembered after it expired. A node that was cut off for longer than that may bring a
/// newer token of a session that is forgotten here, and its bearer must log in again.
pub const SESSION_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Refresh tokens of one generation that are valid side by side. A phone may send ten refreshes at
/// once, twice more while those linger, and keep the first answer.
pub const REFRESH_SIBLINGS_MAX: u32 = 32;

/// Recovery links of one account that work at once: more than can be asked for while one lives (one a
/// minute for 15 minutes), so that nobody can make those of others worthless by asking for more.
pub const RECOVERY_MAILS_MAX: u32 = 128;

/// Recovery mails of one account in `LOGIN_WINDOW`. The app sends a request up to four times when it does
/// not hear the answer, which takes it a minute.
pub const RECOVERY_MAILS_A_WINDOW_MAX: usize = 1;

/// How long whoever has chosen another password, and does not know the current one that they state, is taken
/// for a phone that sends its request again: four times with a time-out of 30 s, and some patience.
pub const PASSWORD_REPEAT: Duration = Duration::from_secs(5 * 60);

// ---- Log-in attempts ----------------------------------------------------------------------

/// Failed log-ins that one account may have in `LOGIN_WINDOW`.
pub const LOGIN_ACCOUNT_FAILURES_MAX: usize = 5;

/// Accounts on which one address may have failed log-ins in `LOGIN_WINDOW`. Not failed log-ins: a clinic behind
/// one address would be shut out by a single person who mistypes.
pub const LOGIN_ADDRESS_FAILURES_MAX: usize = 5;

/// How long a failed log-in counts.
pub const LOGIN_WINDOW: Duration = Duration::from_secs(60);

/// Accounts, and addresses, whose failures are remembered. Each failure costs a hash, of which even
/// a fast machine computes some 150 a second: fewer than 10,000 in a window.
pub const LOGIN_KEYS_MAX: usize = 16 * 1024;

/// Log-ins that may wait until others of the same account or address are decided.
pub const LOGIN_WAITERS_MAX: usize = 256;

/// Longest such wait: the phone gives up on a log-in after 8 s.
pub const LOGIN_WAIT_MAX: Duration = Duration::from_secs(8);

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
/// Requests that one HTTP/2 connection may have open: what a browser sends at once over HTTP/1.1, and
/// a little more. Whatever a request may hold is multiplied by this.
pub const H2_STREAMS_MAX: u32 = 8;
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

// ---- Process ------------------------------------------------------------------------------

/// Threads that answer requests, unless configured. The database and password threads come on
/// top; a Raspberry Pi has four cores.
pub const WORKERS: usize = 2;
/// Most such threads: each costs a stack and an allocator arena.
pub const WORKERS_MAX: usize = 64;
/// Threads for what blocks (name look-ups for mail, nothing else).
pub const BLOCKING_THREADS_MAX: usize = 4;
/// Most connections that can be configured: each may take a file, a buffer and a task.
pub const CONNECTIONS_CONFIGURED_MAX: usize = 16 * 1024;
/// Files that a node opens besides connections of clients: database, write-ahead log, listeners, peers,
/// mail, commands, the log.
pub const FILES_RESERVED: usize = 64;
/// How long a stop waits for tasks that should have ended (a mail under way) before it goes on.
pub const STOP_TASKS_TIMEOUT: Duration = Duration::from_secs(5);

// ---- Command line -------------------------------------------------------------------------

/// Bytes of one request of a command to the running node: names and a password.
pub const CONTROL_REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of the answer: [`LEGACY_ROWS_MAX`] accounts of some 300 bytes, twice over.
pub const CONTROL_ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Commands that the running node serves at once: an operator has two hands.
pub const CONTROL_CONNECTIONS_MAX: usize = 4;
/// From a command's connection to the end of its request: it is one small write.
pub const CONTROL_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command waits for its answer: a hash behind a full queue, then a write.
pub const CONTROL_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a command waits for a node that is just starting or stopping to settle, and how often
/// it looks.
pub const CONTROL_SETTLE: (Duration, Duration) =
    (Duration::from_secs(15), Duration::from_millis(50));
/// Bytes of a password file: [`PASSWORD_CHARS_MAX`] characters and a generous rest.
pub const PASSWORD_FILE_BYTES_MAX: u64 = 4 * 1024;
/// Audit entries that `islet audit log` shows unless told otherwise, and at most in one page.
pub const AUDIT_PAGE: (u32, u32) = (100, 100_000);
/// Accounts that `islet doctor` reads at a time.
pub const DOCTOR_PAGE: u32 = 1_000;
/// Conflicts in one page: by default, and at most. Each costs a few small reads, and nobody settles more
/// in one go.
pub const CONFLICTS_PAGE: (u32, u32) = (50, 200);
/// Earlier settlements shown with a conflict. One that came again more often than this is a quarrel.
pub const SETTLEMENTS_SHOWN_MAX: u32 = 20;
/// Free disk space in bytes below which `islet doctor` fails, and below which it warns: a day and
/// a year of a busy clinic's readings.
pub const DISK_FREE_MIN: (u64, u64) = (64 << 20, 1 << 30);
/// How far the clock may lie behind the newest audit entry in milliseconds before `islet doctor`
/// calls it wrong: what a time server may correct.
pub const CLOCK_BACK_MAX_MS: i64 = 60_000;
/// Days before the certificate authority ends from which `islet doctor` warns: replacing it means
/// visiting every phone.
pub const CA_WARN_DAYS: i64 = 365;

// ---- Mail ---------------------------------------------------------------------------------

/// Mails handed over and not yet looked at. Each was asked for by a throttled request or a resolution.
pub const MAILS_MAX: usize = 64;
/// Mails between two attempts: the resolutions of a long day whose mail server is away. Each has some
/// kilobytes.
pub const MAILS_WAITING_MAX: usize = 256;
/// Mails under way at once: a server that says nothing holds up as many and no more.
pub const MAILS_AT_ONCE: usize = 4;
/// From the connection to the mail server's last word on one mail.
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause before the second attempt, doubled up to the longest. A recovery link lives for minutes, a
/// mail server may be away for hours.
pub const MAIL_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15 * 60));
/// How long a mail without a link is tried: over night, so that in the morning people hear of it.
pub const MAIL_TRIED_FOR: Duration = Duration::from_secs(12 * 3600);
/// How long a stop tries to send what waits. Less than [`STOP_TASKS_TIMEOUT`], so that there is time to
/// note what was lost.
pub const MAIL_STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Days for which `islet doctor` speaks of mails that were given up.
pub const MAIL_TOLD_DAYS: i64 = 7;

// ---- Peers --------------------------------------------------------------------------------

/// Rows that are listed of what a removed node wrote beyond its cut: as many as people look through.
pub const BEYOND_ROWS_MAX: usize = 100;
/// Changes that are looked at for them: a handful of runs.
pub const BEYOND_CHANGES_MAX: u64 = 4096;
/// How long an invitation is remembered beyond its time, so that whoever shows it hears that it has
/// expired or was used, and not that it never was.
pub const INVITATION_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest life of an invitation: a code that lies about for longer has been photographed.
pub const INVITATION_VALID_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Addresses of one node: one per network card, and what the operator adds.
pub const PEER_ADDRESSES_MAX: usize = 4;
/// Bytes of a host name in an address (RFC 1035).
pub const PEER_HOST_BYTES_MAX: usize = 253;
/// From the start of a connection to a peer to the end of its TLS handshake: several round trips of
/// a bad mobile link.
pub const PEER_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Until the header of a peer's answer, and until the next bytes of a stream that owes some.
pub const PEER_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request to join and of its answer: some keys, names and settings.
pub const JOIN_BYTES_MAX: usize = 64 * 1024;
/// Requests to join that are looked at together. The others wait for nothing: they hear that the
/// node is busy.
pub const JOINS_AT_ONCE: usize = 2;
/// Times that a node asks to join when the answer is lost.
pub const JOIN_ATTEMPTS: usize = 3;
/// Requests that one member may have open: its link needs three, a command beside it as many.
/// Fewer than [`H2_STREAMS_MAX`], so that one too many is told so and does not wait in silence.
pub const PEER_REQUESTS_MAX: usize = 6;
/// Bytes of the text of a refusal that are shown: a peer may be anybody's program.
pub const REFUSAL_CHARS_MAX: usize = 300;
/// HTTP/2 ping interval between peers and the time allowed for its answer. Over a link of 30 kbit/s
/// the answer waits behind [`H2_STREAM_WINDOW`] of data, which takes 17 s.
pub const PEER_PING: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(60));
/// Bytes that a peer may send from one frame that is of use to the next: the largest frame, and some
/// that are passed over.
pub const BETWEEN_FRAMES_BYTES_MAX: usize = 5 << 20;
/// How often a watched peer says that it lives when nothing happens.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
/// Silence of a watched peer after which its link is given up: some heartbeats that wait behind data
/// on a slow link, see [`PEER_PING`].
pub const HEARTBEAT_PATIENCE: Duration = Duration::from_secs(60);
/// How often connected peers compare what they know even when nothing seems to happen: a lost
/// message must not stay lost.
pub const EXCHANGE_EVERY: Duration = Duration::from_secs(5);
/// How often the list of members is looked at for links to make and to end, beside each commit.
pub const LINKS_CHECK_EVERY: Duration = Duration::from_secs(5);
/// First and longest pause before a peer that could not be reached is tried again. Half of each is
/// left to chance, so that the nodes of a clinic whose power came back do not all call at once.
pub const LINK_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Frames of a push that wait for the connection: each may have some megabytes.
pub const PUSH_FRAMES_MAX: usize = 2;
/// How often a command looks how far a sync has come.
pub const SYNC_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Numbers of new replicas are drawn up to this, not up to the greatest that there can be: row ids then take six bytes
/// in a row and not eight, seven bytes less for a reading with its index. Only nodes that two others let in, or that
/// were renewed, while these were cut off from each other can draw the same.
pub const REPLICA_NUMBER_DRAWN_MAX: u32 = (1 << 15) - 1;
/// Frames that are read ahead for a peer that takes them slowly: a run is up to some hundred kilobytes.
pub const OUTGOING_FRAMES_MAX: usize = 4;
/// How often a run is checked again because its log moved on under it.
pub const INGEST_ATTEMPTS: u32 = 3;
/// Operations of others that are applied in one transaction when nobody waits. More of them change few pages more,
/// and a commit writes whole pages.
pub const APPLY_OPS: usize = 4096;
/// The same while people write, who wait for its commit: a commit of some milliseconds.
pub const APPLY_OPS_ABOUT: usize = 512;
/// How long after a write of a person more are expected.
pub const PEOPLE_ABOUT: Duration = Duration::from_secs(1);
/// Operations after which the writer looks whether a person waits: about a millisecond.
pub const APPLY_LOOK_OPS: usize = 64;
/// Times that a node may go on with its log in another way, through copies and restores or because it lies: each costs
/// every node of the network that its rows are made again.
pub const BRANCHES_MAX: i64 = 16;
/// How long `islet doctor` warns of a node that ran twice: who copied a directory is still to be found.
pub const FORK_TOLD: Duration = Duration::from_secs(30 * 24 * 3600);
/// Times within one round that a node asks a peer again because their versions of a log differ: a second time for logs
/// that differ within a run. What is left is for the next round.
pub const MEETINGS_MAX: usize = 3;
/// Changes that make a segment. Fewer would waste signatures, more would be read from the table too often.
pub const SEAL_CHANGES: u64 = 1024;
/// Nodes on the LAN whose announcements are remembered: more than one network has, and a flood of
/// inventions costs some 100 bytes each.
pub const DISCOVERED_NODES_MAX: usize = 256;
/// Addresses of one peer that are tried at once.
pub const PEER_TRIES_MAX: usize = 8;
/// A run that was joined of this many changes takes no more: all of it is decoded to read one of them.
pub const JOINED_RUN_CHANGES: usize = 4 * 1024;
/// Small runs of one log that are worth joining: each costs some 150 bytes beside its changes.
pub const RUNS_JOINED_MIN: i64 = 64;
/// Small runs that are joined in one transaction: each is decoded.
pub const RUNS_JOINED_MAX: i64 = 256;
/// Payload bytes of one answer to a pull, and one frame more: some 30,000 readings, which take the
/// store about a second. Then another peer has its turn.
pub const PULL_BYTES_MAX: usize = 256 * 1024;
/// A peer that sends nothing for this long while it is its turn goes on without.
pub const TURN_SILENCE: Duration = Duration::from_secs(1);
/// Longest turn of a peer that sends, over a slow link perhaps.
pub const TURN_MAX: Duration = Duration::from_secs(5);
/// How long a patient waits while a peer is asked for a place in the queue: a LAN answers in a few
/// milliseconds, an fsync included.
pub const RIGHTS_TIMEOUT: Duration = Duration::from_millis(500);
/// Patients who wait for that at once; further ones are told that this node has no place.
pub const RIGHTS_WAITING_MAX: usize = 64;
/// Places that are asked for at once, so that the next patients need not wait.
pub const RIGHTS_ASKED: i64 = 4;
/// How often it is looked whether the logs have to be tidied.
pub const TIDY_EVERY: Duration = Duration::from_secs(30);
