//! Crash states of a disk: what could be on it after a power cut at any moment, made from the log
//! of its writes.
//!
//! A write that was followed by a completed flush is there. Of those after the last flush, each
//! may be there, be missing, or have reached the disk in part, sector by sector.
//!
//! The log is that of the Linux device-mapper target `log-writes` (Documentation/admin-guide/
//! device-mapper/log-writes.rst), as QEMU's `blklogwrites` writes it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::lab::Moments;

const SECTOR: u64 = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
/// Forced unit access: the write is durable by itself.
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// One entry of the log.
#[derive(Clone, Copy)]
struct Entry {
    /// Where it goes, bytes.
    offset: u64,
    len: u64,
    flags: u64,
    /// Where its data is in the log, bytes.
    data: u64,
}

/// How many entries the log in `file` has now.
pub(crate) fn entries(file: &File) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 16).unwrap();
    u64::from_le_bytes(bytes)
}

/// The log of a disk, and the disk as it was before a point in the log.
pub(crate) struct Replay {
    log: File,
    entries: Vec<Entry>,
    /// Holds everything before the entry `flushed`, which is a flush.
    disk: File,
    flushed: usize,
}

impl Replay {
    /// `disk` is the disk as it was when the log began; it is changed.
    pub(crate) fn open(log: &Path, disk: &Path) -> Self {
        let log = File::open(log).unwrap();
        let entries = read_log(&log).unwrap();
        Self {
            log,
            entries,
            disk: File::options().read(true).write(true).open(disk).unwrap(),
            flushed: 0,
        }
    }

    /// How many moments there are: before each entry, and after the last.
    pub(crate) fn moments(&self) -> usize {
        self.entries.len() + 1
    }

    /// How many times the disk was flushed, and how many bytes were written to it.
    pub(crate) fn work(&self) -> (usize, u64) {
        let flushes = self.entries.iter().filter(|entry| entry.flags & FLUSH > 0);
        (
            flushes.count(),
            self.entries.iter().map(|entry| entry.len).sum(),
        )
    }

    /// Writes to `path` what a cut before entry `moment` may leave. Moments must not go back.
    pub(crate) fn crash(&mut self, moment: usize, path: &Path, dice: &mut Moments) {
        let before = &self.entries[..moment];
        if let Some(flush) = before.iter().rposition(|entry| entry.flags & FLUSH > 0) {
            for entry in &self.entries[self.flushed..flush] {
                self.write(entry, &self.disk, |_| true);
            }
            self.flushed = self.flushed.max(flush);
        }
        let mut copy = File::create(path).unwrap();
        let mut disk = &self.disk;
        io::Seek::rewind(&mut disk).unwrap();
        io::copy(&mut disk, &mut copy).unwrap();
        for entry in &before[self.flushed..] {
            let durable = entry.flags & FUA > 0;
            match dice.below(8) {
                _ if durable => self.write(entry, &copy, |_| true),
                0..4 => self.write(entry, &copy, |_| true),
                4 => self.write(entry, &copy, |_| dice.below(2) == 0),
                _ => {}
            }
        }
    }

    /// Puts the sectors of one entry that `keep` chooses onto `disk`.
    fn write(&self, entry: &Entry, disk: &File, mut keep: impl FnMut(u64) -> bool) {
        let mut data = vec![0; usize::try_from(entry.len).unwrap()];
        self.log.read_exact_at(&mut data, entry.data).unwrap();
        for (number, sector) in (0..).zip(data.chunks(SECTOR as usize)) {
            if keep(number) {
                let at = entry.offset + number * SECTOR;
                disk.write_all_at(sector, at).unwrap();
            }
        }
    }
}

fn read_log(log: &File) -> io::Result<Vec<Entry>> {
    let word = |at: u64| {
        let mut bytes = [0; 8];
        log.read_exact_at(&mut bytes, at)?;
        Ok::<_, io::Error>(u64::from_le_bytes(bytes))
    };
    let sector_size = word(24)? & 0xffff_ffff;
    assert_eq!((word(0)?, word(8)?), (MAGIC, 1), "not a log of writes");
    let (count, mut at) = (word(16)?, SECTOR);
    let mut entries = Vec::new();
    for _ in 0..count {
        let flags = word(at + 16)?;
        assert_eq!(flags & DISCARD, 0, "the file system must not discard");
        let len = word(at + 8)? * sector_size;
        entries.push(Entry {
            offset: word(at)? * sector_size,
            len,
            flags,
            data: at + sector_size,
        });
        at += sector_size + len;
    }
    Ok(entries)
}
