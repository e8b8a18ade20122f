//! The pages of a database that cannot be opened any more, with its write-ahead log.
//!
//! The formats are those of <https://www.sqlite.org/fileformat2.html>. What the log has after a frame
//! that is not sound, or after the last commit, is kept apart: SQLite would not read it.

use std::collections::HashMap;

/// Every version has written pages of this size; what a damaged header says does not matter.
pub(super) const PAGE_SIZE: usize = 4096;
const LOG_HEADER_SIZE: usize = 32;
const FRAME_HEADER_SIZE: usize = 24;

/// All pages that there are.
pub(super) struct Pages {
    database: Vec<u8>,
    log: Vec<u8>,
    /// Where in the log the newest committed page of a number begins.
    committed: HashMap<u32, usize>,
    /// Other pages of the log, oldest first.
    loose: Vec<(u32, usize)>,
}

impl Pages {
    pub(super) fn new(database: Vec<u8>, log: Vec<u8>) -> Self {
        let mut pages = Self { database, log, committed: HashMap::new(), loose: Vec::new() };
        pages.read_log();
        pages
    }

    /// The number of pages, also of those that only the log has.
    pub(super) fn count(&self) -> u32 {
        let in_database = u32::try_from(self.database.len() / PAGE_SIZE).unwrap_or(u32::MAX);
        self.committed.keys().copied().max().unwrap_or(0).max(in_database)
    }

    /// The page with this number, from 1, as SQLite would see it.
    pub(super) fn current(&self, number: u32) -> Option<&[u8]> {
        match self.committed.get(&number) {
            Some(at) => self.log.get(*at..at + PAGE_SIZE),
            None => self.database.chunks_exact(PAGE_SIZE).nth(usize::try_from(number).ok()?.checked_sub(1)?),
        }
    }

    /// The pages of the log that SQLite would not see, oldest first.
    pub(super) fn loose(&self) -> impl Iterator<Item = &[u8]> {
        self.loose.iter().filter_map(|(_, at)| self.log.get(*at..at + PAGE_SIZE))
    }

    /// The page with this number for whoever comes from a loose page.
    pub(super) fn loose_or_current(&self, number: u32) -> Option<&[u8]> {
        let loose = self.loose.iter().rev().find(|(loose, _)| *loose == number);
        loose.and_then(|(_, at)| self.log.get(*at..at + PAGE_SIZE)).or_else(|| self.current(number))
    }

    fn read_log(&mut self) {
        let Some(header) = self.log.get(..LOG_HEADER_SIZE) else { return };
        let big_endian = word(header, 0) & 1 == 1;
        let mut sum = checksum(&header[..24], (0, 0), big_endian);
        let mut sound = word(header, 0) | 1 == 0x377f_0683 && sum == (word(header, 24), word(header, 28));
        let frames: Vec<&[u8]> = self.log[LOG_HEADER_SIZE..].chunks_exact(FRAME_HEADER_SIZE + PAGE_SIZE).collect();
        // A log is begun anew with a new salt; frames with an older one are left over from before.
        let salt = |bytes: &[u8], at: usize| (word(bytes, at), word(bytes, at + 4));
        let generation = if sound { Some(salt(header, 16)) } else { frames.first().map(|frame| salt(frame, 8)) };
        let (mut committed, mut open) = (HashMap::new(), Vec::new());
        let mut loose = Vec::new();
        for (index, frame) in frames.iter().enumerate().filter(|(_, frame)| Some(salt(frame, 8)) == generation) {
            let page = (word(frame, 0), LOG_HEADER_SIZE + index * (FRAME_HEADER_SIZE + PAGE_SIZE) + FRAME_HEADER_SIZE);
            sum = checksum(&frame[FRAME_HEADER_SIZE..], checksum(&frame[..8], sum, big_endian), big_endian);
            sound &= sum == (word(frame, 16), word(frame, 20));
            if !sound {
                loose.push(page);
                continue;
            }
            open.push(page);
            if word(frame, 4) != 0 {
                committed.extend(open.drain(..));
            }
        }
        open.append(&mut loose);
        (self.committed, self.loose) = (committed, open);
    }
}

/// The big-endian number of four bytes that begins here; 0 beyond the end.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The log's running checksum over pairs of words.
fn checksum(bytes: &[u8], (mut first, mut second): (u32, u32), big_endian: bool) -> (u32, u32) {
    let value = |at: usize| if big_endian { word(bytes, at) } else { word(bytes, at).swap_bytes() };
    for at in (0..bytes.len()).step_by(8) {
        first = first.wrapping_add(value(at)).wrapping_add(second);
        second = second.wrapping_add(value(at + 4)).wrapping_add(first);
    }
    (first, second)
}
