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

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Errors;
use crate::event::{Event, EventKind, Timestamp};

/// The state of one live input.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Input {
    /// When the first event was received; `None` before it.
    pub known_since: Option<Timestamp>,
    /// What is believed about the connection; `None` without any evidence.
    pub evidence: Option<Evidence>,
    /// Events by [`EventKind::index`].
    pub events: [u64; 3],
    /// Event time of the newest event by [`EventKind::index`].
    pub last_event: [Option<Timestamp>; 3],
    /// Errored events by class.
    #[serde(flatten)]
    pub errors: Errors,
    /// Sessions begun.
    pub sessions: u64,
    /// Connects within the reconnect window after a disconnect.
    pub reconnects: u64,
    /// Events that repeat the believed state at a later time: connected, disconnected.
    pub inconsistent: [u64; 2],
    session: Option<Session>,
    /// Connected time of closed connections.
    banked: Duration,
    /// The most connected time that was ever shown.
    shown: Duration,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    started_at: Timestamp,
    /// The disconnect that ends it, unless a reconnect follows in time.
    ended_at: Option<Timestamp>,
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
}

impl Input {
    /// Folds an event, when views up to `shown_until` may have been shown.
    pub(super) fn apply(&mut self, event: &Event, shown_until: Timestamp, reconnect_window: Duration) -> Effect {
        self.known_since.get_or_insert(event.received_at);
        let kind = event.kind.index();
        self.events[kind] += 1;
        self.last_event[kind] = self.last_event[kind].max(Some(event.updated_at));
        match &event.kind {
            EventKind::Connected => self.believe(true, event.updated_at, shown_until, reconnect_window),
            EventKind::Disconnected => self.believe(false, event.updated_at, shown_until, reconnect_window),
            EventKind::Errored(detail) => {
                self.errors.count(&detail.code, event.updated_at);
                Effect::default()
            }
        }
    }

    fn believe(&mut self, connected: bool, at: Timestamp, shown_until: Timestamp, window: Duration) -> Effect {
        let evidence = Evidence { connected, updated_at: at, since: at, unseen_until: shown_until };
        let Some(held) = self.evidence else {
            self.evidence = Some(evidence);
            if connected {
                self.sessions += 1;
                self.begin_session(at);
            }
            return Effect::default();
        };
        // The disconnected of two events at one instant counts as the later.
        if (at, !connected) < (held.updated_at, !held.connected) {
            return Effect { out_of_order: true, ..Effect::default() };
        }
        if connected == held.connected {
            self.evidence = Some(Evidence { updated_at: at, ..held });
            self.inconsistent[usize::from(!connected)] += 1;
            return Effect { inconsistent: true, ..Effect::default() };
        }
        self.shown = self.connected_time(shown_until);
        let effect = if connected {
            let delay = at.since(held.updated_at).unwrap_or_default();
            self.connect_again(at, delay, shown_until, window)
        } else {
            self.banked += at.since(held.since).unwrap_or_default();
            self.session = self.session.map(|session| Session { ended_at: Some(at), ..session });
            Effect::default()
        };
        self.evidence = Some(evidence);
        effect
    }

    /// Folds a connect after a disconnect, whose evidence is still held.
    fn connect_again(&mut self, at: Timestamp, delay: Duration, shown_until: Timestamp, window: Duration) -> Effect {
        let reconnected = delay <= window;
        if reconnected {
            self.reconnects += 1;
        } else {
            self.sessions += 1;
        }
        // A session that was shown as finished stays finished, however late this word.
        let resumes = reconnected && self.finished_session(shown_until, window).is_none();
        let finished_session = match &mut self.session {
            Some(session) if resumes => {
                session.ended_at = None;
                None
            }
            _ => self.begin_session(at),
        };
        Effect { reconnect_delay: Some(delay), finished_session, ..Effect::default() }
    }

    /// Begins a session; the one before it is finished. Returns that one's duration.
    fn begin_session(&mut self, started_at: Timestamp) -> Option<Duration> {
        self.session.replace(Session { started_at, ended_at: None }).and_then(Session::duration)
    }

    /// The session that a view as of this time shows as finished and that is not banked yet.
    pub(super) fn finished_session(&self, as_of: Timestamp, reconnect_window: Duration) -> Option<Duration> {
        let session = self.session.filter(|_| self.visible_evidence(as_of).is_some())?;
        if session.finished(as_of, reconnect_window) { session.duration() } else { None }
    }

    /// The evidence, unless it came after everything that was shown as of this time.
    fn visible_evidence(&self, as_of: Timestamp) -> Option<Evidence> {
        self.evidence.filter(|evidence| as_of > evidence.unseen_until)
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
        (self.banked + running.unwrap_or_default()).max(self.shown)
    }

    /// Event time of the newest event of any kind.
    pub fn newest_event(&self) -> Option<Timestamp> {
        self.last_event.into_iter().flatten().max()
    }
}

impl Session {
    /// Whether no reconnect could resume it any more.
    fn finished(self, as_of: Timestamp, reconnect_window: Duration) -> bool {
        self.ended_at.is_some_and(|ended_at| as_of > ended_at.plus(reconnect_window))
    }

    fn duration(self) -> Option<Duration> {
        Some(self.ended_at?.since(self.started_at).unwrap_or_default())
    }
}
