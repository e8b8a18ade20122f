//! The configured inputs: `inputs.list`.
//!
//! ```toml
//! [[inputs]]
//! id = "2c28dd2cc444cb77578c4840b51e43a8"
//! name = "Chapel"
//! expected = [
//!     { days = ["sat", "sun"], from = "10:00", to = "12:00", time_zone = "Europe/London", grace_before = "10m" },
//!     { from = "2026-12-24T18:00:00Z", until = "2026-12-24T20:00:00Z" },
//! ]
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Value, ValueKind};
use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use super::entry::Entry;
use super::layers::Leaf;
use super::reader::Reader;
use super::values::{Parsed, parse_duration};
use crate::event::{InputId, Timestamp};
use crate::schedule::{Configured, Days, Expectation, Schedule, Window};

const EXPECTED: &str = "expected always, never or a list of windows";
/// Fields that only weekly windows have.
const WEEKLY_FIELDS: [&str; 3] = ["days", "to", "time_zone"];

pub(super) fn read(reader: &mut Reader) -> BTreeMap<InputId, Configured> {
    let mut inputs = BTreeMap::new();
    let Some(Leaf { value, origin }) = reader.take("inputs.list") else { return inputs };
    let entries = value.into_array().map_err(|_| "must be a list of tables with id and name".to_owned());
    for (index, value) in reader.check(&origin, "inputs.list", entries).into_iter().flatten().enumerate() {
        let key = format!("inputs[{index}]");
        let mut entry = Entry::new(reader, value, &origin, &key);
        let Some((id, configured)) = entry.input() else { continue };
        show(reader, &format!("inputs.{id}"), &origin, &configured);
        if inputs.insert(id, configured).is_some() {
            let listed_twice: Parsed<()> = Err(format!("{id} is listed twice"));
            reader.check(&origin, &format!("{key}.id"), listed_twice);
        }
    }
    inputs
}

fn show(reader: &mut Reader, key: &str, origin: &str, configured: &Configured) {
    reader.show(format!("{key}.name"), origin, &configured.name);
    let key = format!("{key}.expected");
    match &configured.expectation {
        Expectation::Always => reader.show(key, origin, "always"),
        Expectation::Never => reader.show(key, origin, "never"),
        Expectation::Scheduled(schedule) => {
            for (index, window) in schedule.windows().iter().enumerate() {
                reader.show(format!("{key}[{index}]"), origin, &window.to_string());
            }
        }
    }
}

impl Entry<'_> {
    fn input(&mut self) -> Option<(InputId, Configured)> {
        let id = self.field("id", |text| text.parse::<InputId>().map_err(|error| format!("{error}, not {text:?}")));
        let name = self.field("name", input_name);
        let expectation = match self.fields.remove("expected") {
            Some(value) => self.expectation(value),
            None => Some(Expectation::default()),
        };
        self.refuse_unknown();
        Some((id?, Configured { name: name?, expectation: expectation? }))
    }

    fn expectation(&mut self, value: Value) -> Option<Expectation> {
        let key = format!("{}.expected", self.key);
        let ValueKind::Array(windows) = value.kind else {
            return self.reader.check(self.origin, &key, always_or_never(value));
        };
        if windows.is_empty() {
            return self.reader.check(self.origin, &key, Err(format!("the list is empty ({EXPECTED})")));
        }
        let window = |(index, value): (usize, Value)| {
            let key = format!("{key}[{index}]");
            let fields = value.into_table();
            let fields = fields.map_err(|_| "expected days, from, to and time_zone; or from and until".to_owned());
            let fields = self.reader.check(self.origin, &key, fields)?;
            Entry { reader: self.reader, fields, origin: self.origin, key: &key }.window()
        };
        // All windows are read before the first problem ends this.
        let windows: Vec<Option<Window>> = windows.into_iter().enumerate().map(window).collect();
        let windows: Option<Vec<Window>> = windows.into_iter().collect();
        Some(Expectation::Scheduled(Arc::new(Schedule::new(windows?))))
    }

    fn window(&mut self) -> Option<Window> {
        let before = self.grace("grace_before");
        let after = self.grace("grace_after");
        let window = if WEEKLY_FIELDS.iter().any(|field| self.fields.contains_key(*field)) {
            self.weekly()
        } else {
            self.dated()
        };
        self.refuse_unknown();
        let graced = window?.with_grace(before?, after?).map_err(|invalid| invalid.to_string());
        self.reader.check(self.origin, self.key, graced)
    }

    fn weekly(&mut self) -> Option<Window> {
        let days = self.days();
        let from = self.field("from", clock_time);
        let to = self.field("to", closing_time);
        let time_zone = self.field("time_zone", time_zone);
        Some(Window::weekly(days?, from?, to?, time_zone?))
    }

    fn dated(&mut self) -> Option<Window> {
        let from = self.field("from", instant);
        let until = self.field("until", instant);
        let window = Window::dated(from?, until?).map_err(|invalid| invalid.to_string());
        self.reader.check(self.origin, self.key, window)
    }

    fn days(&mut self) -> Option<Days> {
        let parsed = match self.fields.remove("days").map(Value::into_array) {
            None => Err("is missing".to_owned()),
            Some(Ok(names)) if !names.is_empty() => names.into_iter().map(weekday).collect(),
            Some(_) => Err("must be a list of days, for example [\"mon\", \"fri\"]".to_owned()),
        };
        self.reader.check(self.origin, &format!("{}.days", self.key), parsed)
    }

    fn grace(&mut self, name: &str) -> Option<SignedDuration> {
        if self.fields.contains_key(name) { self.field(name, signed_duration) } else { Some(SignedDuration::ZERO) }
    }
}

fn always_or_never(value: Value) -> Parsed<Expectation> {
    match value.into_string().as_deref() {
        Ok("always") => Ok(Expectation::Always),
        Ok("never") => Ok(Expectation::Never),
        Ok(text) => Err(format!("not an expectation: {text:?} ({EXPECTED})")),
        Err(_) => Err(format!("not an expectation ({EXPECTED})")),
    }
}

fn input_name(text: &str) -> Parsed<Arc<str>> {
    match text.chars().count() {
        0 => Err("must not be empty".into()),
        1..=200 if !text.chars().any(char::is_control) => Ok(text.into()),
        _ => Err("must have at most 200 characters and no control characters".into()),
    }
}

fn weekday(value: Value) -> Parsed<Weekday> {
    let text = value.into_string().unwrap_or_default();
    let parsed = ["%a", "%A"].iter().find_map(|format| BrokenDownTime::parse(format, &text).ok()?.weekday());
    parsed.ok_or_else(|| format!("not a day: {text:?} (expected mon, tue, wed, thu, fri, sat or sun)"))
}

fn clock_time(text: &str) -> Parsed<Time> {
    Time::strptime("%H:%M", text)
        .map_err(|_| format!("not a time of day: {text:?} (expected HH:MM, for example 09:30)"))
}

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
    let duration = parse_duration(length)?;
    let duration = SignedDuration::try_from(duration).map_err(|_| format!("duration too long: {text:?}"))?;
    Ok(if negative { -duration } else { duration })
}
