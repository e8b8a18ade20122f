//! The pages of a damaged database, with its WAL.
//!
//! Formats: <https://www.sqlite.org/fileformat2.html>. Frames of the WAL after a damaged one, or after the last commit,
//! are kept separately, because SQLite would not read them.

use std::collections::HashMap;

/// All versions write pages of this size, so a damaged header does not matter.
pub(super) const PAGE_SIZE: usize = 4096;
const LOG_HEADER_SIZE: usize = 32;
const FRAME_HEADER_SIZE: usize = 24;

/// All pages.
pub(super) struct Pages {
    database: Vec<u8>,
    wal: Vec<u8>,
    /// Offset in the WAL of the newest committed version of a page, by page number.
    committed: HashMap<u32, usize>,
    /// Other pages of the WAL, oldest first.
    uncommitted: Vec<(u32, usize)>,
}

impl Pages {
    pub(super) fn new(database: Vec<u8>, wal: Vec<u8>) -> Self {
        let mut pages = Self { database, wal, committed: HashMap::new(), uncommitted: Vec::new() };
        pages.read_wal();
        pages
    }

    /// Number of pages, including those that only the WAL has.
    pub(super) fn count(&self) -> u32 {
        let in_database = u32::try_from(self.database.len() / PAGE_SIZE).unwrap_or(u32::MAX);
        self.committed.keys().copied().max().unwrap_or(0).max(in_database)
    }

    /// The page with this number, from 1, as SQLite would see it.
    pub(super) fn current(&self, number: u32) -> Option<&[u8]> {
        match self.committed.get(&number) {
            Some(at) => self.wal.get(*at..at + PAGE_SIZE),
            None => self.database.chunks_exact(PAGE_SIZE).nth(usize::try_from(number).ok()?.checked_sub(1)?),
        }
    }

    /// The pages of the WAL that SQLite would not read, oldest first.
    pub(super) fn uncommitted(&self) -> impl Iterator<Item = &[u8]> {
        self.uncommitted.iter().filter_map(|(_, at)| self.wal.get(*at..at + PAGE_SIZE))
    }

    /// The page with this number, as the overflow of an uncommitted page.
    pub(super) fn uncommitted_or_current(&self, number: u32) -> Option<&[u8]> {
        let uncommitted = self.uncommitted.iter().rev().find(|(uncommitted, _)| *uncommitted == number);
        uncommitted.and_then(|(_, at)| self.wal.get(*at..at + PAGE_SIZE)).or_else(|| self.current(number))
    }

    fn read_wal(&mut self) {
        let Some(header) = self.wal.get(..LOG_HEADER_SIZE) else { return };
        let big_endian = word(header, 0) & 1 == 1;
        let mut sum = checksum(&header[..24], (0, 0), big_endian);
        let mut valid = word(header, 0) | 1 == 0x377f_0683 && sum == (word(header, 24), word(header, 28));
        let frames: Vec<&[u8]> = self.wal[LOG_HEADER_SIZE..].chunks_exact(FRAME_HEADER_SIZE + PAGE_SIZE).collect();
        // A restarted WAL has a new salt. Frames with another salt are older.
        let salt = |bytes: &[u8], at: usize| (word(bytes, at), word(bytes, at + 4));
        let generation = if valid { Some(salt(header, 16)) } else { frames.first().map(|frame| salt(frame, 8)) };
        let (mut committed, mut open) = (HashMap::new(), Vec::new());
        let mut uncommitted = Vec::new();
        for (index, frame) in frames.iter().enumerate().filter(|(_, frame)| Some(salt(frame, 8)) == generation) {
            let page = (word(frame, 0), LOG_HEADER_SIZE + index * (FRAME_HEADER_SIZE + PAGE_SIZE) + FRAME_HEADER_SIZE);
            sum = checksum(&frame[FRAME_HEADER_SIZE..], checksum(&frame[..8], sum, big_endian), big_endian);
            valid &= sum == (word(frame, 16), word(frame, 20));
            if !valid {
                uncommitted.push(page);
                continue;
            }
            open.push(page);
            if word(frame, 4) != 0 {
                committed.extend(open.drain(..));
            }
        }
        open.append(&mut uncommitted);
        (self.committed, self.uncommitted) = (committed, open);
    }
}

/// The big-endian `u32` at this offset; 0 beyond the end.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The WAL's running checksum over pairs of words.
fn checksum(bytes: &[u8], (mut first, mut second): (u32, u32), big_endian: bool) -> (u32, u32) {
    let value = |at: usize| if big_endian { word(bytes, at) } else { word(bytes, at).swap_bytes() };
    for at in (0..bytes.len()).step_by(8) {
        first = first.wrapping_add(value(at)).wrapping_add(second);
        second = second.wrapping_add(value(at + 4)).wrapping_add(first);
    }
    (first, second)
}
