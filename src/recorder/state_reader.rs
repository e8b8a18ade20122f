//! Read access to the state that the recorder has published.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::held_views::{HeldViews, Hold};
use super::recent::{RecentDeliveries, RecentDelivery};
use super::{Outcome, Readiness};
use crate::clock;
use crate::event::{InputId, Timestamp};
use crate::live::{Downtime, PendingChange, SharedStatus, State, View};

/// Longest time that a scrape waits for a batch. Afterwards it shows the time of the scrape before.
const SCRAPE_WAIT: Duration = Duration::from_secs(1);

/// Scrapes are at least this far apart, also if the clock goes back.
const SCRAPE_STEP: Duration = Duration::from_micros(1);

/// Read access to the state that the recorder has published.
#[derive(Clone, Default)]
pub struct StateReader {
    pub(super) published: Arc<Published>,
    pub(super) readiness: Arc<Readiness>,
    /// The newest change of each input that was not recorded in time.
    pending: Arc<Mutex<Arc<BTreeMap<InputId, PendingChange>>>>,
    /// Wakes the recorder, which runs the scrapes of a shared journal.
    wake_tx: Option<SyncSender<()>>,
    /// Another replica runs the tasks that only one may run.
    follows: Arc<AtomicBool>,
}

impl StateReader {
    /// The state now, for people and programs; `None` until it is restored.
    pub fn view(&self) -> Option<View> {
        let current = self.published.lock();
        let view = current.view(current.next_scrape(clock::now()), clock::wall())?;
        drop(current);
        Some(View { pending: self.pending(), ..view })
    }

    /// The state for a scrape; `None` until it is restored.
    ///
    /// A later record must not reduce a counter that a scrape has shown, so its event is folded against the time of the
    /// latest scrape. That time cannot advance while a batch is being written, so the scrape waits for the batch.
    ///
    /// With a shared journal, the recorder runs the scrape: all replicas share the time, and the state is the one at the
    /// newest position at that time.
    pub async fn scrape(&self) -> Option<View> {
        let mut version = self.published.version.subscribe();
        let mut shown = self.published.shown.subscribe();
        let waits_for = self.published.lock().request_scrape();
        // If it takes longer, the scrape gets what the one before got.
        let _ = match waits_for {
            ScrapeWait::Nothing => Ok(Ok(())),
            ScrapeWait::Batch => timeout(SCRAPE_WAIT, version.changed()).await,
            ScrapeWait::SharedJournal => {
                self.wake();
                timeout(SCRAPE_WAIT, shown.changed()).await
            }
        };
        let view = self.published.scrape(clock::now(), clock::wall())?;
        Some(View { pending: self.pending(), ..view })
    }

    /// Whether this process runs the tasks that only one replica may run.
    pub fn leads(&self) -> bool {
        !self.follows.load(Ordering::Relaxed)
    }

    pub(super) fn set_leads(&self, leads: bool) {
        self.follows.store(!leads, Ordering::Relaxed);
    }

    /// Sets how to wake the recorder.
    pub(super) fn waking(wake_tx: SyncSender<()>) -> Self {
        Self { wake_tx: Some(wake_tx), ..Self::default() }
    }

    pub(super) fn wake(&self) {
        // Otherwise a wake-up is pending already, or the recorder has ended.
        let _ = self.wake_tx.as_ref().map(|wake_tx| wake_tx.try_send(()));
    }

    /// Notes a change whose delivery was not recorded in time. Views have it while the disk hangs, so that an input that
    /// goes off air is noticed.
    pub fn note_pending(&self, input_id: InputId, change: PendingChange) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = Arc::make_mut(&mut pending).entry(input_id).or_insert(change);
        if newest.updated_at < change.updated_at {
            *newest = change;
        }
    }

    fn pending(&self) -> Arc<BTreeMap<InputId, PendingChange>> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if self.readiness.disk().hanging().is_none() && !pending.is_empty() {
            // The state has them as soon as they are durable.
            *pending = Arc::default();
        }
        pending.clone()
    }

    /// Adds a response that is generated from a view while its client reads it. Called before the view is taken. `end`
    /// ends the response, and is called when views hold too much.
    pub fn hold(&self, end: impl Fn() + Send + Sync + 'static) -> Hold {
        let mut current = self.published.lock();
        let copied = current.copied();
        current.held.add(copied, end)
    }

    /// A number that changes whenever the state does.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.published.version.subscribe()
    }

    /// The newest deliveries, newest first, up to `limit`; `None` until the state is restored.
    pub fn recent_deliveries(&self, limit: usize) -> Option<Vec<Arc<RecentDelivery>>> {
        let current = self.published.lock();
        current.state.as_ref().map(|_| current.recent.newest(limit))
    }

    /// Whether notifications can be recorded.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }
}

/// The published state. Its lock is held for a few pointer copies, and while a batch changes inputs.
#[derive(Debug, Default)]
pub(super) struct Published {
    current: Mutex<Current>,
    version: watch::Sender<u64>,
    /// Changes with each scrape of a shared journal.
    shown: watch::Sender<()>,
}

/// What a scrape waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScrapeWait {
    Nothing,
    /// A batch is being written.
    Batch,
    /// The recorder advances the shown time of the shared journal.
    SharedJournal,
}

/// What the latest scrape of a shared journal shows.
#[derive(Debug)]
struct Shown {
    state: State,
    as_of: Timestamp,
    wall_clock: Timestamp,
    applied_position: u64,
}

#[derive(Debug, Default)]
pub(super) struct Current {
    /// `None` until it is restored.
    state: Option<State>,
    journal_events: u64,
    journal_size_bytes: u64,
    oldest_event: Option<Timestamp>,
    committed_at: Option<Timestamp>,
    restored_inputs: usize,
    downtime: Option<Downtime>,
    /// Time of the latest scrape.
    shown_until: Timestamp,
    /// A batch is being written. It is folded against `shown_until`, which therefore does not advance.
    change_in_progress: bool,
    /// A scrape waits for the batch.
    scrape_waiting: bool,
    recent: RecentDeliveries,
    held: HeldViews,
    /// The state of the shared journal, if it is shared.
    shared: Option<SharedStatus>,
    /// What scrapes of a shared journal show; `None` until the first.
    latest_shown: Option<Shown>,
    /// What gauges show while the spool of a shared journal is not empty.
    gauges: Option<State>,
}

impl Published {
    /// Begins a change. Returns the time of the latest scrape.
    pub(super) fn begin_change(&self) -> Timestamp {
        let mut current = self.lock();
        current.change_in_progress = true;
        current.shown_until
    }

    /// Ends a change. If nothing was published, the state is as before.
    pub(super) fn end_change(&self, now: Timestamp) {
        self.lock().end_change(now);
        self.version.send_modify(|version| *version += 1);
    }

    /// Publishes a new state and the deliveries of its batch, and ends the change. If the clock was set back, later
    /// scrapes continue from that time.
    ///
    /// The old state is dropped before `update` makes the new one. Parts that no reader holds are then changed in place
    /// instead of copied, which saves a third of the time to apply a batch.
    pub(super) fn change(
        &self,
        now: Timestamp,
        set_back: Option<Timestamp>,
        journal_events: u64,
        deliveries: &[Arc<RecentDelivery>],
        update: impl FnOnce() -> State,
    ) {
        let mut current = self.lock();
        current.state = None;
        current.state = Some(update());
        current.journal_events = journal_events;
        // The listener lists what it rejects.
        let accepted = deliveries.iter().filter(|delivery| delivery.outcome != Outcome::NotJson);
        current.recent.extend(accepted.cloned());
        if current.oldest_event.is_none() {
            let recorded = deliveries.iter().find(|delivery| delivery.outcome == Outcome::Recorded);
            current.oldest_event = recorded.map(|delivery| delivery.received_at);
        }
        current.shown_until = set_back.unwrap_or(current.shown_until);
        current.end_change(now);
        let copied = current.copied();
        current.held.end_oldest(copied);
        drop(current);
        self.version.send_modify(|version| *version += 1);
    }

    /// Sets the restored state and the start time for scrapes.
    pub(super) fn restored(
        &self,
        inputs: usize,
        recent: impl Iterator<Item = Arc<RecentDelivery>>,
        shown_until: Timestamp,
    ) {
        let mut current = self.lock();
        current.restored_inputs = inputs;
        current.recent.extend(recent);
        current.shown_until = shown_until;
    }

    /// Adds events that did not arrive by deliveries.
    pub(super) fn add_recent(&self, recent: impl Iterator<Item = Arc<RecentDelivery>>) {
        self.lock().recent.extend(recent);
    }

    /// Sets the last time during which the daemon did not run.
    pub(super) fn set_downtime(&self, downtime: Option<Downtime>) {
        self.lock().downtime = downtime;
    }

    /// Sets the size of the journal on disk. The recorder measures it, because a reader must not wait for the disk.
    pub(super) fn set_journal_size(&self, bytes: u64, oldest_event: Option<Timestamp>) {
        let mut current = self.lock();
        (current.journal_size_bytes, current.oldest_event) = (bytes, oldest_event);
    }

    /// Sets when a batch last became durable.
    pub(super) fn set_committed(&self, at: Timestamp) {
        self.lock().committed_at = Some(at);
    }

    /// Sets the state of the shared journal.
    pub(super) fn set_shared(&self, status: SharedStatus) {
        self.lock().shared = Some(status);
    }

    /// Sets what gauges show, if it is not the state.
    pub(super) fn set_gauges(&self, gauges: Option<State>) {
        self.lock().gauges = gauges;
        self.version.send_modify(|version| *version += 1);
    }

    /// Whether a scrape of the shared journal waits. The recorder runs it now; the next one waits for another.
    pub(super) fn take_scrape(&self) -> bool {
        std::mem::take(&mut self.lock().scrape_waiting)
    }

    /// Scrapes of the shared journal show this state, at its position and these times.
    pub(super) fn show(&self, state: State, applied_position: u64, as_of: Timestamp, wall_clock: Timestamp) {
        let mut current = self.lock();
        current.shown_until = as_of;
        current.latest_shown = Some(Shown { state, as_of, wall_clock, applied_position });
    }

    /// Ends the scrape of the shared journal that was taken.
    pub(super) fn end_scrape(&self) {
        self.shown.send_replace(());
    }

    /// The state for a scrape at `now`, with the wall clock.
    pub(super) fn scrape(&self, now: Timestamp, wall_clock: Timestamp) -> Option<View> {
        let mut current = self.lock();
        if current.shared.is_some() {
            return current.latest_view();
        }
        if !current.change_in_progress {
            current.shown_until = current.next_scrape(now);
        }
        current.view(current.shown_until, wall_clock)
    }

    /// Time of the latest scrape.
    pub(super) fn shown_until(&self) -> Timestamp {
        self.lock().shown_until
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    /// The time of a scrape at `now`.
    fn next_scrape(&self, now: Timestamp) -> Timestamp {
        now.max(self.shown_until.plus(SCRAPE_STEP))
    }

    /// Returns what a scrape has to wait for. The end of a batch, or the recorder, then advances the time for it.
    pub(super) fn request_scrape(&mut self) -> ScrapeWait {
        match self.shared {
            Some(shared) => {
                self.scrape_waiting = shared.connected;
                if shared.connected { ScrapeWait::SharedJournal } else { ScrapeWait::Nothing }
            }
            None if self.change_in_progress => {
                self.scrape_waiting = true;
                ScrapeWait::Batch
            }
            None => ScrapeWait::Nothing,
        }
    }

    /// What the latest scrape of a shared journal showed, with the gauges of now.
    fn latest_view(&self) -> Option<View> {
        let Shown { state, as_of, wall_clock, applied_position } = self.latest_shown.as_ref()?;
        let view = self.view(*as_of, *wall_clock)?;
        // While the journal is away, no scrape shows the records that were applied after the latest one.
        let is_away = self.shared.is_some_and(|shared| !shared.connected);
        let gauges = view.gauges.or_else(|| is_away.then_some(view.state));
        let applied_position = *applied_position;
        let shared = self.shared.map(|shared| SharedStatus { applied_position, ..shared });
        Some(View { state: state.clone(), gauges, shared, ..view })
    }

    fn end_change(&mut self, now: Timestamp) {
        self.change_in_progress = false;
        // The recorder runs the scrapes of a shared journal.
        if self.shared.is_none() && std::mem::take(&mut self.scrape_waiting) {
            self.shown_until = self.next_scrape(now);
        }
    }

    /// Number of bytes that were copied, or kept, because a view has them.
    fn copied(&self) -> u64 {
        self.state.as_ref().map_or(0, State::copied) + self.recent.kept_by_readers()
    }

    fn view(&self, as_of: Timestamp, wall_clock: Timestamp) -> Option<View> {
        let Self { journal_events, journal_size_bytes, oldest_event, committed_at, restored_inputs, downtime, .. } =
            *self;
        let state = self.state.clone()?;
        Some(View {
            state,
            as_of,
            wall_clock,
            journal_events,
            journal_size_bytes,
            oldest_event,
            committed_at,
            restored_inputs,
            downtime,
            pending: Arc::default(),
            gauges: self.gauges.clone(),
            shared: self.shared,
        })
    }
}
