//! The connects and disconnects of one input in a part of the journal, for people.
//!
//! An [`Input`](super::Input) has its state now, and counters that never fall. A timeline has the state at each time,
//! and follows late changes back as far as it goes.

use std::time::Duration;

use super::changes::{self, Change, ChangeSource, Finding, Walk};
use crate::event::{Corrected, Correction, Note, Observation, Observed, Record, RecordKind, Timestamp};

/// The changes of one input, in the order of their event times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    /// State before the list; `None` if it has to be concluded from the first change.
    before: Option<Box<Walk>>,
    /// Ascending.
    list: Vec<Change>,
    /// According to its note, the first change of the list repeats the state before it.
    first_repeats: bool,
    /// When the input was forgotten, ascending. No later record has an earlier change.
    forgotten: Vec<Timestamp>,
}

/// A session of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// `None`: before the first record of the timeline.
    pub began: Option<Timestamp>,
    /// `None`: it goes on. A reconnect within the reconnect window continues a session that has ended.
    pub ended: Option<Timestamp>,
    /// Connects that continued it.
    pub reconnects: u32,
}

/// What happened in a part of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// Disconnect events.
    pub disconnects: u64,
    /// Connects that continued a session.
    pub reconnects: u64,
    /// Time connected.
    pub connected_time: Duration,
}

/// A step of a walk through a timeline.
enum Step<'a> {
    /// The changes of one instant.
    Changes(&'a [Change]),
    Forgotten,
}

impl Timeline {
    /// A timeline from the first record of the journal on: before its first change, the state is unknown.
    pub fn complete() -> Self {
        Self { before: Some(Box::default()), ..Self::default() }
    }

    /// Applies a record of the journal. Records of other inputs change nothing, if the caller applies none of them.
    pub fn apply(&mut self, record: &Record) {
        match &record.kind {
            // It changed nothing when it was recorded.
            RecordKind::Event(_, Some(Note::OutOfOrder)) => {}
            RecordKind::Event(event, _) if !event.is_change() => {}
            RecordKind::Event(event, note) => {
                let change = Change::of(event);
                self.remove_observations(&change);
                self.insert(change, *note == Some(Note::Inconsistent));
            }
            RecordKind::Correction(Correction { to, at, .. }) => match to {
                Corrected::Connected => self.correct(true, *at),
                Corrected::Disconnected => self.correct(false, *at),
                Corrected::Forgotten => self.forget(*at),
            },
            RecordKind::Observation(Observation { found, at, .. }) => match found {
                Observed::Connected => self.observe(true, *at),
                Observed::Disconnected => self.observe(false, *at),
                Observed::Deleted => self.forget(*at),
            },
            RecordKind::Forgotten(_) => self.forget(record.recorded_at),
            RecordKind::Exception(_) | RecordKind::Rules(_) | RecordKind::ClockSetBack => {}
        }
    }

    fn correct(&mut self, connected: bool, at: Timestamp) {
        let at = self.newest().map_or(at, |newest| Change::time_of_correction(at, newest));
        self.insert(Change::without_event(ChangeSource::Correction, connected, at), false);
    }

    fn observe(&mut self, connected: bool, at: Timestamp) {
        self.insert(Change::without_event(ChangeSource::Observation, connected, at), false);
    }

    /// Removes observations of the change that an event reports.
    fn remove_observations(&mut self, event: &Change) {
        let first = self.list.partition_point(|listed| listed.at() < event.oldest_observation());
        if self.list[first..].iter().any(|listed| listed.is_observation_of(event)) {
            self.list.retain(|listed| !listed.is_observation_of(event));
        }
    }

    fn insert(&mut self, change: Change, repeats: bool) {
        if self.before.as_ref().is_some_and(|before| before.newest >= Some(change.at())) {
            return;
        }
        let place = self.list.partition_point(|listed| *listed < change);
        self.list.insert(place, change);
        if place == 0 {
            self.first_repeats = repeats;
        }
    }

    fn forget(&mut self, at: Timestamp) {
        self.forgotten.push(self.newest().map_or(at, |newest| newest.max(at)));
    }

    /// Time of the newest change.
    fn newest(&self) -> Option<Timestamp> {
        let listed = self.list.last().map(Change::at);
        listed.or_else(|| self.before.as_ref()?.newest).max(self.forgotten.last().copied())
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.list.len() + self.forgotten.len()
    }

    /// Whether it has no changes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing is known of its changes.
    pub fn is_unread(&self) -> bool {
        self.is_empty() && self.before.as_ref().is_none_or(|before| before.connection.is_none())
    }

    /// Time of the oldest change.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.steps().next().map(|(at, _)| at)
    }

    /// Drops what happened before this time, except for the state that it led to.
    pub fn drop_until(&mut self, horizon: Timestamp) {
        let mut before = self.start(true);
        for (at, step) in self.steps().take_while(|(at, _)| *at < horizon) {
            step.apply(&mut before, at, Duration::ZERO, &mut |_| ());
        }
        self.list.drain(..self.list.partition_point(|change| change.at() < horizon));
        self.forgotten.retain(|at| *at >= horizon);
        self.before = Some(Box::new(before));
    }

    /// State before the first change. `known_before`: the input was known before the first record of the timeline.
    fn start(&self, known_before: bool) -> Walk {
        match (&self.before, self.list.first()) {
            (Some(before), _) => **before,
            (None, Some(first)) if known_before => {
                let is_forgotten = self.forgotten.first().is_some_and(|at| *at < first.at());
                if is_forgotten {
                    Walk::default()
                } else {
                    Walk::without_beginning(first.connected == self.first_repeats)
                }
            }
            (None, _) => Walk::default(),
        }
    }

    /// Its instants with their changes, ascending.
    fn steps(&self) -> impl Iterator<Item = (Timestamp, Step<'_>)> {
        let mut changes = self.list.chunk_by(|one, next| one.at() == next.at()).peekable();
        let mut forgotten = self.forgotten.iter().copied().peekable();
        std::iter::from_fn(move || {
            let next = changes.peek().map(|instant| instant[0].at());
            // A change at the time of forgetting was before it.
            match forgotten.next_if(|at| next.is_none_or(|next| *at < next)) {
                Some(at) => Some((at, Step::Forgotten)),
                None => changes.next().zip(next).map(|(instant, at)| (at, Step::Changes(instant))),
            }
        })
    }

    /// The state before the first change and from each change on: connected, disconnected, or `None` for unknown.
    /// `known_before`: the input was known before the first record of the timeline.
    pub fn states(&self, known_before: bool) -> Vec<(Timestamp, Option<bool>)> {
        let mut walk = self.start(known_before);
        let state = |walk: &Walk| walk.connection.map(|connection| connection.connected);
        let mut states = vec![(Timestamp::EPOCH, state(&walk))];
        for (at, step) in self.steps() {
            step.apply(&mut walk, at, Duration::ZERO, &mut |_| ());
            if states.last().is_some_and(|(_, last)| *last != state(&walk)) {
                states.push((at, state(&walk)));
            }
        }
        states
    }

    /// Its sessions, oldest first.
    pub fn sessions(&self, known_before: bool, window: Duration) -> Vec<Session> {
        let mut sessions = Vec::new();
        let mut walk = self.start(known_before);
        let mut found = |finding: Finding| sessions.extend(finding.session().map(Session::from));
        for (at, step) in self.steps() {
            step.apply(&mut walk, at, window, &mut found);
        }
        sessions.extend(walk.newest_session().map(Session::from));
        sessions
    }

    /// What happened from one time to another. `known_before`: the input was known before the first record of the
    /// timeline.
    pub fn part(&self, known_before: bool, from: Timestamp, until: Timestamp, window: Duration) -> Part {
        let mut walk = self.start(known_before);
        let mut steps = self.steps().take_while(|(at, _)| *at <= until).peekable();
        let mut disconnects = 0;
        while let Some((at, step)) = steps.next_if(|(at, _)| *at < from) {
            step.apply(&mut walk, at, window, &mut |_| ());
        }
        let (reconnects, connected_time) = (walk.counts.reconnects, walk.connected_time(from));
        for (at, step) in steps {
            if let Step::Changes(changes) = &step {
                disconnects += changes.iter().filter(|change| change.is_event() && !change.connected).count() as u64;
            }
            step.apply(&mut walk, at, window, &mut |_| ());
        }
        Part {
            disconnects,
            reconnects: (walk.counts.reconnects - reconnects).into(),
            connected_time: walk.connected_time(until).saturating_sub(connected_time),
        }
    }
}

impl From<changes::Session> for Session {
    fn from(session: changes::Session) -> Self {
        let began = Some(session.began).filter(|began| *began > Timestamp::EPOCH);
        Self { began, ended: session.ended, reconnects: session.reconnects }
    }
}

impl Step<'_> {
    fn apply(&self, walk: &mut Walk, at: Timestamp, window: Duration, found: &mut impl FnMut(Finding)) {
        match self {
            Self::Changes(changes) => walk.at_instant(changes, window, found),
            Self::Forgotten => walk.forget(at, window, found),
        }
    }
}
