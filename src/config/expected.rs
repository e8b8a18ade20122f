//! `expected` of an input: a word, or a list of windows.
//!
//! Weekly, by the clocks of a time zone; dated, between two instants; each with its graces:
//!
//! ```toml
//! expected = [
//!     { days = ["sat", "sun"], from = "10:00", to = "12:00", time_zone = "Europe/London", grace_before = "10m" },
//!     { from = "2026-12-24T18:00:00Z", until = "2026-12-24T20:00:00Z" },
//! ]
//! ```

use std::sync::Arc;

use config::{Map, Value, ValueKind};
use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::reader::{Problem, Reader};
use super::values::{Parsed, parse_duration};
use crate::event::Timestamp;
use crate::schedule::{Days, Expectation, InvalidWindow, Schedule, Window};

const EXPECTED: &str = "expected always, never or a list of windows";
/// What belongs to one kind of window and not to the other.
const WEEKLY_FIELDS: [&str; 3] = ["days", "to", "time_zone"];

type Fields = Map<String, Value>;

impl Reader {
    /// Takes what is expected of an input: `None` when there was a problem.
    pub(super) fn expectation(&mut self, value: Value, origin: &str, key: &str) -> Option<Expectation> {
        let ValueKind::Array(windows) = value.kind else {
            let parsed = match value.into_string().as_deref() {
                Ok("always") => Ok(Expectation::Always),
                Ok("never") => Ok(Expectation::Never),
                Ok(text) => Err(format!("not an expectation: {text:?} ({EXPECTED})")),
                Err(_) => Err(format!("not an expectation ({EXPECTED})")),
            };
            return self.noted(origin, key, parsed);
        };
        if windows.is_empty() {
            return self.noted(origin, key, Err(format!("lists no windows ({EXPECTED})")));
        }
        let entries = windows.into_iter().enumerate();
        let windows: Vec<Option<Window>> =
            entries.map(|(index, entry)| self.window(entry, origin, &format!("{key}[{index}]"))).collect();
        let windows: Option<Vec<Window>> = windows.into_iter().collect();
        Some(Expectation::Scheduled(Arc::new(Schedule::new(windows?))))
    }

    /// Notes what is expected of an input, every window by itself.
    pub(super) fn show_expectation(&mut self, key: &str, origin: &str, expectation: &Expectation) {
        match expectation {
            Expectation::Always => self.show(key, origin, "always"),
            Expectation::Never => self.show(key, origin, "never"),
            Expectation::Scheduled(schedule) => {
                for (index, window) in schedule.windows().iter().enumerate() {
                    self.show(&format!("{key}[{index}]"), origin, &window.to_string());
                }
            }
        }
    }

    fn window(&mut self, entry: Value, origin: &str, key: &str) -> Option<Window> {
        let Ok(mut fields) = entry.into_table() else {
            let expected = "expected days, from, to and time_zone, or from and until";
            return self.noted(origin, key, Err(format!("not a window ({expected})")));
        };
        let before = self.grace(&mut fields, origin, key, "grace_before");
        let after = self.grace(&mut fields, origin, key, "grace_after");
        let weekly = WEEKLY_FIELDS.iter().any(|field| fields.contains_key(*field));
        let window = if weekly {
            self.weekly(&mut fields, origin, key)
        } else {
            let dated = self.dated(&mut fields, origin, key);
            dated.and_then(|window| self.noted(origin, key, window.map_err(|invalid| invalid.to_string())))
        };
        self.refuse(&fields, origin, key);
        let graced = window?.with_grace(before?, after?);
        self.noted(origin, key, graced.map_err(|invalid| invalid.to_string()))
    }

    fn weekly(&mut self, fields: &mut Fields, origin: &str, key: &str) -> Option<Window> {
        let days = self.days(fields, origin, key);
        let from = self.field(fields, origin, key, "from", clock_time);
        let to = self.field(fields, origin, key, "to", closing_time);
        let time_zone = self.field(fields, origin, key, "time_zone", time_zone);
        Some(Window::weekly(days?, from?, to?, time_zone?))
    }

    fn dated(&mut self, fields: &mut Fields, origin: &str, key: &str) -> Option<Result<Window, InvalidWindow>> {
        let from = self.field(fields, origin, key, "from", instant);
        let until = self.field(fields, origin, key, "until", instant);
        Some(Window::dated(from?, until?))
    }

    fn days(&mut self, fields: &mut Fields, origin: &str, key: &str) -> Option<Days> {
        let parsed = match fields.remove("days").map(Value::into_array) {
            None => Err("is missing".to_owned()),
            Some(Ok(names)) if !names.is_empty() => names.into_iter().map(weekday).collect(),
            Some(_) => Err("must be a list of days, for example [\"mon\", \"fri\"]".to_owned()),
        };
        self.noted(origin, &format!("{key}.days"), parsed)
    }

    fn grace(&mut self, fields: &mut Fields, origin: &str, key: &str, field: &str) -> Option<SignedDuration> {
        if fields.contains_key(field) {
            self.field(fields, origin, key, field, signed_duration)
        } else {
            Some(SignedDuration::ZERO)
        }
    }

    /// The value, or `None` with the problem noted.
    fn noted<T>(&mut self, origin: &str, key: &str, parsed: Parsed<T>) -> Option<T> {
        parsed.map_err(|message| self.report(Problem::new(origin, Some(key), message))).ok()
    }
}

fn weekday(value: Value) -> Parsed<Weekday> {
    let text = value.into_string().unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "mon" | "monday" => Ok(Weekday::Monday),
        "tue" | "tuesday" => Ok(Weekday::Tuesday),
        "wed" | "wednesday" => Ok(Weekday::Wednesday),
        "thu" | "thursday" => Ok(Weekday::Thursday),
        "fri" | "friday" => Ok(Weekday::Friday),
        "sat" | "saturday" => Ok(Weekday::Saturday),
        "sun" | "sunday" => Ok(Weekday::Sunday),
        _ => Err(format!("not a day: {text:?} (expected mon, tue, wed, thu, fri, sat or sun)")),
    }
}

fn clock_time(text: &str) -> Parsed<Time> {
    Time::strptime("%H:%M", text)
        .map_err(|_| format!("not a time of day: {text:?} (expected HH:MM, for example 09:30)"))
}

/// The end of a day has a name of its own.
fn closing_time(text: &str) -> Parsed<Time> {
    if text == "24:00" { Ok(Time::midnight()) } else { clock_time(text) }
}

fn time_zone(name: &str) -> Parsed<TimeZone> {
    TimeZone::get(name)
        .map_err(|_| format!("not a time zone: {name:?} (expected an IANA name, for example Europe/London)"))
}

fn instant(text: &str) -> Parsed<Timestamp> {
    text.parse().map_err(|error| format!("{error}: {text:?} (expected for example 2026-12-24T18:00:00+01:00)"))
}

fn signed_duration(text: &str) -> Parsed<SignedDuration> {
    let (negative, length) = text.strip_prefix('-').map_or((false, text), |length| (true, length));
    let duration = parse_duration(length).and_then(|duration| {
        SignedDuration::try_from(duration).map_err(|_| format!("too long a duration: {text:?}"))
    })?;
    Ok(if negative { -duration } else { duration })
}
