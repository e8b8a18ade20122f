//! What happened to an input today: since midnight in the time zone of its schedule, or in UTC.

use std::fmt;
use std::time::Duration;

use super::overview::KnownInput;
use crate::event::Timestamp;
use crate::live::State;
use crate::schedule::Plan;
use crate::timeline::{Days, Today};

/// What happened to an input today.
pub(super) fn today(known: &KnownInput<'_>, days: &Days, state: &State, now: Timestamp) -> Today {
    let midnight = midnight(&state.plan(&known.id), now);
    days.of(&known.id, known.input).today(midnight, now, state.rules())
}

fn midnight(plan: &Plan<'_>, now: Timestamp) -> Timestamp {
    // A day begins later than at 0:00 where a time change skips midnight.
    plan.local(now).start_of_day().map_or(now, |midnight| Timestamp::from_jiff(midnight.timestamp()))
}

/// A duration in hours and minutes.
pub(super) struct HoursAndMinutes(pub(super) Duration);

impl fmt::Display for HoursAndMinutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.as_secs() / 60;
        match minutes / 60 {
            0 => write!(f, "{minutes}m"),
            hours => write!(f, "{hours}h {:02}m", minutes % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::{Weekday, time};
    use jiff::tz::TimeZone;

    use super::*;
    use crate::schedule::{Expectation, Schedule, Window};

    #[test]
    fn midnight_is_that_of_the_schedule() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let window = Window::weekly([Weekday::Sunday].into_iter().collect(), time(1, 0, 0, 0), time(2, 0, 0, 0), zone);
        let scheduled = Expectation::Scheduled(Arc::new(Schedule::new(vec![window])));
        let now = "2026-11-29T18:00:00Z".parse().unwrap();
        for (expectation, expected) in
            [(&Expectation::Always, "2026-11-29T00:00:00Z"), (&scheduled, "2026-11-29T15:00:00Z")]
        {
            assert_eq!(midnight(&Plan::new(Some(expectation), None), now).to_string(), expected);
        }
    }

    #[test]
    fn duration_has_hours_and_minutes() {
        for (seconds, text) in [(59, "0m"), (60, "1m"), (3600, "1h 00m"), (90_000, "25h 00m")] {
            assert_eq!(HoursAndMinutes(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
