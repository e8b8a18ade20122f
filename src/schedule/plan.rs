//! When an input is expected to be live, with an exception to its schedule.

use std::time::Duration;

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{Change, Expectation};
use crate::event::Timestamp;

/// A time in which the input is expected to be live, or not, whatever its schedule says. It includes its start and
/// excludes its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Whether the input is expected to be live.
    pub expected: bool,
    /// Its start.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

impl Exception {
    /// Whether it is in force at this time.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.from <= time && time < self.until
    }
}

/// When an input is expected to be live: by its configuration, and by an exception while that is in force.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    expectation: &'a Expectation,
    exception: Option<Exception>,
}

impl<'a> Plan<'a> {
    /// The plan of an input with this configuration; `None` if it is not configured.
    pub fn new(expectation: Option<&'a Expectation>, exception: Option<Exception>) -> Self {
        Self { expectation: expectation.unwrap_or(&Expectation::Never), exception }
    }

    /// The expectation according to the configuration.
    pub fn expectation(&self) -> &'a Expectation {
        self.expectation
    }

    /// The newest exception, also if it has ended.
    pub fn newest_exception(&self) -> Option<Exception> {
        self.exception
    }

    /// The exception that is in force at this time.
    pub fn exception(&self, time: Timestamp) -> Option<Exception> {
        self.exception.filter(|exception| exception.contains(time))
    }

    /// Whether the input is expected to be live at this time.
    pub fn at(&self, time: Timestamp) -> bool {
        self.exception(time).map_or_else(|| self.expectation.at(time), |exception| exception.expected)
    }

    /// The next changes after this time, at most `count`, however far ahead.
    pub fn changes(&self, after: Timestamp, count: usize) -> Vec<Change> {
        let Some(exception) = self.exception.filter(|exception| after < exception.until) else {
            return self.expectation.changes(after, count);
        };
        let mut changes = Vec::new();
        if after < exception.from {
            changes = self.expectation.changes(after, count);
            changes.retain(|change| change.at < exception.from);
        }
        let edges = [exception.from, exception.until].into_iter().filter(|edge| after < *edge);
        changes.extend(edges.filter_map(|at| {
            let expected = self.at(at);
            (expected != self.at(at.minus(Duration::from_nanos(1)))).then_some(Change { at, expected })
        }));
        let missing = count.saturating_sub(changes.len());
        changes.extend(self.expectation.changes(exception.until, missing));
        changes.truncate(count);
        changes
    }

    /// The next change after this time.
    pub fn next_change(&self, after: Timestamp) -> Option<Change> {
        match self.exception {
            Some(exception) if after < exception.until => self.changes(after, 1).pop(),
            _ => self.expectation.next_change(after),
        }
    }

    /// This time in the time zone of the schedule's first weekly window, or in UTC.
    pub fn local(&self, time: Timestamp) -> ZonedDateTime {
        match self.expectation {
            Expectation::Scheduled(schedule) => schedule.local(time),
            Expectation::Always | Expectation::Never => time.to_jiff().to_zoned_datetime(TimeZone::UTC),
        }
    }
}
