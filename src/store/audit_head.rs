//! Where the audit log stood, noted outside of the database.
//!
//! Whoever cuts entries off the end of the log and puts its head back leaves a database that agrees
//! with itself. The file `audit.head` still knows better: the position and the hash of an entry
//! that was durable when it was written. Writing it costs no fsync, so after a power cut it may be
//! older or gone, never ahead of the database.
//!
//! Must never: be written over while it contradicts the database; it is the evidence.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;
use crate::limits::AUDIT_HEAD_EVERY;

/// The note in a data directory.
pub(super) const AUDIT_HEAD_FILE: &str = "audit.head";

/// A position in the audit log and the hash of the entry there.
pub(super) type Head = (i64, [u8; 32]);

/// Reads the note; `None` when there is none, or none that makes sense.
pub(super) fn read(dir: &Path) -> io::Result<Option<Head>> {
    let bytes = match std::fs::read(dir.join(AUDIT_HEAD_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (seq, hash) = text.trim_end().split_once(' ')?;
    Some((
        seq.parse().ok()?,
        *blake3::Hash::from_hex(hash).ok()?.as_bytes(),
    ))
}

/// Why `noted` contradicts the log, whose entry at the noted position has the hash `found`.
pub(super) fn contradiction(noted: Head, found: Option<[u8; 32]>) -> Option<String> {
    let (seq, hash) = noted;
    match found {
        Some(found) if found == hash => None,
        Some(_) => Some(format!(
            "entry {seq} is not the one that was there before ({AUDIT_HEAD_FILE}): the log was put back and written anew"
        )),
        None => Some(format!(
            "the log once reached entry {seq} ({AUDIT_HEAD_FILE}): its end was cut off"
        )),
    }
}

/// Keeps the note; belongs to the writer thread.
#[derive(Debug)]
pub(super) struct AuditHead {
    path: PathBuf,
    written: Option<(Head, Instant)>,
    contradicts: bool,
}

impl AuditHead {
    /// Compares the note in `dir` with the database.
    pub(super) fn open(dir: &Path, connection: &Connection) -> Result<Self, StoreError> {
        let noted = read(dir).map_err(|error| StoreError::Io(dir.join(AUDIT_HEAD_FILE), error))?;
        let problem = match noted {
            None => None,
            Some(noted) => {
                let sql = "SELECT hash FROM audit_entry WHERE seq = ?";
                let found = connection
                    .query_row(sql, [noted.0], |row| row.get::<_, Vec<u8>>(0))
                    .optional()?
                    // What is no hash at all was tampered with, and matches nothing.
                    .map(|hash| hash.try_into().unwrap_or_default());
                contradiction(noted, found)
            }
        };
        if let Some(problem) = &problem {
            tracing::error!(%problem, "the audit log does not hold what it held: run `islet audit verify`");
        }
        Ok(Self {
            path: dir.join(AUDIT_HEAD_FILE),
            written: None,
            contradicts: problem.is_some(),
        })
    }

    /// Notes a head that is durable, when the last note is old enough.
    pub(super) fn note(&mut self, head: Head) {
        let recent = |(_, at): (Head, Instant)| at.elapsed() < AUDIT_HEAD_EVERY;
        if !self.written.is_some_and(recent) {
            self.write(head);
        }
    }

    /// Notes a head that is durable.
    pub(super) fn write(&mut self, head: Head) {
        if self.contradicts || self.written.is_some_and(|(written, _)| written == head) {
            return;
        }
        let text = format!("{} {}\n", head.0, blake3::Hash::from_bytes(head.1));
        let new = self.path.with_extension("head.new");
        let result = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &self.path));
        if let Err(error) = result {
            tracing::warn!(%error, "the end of the audit log could not be noted");
        }
        // Tried, whether it went well or not: the next try comes in its time.
        self.written = Some((head, Instant::now()));
    }
}
