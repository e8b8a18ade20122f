//! The state of one live input.
//!
//! The newest changes are a sorted list, and everything older is folded into the state before the list. State,
//! sessions, reconnects and connected time follow the list at once. Inconsistencies, reconnect delays and session
//! durations cannot be taken back, so they wait until they are *settled*: until they are older than the reorder
//! window, counted from the newest change, or from the time of the view if nothing arrived for that long.
//!
//! A counter must not fall below a value that a scrape has shown. Each record has the time of the latest scrape
//! before it. Before a record changes the input, what that scrape showed is kept: per-input counters as a lower
//! bound, and what it counted in histograms as part of the totals.
//!
//! A *session* runs from a connect to the first disconnect that no reconnect follows within the reconnect window;
//! shorter gaps are part of it.

mod clock;
mod row;
mod sessions;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::changes::{Change, ChangeSource, CountedDuration, Counts, Finding, FindingKind, Session, Walk, nanos};
use super::{Errors, PendingChange};
use crate::event::{AccountId, Event, EventKind, Note, Record, Rules, Timestamp};

/// The list keeps at least this many changes, so that a change that is late by more than the reorder window is
/// inserted, too, if the input changes rarely.
const MIN_LISTED: usize = 8;

/// Maximum number of listed changes; the walk through them takes microseconds.
const MAX_LISTED: usize = 256;

/// The state of one live input. There may be a million inputs, so every byte counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Input {
    /// When the first event was received; `None` before it.
    pub known_since: Option<Timestamp>,
    /// Errored events by class.
    pub errors: Errors,
    /// The account, by the newest record that names it.
    pub account_id: Option<AccountId>,
    /// Number of connect events and of disconnect events.
    changes: [u32; 2],
    /// Event time of the newest connect and the newest disconnect.
    last_change: [Option<Timestamp>; 2],
    /// State before the list; `None` if nothing was folded yet.
    base: Option<Box<Walk>>,
    /// Changes after the base, ascending. Only newer ones can be inserted.
    list: Box<[Change]>,
    /// State after the list: the walk from the base through it.
    now: Walk,
    /// When the newest record about the input was made.
    recorded_at: Option<Timestamp>,
    /// Time of the latest scrape before that record.
    shown_until: Option<Timestamp>,
    /// The counters that the scrape showed.
    shown: Shown,
}

/// Counters that a scrape has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Shown {
    counts: Counts,
    /// Connected time in nanoseconds.
    connected: u64,
}

/// The counters of an input that follow from its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Sessions begun.
    pub sessions: u64,
    /// Connects within the reconnect window after a disconnect.
    pub reconnects: u64,
    /// Settled events that repeat the state: connected, disconnected.
    pub inconsistent: [u64; 2],
    /// Time known to be connected, including the current connection.
    pub connected_time: Duration,
}

/// The state according to the newest change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Whether the input is connected.
    pub connected: bool,
    /// Time of the newest change.
    pub updated_at: Timestamp,
    /// Time of the first change since the state is this one.
    pub since: Timestamp,
}

/// A state that Cloudflare's API reported.
pub(super) struct Observed {
    pub(super) connected: bool,
    pub(super) at: Timestamp,
    pub(super) account_id: AccountId,
}

/// What a record leads to, besides the new state of its input.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) note: Option<Note>,
    /// To add to the totals.
    pub(super) durations: Vec<CountedDuration>,
    /// Changes that are no longer in the list.
    pub(super) folded: Vec<Change>,
    /// Sessions that no later record changes.
    pub(super) sessions: Vec<Session>,
}

impl Input {
    /// The evidence for the state; `None` if there is none.
    pub fn evidence(&self) -> Option<Evidence> {
        let (connection, updated_at) = self.now.connection.zip(self.now.newest)?;
        Some(Evidence { connected: connection.connected, updated_at, since: connection.since })
    }

    /// The same with a change that waits for a disk that hangs, if there is one.
    pub fn evidence_with(&self, pending: Option<PendingChange>) -> Option<Evidence> {
        let durable = self.evidence();
        let is_newer = |pending: &PendingChange| durable.is_none_or(|durable| durable.updated_at < pending.updated_at);
        let Some(PendingChange { connected, updated_at }) = pending.filter(is_newer) else { return durable };
        let since =
            durable.filter(|durable| durable.connected == connected).map_or(updated_at, |durable| durable.since);
        Some(Evidence { connected, updated_at, since })
    }

    /// Size of the list of changes, in bytes.
    pub(super) fn list_size(&self) -> usize {
        size_of_val(&*self.list)
    }

    /// Events by [`EventKind::index`].
    pub fn events(&self) -> [u64; 3] {
        let [connected, disconnected] = self.changes.map(u64::from);
        [connected, disconnected, self.errors.total()]
    }

    /// Number of events of all kinds.
    pub fn event_count(&self) -> u64 {
        self.events().iter().sum()
    }

    /// Event time of the newest event by [`EventKind::index`].
    pub fn last_event(&self) -> [Option<Timestamp>; 3] {
        let [connected, disconnected] = self.last_change;
        [connected, disconnected, self.errors.newest_at()]
    }

    /// Event time of the newest event of any kind.
    pub fn newest_event(&self) -> Option<Timestamp> {
        self.last_event().into_iter().max().flatten()
    }

    /// The counters in a view at `as_of`. They are never less than in an earlier scrape: if a late change makes one
    /// smaller, it stays constant until the true value exceeds it.
    pub fn counters(&self, as_of: Timestamp, rules: &Rules) -> Counters {
        let Shown { counts, connected } = self.shown_at(as_of, rules);
        Counters {
            sessions: counts.sessions.into(),
            reconnects: counts.reconnects.into(),
            inconsistent: counts.inconsistent.map(u64::from),
            connected_time: Duration::from_nanos(connected),
        }
    }

    /// Durations that a view at `as_of` shows in histograms and that are not part of the totals.
    pub(super) fn durations(&self, as_of: Timestamp, rules: &Rules, mut observe: impl FnMut(CountedDuration)) {
        self.find_uncounted(as_of, rules, |finding| finding.duration().into_iter().for_each(&mut observe));
    }

    /// Whether the change is in the list.
    pub(super) fn lists(&self, change: &Change) -> bool {
        self.list.iter().rev().any(|listed| listed.is(change))
    }

    /// Whether a change at this time is older than the list.
    pub(super) fn is_before_list(&self, at: Timestamp) -> bool {
        self.base.as_ref().is_some_and(|base| Some(at) <= base.newest)
    }

    /// Whether a change of the reconnect window or the reorder window could alter what happened.
    pub(super) fn depends_on_windows(&self) -> bool {
        !self.list.is_empty() || self.now.session.is_some()
    }

    /// Applies an event.
    pub(super) fn apply(&mut self, event: &Event, record: &Record, rules: &Rules) -> Effect {
        self.known_since.get_or_insert(event.received_at);
        self.account_id = event.origin.account_id.or(self.account_id);
        let mut effect = self.begin(record, rules);
        match &event.kind {
            EventKind::Errored(detail) => self.errors.count(&detail.code, event.updated_at),
            EventKind::Connected | EventKind::Disconnected => {
                let kind = event.kind.index();
                self.changes[kind] = self.changes[kind].saturating_add(1);
                self.last_change[kind] = self.last_change[kind].max(Some(event.updated_at));
                let mut change = Change::of(event);
                self.replace_observations(&mut change, rules);
                effect.note = self.insert(change, rules, &mut effect);
            }
        }
        effect
    }

    /// Sets the state as an operator decided at this time.
    pub(super) fn correct(&mut self, connected: bool, at: Timestamp, record: &Record, rules: &Rules) -> Effect {
        self.known_since.get_or_insert(at);
        let mut effect = self.begin(record, rules);
        let newest = self.evidence().map(|evidence| evidence.updated_at);
        let at = newest.map_or(at, |newest| Change::time_of_correction(at, newest));
        self.insert(Change::without_event(ChangeSource::Correction, connected, at), rules, &mut effect);
        effect
    }

    /// Cloudflare's API said that the input has been in this state since this time.
    pub(super) fn observe(&mut self, observed: &Observed, record: &Record, rules: &Rules) -> Effect {
        self.known_since.get_or_insert(observed.at);
        self.account_id = Some(observed.account_id);
        let mut effect = self.begin(record, rules);
        let change = Change::without_event(ChangeSource::Observation, observed.connected, observed.at);
        self.insert(change, rules, &mut effect);
        effect
    }

    /// Removes listed observations of the change that an event reports.
    fn replace_observations(&mut self, event: &mut Change, rules: &Rules) {
        if self.is_before_list(event.at()) || !self.list.iter().any(|listed| listed.is_observation_of(event)) {
            return;
        }
        let (replaced, kept): (Vec<_>, Vec<_>) = self.list.iter().partition(|listed| listed.is_observation_of(event));
        event.counted = replaced.iter().any(|observation: &Change| observation.counted);
        self.list = kept.into();
        self.now = self.walk(rules.reconnect_window, |_| ());
    }

    /// Ends what depends on the rules, before they change or the input is forgotten: folds the list, and counts the
    /// session if it is finished at `as_of`.
    pub(super) fn settle(&mut self, record: &Record, rules: &Rules, as_of: Timestamp) -> Effect {
        let mut effect = self.begin(record, rules);
        while !self.list.is_empty() {
            self.fold_oldest(rules, &mut effect);
        }
        let ended_at = self.now.connection.map(|connection| connection.since);
        if ended_at.is_some_and(|ended_at| ended_at.plus(rules.reconnect_window) < as_of) {
            self.now.end_session(rules.reconnect_window, &mut |finding| effect.count(finding));
        }
        self.base = Some(Box::new(self.now));
        effect
    }

    /// Keeps what the latest scrape before this record showed.
    fn begin(&mut self, record: &Record, rules: &Rules) -> Effect {
        let mut effect = Effect::default();
        let shown_until = Some(record.shown_until);
        if self.shown_until < shown_until {
            self.shown = self.shown_at(record.shown_until, rules);
            let mut counted = Vec::new();
            self.find_uncounted(record.shown_until, rules, |finding| counted.push(finding));
            for finding in &counted {
                self.mark_counted(finding);
                effect.durations.extend(finding.duration());
            }
            if !counted.is_empty() {
                self.now = self.walk(rules.reconnect_window, |_| ());
            }
            self.shown_until = shown_until;
        }
        self.recorded_at = self.recorded_at.max(Some(record.recorded_at));
        effect
    }

    /// Inserts a change at its place, and folds the oldest changes.
    fn insert(&mut self, change: Change, rules: &Rules, effect: &mut Effect) -> Option<Note> {
        if self.is_before_list(change.at()) {
            return Some(Note::OutOfOrder);
        }
        let mut list = std::mem::take(&mut self.list).into_vec();
        list.reserve_exact(1);
        list.insert(list.partition_point(|listed| *listed < change), change);
        self.list = list.into();
        let mut repeats = false;
        let found = |finding: Finding| {
            repeats |= finding.at == change.at() && finding.kind == FindingKind::Repeat { connected: change.connected };
        };
        if self.now.newest < Some(change.at()) {
            self.now.through(&[change], rules.reconnect_window, found);
        } else {
            self.now = self.walk(rules.reconnect_window, found);
        }
        while self.list.len() > MAX_LISTED || self.is_oldest_settled(rules) {
            self.fold_oldest(rules, effect);
        }
        repeats.then_some(Note::Inconsistent)
    }

    /// Whether the oldest instant of the list is older than the reorder window, and enough changes stay without it.
    fn is_oldest_settled(&self, rules: &Rules) -> bool {
        let [oldest, .., newest] = &*self.list else { return false };
        oldest.at() < newest.at().minus(rules.reorder_window)
            && self.list.len() - self.oldest_instant().len() >= MIN_LISTED
    }

    /// The oldest instant of the list.
    fn oldest_instant(&self) -> &[Change] {
        self.list.chunk_by(|one, next| one.at() == next.at()).next().unwrap_or_default()
    }

    /// Folds the oldest instant of the list into the base.
    fn fold_oldest(&mut self, rules: &Rules, effect: &mut Effect) {
        let (folded, kept) = self.list.split_at(self.oldest_instant().len());
        let base = self.base.get_or_insert_default();
        base.at_instant(folded, rules.reconnect_window, &mut |finding| effect.count(finding));
        effect.folded.extend(folded);
        self.list = kept.into();
    }

    /// Walks from the base through the list.
    fn walk(&self, window: Duration, found: impl FnMut(Finding)) -> Walk {
        let mut walk = self.base.as_deref().copied().unwrap_or_default();
        walk.through(&self.list, window, found);
        walk
    }

    fn shown_at(&self, as_of: Timestamp, rules: &Rules) -> Shown {
        if self.shown_until >= Some(as_of) {
            return self.shown;
        }
        let mut counts = self.now.counts;
        counts.inconsistent = self.settled_repeats(as_of, rules);
        let current = self.now.connection.filter(|connection| connection.connected);
        let running = current.and_then(|current| as_of.since(current.since)).unwrap_or_default();
        let connected = self.now.closed.saturating_add(nanos(running));
        Shown { counts: counts.max(self.shown.counts), connected: connected.max(self.shown.connected) }
    }

    /// Number of settled events that repeat the state: connected, disconnected.
    fn settled_repeats(&self, as_of: Timestamp, rules: &Rules) -> [u32; 2] {
        let mut repeats = self.now.counts.inconsistent;
        let settled = self.settled_until(as_of, rules);
        let in_base = self.base.as_ref().map_or([0; 2], |base| base.counts.inconsistent);
        if repeats != in_base && self.now.newest >= Some(settled) {
            self.walk(rules.reconnect_window, |finding| {
                if let FindingKind::Repeat { connected } = finding.kind {
                    repeats[usize::from(!connected)] -= u32::from(finding.settled_after >= settled);
                }
            });
        }
        repeats
    }

    /// Finds settled durations that are not part of the totals, unless an earlier scrape covers this time.
    fn find_uncounted(&self, as_of: Timestamp, rules: &Rules, mut found: impl FnMut(Finding)) {
        if self.shown_until >= Some(as_of) {
            return;
        }
        let settled = self.settled_until(as_of, rules);
        let mut found = |finding: Finding| {
            if !finding.counted && finding.settled_after < settled && finding.duration().is_some() {
                found(finding);
            }
        };
        self.walk(rules.reconnect_window, &mut found).end_session(rules.reconnect_window, &mut found);
    }

    /// The time before which only late changes can alter the history, in a view at `as_of`.
    fn settled_until(&self, as_of: Timestamp, rules: &Rules) -> Timestamp {
        let window = rules.reorder_window;
        let newest = self.now.newest.unwrap_or_default().minus(window);
        let is_quiet = self.recorded_at.is_none_or(|recorded_at| recorded_at.plus(window) <= as_of);
        if is_quiet { newest.max(as_of.minus(window)) } else { newest }
    }

    /// Marks the change that this finding belongs to: its duration is part of the totals. An event and a correction
    /// may be equal in time and state; which of them has the finding depends on the changes before, so both are marked.
    fn mark_counted(&mut self, finding: &Finding) {
        let connected = matches!(finding.kind, FindingKind::ReconnectDelay(_));
        let mut in_list = false;
        for change in self.list.iter_mut().filter(|change| (change.at(), change.connected) == (finding.at, connected)) {
            change.counted = true;
            in_list = true;
        }
        if !in_list && let Some(connection) = self.base.as_mut().and_then(|base| base.connection.as_mut()) {
            connection.counted = true;
        }
    }
}

impl Effect {
    fn count(&mut self, finding: Finding) {
        self.durations.extend(finding.duration().filter(|_| !finding.counted));
        self.sessions.extend(finding.session());
    }
}
