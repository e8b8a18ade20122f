//! The windows in which an input should be live.
//!
//! A window is weekly, by the clocks of a time zone, or dated, between two instants. It contains its
//! beginning and not its end. Windows may overlap: one that is open is enough. A *grace* moves an
//! edge outward, or inward when it is negative.
//!
//! Weekly windows begin and end when the local clocks say so, whatever daylight-saving time does in
//! between: 22:00 to 06:00 lasts seven, eight or nine hours. A time that the clocks skip is the
//! instant at which they would have shown it, had they not been changed; of a time that comes twice
//! it is the first. (The rule of RFC 5545, section 3.3.5.)

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

/// So far ahead are changes looked for: at first, and then again and again, while there are too few.
const STRIDES: [Duration; 2] = [Duration::from_secs(15 * 86_400), Duration::from_secs(400 * 86_400)];

/// The windows in which an input should be live; it should not be outside of them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    windows: Vec<Window>,
}

/// An instant from which something else is expected of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When it changes.
    pub at: Timestamp,
    /// Whether the input should be live from then on.
    pub expected: bool,
}

impl Schedule {
    /// The schedule of these windows.
    pub fn new(windows: Vec<Window>) -> Self {
        Self { windows }
    }

    /// Its windows, in the order of the configuration.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Whether a window is open at this time.
    pub fn at(&self, time: Timestamp) -> bool {
        self.windows.iter().any(|window| window.contains(time))
    }

    /// The next changes after this time, `count` at the most, however far ahead.
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
            // Weekly windows repeat, and dated ones begin and end once: after a year in which nothing changed, it is
            // the next of their edges that may change something.
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

    /// This time by the clocks that people read the schedule by: those of its first weekly window.
    pub fn local(&self, time: Timestamp) -> ZonedDateTime {
        let time_zone = self.windows.iter().find_map(Window::time_zone).unwrap_or(TimeZone::UTC);
        time.to_jiff().to_zoned_datetime(time_zone)
    }
}
