//! The state of one live input.
//!
//! The connection state is that of the newest `connected` or `disconnected` by event time; at an exact tie,
//! `disconnected` wins. An older event is counted and changes nothing else. `errored` does not change the
//! connection state.
//!
//! A counter must not fall below a value that a scrape has shown. `shown_until` is the time of the latest
//! scrape before an event was recorded; only later scrapes include the event. See
//! [`Input::connected_time`].
//!
//! A *session* runs from a connect to the first disconnect that no reconnect follows within the reconnect
//! window; shorter gaps are part of it. A session is finished by the passing of time and not by an event, so
//! it is booked when the next one begins.

mod row;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Errors;
use crate::event::{Event, EventKind, Note, Timestamp};
use row::Row;

/// The state of one live input. There may be a million inputs, so derived values are not stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub struct Input {
    /// When the first event was received; `None` before it.
    pub known_since: Option<Timestamp>,
    /// Number of connects and of disconnects.
    changes: [u64; 2],
    /// Event time of the newest connect and the newest disconnect.
    last_change: [Option<Timestamp>; 2],
    /// `None` before the first of them.
    connection: Option<ConnectionState>,
    /// Errored events by class.
    pub errors: Errors,
    /// Sessions begun.
    pub sessions: u64,
    /// Connects within the reconnect window after a disconnect.
    pub reconnects: u64,
    /// Events that repeat the state at a later time: connected, disconnected.
    pub inconsistent: [u64; 2],
    /// Begin of the session that is not booked yet. If the input is disconnected, the session ended with the
    /// disconnect, unless a reconnect follows within the window.
    session: Option<Timestamp>,
    /// Time in closed connections, in nanoseconds.
    closed: u64,
    /// The largest connected time that a scrape has shown, in nanoseconds.
    shown: u64,
}

/// Since when the input is connected or disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ConnectionState {
    since: Timestamp,
    unseen_until: Timestamp,
}

/// The state according to the newest connect or disconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whether the input is connected.
    pub connected: bool,
    /// Event time of the newest event that confirms the state.
    pub updated_at: Timestamp,
    /// Event time of the first event since the last change of state.
    pub since: Timestamp,
    /// Time of the latest scrape that did not include the state.
    unseen_until: Timestamp,
}

/// Effect of an event on the totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Effect {
    pub(super) out_of_order: bool,
    pub(super) inconsistent: bool,
    /// From the newest disconnect to the connect.
    pub(super) reconnect_delay: Option<Duration>,
    /// Duration of the session that ended before this one began.
    pub(super) finished_session: Option<Duration>,
}

impl Effect {
    pub(super) fn note(&self) -> Option<Note> {
        match (self.out_of_order, self.inconsistent) {
            (true, _) => Some(Note::OutOfOrder),
            (_, true) => Some(Note::Inconsistent),
            (false, false) => None,
        }
    }
}

impl Input {
    /// The evidence for the state; `None` if there is none.
    pub fn evidence(&self) -> Option<Evidence> {
        let ConnectionState { since, unseen_until } = self.connection?;
        let [connected, disconnected] = self.last_change;
        let updated_at = connected.max(disconnected)?;
        // At an exact tie, the disconnect counts as the later.
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

    /// Applies an event that was recorded after a scrape at `shown_until`.
    pub(super) fn apply(&mut self, event: &Event, shown_until: Timestamp, reconnect_window: Duration) -> Effect {
        self.known_since.get_or_insert(event.received_at);
        match &event.kind {
            EventKind::Connected => self.change(true, event.updated_at, shown_until, reconnect_window),
            EventKind::Disconnected => self.change(false, event.updated_at, shown_until, reconnect_window),
            EventKind::Errored(detail) => {
                self.errors.count(&detail.code, event.updated_at);
                Effect::default()
            }
        }
    }

    fn change(&mut self, connected: bool, at: Timestamp, shown_until: Timestamp, window: Duration) -> Effect {
        let effect = self.change_state(connected, at, shown_until, window);
        let kind = usize::from(!connected);
        self.changes[kind] += 1;
        self.last_change[kind] = self.last_change[kind].max(Some(at));
        effect
    }

    /// Changes the state, before the change is counted in `last_change`.
    fn change_state(&mut self, connected: bool, at: Timestamp, shown_until: Timestamp, window: Duration) -> Effect {
        let effect = match self.evidence() {
            // At an exact tie, the disconnect counts as the later.
            Some(evidence) if (at, !connected) < (evidence.updated_at, !evidence.connected) => {
                return Effect { out_of_order: true, ..Effect::default() };
            }
            Some(evidence) if connected == evidence.connected => {
                self.inconsistent[usize::from(!connected)] += 1;
                return Effect { inconsistent: true, ..Effect::default() };
            }
            Some(evidence) => {
                self.shown = nanos(self.connected_time(shown_until));
                if connected {
                    self.connect_again(at, evidence, shown_until, window)
                } else {
                    let connection = at.since(evidence.since).unwrap_or_default();
                    self.closed = self.closed.saturating_add(nanos(connection));
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
        self.connection = Some(ConnectionState { since: at, unseen_until: shown_until });
        effect
    }

    /// Applies a connect after a disconnect.
    fn connect_again(&mut self, at: Timestamp, before: Evidence, shown_until: Timestamp, window: Duration) -> Effect {
        let delay = at.since(before.updated_at).unwrap_or_default();
        let reconnected = delay <= window;
        if reconnected {
            self.reconnects += 1;
        } else {
            self.sessions += 1;
        }
        // A session that a scrape has shown as finished stays finished.
        let resumes = reconnected && self.finished_session(shown_until, window).is_none() && self.session.is_some();
        let mut finished_session = None;
        if !resumes {
            finished_session = self.session.replace(at).map(|began| before.since.since(began).unwrap_or_default());
        }
        Effect { reconnect_delay: Some(delay), finished_session, ..Effect::default() }
    }

    /// Duration of the session that is finished at `as_of`, because no reconnect can continue it, and is not booked
    /// yet.
    pub(super) fn finished_session(&self, as_of: Timestamp, reconnect_window: Duration) -> Option<Duration> {
        let evidence = self.visible_evidence(as_of).filter(|evidence| !evidence.connected)?;
        let began = self.session.filter(|_| as_of > evidence.since.plus(reconnect_window))?;
        Some(evidence.since.since(began).unwrap_or_default())
    }

    /// Duration of the session that is not booked yet, if the input is disconnected.
    pub(super) fn ended_session(&self) -> Option<Duration> {
        let evidence = self.evidence().filter(|evidence| !evidence.connected)?;
        self.session.map(|began| evidence.since.since(began).unwrap_or_default())
    }

    /// The evidence, unless the scrape at `as_of` did not include it.
    fn visible_evidence(&self, as_of: Timestamp) -> Option<Evidence> {
        self.evidence().filter(|evidence| as_of > evidence.unseen_until)
    }

    /// Ends the session after it was booked.
    pub(super) fn end_session(&mut self) {
        self.session = None;
    }

    /// Time known to be connected up to `as_of`, including the current connection. Never less than an earlier scrape
    /// showed: if a late disconnect shortens a connection, the value stays constant until the true time exceeds it.
    pub fn connected_time(&self, as_of: Timestamp) -> Duration {
        let connection = self.visible_evidence(as_of).filter(|evidence| evidence.connected);
        let running = connection.and_then(|connection| as_of.since(connection.since));
        (Duration::from_nanos(self.closed) + running.unwrap_or_default()).max(Duration::from_nanos(self.shown))
    }
}

/// Saturates like [`Timestamp`].
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
