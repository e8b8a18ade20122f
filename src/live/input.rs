//! What is known of one live input.
//!
//! `connected` and `disconnected` compete by event time: the newest is believed, and at an exact tie
//! `disconnected`. An older one is counted and changes nothing else. `errored` never says anything
//! about the connection.
//!
//! A *session* runs from a connect to the disconnect after which no reconnect came within the
//! reconnect window; short gaps are part of it. A session is therefore finished by the passing of
//! time, and its end is banked when the next session begins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{ErrorClass, ErrorCode, Event, EventKind, Timestamp};

/// The state of one live input.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Input {
    /// When the first event was made durable; `None` before it.
    pub known_since: Option<Timestamp>,
    /// What is believed about the connection; `None` without any evidence.
    pub evidence: Option<Evidence>,
    /// Events by [`EventKind::index`].
    pub events: [u64; 3],
    /// Event time of the newest event by [`EventKind::index`].
    pub last_event: [Option<Timestamp>; 3],
    /// Errored events by [`ErrorClass::index`].
    pub errors: [u64; 7],
    /// Event time of the newest error by [`ErrorClass::index`].
    pub last_error: [Option<Timestamp>; 7],
    /// The newest code that is counted as [`ErrorClass::Other`], verbatim.
    pub last_other_code: ErrorCode,
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
    /// Folds an event that was made durable at `stamp`.
    pub(super) fn apply(&mut self, event: &Event, stamp: Timestamp, reconnect_window: Duration) -> Effect {
        self.known_since.get_or_insert(stamp);
        let kind = event.kind.index();
        self.events[kind] += 1;
        self.last_event[kind] = self.last_event[kind].max(Some(event.updated_at));
        match &event.kind {
            EventKind::Connected => self.believe(true, event.updated_at, stamp, reconnect_window),
            EventKind::Disconnected => self.believe(false, event.updated_at, stamp, reconnect_window),
            EventKind::Errored(detail) => {
                self.count_error(&detail.code, event.updated_at);
                Effect::default()
            }
        }
    }

    fn count_error(&mut self, code: &ErrorCode, updated_at: Timestamp) {
        let class = code.class();
        let last = &mut self.last_error[class.index()];
        let newest = (Some(updated_at), code.as_str()) >= (*last, self.last_other_code.as_str());
        if class == ErrorClass::Other && newest {
            self.last_other_code = code.clone();
        }
        self.errors[class.index()] += 1;
        *last = (*last).max(Some(updated_at));
    }

    fn believe(&mut self, connected: bool, at: Timestamp, stamp: Timestamp, window: Duration) -> Effect {
        let Some(held) = self.evidence else {
            self.evidence = Some(Evidence { connected, updated_at: at, since: at });
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
        // Whatever a scrape has shown up to now must not be taken back.
        self.shown = self.connected_time(stamp);
        self.evidence = Some(Evidence { connected, updated_at: at, since: at });
        if connected {
            self.connect_again(at, at.since(held.updated_at).unwrap_or_default(), stamp, window)
        } else {
            self.banked += at.since(held.since).unwrap_or_default();
            self.session = self.session.map(|session| Session { ended_at: Some(at), ..session });
            Effect::default()
        }
    }

    fn connect_again(&mut self, at: Timestamp, delay: Duration, stamp: Timestamp, window: Duration) -> Effect {
        let reconnected = delay <= window;
        if reconnected {
            self.reconnects += 1;
        } else {
            self.sessions += 1;
        }
        let finished_session = match &mut self.session {
            // A session that a scrape has shown as finished stays finished, however late this word.
            Some(session) if reconnected && !session.finished(stamp, window) => {
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

    /// The session that has finished by `as_of` and is not banked yet.
    pub(super) fn finished_session(&self, as_of: Timestamp, reconnect_window: Duration) -> Option<Duration> {
        self.session.filter(|session| session.finished(as_of, reconnect_window)).and_then(Session::duration)
    }

    /// Takes the finished session out, to be banked.
    pub(super) fn settle(&mut self, as_of: Timestamp, reconnect_window: Duration) -> Option<Duration> {
        let finished = self.finished_session(as_of, reconnect_window)?;
        self.session = None;
        Some(finished)
    }

    /// Time known to be connected up to `as_of`, the running connection included. Never less than
    /// for any earlier `as_of`, also when a late disconnect shortens the connection: then it holds
    /// until the truth has caught up.
    pub fn connected_time(&self, as_of: Timestamp) -> Duration {
        let running = self.evidence.filter(|evidence| evidence.connected).and_then(|evidence| as_of.since(evidence.since));
        (self.banked + running.unwrap_or_default()).max(self.shown)
    }

    /// The newest error: its event time and its code as Cloudflare sent it.
    pub fn newest_error(&self) -> Option<(Timestamp, ErrorCode)> {
        let newest = ErrorClass::ALL.into_iter().filter_map(|class| Some((self.last_error[class.index()]?, class)));
        newest.max_by_key(|(at, class)| (*at, class.index())).map(|(at, class)| match class {
            ErrorClass::Other => (at, self.last_other_code.clone()),
            class => (at, ErrorCode::Documented(class)),
        })
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
