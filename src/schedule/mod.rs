//! When an input is expected to be live.
//!
//! A window is weekly, in the local time of a time zone, or dated, between two instants. It includes
//! its start and excludes its end. Windows may overlap: the input is expected while at least one is
//! open. A *grace* extends a window at one end, or shortens it if negative.
//!
//! Weekly windows follow local time across daylight-saving changes: 22:00 to 06:00 lasts seven, eight
//! or nine hours. A local time that is skipped is read with the offset before the change; one that
//! occurs twice means its first occurrence (RFC 5545, section 3.3.5).

mod configured;
mod window;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

use crate::event::Timestamp;
pub use configured::{Configured, Expectation};
pub use window::{Days, InvalidWindow, Window};

/// How far ahead the first search for changes looks, and each further one.
const STRIDES: [Duration; 2] = [Duration::from_secs(15 * 86_400), Duration::from_secs(400 * 86_400)];

/// The windows in which an input is expected to be live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    windows: Vec<Window>,
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
        Self { windows }
    }

    /// The windows, in the order of the configuration.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Whether the input is expected to be live at this time.
    pub fn at(&self, time: Timestamp) -> bool {
        self.windows.iter().any(|window| window.contains(time))
    }

    /// The next changes after this time, at most `count`, however far ahead.
    pub fn changes(&self, after: Timestamp, count: usize) -> Vec<Change> {
        let [first, stride] = STRIDES;
        let mut changes: Vec<Change> = self.changes_until(after, after.plus(first)).take(count).collect();
        let mut seen = after.plus(first);
        while changes.len() < count {
            let until = seen.plus(stride);
            let before = changes.len();
            changes.extend(self.changes_until(seen, until).take(count - before));
            seen = until;
            if changes.len() > before {
                continue;
            }
            // Weekly windows repeat within a year. Without a change in that time, only the start or end of a dated
            // window can cause the next one.
            let Some(edge) =
                self.windows.iter().filter_map(Window::dated_edges).flatten().filter(|edge| *edge > seen).min()
            else {
                break;
            };
            seen = edge.minus(Duration::from_nanos(1));
        }
        changes
    }

    fn changes_until(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Change> {
        let edges: BTreeSet<Timestamp> = self.windows.iter().flat_map(|window| window.edges(after, until)).collect();
        edges.into_iter().filter(move |edge| *edge > after).filter_map(|at| {
            let expected = self.at(at);
            let changes = expected != self.at(at.minus(Duration::from_nanos(1)));
            changes.then_some(Change { at, expected })
        })
    }

    /// This time in the time zone of the first weekly window, or in UTC.
    pub fn local(&self, time: Timestamp) -> ZonedDateTime {
        let time_zone = self.windows.iter().find_map(Window::time_zone).unwrap_or(TimeZone::UTC);
        time.to_jiff().to_zoned_datetime(time_zone)
    }
}
