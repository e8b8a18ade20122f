//! Finds the records of one input.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lru::LruCache;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::history::{InputHistory, MAX_RECORDS, Reach};
use crate::clock::Stopwatch;
use crate::event::{InputId, Record};
use crate::journal::{JournalError, Location, Reader};

/// How long the records of an input are searched. What was found until then is shown.
const SEARCH_TIME: Duration = Duration::from_secs(2);
/// How long a page waits for a search, also if the disk hangs.
const WAIT: Duration = Duration::from_secs(3);
/// Maximum number of searches at a time.
const SEARCHES: usize = 2;
/// Number of positions that one query covers. A longer query would hold back WAL checkpoints.
const STRIDE: u64 = 20_000;
/// Histories that are remembered, so that updates of as many pages as can be open read only new records.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(128).expect("it is above zero");

/// Why the history of an input is not known.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It takes too long: the disk hangs, or too many histories are being read.
    #[error("the journal was not read within {} s: the disk is slow, or other histories are being read", WAIT.as_secs())]
    TooSlow,
    /// There is no thread for it.
    #[error("no thread can be started to read the journal: {0}")]
    Thread(#[from] io::Error),
}

/// Reads the histories of inputs.
#[derive(Debug)]
pub(super) struct Histories {
    location: Location,
    permits: Arc<Semaphore>,
    remembered: Arc<Mutex<LruCache<InputId, InputHistory>>>,
}

impl Histories {
    pub(super) fn new(location: Location) -> Self {
        let remembered = Arc::new(Mutex::new(LruCache::new(REMEMBERED)));
        Self { location, permits: Arc::new(Semaphore::new(SEARCHES)), remembered }
    }

    pub(super) async fn read(&self, input_id: InputId) -> Result<InputHistory, HistoryError> {
        let abandoned = Arc::new(AtomicBool::new(false));
        let read = timeout(WAIT, self.read_on_a_thread(input_id, abandoned.clone())).await;
        abandoned.store(true, Ordering::Relaxed);
        read.unwrap_or(Err(HistoryError::TooSlow))
    }

    /// The thread is not one of the runtime's, which would wait for it when it stops.
    async fn read_on_a_thread(
        &self,
        input_id: InputId,
        abandoned: Arc<AtomicBool>,
    ) -> Result<InputHistory, HistoryError> {
        let Ok(permit) = self.permits.clone().acquire_owned().await else { return Err(HistoryError::TooSlow) };
        let (sender, receiver) = oneshot::channel();
        let (location, remembered) = (self.location.clone(), self.remembered.clone());
        let search = move || {
            let _permit: OwnedSemaphorePermit = permit;
            // The page may have given up.
            let _ = sender.send(search(&location, input_id, abandoned, &remembered));
        };
        thread::Builder::new().name("input-history".to_owned()).spawn(search)?;
        receiver.await.unwrap_or(Err(HistoryError::TooSlow))
    }
}

fn search(
    location: &Location,
    input_id: InputId,
    abandoned: Arc<AtomicBool>,
    remembered: &Mutex<LruCache<InputId, InputHistory>>,
) -> Result<InputHistory, HistoryError> {
    let mut journal = location.open_to_read()?;
    journal.interrupt_when(abandoned)?;
    let known = remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&input_id).cloned();
    let known = known.unwrap_or_default();
    let (history, is_whole) = read_since(&*journal, input_id, &known)?;
    if is_whole {
        remembered.lock().unwrap_or_else(PoisonError::into_inner).put(input_id, history.clone());
    }
    Ok(history)
}

/// Reads the records since those that are known, newest first. Returns the history, and whether there is no gap in it.
pub(super) fn read_since(
    journal: &dyn Reader,
    input_id: InputId,
    known: &InputHistory,
) -> Result<(InputHistory, bool), JournalError> {
    let time = Stopwatch::start();
    let (oldest, newest) = (journal.oldest_position()?, journal.newest_position()?);
    let begin = known.position.max(oldest.saturating_sub(1));
    let mut found: Vec<Record> = Vec::new();
    let mut until = newest;
    while until > begin && found.len() < MAX_RECORDS && time.elapsed() < SEARCH_TIME {
        let after = begin.max(until.saturating_sub(STRIDE));
        found.extend(journal.newest_of(&input_id, after, until, MAX_RECORDS - found.len())?);
        until = after;
    }
    let is_full = found.len() >= MAX_RECORDS;
    let (is_joined, is_end) = (until <= known.position, until <= begin && !is_full);
    if is_joined && !is_full {
        found.extend(known.records.iter().rev().take(MAX_RECORDS - found.len()).cloned());
    }
    let is_limited = found.len() >= MAX_RECORDS || !is_end;
    let reach = match () {
        () if is_limited => Reach::Limit,
        () if known.position > 0 && is_joined => known.reach,
        () if oldest <= 1 => Reach::Everything,
        () => Reach::OldestKept,
    };
    found.reverse();
    let is_whole = is_end || is_full;
    Ok((InputHistory { records: Arc::new(found), position: newest, reach }, is_whole))
}
