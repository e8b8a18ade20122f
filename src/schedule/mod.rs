//! When an input is expected to be live.
//!
//! A window is weekly, in the local time of a time zone, or dated, between two instants. It includes
//! its start and excludes its end. Windows may overlap: the input is expected while at least one is
//! open. A *grace* extends a window at one end, or shortens it if negative.
//!
//! Weekly windows follow local time across daylight-saving changes: 22:00 to 06:00 lasts seven, eight
//! or nine hours. A local time that is skipped means the moment of the jump, at the start and at the
//! end of a window, so a window that is skipped as a whole lasts no time. One that occurs twice means
//! its first occurrence.

mod plan;
mod recent;
mod window;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

use crate::event::Timestamp;
pub use plan::{Exception, Plan};
use recent::{Recent, Steady};
pub use window::{Days, InvalidWindow, Window};

/// How far ahead the first search for changes looks: more than a week, in which most windows change.
const FIRST_STRIDE: Duration = Duration::from_secs(8 * 86_400);
/// How far ahead each further search looks: more than a year, in which weekly windows repeat.
const STRIDE: Duration = Duration::from_secs(400 * 86_400);

/// An input of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Display name.
    pub name: Arc<str>,
    /// When it is expected to be live.
    pub expectation: Expectation,
}

/// When an input is expected to be live.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expectation {
    /// Always.
    Always,
    /// Never: its absence causes no alert.
    #[default]
    Never,
    /// In the windows of a schedule.
    Scheduled(Arc<Schedule>),
}

impl Expectation {
    /// Whether the input is expected to be live at this time.
    pub fn at(&self, time: Timestamp) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Scheduled(schedule) => schedule.at(time),
        }
    }

    /// The next changes after this time, at most `count`, however far ahead.
    pub fn changes(&self, after: Timestamp, count: usize) -> Vec<Change> {
        match self {
            Self::Always | Self::Never => Vec::new(),
            Self::Scheduled(schedule) => schedule.changes(after, count),
        }
    }

    /// The next change after this time.
    pub fn next_change(&self, after: Timestamp) -> Option<Change> {
        match self {
            Self::Always | Self::Never => None,
            Self::Scheduled(schedule) => schedule.next_change(after),
        }
    }

    /// What is expected from one time to another: from when on, and whether.
    pub fn over(&self, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, bool)> {
        let mut pieces = vec![(from, self.at(from))];
        if let Self::Scheduled(schedule) = self {
            pieces.extend(schedule.changes_until(from, until).map(|change| (change.at, change.expected)));
        }
        pieces
    }
}

/// The windows in which an input is expected to be live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    windows: Vec<Window>,
    recent: Recent,
}

/// An instant at which the expectation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The instant.
    pub at: Timestamp,
    /// Whether the input is expected to be live from then on.
    pub expected: bool,
}

impl Schedule {
    /// Creates a schedule of these windows.
    pub fn new(windows: Vec<Window>) -> Self {
        Self { windows, recent: Recent::default() }
    }

    /// The windows, in the order of the configuration.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Whether the input is expected to be live at this time.
    pub fn at(&self, time: Timestamp) -> bool {
        self.recent.get(time).map_or_else(|| self.is_open(time), |steady| steady.expected)
    }

    fn is_open(&self, time: Timestamp) -> bool {
        self.windows.iter().any(|window| window.contains(time))
    }

    /// The next change after this time, however far ahead.
    pub fn next_change(&self, after: Timestamp) -> Option<Change> {
        let steady = self.recent.get(after).unwrap_or_else(|| {
            let next = self.changes(after, 1).pop();
            let steady = Steady { from: after, expected: self.is_open(after), next };
            self.recent.set(steady);
            steady
        });
        steady.next
    }

    /// The next changes after this time, at most `count`, however far ahead.
    pub fn changes(&self, after: Timestamp, count: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut searched = after;
        let mut stride = FIRST_STRIDE;
        while changes.len() < count {
            let until = searched.plus(stride);
            let found: Vec<Change> = self.changes_until(searched, until).take(count - changes.len()).collect();
            searched = until;
            if found.is_empty() && stride == STRIDE {
                // Only the start or end of a dated window can cause the next change.
                let edges = self.windows.iter().filter_map(Window::dated_edges).flatten();
                let Some(edge) = edges.filter(|edge| *edge > searched).min() else { break };
                searched = edge.minus(Duration::from_nanos(1));
            }
            changes.extend(found);
            stride = STRIDE;
        }
        changes
    }

    fn changes_until(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Change> {
        let edges: BTreeSet<Timestamp> = self.windows.iter().flat_map(|window| window.edges(after, until)).collect();
        edges.into_iter().filter(move |edge| *edge > after).filter_map(|at| {
            let expected = self.is_open(at);
            let changes = expected != self.is_open(at.minus(Duration::from_nanos(1)));
            changes.then_some(Change { at, expected })
        })
    }

    /// This time in the time zone of the first weekly window, or in UTC.
    pub fn local(&self, time: Timestamp) -> ZonedDateTime {
        let time_zone = self.windows.iter().find_map(Window::time_zone).unwrap_or(TimeZone::UTC);
        time.to_jiff().to_zoned_datetime(time_zone)
    }
}
