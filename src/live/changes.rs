//! Connects and disconnects of an input, in the order of their event times.
//!
//! Notifications may arrive in any order. An input therefore keeps its newest changes as a sorted list, and
//! derives its state by a walk: from the state before the list through every change in it. A change that arrives
//! late is inserted at its place, and the next walk gives the same result as if it had arrived in order.
//!
//! At one instant, connects and disconnects alternate, starting from the state before it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventKind, Timestamp};

/// A longer gap is a pause between broadcasts, not a reconnect delay.
const LONGEST_RECONNECT_DELAY: Duration = Duration::from_secs(3600);

/// Cloudflare's API and a notification give times for the same change that differ by at most this.
const OBSERVATION_TOLERANCE: Duration = Duration::from_secs(30);

/// An instant as two halves, the upper first, so that a change takes 12 bytes instead of 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packed(i32, u32);

impl From<Timestamp> for Packed {
    fn from(at: Timestamp) -> Self {
        let [a, b, c, d, rest @ ..] = at.as_nanos().to_be_bytes();
        Self(i32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(rest))
    }
}

impl From<Packed> for Timestamp {
    fn from(Packed(upper, lower): Packed) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (upper.to_be_bytes(), lower.to_be_bytes());
        Self::from_nanos(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// A connect or disconnect. The order is that of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    at: Packed,
    pub(super) connected: bool,
    /// Who stated it.
    pub(super) source: ChangeSource,
    /// Its reconnect delay, or the session that ended with it, is part of the totals.
    pub(super) counted: bool,
}

/// Who stated a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChangeSource {
    /// An operator.
    Correction,
    /// Cloudflare's API.
    Observation,
    /// An event.
    Event,
}

impl Change {
    /// The change of an event, which is not an error.
    pub(super) fn of(event: &Event) -> Self {
        let connected = event.kind == EventKind::Connected;
        Self { at: event.updated_at.into(), connected, source: ChangeSource::Event, counted: false }
    }

    /// The change by a correction or an observation.
    pub(super) fn without_event(source: ChangeSource, connected: bool, at: Timestamp) -> Self {
        Self { at: at.into(), connected, source, counted: false }
    }

    /// When a correction takes effect. The clock of the newest change may be ahead, and the correction must follow it.
    pub(super) fn time_of_correction(at: Timestamp, newest: Timestamp) -> Timestamp {
        newest.plus(Duration::from_nanos(1)).max(at)
    }

    pub(super) fn is_event(&self) -> bool {
        self.source == ChangeSource::Event
    }

    /// Whether an event reports what this observation found.
    pub(super) fn is_observation_of(&self, event: &Self) -> bool {
        let distance = self.at().since(event.at()).or(event.at().since(self.at()));
        self.source == ChangeSource::Observation
            && self.connected == event.connected
            && distance.is_some_and(|distance| distance <= OBSERVATION_TOLERANCE)
    }

    /// The observations that the event of this change can report are no older than this.
    pub(super) fn oldest_observation(&self) -> Timestamp {
        self.at().minus(OBSERVATION_TOLERANCE)
    }

    pub(super) fn at(&self) -> Timestamp {
        self.at.into()
    }

    /// A stored change.
    pub(super) fn from_flags(at: Timestamp, flags: u8) -> Self {
        let [connected, is_event, counted, is_observation] = [0, 1, 2, 3].map(|bit| flags >> bit & 1 == 1);
        let source = match (is_event, is_observation) {
            (true, _) => ChangeSource::Event,
            (false, true) => ChangeSource::Observation,
            (false, false) => ChangeSource::Correction,
        };
        Self { at: at.into(), connected, source, counted }
    }

    /// The flags to store.
    pub(super) fn flags(&self) -> u8 {
        let is_observation = self.source == ChangeSource::Observation;
        u8::from(self.connected)
            | u8::from(self.is_event()) << 1
            | u8::from(self.counted) << 2
            | u8::from(is_observation) << 3
    }

    /// Whether both are the same change.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.at, self.connected, self.source) == (other.at, other.connected, other.source)
    }
}

/// The state after a sequence of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Walk {
    /// `None` before the first change.
    pub(super) connection: Option<Connection>,
    /// Time of the newest change.
    pub(super) newest: Option<Timestamp>,
    /// Begin of the newest session; `None` if there is none, or if its end is part of the totals.
    pub(super) session: Option<Timestamp>,
    /// Time in ended connections, in nanoseconds.
    pub(super) closed: u64,
    pub(super) counts: Counts,
}

/// Whether an input is connected, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connection {
    pub(super) connected: bool,
    /// Time of the first change to this state.
    pub(super) since: Timestamp,
    /// An event has stated it; otherwise only a correction or an observation has.
    pub(super) confirmed: bool,
    /// The session that ended with this disconnect is part of the totals.
    pub(super) counted: bool,
    /// Connects that continued the newest session. It is here because there is room for it. Checkpoints of earlier
    /// releases lack it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) reconnects: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A session of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) began: Timestamp,
    /// `None`: it goes on. A reconnect within the reconnect window continues a session that has ended.
    pub(super) ended: Option<Timestamp>,
    /// Connects that continued it.
    pub(super) reconnects: u32,
}

/// Counts of one input. They saturate: at one change a second, after 136 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) sessions: u32,
    pub(super) reconnects: u32,
    /// Events that repeat the state: connected, disconnected.
    pub(super) inconsistent: [u32; 2],
}

/// Something that a walk finds at a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: FindingKind,
    /// Time of the change that it belongs to.
    pub(super) at: Timestamp,
    /// Time after which only a change that is late can alter it.
    pub(super) settled_after: Timestamp,
    /// It is part of the totals.
    pub(super) counted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FindingKind {
    /// An event that repeats the state.
    Repeat { connected: bool },
    /// A connect this long after the disconnect.
    ReconnectDelay(Duration),
    /// A session that ended with the disconnect.
    Session { began: Timestamp, reconnects: u32 },
}

/// A duration to observe in a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountedDuration {
    ReconnectDelay(Duration),
    Session(Duration),
}

impl Finding {
    /// What it adds to a histogram, if anything.
    pub(super) fn duration(&self) -> Option<CountedDuration> {
        match self.kind {
            FindingKind::Repeat { .. } => None,
            FindingKind::ReconnectDelay(delay) if delay > LONGEST_RECONNECT_DELAY => None,
            FindingKind::ReconnectDelay(delay) => Some(CountedDuration::ReconnectDelay(delay)),
            FindingKind::Session { began, .. } => {
                Some(CountedDuration::Session(self.at.since(began).unwrap_or_default()))
            }
        }
    }

    /// The session that it ends, if any.
    pub(super) fn session(&self) -> Option<Session> {
        let FindingKind::Session { began, reconnects } = self.kind else { return None };
        Some(Session { began, ended: Some(self.at), reconnects })
    }
}

impl Counts {
    /// The greater of both, count by count.
    pub(super) fn max(self, other: Self) -> Self {
        let [connected, disconnected] = self.inconsistent;
        let [other_connected, other_disconnected] = other.inconsistent;
        Self {
            sessions: self.sessions.max(other.sessions),
            reconnects: self.reconnects.max(other.reconnects),
            inconsistent: [connected.max(other_connected), disconnected.max(other_disconnected)],
        }
    }
}

impl Walk {
    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some_and(|connection| connection.connected)
    }

    /// A state without its beginning, to walk through changes whose predecessors are not known.
    pub(super) fn without_beginning(connected: bool) -> Self {
        let since = Timestamp::EPOCH;
        let connection = Some(Connection { connected, since, confirmed: true, counted: false, reconnects: 0 });
        Self { connection, session: connected.then_some(since), ..Self::default() }
    }

    /// The time connected until this time.
    pub(super) fn connected_time(&self, until: Timestamp) -> Duration {
        let current = self.connection.filter(|connection| connection.connected);
        let running = current.and_then(|current| until.since(current.since)).unwrap_or_default();
        Duration::from_nanos(self.closed).saturating_add(running)
    }

    /// The input is forgotten: its state is unknown from this time on.
    pub(super) fn forget(&mut self, at: Timestamp, window: Duration, found: &mut impl FnMut(Finding)) {
        self.closed = nanos(self.connected_time(at));
        if let Some(connection) = self.connection.as_mut().filter(|connection| connection.connected) {
            *connection = Connection { connected: false, since: at, confirmed: true, counted: false, ..*connection };
        }
        self.end_session(window, found);
        self.connection = None;
    }

    /// Walks through a sorted list.
    pub(super) fn through(&mut self, list: &[Change], window: Duration, mut found: impl FnMut(Finding)) {
        for instant in list.chunk_by(|one, next| one.at == next.at) {
            self.at_instant(instant, window, &mut found);
        }
    }

    /// Walks through the changes of one instant, sorted.
    pub(super) fn at_instant(&mut self, instant: &[Change], window: Duration, found: &mut impl FnMut(Finding)) {
        if self.is_connected() {
            instant.iter().for_each(|change| self.step(change, window, found));
        } else {
            instant.iter().rev().for_each(|change| self.step(change, window, found));
        }
    }

    fn step(&mut self, change: &Change, window: Duration, found: &mut impl FnMut(Finding)) {
        let Change { connected, counted, .. } = *change;
        let is_event = change.is_event();
        let at = change.at();
        self.newest = Some(at);
        let reconnects = match &mut self.connection {
            Some(connection) if connection.connected == connected => {
                if is_event && connection.confirmed {
                    let inconsistent = &mut self.counts.inconsistent[usize::from(!connected)];
                    *inconsistent = inconsistent.saturating_add(1);
                    let kind = FindingKind::Repeat { connected };
                    found(Finding { kind, at, settled_after: at, counted });
                }
                connection.confirmed |= is_event;
                return;
            }
            Some(before) if connected => {
                let before = *before;
                self.connect_again(change, before, window, found)
            }
            Some(before) => {
                let connection = at.since(before.since).unwrap_or_default();
                self.closed = self.closed.saturating_add(nanos(connection));
                before.reconnects
            }
            None => {
                if connected {
                    self.begin_session(at);
                }
                0
            }
        };
        self.connection = Some(Connection { connected, since: at, confirmed: is_event, counted, reconnects });
    }

    /// Returns the number of reconnects of the session.
    fn connect_again(
        &mut self,
        change: &Change,
        before: Connection,
        window: Duration,
        found: &mut impl FnMut(Finding),
    ) -> u32 {
        let at = change.at();
        let delay = at.since(before.since).unwrap_or_default();
        let kind = FindingKind::ReconnectDelay(delay);
        found(Finding { kind, at, settled_after: at, counted: change.counted });
        if delay > window {
            self.end_session(window, found);
            self.begin_session(at);
            0
        } else {
            self.counts.reconnects = self.counts.reconnects.saturating_add(1);
            self.session.get_or_insert(at);
            before.reconnects.saturating_add(1)
        }
    }

    fn begin_session(&mut self, at: Timestamp) {
        self.counts.sessions = self.counts.sessions.saturating_add(1);
        self.session = Some(at);
    }

    /// Ends the session that ended with the newest disconnect, if the input is disconnected.
    pub(super) fn end_session(&mut self, window: Duration, found: &mut impl FnMut(Finding)) {
        let Some(connection) = self.connection.as_mut().filter(|connection| !connection.connected) else { return };
        let Some(began) = self.session.take() else { return };
        let Connection { since: at, counted, .. } = *connection;
        let kind = FindingKind::Session { began, reconnects: std::mem::take(&mut connection.reconnects) };
        found(Finding { kind, at, settled_after: at.plus(window), counted });
    }

    /// The newest session.
    pub(super) fn newest_session(&self) -> Option<Session> {
        let (began, Connection { connected, since, reconnects, .. }) = self.session.zip(self.connection)?;
        Some(Session { began, ended: Some(since).filter(|_| !connected), reconnects })
    }
}

/// Saturates like [`Timestamp`].
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
