//! What the connects and disconnects of an input mean, in the order of their event times.
//!
//! This model does not use the library's stage `live`, which the history is made with.

use std::time::Duration;

use stream_live_exporter::event::Timestamp;
use stream_live_exporter::simulate::{Fact, FactKind};

/// A connect within this time after the disconnect continues the session.
const RECONNECT_WINDOW: Duration = Duration::from_secs(60);
/// Notifications may arrive in any order within this time.
const REORDER_WINDOW: Duration = Duration::from_secs(5 * 60);
/// Longer gaps are not reconnect delays.
const LONGEST_RECONNECT: Duration = Duration::from_secs(3600);
/// This many changes are sorted in any case, regardless of their age.
const ALWAYS_SORTED: usize = 8;

/// A connect (true) or disconnect at an event time.
pub type Change = (Timestamp, bool);

/// The changes of an input that have arrived, sorted by event time.
#[derive(Debug, Default)]
pub struct Changes {
    sorted: Vec<Change>,
    /// An older change no longer alters anything.
    closed_until: Option<Timestamp>,
}

/// The counters that follow from the changes, and what is counted once it is settled.
#[derive(Debug, Default)]
pub struct Walk {
    pub connected: Option<bool>,
    pub sessions: u64,
    /// The start of each session, and its end if it has one.
    pub spans: Vec<(Timestamp, Option<Timestamp>)>,
    pub reconnects: u64,
    pub findings: Vec<Finding>,
}

/// Something that is counted once no notification within the reorder window can alter it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    pub kind: FindingKind,
    /// What happens up to this time can alter it.
    open_until: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// An event of this kind that repeats the state.
    Repeat(&'static str),
    ReconnectDelay,
    Session,
}

impl Changes {
    /// Adds an event that has arrived. Returns false if it is out of order.
    pub fn add(&mut self, fact: &Fact) -> bool {
        let connected = match fact.kind {
            FactKind::Connected => true,
            FactKind::Disconnected => false,
            FactKind::Errored(_) => return true,
        };
        if self.closed_until.is_some_and(|closed| fact.updated_at <= closed) {
            return false;
        }
        self.sorted.push((fact.updated_at, connected));
        self.sorted.sort();
        let newest = self.sorted.last().expect("one was added").0;
        let closable = self.sorted.len().saturating_sub(ALWAYS_SORTED);
        let closed = self.sorted[..closable].iter().rfind(|(at, _)| *at < newest.minus(REORDER_WINDOW));
        self.closed_until = self.closed_until.max(closed.map(|(at, _)| *at));
        true
    }

    pub fn walk(&self) -> Walk {
        let mut walk = Walk::default();
        let (mut since, mut in_session) = (Timestamp::EPOCH, false);
        for (at, connected) in self.sorted.iter().copied() {
            if walk.connected == Some(connected) {
                let kind = if connected { FactKind::Connected } else { FactKind::Disconnected };
                walk.find(FindingKind::Repeat(kind.name()), at);
                continue;
            }
            if connected {
                let gap = walk.connected.and_then(|_| at.since(since));
                if gap.is_some_and(|gap| gap <= LONGEST_RECONNECT) {
                    walk.find(FindingKind::ReconnectDelay, at);
                }
                if gap.is_some_and(|gap| gap <= RECONNECT_WINDOW) {
                    walk.reconnects += 1;
                } else {
                    walk.end_session(in_session, since);
                    walk.sessions += 1;
                    walk.spans.push((at, None));
                }
                in_session = true;
            }
            (walk.connected, since) = (Some(connected), at);
        }
        if walk.connected == Some(false) {
            walk.end_session(in_session, since);
        }
        walk
    }

    /// The time from which on this finding is counted, if the last notification arrived at `last` and the next one will
    /// arrive at `next`.
    pub fn settled_at(&self, finding: &Finding, last: Timestamp, next: Timestamp) -> Option<Timestamp> {
        let newest = self.sorted.last()?.0;
        if finding.open_until < newest.minus(REORDER_WINDOW) {
            return Some(last);
        }
        let quiet = last.max(finding.open_until).plus(REORDER_WINDOW);
        (quiet < next).then_some(quiet)
    }

    pub fn sorted(&self) -> &[Change] {
        &self.sorted
    }
}

impl Walk {
    fn find(&mut self, kind: FindingKind, open_until: Timestamp) {
        self.findings.push(Finding { kind, open_until });
    }

    fn end_session(&mut self, in_session: bool, ended_at: Timestamp) {
        if in_session {
            self.spans.last_mut().expect("a session has begun").1 = Some(ended_at);
            self.find(FindingKind::Session, ended_at.plus(RECONNECT_WINDOW));
        }
    }
}
