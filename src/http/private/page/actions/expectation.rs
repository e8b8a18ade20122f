//! The form of an exception to a schedule.

use std::time::Duration;

use super::failure::Failure;
use super::form::Form;
use crate::event::Timestamp;

/// The value of the field `end` for the time in the field `until`.
const TIME: &str = "time";

/// The durations to choose from: the value of the field `end`, the text, and hours.
pub(super) const DURATIONS: [(&str, &str, u64); 5] = [
    ("1h", "1 hour from now", 1),
    ("2h", "2 hours from now", 2),
    ("4h", "4 hours from now", 4),
    ("12h", "12 hours from now", 12),
    ("24h", "24 hours from now", 24),
];

/// What is expected, and until when.
pub(super) fn decision(form: &Form, now: Timestamp) -> Result<(bool, Timestamp), Failure> {
    let expected = match form.text("expected") {
        "on" => true,
        "off" => false,
        _ => return Err(Failure::Expected),
    };
    let hours = DURATIONS.into_iter().find(|(value, ..)| *value == form.text("end")).map(|(.., hours)| hours);
    let end = match (form.text("end"), hours, form.text("until")) {
        (_, Some(hours), "") => Some(now.plus(Duration::from_secs(hours * 3600))),
        (TIME | "", None, until) => time(until),
        _ => None,
    };
    end.map(|end| (expected, end)).ok_or(Failure::End)
}

/// A local time as browsers send it, with or without seconds. The form says that it is UTC.
fn time(text: &str) -> Option<Timestamp> {
    let is_local = text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_digit() || b"-T:.".contains(&byte));
    let parse = |text: String| text.parse().ok();
    parse(format!("{text}:00Z")).or_else(|| parse(format!("{text}Z"))).filter(|_| is_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(fields: &[(&str, &str)]) -> Result<(bool, String), Failure> {
        let now = "2026-11-29T18:00:00Z".parse().unwrap();
        let (expected, until) = decision(&Form::from(fields), now)?;
        Ok((expected, until.to_string()))
    }

    #[test]
    fn end_is_a_duration_or_a_time_in_utc() {
        for (fields, expected, until) in [
            (&[("expected", "on"), ("end", "1h")][..], true, "2026-11-29T19:00:00Z"),
            (&[("expected", "off"), ("end", "24h"), ("until", "")], false, "2026-11-30T18:00:00Z"),
            (&[("expected", "on"), ("end", "time"), ("until", "2026-11-29T22:15")], true, "2026-11-29T22:15:00Z"),
            (&[("expected", "on"), ("until", "2026-11-29T22:15:30")], true, "2026-11-29T22:15:30Z"),
        ] {
            assert_eq!(decided(fields), Ok((expected, until.to_owned())), "{fields:?}");
        }
    }

    #[test]
    fn form_without_a_decision_or_with_two_ends_is_refused() {
        for (fields, failure) in [
            (&[("end", "1h")][..], Failure::Expected),
            (&[("expected", "yes"), ("end", "1h")], Failure::Expected),
            (&[("expected", "on")], Failure::End),
            (&[("expected", "on"), ("end", "time")], Failure::End),
            (&[("expected", "on"), ("end", "3h")], Failure::End),
            (&[("expected", "on"), ("end", "1h"), ("until", "2026-11-29T22:15")], Failure::End),
            (&[("expected", "on"), ("end", "time"), ("until", "tomorrow")], Failure::End),
            (&[("expected", "on"), ("end", "time"), ("until", "2026-11-29")], Failure::End),
            (&[("expected", "on"), ("end", "time"), ("until", "2026-11-29T22:15+05:00")], Failure::End),
            (&[("expected", "on"), ("end", "time"), ("until", "2026-13-29T22:15")], Failure::End),
        ] {
            assert_eq!(decided(fields), Err(failure), "{fields:?}");
        }
    }
}
