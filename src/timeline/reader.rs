//! The thread that reads the last day.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::days::{DAY, Days};
use super::history::InputHistory;
use super::scan::{Histories, HistoryError};
use crate::event::{InputId, Timestamp};
use crate::journal::{JournalError, Location, Reader};

/// At least this many records are read, so that a small journal is read as a whole.
const MIN_RECORDS: u64 = 100_000;
/// At most this many records are read. With more in a day, the days begin later.
const MAX_RECORDS: u64 = 3_000_000;

/// Pause after the journal could not be read.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long a page waits for a refresh. Usually it takes less than a millisecond.
const WAIT: Duration = Duration::from_millis(300);
/// The thread ends, and its memory is freed, when no page was opened for this long.
const IDLE: Duration = Duration::from_secs(600);

/// Reads of the journal for pages.
#[derive(Debug)]
pub struct Timelines {
    shared: Arc<Shared>,
    histories: Histories,
}

#[derive(Debug)]
struct Shared {
    location: Location,
    reading: Mutex<Reading>,
    /// A refresh was requested, or ended.
    changed: Condvar,
    /// Changes when the days are read for the first time, and when they cannot be read.
    version: watch::Sender<u64>,
    /// The daemon stops.
    stopped: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Reading {
    days: Option<Days>,
    /// Why the journal cannot be read.
    problem: Option<Arc<str>>,
    /// Number of requested refreshes, and of those that are done.
    requested: u64,
    done: u64,
    /// The time of the newest request.
    now: Timestamp,
    /// The thread runs.
    runs: bool,
}

impl Timelines {
    /// Reads this journal, once a page needs it.
    pub fn new(location: Location) -> Self {
        let shared = Shared {
            location: location.clone(),
            reading: Mutex::default(),
            changed: Condvar::new(),
            version: watch::Sender::new(0),
            stopped: Arc::default(),
        };
        Self { shared: Arc::new(shared), histories: Histories::new(location) }
    }

    /// The last day of all inputs, at this time; `None` while it is read for the first time, and if it cannot be read.
    ///
    /// Waits for a moment for the newest records, so it must be called on a thread for blocking work.
    pub fn days(&self, now: Timestamp) -> Option<Days> {
        let mut reading = self.shared.lock();
        reading.now = now;
        reading.requested += 1;
        let requested = reading.requested;
        if !reading.runs {
            let shared = self.shared.clone();
            let spawned = thread::Builder::new().name("timeline".to_owned()).spawn(move || run(&shared));
            reading.runs = spawned.is_ok();
            reading.problem = spawned.err().map(|error| format!("no thread can be started: {error}").into());
        }
        self.shared.changed.notify_all();
        let waits = |reading: &mut Reading| reading.runs && reading.done < requested;
        let waited = self.shared.changed.wait_timeout_while(reading, WAIT, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.days.clone()
    }

    /// Why the last day cannot be read, if so.
    pub fn problem(&self) -> Option<Arc<str>> {
        self.shared.lock().problem.clone()
    }

    /// A number that changes when the last day was read for the first time, and when it cannot be read.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// The history of an input, up to its newest record.
    ///
    /// # Errors
    ///
    /// Why it is not known.
    pub async fn input(&self, input_id: InputId) -> Result<InputHistory, HistoryError> {
        self.histories.read(input_id).await
    }
}

impl Drop for Timelines {
    fn drop(&mut self) {
        let reading = self.shared.lock();
        self.shared.stopped.store(true, Ordering::Relaxed);
        drop(reading);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn end_refresh(&self, requested: u64, problem: Option<Arc<str>>) {
        let mut reading = self.lock();
        if problem.is_some() {
            reading.days = None;
        }
        let is_first = reading.done == 0 || reading.problem != problem;
        (reading.problem, reading.done) = (problem, requested);
        drop(reading);
        self.changed.notify_all();
        if is_first {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// Waits until a refresh is requested. Returns whether one was, before the thread has to end.
    fn next_request(&self, pause: Duration) -> bool {
        let wait = |reading, duration, waits: &dyn Fn(&Reading) -> bool| {
            let waited =
                self.changed.wait_timeout_while(reading, duration, |reading| !self.is_stopped() && waits(reading));
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let reading = wait(self.lock(), pause, &|_| true);
        let mut reading = wait(reading, IDLE, &|reading| reading.requested == reading.done);
        let is_requested = reading.requested > reading.done && !self.is_stopped();
        if !is_requested {
            *reading = Reading::default();
        }
        is_requested
    }
}

/// Reads the last day, and then new records whenever a page requests them.
fn run(shared: &Shared) {
    let mut journal = None;
    loop {
        let Reading { requested, now, .. } = *shared.lock();
        let refreshed = refresh(shared, &mut journal, now);
        let pause = if refreshed.is_ok() { Duration::ZERO } else { PAUSE_AFTER_FAILURE };
        if refreshed.is_err() {
            journal = None;
        }
        shared.end_refresh(requested, refreshed.err().map(|error| error.to_string().into()));
        if !shared.next_request(pause) {
            return;
        }
    }
}

fn refresh(shared: &Shared, journal: &mut Option<Box<dyn Reader + Send>>, now: Timestamp) -> Result<(), JournalError> {
    let journal = match journal {
        Some(journal) => journal,
        None => {
            let mut opened = shared.location.open_to_read()?;
            opened.interrupt_when(shared.stopped.clone())?;
            let days = read_days(&*opened, now)?;
            shared.lock().days = Some(days);
            journal.insert(opened)
        }
    };
    let position = shared.lock().days.as_ref().map_or(0, Days::position);
    // Page requests wait at most for one record.
    journal.replay(position, &mut |record| shared.lock().days.iter_mut().for_each(|days| days.apply(&record)))?;
    shared.lock().days.iter_mut().for_each(|days| days.drop_old(now));
    Ok(())
}

/// Reads the last day.
pub(super) fn read_days(journal: &dyn Reader, now: Timestamp) -> Result<Days, JournalError> {
    let (oldest, newest) = (journal.oldest_position()?, journal.newest_position()?);
    let first_of_day = journal.first_since(now.minus(DAY))?.map_or(newest + 1, |(position, _)| position);
    let few = newest.saturating_sub(MIN_RECORDS);
    let after = few.min(first_of_day.saturating_sub(1)).max(newest.saturating_sub(MAX_RECORDS));
    let begins = journal.first_from(after + 1)?.map_or(now, |(_, recorded_at)| recorded_at);
    let mut days = Days::new(after, begins, after == 0 && oldest <= 1);
    journal.replay(after, &mut |record| days.apply(&record))?;
    days.drop_old(now);
    Ok(days)
}
