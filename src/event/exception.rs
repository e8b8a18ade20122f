//! Exceptions to the schedules of inputs, as records.

use std::time::Duration;

use thiserror::Error;

use super::{InputId, Timestamp};

/// A decision of an operator about when an input is expected to be live, because plans changed after the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleException {
    /// The live input.
    pub input_id: InputId,
    /// Whether it is expected to be live; `None` ends the exception that is in force.
    pub expected: Option<bool>,
    /// When the exception ends by itself; not used to end one.
    pub until: Timestamp,
    /// When the operator decided it, and from when on it is in force.
    pub at: Timestamp,
    /// Who decided it; `None` without authentication.
    pub user: Option<Box<str>>,
    /// Why, for people.
    pub reason: Option<Box<str>>,
}

/// The end of an exception is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidEnd {
    /// The exception would never be in force.
    #[error("the end of the exception must be in the future")]
    Past,
    /// It would rather be a change of the configuration.
    #[error(
        "the end of the exception must be at most a year (366 days) ahead; the configuration has what lasts longer"
    )]
    TooFar,
}

/// Longest exception: a year, also a leap year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

impl ScheduleException {
    /// What an operator decided at this time: what is expected and until when, or `None` to end the exception.
    ///
    /// # Errors
    ///
    /// The end is in the past or too far ahead.
    pub fn new(
        input_id: InputId,
        decision: Option<(bool, Timestamp)>,
        at: Timestamp,
        user: Option<Box<str>>,
        reason: Option<Box<str>>,
    ) -> Result<Self, InvalidEnd> {
        let (expected, until) = decision.map_or((None, at), |(expected, until)| (Some(expected), until));
        Self { input_id, expected, until, at, user, reason }.checked()
    }

    /// The exception, if its end is possible.
    ///
    /// # Errors
    ///
    /// The end is in the past or too far ahead.
    pub fn checked(self) -> Result<Self, InvalidEnd> {
        match self.expected {
            None => Ok(self),
            Some(_) if self.until <= self.at => Err(InvalidEnd::Past),
            Some(_) if self.until > self.at.plus(LONGEST) => Err(InvalidEnd::TooFar),
            Some(_) => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_in_the_past_or_more_than_a_year_ahead_is_invalid() {
        let at = Timestamp::from_seconds(1_795_000_000);
        let second = Duration::from_secs(1);
        let ending = |expected, until| {
            let exception = ScheduleException {
                input_id: InputId::from_bytes([1; 16]),
                expected,
                until,
                at,
                user: None,
                reason: None,
            };
            exception.clone().checked().map(|checked| assert_eq!(checked, exception))
        };
        for (until, result) in [
            (at.plus(Duration::from_nanos(1)), Ok(())),
            (at, Err(InvalidEnd::Past)),
            (Timestamp::EPOCH, Err(InvalidEnd::Past)),
            (at.plus(LONGEST), Ok(())),
            (at.plus(LONGEST + second), Err(InvalidEnd::TooFar)),
            (Timestamp::MAX, Err(InvalidEnd::TooFar)),
        ] {
            assert_eq!([Some(true), Some(false)].map(|expected| ending(expected, until)), [result; 2], "{until}");
            assert_eq!(ending(None, until), Ok(()), "{until}");
        }
    }
}
