//! Backfill: reads the notification history back to the last known moment, and records the events that are missing.
//!
//! The history is read in parts, from the oldest on, so that events are submitted in ascending event time and few are held
//! at a time. A part that has too many pages is halved. Pages may shift or repeat while they are read: a part ends at an
//! empty page, at one without a new entry, or when the API's total is reached. Repeated events are harmless, because the
//! journal knows them.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde_json::Value;

use super::history::{self, Period};
use super::{
    Answer, ApiError, ApiErrorKind, BackfillProgress, Due, Effect, Entries, Facts, PageInfo, Priority, Progress,
    Request, Settings, Task, invalid, page,
};
use crate::event::{AccountId, Event, EventKind, InputId, Timestamp};
use crate::live::{Downtime, View};

/// How much earlier than the last known moment the history is read: notifications are sent after their events, and the
/// exporter notes only every minute that it runs. It is also read until that much later than now, because the API's clock may
/// be ahead.
const MARGIN: Duration = Duration::from_secs(10 * 60);
/// The API keeps no older notifications, and might refuse a request for them.
const KEPT: Duration = Duration::from_secs(91 * 24 * 60 * 60);
/// A part with more pages is halved, or ends if it is too short for that.
const MAX_PAGES: usize = 20;
/// A part is not halved below this.
const SHORTEST_PART: Duration = Duration::from_secs(30);
/// A backfill ends with an error after this many pages, so that it ends whatever the API does.
const MAX_PAGES_IN_ALL: u64 = 10_000;
/// Wait after each page, so that a long backfill leaves requests to the other tasks.
const PAUSE: Duration = Duration::from_secs(2);
/// Number of events that are recorded at once, so that notifications do not wait long behind them.
const BATCH: usize = 500;
/// A backfill on request ends after this many errors in a row.
const MAX_ERRORS: u32 = 5;

/// Reads the notification history of an account.
#[derive(Debug)]
pub struct Backfill {
    account_id: AccountId,
    /// Whether it begins by itself after a downtime.
    automatic: bool,
    /// The end of the downtime that was backfilled, or cannot be.
    finished: Option<Timestamp>,
    reading: Option<Reading>,
    /// The last reading that has ended.
    last: Option<BackfillProgress>,
}

/// A backfill that runs.
#[derive(Debug)]
struct Reading {
    on_request: bool,
    progress: BackfillProgress,
    /// Number of errors since the last page.
    errors: u32,
    last_page: Option<Timestamp>,
    /// The parts that are not complete; the last one is read now.
    parts: Vec<Period>,
    part: Part,
    /// Whether a request is in flight.
    asked: bool,
}

/// What was read of the current part.
#[derive(Debug, Default)]
struct Part {
    pages: usize,
    /// Hashes of the entries.
    seen: HashSet<u64>,
    entries: Entries,
    events: BTreeMap<(Timestamp, InputId, usize, Box<str>), Event>,
}

impl Backfill {
    /// A backfill of an account.
    pub fn new(settings: &Settings) -> Self {
        let (account_id, automatic) = (settings.account_id, settings.backfill);
        Self { account_id, automatic, finished: None, reading: None, last: None }
    }

    /// Reads the history since this time. If a backfill runs, it begins again, from the earlier of both times.
    pub fn begin(&mut self, since: Timestamp, now: Timestamp) {
        let running = self.reading.as_ref().map(|reading| reading.progress.period.since);
        self.reading = Some(Reading::new(running.map_or(since, |running| running.min(since)), now, true));
    }

    /// Whether a backfill runs.
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// The downtime that must be backfilled, and from when on.
    fn pending(&self, view: &View) -> Option<(Downtime, Timestamp)> {
        let downtime = view.downtime.filter(|downtime| self.finished != Some(downtime.until))?;
        Some((downtime, downtime.backfill_from?))
    }

    /// Ends the reading, and returns its begin.
    fn end(&mut self, now: Timestamp) -> Option<Timestamp> {
        let reading = self.reading.take()?;
        self.last = Some(BackfillProgress { ended: Some(now), ..reading.progress() });
        Some(reading.progress.period.since)
    }

    /// Notes an error. An operator waits for a backfill on request, so it gives up soon.
    fn failed(&mut self, error: &ApiError, now: Timestamp) {
        let Some(reading) = &mut self.reading else { return };
        let is_final = matches!(
            error.kind,
            ApiErrorKind::Unauthorized
                | ApiErrorKind::NoSubscription
                | ApiErrorKind::NotFound { .. }
                | ApiErrorKind::ClientError
        );
        reading.errors += 1;
        reading.progress.error = Some(error.clone());
        if reading.on_request && (is_final || reading.errors >= MAX_ERRORS) {
            self.end(now);
        }
    }

    fn complete(&mut self, now: Timestamp, view: &View, effects: &mut Vec<Effect>) {
        let since = self.end(now);
        if let Some((downtime, from)) = self.pending(view)
            && since.is_some_and(|since| since <= from.max(now.minus(KEPT)))
        {
            self.finished = Some(downtime.until);
            effects.push(Effect::Backfilled);
        }
    }
}

impl Task for Backfill {
    fn configure(&mut self, settings: &Settings) {
        self.automatic = settings.backfill;
        self.reading.take_if(|reading| !settings.backfill && !reading.on_request);
    }

    fn due(&mut self, now: Timestamp, view: &View) -> Option<Due> {
        match &self.reading {
            Some(reading) if reading.asked => None,
            Some(reading) => Some(Due::after(reading.last_page, PAUSE, now, Priority::Periodic)),
            None => {
                let is_due = self.automatic && self.pending(view).is_some();
                is_due.then_some(Due { at: now, priority: Priority::Periodic })
            }
        }
    }

    fn request(&mut self, now: Timestamp, view: &View) -> Option<Request> {
        let from = self.pending(view).map_or(now, |(_, from)| from);
        let reading = self.reading.get_or_insert_with(|| Reading::new(from.minus(MARGIN), now, false));
        reading.asked = true;
        let part = reading.parts.last().copied()?;
        Some(history::request(self.account_id, part, reading.part.pages + 1))
    }

    fn answered(
        &mut self,
        request: &Request,
        answer: &Answer,
        now: Timestamp,
        view: &View,
        effects: &mut Vec<Effect>,
    ) -> Result<Progress, ApiError> {
        let Some(reading) = self.reading.as_mut().filter(|reading| reading.asked) else {
            // It began again after the request.
            return Ok(Progress::Continues);
        };
        reading.asked = false;
        let answered = page::<Option<Vec<Value>>>(request, answer).inspect_err(|error| self.failed(error, now))?;
        let Some(reading) = &mut self.reading else { return Ok(Progress::Continues) };
        reading.errors = 0;
        reading.last_page = Some(now);
        reading.progress.error = None;
        reading.progress.pages += 1;
        let is_last = reading.part.add(answered.result.unwrap_or_default(), answered.info, self.account_id, now);
        let too_long = !is_last && reading.part.pages >= MAX_PAGES;
        let ends = is_last || (too_long && !reading.halve());
        if ends && reading.end_part(effects) {
            self.complete(now, view, effects);
            return Ok(Progress::Completed);
        }
        if reading.progress.pages >= MAX_PAGES_IN_ALL {
            let error = invalid(request, "the history does not end");
            reading.progress.error = Some(error.clone());
            self.end(now);
            self.finished = view.downtime.map(|downtime| downtime.until);
            return Err(error);
        }
        Ok(Progress::Continues)
    }

    fn report(&self, facts: &mut Facts) {
        facts.backfill = self.reading.as_ref().map(Reading::progress).or_else(|| self.last.clone());
    }
}

impl Reading {
    fn new(since: Timestamp, now: Timestamp, on_request: bool) -> Self {
        let period = Period { since: since.min(now).max(now.minus(KEPT)), before: now };
        let progress = BackfillProgress { period, ended: None, pages: 0, entries: Entries::default(), error: None };
        let (parts, part) = (vec![Period { before: now.plus(MARGIN), ..period }], Part::default());
        Self { on_request, progress, errors: 0, last_page: None, parts, part, asked: false }
    }

    fn progress(&self) -> BackfillProgress {
        let mut progress = self.progress.clone();
        progress.entries.add(&self.part.entries);
        progress
    }

    /// Ends the current part. Returns whether it was the last one.
    fn end_part(&mut self, effects: &mut Vec<Effect>) -> bool {
        let Part { entries, events, .. } = std::mem::take(&mut self.part);
        self.progress.entries.add(&entries);
        let mut events = events.into_values().peekable();
        while events.peek().is_some() {
            effects.push(Effect::Record(events.by_ref().take(BATCH).collect()));
        }
        self.parts.pop();
        self.parts.is_empty()
    }

    /// Halves the current part. Returns whether it was long enough for that.
    fn halve(&mut self) -> bool {
        let Some(Period { since, before }) = self.parts.last().copied() else { return false };
        let half = before.since(since).unwrap_or_default() / 2;
        if half < SHORTEST_PART {
            return false;
        }
        let middle = since.plus(half);
        self.parts.pop();
        self.parts.extend([Period { since: middle, before }, Period { since, before: middle }]);
        self.part = Part::default();
        true
    }
}

impl Part {
    /// Adds a page. Returns whether it was the last one.
    fn add(&mut self, page: Vec<Value>, info: PageInfo, account_id: AccountId, now: Timestamp) -> bool {
        self.pages += 1;
        let before = self.seen.len();
        for entry in page {
            let mut hasher = DefaultHasher::new();
            entry.to_string().hash(&mut hasher);
            if self.seen.insert(hasher.finish()) {
                self.entries.read += 1;
                match history::event(&entry, account_id, now) {
                    Ok(event) => drop(self.events.insert(identity(&event), event)),
                    Err(unusable) => self.entries.count(unusable),
                }
            }
        }
        self.entries.events = self.events.len() as u64;
        let seen = self.seen.len();
        seen == before || info.total_count.is_some_and(|total| total > 0 && seen as u64 >= total)
    }
}

/// What identifies an event, by event time.
fn identity(event: &Event) -> (Timestamp, InputId, usize, Box<str>) {
    let code = match &event.kind {
        EventKind::Errored(detail) => detail.code.as_str(),
        EventKind::Connected | EventKind::Disconnected => "",
    };
    (event.updated_at, event.input_id, event.kind.index(), code.into())
}

#[cfg(test)]
mod tests;
