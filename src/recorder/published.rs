//! What the recorder lets others see.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Outcome;
use crate::event::{Event, Timestamp};
use crate::journal::JournalErrorKind;
use crate::live::{Changes, Fold, State, View};

/// So many of the newest deliveries are remembered for people to look at.
pub(super) const MAX_RECENT_DELIVERIES: usize = 1000;

/// A delivery and what became of it.
#[derive(Debug, Clone)]
pub struct RecentDelivery {
    /// When it was received.
    pub received_at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// What was remarkable about it.
    pub note: Option<Box<str>>,
    /// The event, when it was one.
    pub event: Option<Event>,
}

/// The published state. Its lock is held for a few pointer copies at a time, and for as long as a batch changes inputs.
#[derive(Debug, Default)]
pub(super) struct Published(Mutex<Current>);

#[derive(Debug, Default)]
struct Current {
    /// None until it is restored, and while a batch changes it.
    state: Option<State>,
    journal_events: u64,
    restored_inputs: usize,
    /// The time of the newest view.
    latest: Timestamp,
    /// While a batch is being made durable, time stands still for views: its events are folded
    /// against what has been shown until then.
    frozen: bool,
    /// A view would have liked time to go on.
    view_requested: bool,
    deliveries: VecDeque<RecentDelivery>,
}

impl Published {
    pub(super) fn view(&self, now: Timestamp, journal_size_bytes: u64) -> View {
        let mut current = self.lock();
        if current.frozen {
            current.view_requested = true;
        } else {
            current.latest = current.latest.max(now);
        }
        let Current { journal_events, restored_inputs, latest, .. } = *current;
        let state = current.state.clone().unwrap_or_default();
        View { state, as_of: latest, journal_events, journal_size_bytes, restored_inputs }
    }

    /// Begins a change: returns the time up to which views have shown the state so far, and beyond
    /// which they show nothing until the change is published or abandoned. When the change does not
    /// care what was shown lately, this lets time go on to `now` first.
    pub(super) fn begin_change(&self, now: Timestamp, advance: bool) -> Timestamp {
        let mut current = self.lock();
        if advance || current.view_requested {
            current.latest = current.latest.max(now);
        }
        current.frozen = true;
        current.view_requested = false;
        current.latest
    }

    /// Publishes a durable batch: what it changes, and the deliveries that it was made of.
    ///
    /// While it is adopted nothing here shares the fold's state: what no view shares either is changed where it is, and
    /// not copied, which saves a third of what a batch costs to fold.
    pub(super) fn adopt(
        &self,
        fold: &mut Fold,
        changes: Changes,
        journal_events: u64,
        deliveries: impl Iterator<Item = RecentDelivery>,
    ) {
        let mut current = self.lock();
        current.state = None;
        fold.adopt(changes);
        current.show(fold.state(), journal_events);
        current.deliveries.extend(deliveries);
        let surplus = current.deliveries.len().saturating_sub(MAX_RECENT_DELIVERIES);
        current.deliveries.drain(..surplus);
    }

    /// Publishes a state that has changed otherwise.
    pub(super) fn publish(&self, state: &State, journal_events: u64) {
        self.lock().show(state, journal_events);
    }

    /// Notes what was read from the journal: so many inputs, the newest deliveries, and from when on time goes.
    pub(super) fn restored(&self, inputs: usize, newest: impl Iterator<Item = RecentDelivery>, latest: Timestamp) {
        let mut current = self.lock();
        current.restored_inputs = inputs;
        current.deliveries.extend(newest);
        current.latest = latest;
    }

    /// The time of the newest view.
    pub(super) fn latest(&self) -> Timestamp {
        self.lock().latest
    }

    pub(super) fn abandon(&self) {
        self.lock().frozen = false;
    }

    pub(super) fn recent_deliveries(&self, limit: usize) -> Vec<RecentDelivery> {
        self.lock().deliveries.iter().rev().take(limit).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn show(&mut self, state: &State, journal_events: u64) {
        self.state = Some(state.clone());
        self.journal_events = journal_events;
        self.frozen = false;
    }
}

/// Why notifications cannot be recorded at the moment, if so.
#[derive(Debug, Default)]
pub struct Readiness {
    restored: AtomicBool,
    draining: AtomicBool,
    journal_error: Mutex<Option<JournalErrorKind>>,
}

impl Readiness {
    /// The check that fails; `None` when the daemon is ready.
    pub fn failing(&self) -> Option<&'static str> {
        if self.draining() {
            Some("draining: the daemon is shutting down")
        } else if !self.restored.load(Ordering::Acquire) {
            Some("restoring: the journal is being read")
        } else {
            self.journal_error().map(check)
        }
    }

    /// Whether the daemon is shutting down.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Says that the daemon is shutting down.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(super) fn set_restored(&self) {
        self.restored.store(true, Ordering::Release);
    }

    pub(super) fn journal_failing(&self) -> bool {
        self.journal_error().is_some()
    }

    pub(super) fn set_journal_error(&self, journal_error: Option<JournalErrorKind>) {
        *self.journal_error.lock().unwrap_or_else(PoisonError::into_inner) = journal_error;
    }

    fn journal_error(&self) -> Option<JournalErrorKind> {
        *self.journal_error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The check that an journal_error makes fail. It is told to everybody who can ask: no path, no number.
fn check(journal_error: JournalErrorKind) -> &'static str {
    match journal_error {
        JournalErrorKind::DiskFull => "journal: notifications cannot be made durable: the disk is full",
        JournalErrorKind::ReadOnly => "journal: notifications cannot be made durable: the file system is read-only",
        JournalErrorKind::Busy => "journal: notifications cannot be made durable: another program holds the database",
        JournalErrorKind::SyncFailed => "journal: notifications cannot be made durable: the disk failed to sync",
        JournalErrorKind::Damaged => "journal: notifications cannot be made durable: the database is damaged",
        JournalErrorKind::Other => "journal: notifications cannot be made durable: the log has the error",
    }
}
