//! What is known of one live input.
//!
//! `connected` and `disconnected` compete by event time: the newest is believed, and at an exact tie
//! `disconnected`. An older one is counted and changes nothing else. `errored` never says anything
//! about the connection.
//!
//! A counter cannot take anything back, so what was shown counts: `shown_until` is the time of the
//! newest view that anybody may have been shown when an event is applied. Evidence that came after
//! that view is visible in later views only; see [`Input::connected_time`].
//!
//! A *session* runs from a connect to the disconnect after which no reconnect came within the
//! reconnect window; short gaps are part of it. A session is therefore finished by the passing of
//! time, and its end is banked when the next session begins.

mod row;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Errors;
use super::dedup::Identity;
use crate::event::{Event, EventKind, Timestamp};
use row::Row;

/// The state of one live input. There may be a million of them: what follows from something else is not kept, and times
/// are nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub struct Input {
    /// When the first event was received; `None` before it.
    pub known_since: Option<Timestamp>,
    /// Connects and disconnects.
    changes: [u64; 2],
    /// Event time of the newest connect and the newest disconnect.
    last_change: [Option<Timestamp>; 2],
    /// Since when they are as they are; `None` before the first.
    held: Option<ConnectionState>,
    /// Errored events by class.
    pub errors: Errors,
    /// Sessions begun.
    pub sessions: u64,
    /// Connects within the reconnect window after a disconnect.
    pub reconnects: u64,
    /// Events that repeat the believed state at a later time: connected, disconnected.
    pub inconsistent: [u64; 2],
    /// When the session began that is not banked yet. It ended with the newest change to disconnected, unless a reconnect
    /// follows in time.
    session: Option<Timestamp>,
    /// Connected time of closed connections, in nanoseconds.
    banked: u64,
    /// The most connected time that was ever shown, in nanoseconds.
    shown: u64,
}

/// Since when the newest word on the connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ConnectionState {
    since: Timestamp,
    unseen_until: Timestamp,
}

/// The newest word on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whether it says connected.
    pub connected: bool,
    /// Event time of the newest event that says so.
    pub updated_at: Timestamp,
    /// Event time of the first event that said so without contradiction since.
    pub since: Timestamp,
    /// Views up to this time were shown before it was known.
    unseen_until: Timestamp,
}

/// What an event does beyond the input that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Effect {
    pub(super) out_of_order: bool,
    pub(super) inconsistent: bool,
    /// From the newest disconnect to the connect.
    pub(super) reconnect_delay: Option<Duration>,
    /// The duration of a session that turned out to be finished.
    pub(super) finished_session: Option<Duration>,
    /// The event that the input does not tell any more, or this one when it is not the newest of its kind.
    pub(super) displaced: Option<Identity>,
}

impl Input {
    /// What is believed about the connection; `None` without any evidence.
    pub fn evidence(&self) -> Option<Evidence> {
        let ConnectionState { since, unseen_until } = self.held?;
        let [connected, disconnected] = self.last_change;
        let updated_at = connected.max(disconnected)?;
        // The disconnected of two events at one instant counts as the later.
        Some(Evidence { connected: connected > disconnected, updated_at, since, unseen_until })
    }

    /// Events by [`EventKind::index`].
    pub fn events(&self) -> [u64; 3] {
        let [connected, disconnected] = self.changes;
        [connected, disconnected, self.errors.total()]
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

    /// Whether the state shows that it has this event: it is the newest connect, disconnect, or error of its class.
    pub(super) fn is_latest(&self, event: &Event) -> bool {
        match &event.kind {
            EventKind::Connected => self.last_change[0] == Some(event.updated_at),
            EventKind::Disconnected => self.last_change[1] == Some(event.updated_at),
            EventKind::Errored(detail) => self.errors.is_latest(&detail.code, event.updated_at),
        }
    }

    /// The events that the state is_latest.
    pub(super) fn latest_events(&self) -> impl Iterator<Item = Identity> {
        let change = |(connected, at): (_, Option<_>)| at.map(|at| Identity::of_change(connected, at));
        [true, false].into_iter().zip(self.last_change).filter_map(change).chain(self.errors.latest_events())
    }

    /// Folds an event, when views up to `shown_until` may have been shown.
    pub(super) fn apply(&mut self, event: &Event, shown_until: Timestamp, reconnect_window: Duration) -> Effect {
        self.known_since.get_or_insert(event.received_at);
        match &event.kind {
            EventKind::Connected => self.change(true, event.updated_at, shown_until, reconnect_window),
            EventKind::Disconnected => self.change(false, event.updated_at, shown_until, reconnect_window),
            EventKind::Errored(detail) => {
                Effect { displaced: self.errors.count(&detail.code, event.updated_at), ..Effect::default() }
            }
        }
    }

    fn change(&mut self, connected: bool, at: Timestamp, shown_until: Timestamp, window: Duration) -> Effect {
        let effect = self.believe(connected, at, shown_until, window);
        let kind = usize::from(!connected);
        self.changes[kind] += 1;
        let (last, this) = (self.last_change[kind], Some(at));
        self.last_change[kind] = last.max(this);
        Effect { displaced: last.min(this).map(|at| Identity::of_change(connected, at)), ..effect }
    }

    /// What a change means, which is not yet among those that evidence is made of.
    fn believe(&mut self, connected: bool, at: Timestamp, shown_until: Timestamp, window: Duration) -> Effect {
        let effect = match self.evidence() {
            // The disconnected of two events at one instant counts as the later.
            Some(held) if (at, !connected) < (held.updated_at, !held.connected) => {
                return Effect { out_of_order: true, ..Effect::default() };
            }
            Some(held) if connected == held.connected => {
                self.inconsistent[usize::from(!connected)] += 1;
                return Effect { inconsistent: true, ..Effect::default() };
            }
            Some(held) => {
                self.shown = nanos(self.connected_time(shown_until));
                if connected {
                    self.connect_again(at, held, shown_until, window)
                } else {
                    self.banked = self.banked.saturating_add(nanos(at.since(held.since).unwrap_or_default()));
                    Effect::default()
                }
            }
            None => {
                if connected {
                    self.sessions += 1;
                    self.session = Some(at);
                }
                Effect::default()
            }
        };
        self.held = Some(ConnectionState { since: at, unseen_until: shown_until });
        effect
    }

    /// Folds a connect after a disconnect, whose evidence is still held.
    fn connect_again(&mut self, at: Timestamp, held: Evidence, shown_until: Timestamp, window: Duration) -> Effect {
        let delay = at.since(held.updated_at).unwrap_or_default();
        let reconnected = delay <= window;
        if reconnected {
            self.reconnects += 1;
        } else {
            self.sessions += 1;
        }
        // A session that was shown as finished stays finished, however late this word.
        let resumes = reconnected && self.finished_session(shown_until, window).is_none() && self.session.is_some();
        let mut finished_session = None;
        if !resumes {
            finished_session = self.session.replace(at).map(|began| held.since.since(began).unwrap_or_default());
        }
        Effect { reconnect_delay: Some(delay), finished_session, ..Effect::default() }
    }

    /// The session that a view as of this time shows as finished and that is not banked yet: no reconnect could resume it
    /// any more. Its duration.
    pub(super) fn finished_session(&self, as_of: Timestamp, reconnect_window: Duration) -> Option<Duration> {
        let held = self.visible_evidence(as_of).filter(|evidence| !evidence.connected)?;
        let began = self.session.filter(|_| as_of > held.since.plus(reconnect_window))?;
        Some(held.since.since(began).unwrap_or_default())
    }

    /// The evidence, unless it came after everything that was shown as of this time.
    fn visible_evidence(&self, as_of: Timestamp) -> Option<Evidence> {
        self.evidence().filter(|evidence| as_of > evidence.unseen_until)
    }

    /// Lets go of the session, which was banked.
    pub(super) fn end_session(&mut self) {
        self.session = None;
    }

    /// Time known to be connected up to `as_of`, the running connection included. Never less than in
    /// an earlier view: when a late disconnect shortens what was shown already, it holds until the
    /// truth has caught up.
    pub fn connected_time(&self, as_of: Timestamp) -> Duration {
        let connection = self.visible_evidence(as_of).filter(|evidence| evidence.connected);
        let running = connection.and_then(|connection| as_of.since(connection.since));
        (Duration::from_nanos(self.banked) + running.unwrap_or_default()).max(Duration::from_nanos(self.shown))
    }
}

/// As far as a timestamp reaches.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
