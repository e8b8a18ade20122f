//! When an input is expected to be live, in words and times.

use askama::Template;

use super::time::ShortTime;
use crate::event::Timestamp;
use crate::live::ExceptionEntry;
use crate::schedule::Plan;

/// The expectation of an input, until it changes.
#[derive(Debug, PartialEq, Template)]
#[template(
    config = "src/http/private/page/askama.toml",
    ext = "html",
    source = r#"{{ text }}
{%- if let Some(at) = at %} {{ at }}{% endif %}
{%- if let Some(local) = local %}<small>{{ local }}</small>{% endif %}
{%- if let Some(exception) = exception -%}
<small><b class="badge exception">exception: {% if exception.expected %}on{% else %}off{% endif %}</b> until {{ exception.until }}
{%- if let Some(user) = exception.user %} by {{ user }}{% endif %}
{%- if let Some(reason) = exception.reason %}: {{ reason }}{% endif %}</small>
{%- endif %}"#
)]
pub(super) struct Expected<'a> {
    text: &'static str,
    /// When the expectation changes.
    at: Option<ShortTime>,
    /// The same in the time zone of the schedule, if that is not UTC.
    local: Option<String>,
    exception: Option<Exception<'a>>,
}

/// An exception to the schedule that is in force.
#[derive(Debug, PartialEq)]
struct Exception<'a> {
    expected: bool,
    until: ShortTime,
    user: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Expected<'a> {
    /// What a plan says at this time. `exception` is the one that is in force.
    pub(super) fn of(plan: &Plan<'_>, exception: Option<&'a ExceptionEntry>, now: Timestamp) -> Self {
        let change = plan.next_change(now);
        let text = match (plan.at(now), change.is_some()) {
            (true, true) => "until",
            (true, false) => "always",
            (false, true) => "next from",
            (false, false) => "not expected",
        };
        let short = |at| ShortTime { at, now };
        let exception = exception.map(|entry| Exception {
            expected: entry.exception.expected,
            until: short(entry.exception.until),
            user: entry.user.as_deref(),
            reason: entry.reason.as_deref(),
        });
        let local = change.and_then(|change| local(plan, change.at));
        Self { text, at: change.map(|change| short(change.at)), local, exception }
    }
}

/// A time in the time zone of the schedule; `None` if that is UTC.
fn local(plan: &Plan<'_>, at: Timestamp) -> Option<String> {
    let local = plan.local(at);
    let zone = local.time_zone().iana_name().filter(|zone| !["UTC", "Etc/UTC"].contains(zone))?;
    Some(format!("{} {zone}", local.strftime("%a %H:%M")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::{Weekday, time};
    use jiff::tz::TimeZone;

    use super::*;
    use crate::schedule::{self, Expectation, Schedule, Window};

    /// Every Sunday from 18:00 to 20:00 in Berlin.
    fn sundays() -> Expectation {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let window =
            Window::weekly([Weekday::Sunday].into_iter().collect(), time(18, 0, 0, 0), time(20, 0, 0, 0), zone);
        Expectation::Scheduled(Arc::new(Schedule::new(vec![window])))
    }

    fn check(expectation: &Expectation, exception: Option<&ExceptionEntry>, now: &str, parts: &[&str]) {
        let now = now.parse().unwrap();
        let plan = Plan::new(Some(expectation), exception.map(|entry| entry.exception));
        let html = Expected::of(&plan, exception, now).render().unwrap();
        for part in parts {
            assert!(html.contains(part), "{now}: {html}");
        }
        assert_eq!(html.contains("<small>"), parts.len() > 2, "{html}");
    }

    #[test]
    fn next_change_is_shown_in_utc_and_in_the_zone_of_the_schedule() {
        let sundays = sundays();
        check(&sundays, None, "2026-11-29T18:00:00Z", &["until", "2026-11-29T19:00:00Z", "Sun 20:00 Europe/Berlin"]);
        check(
            &sundays,
            None,
            "2026-11-29T19:00:00Z",
            &["next from", "2026-12-06T17:00:00Z", "Sun 18:00 Europe/Berlin"],
        );
        check(&Expectation::Always, None, "2026-11-29T18:00:00Z", &["always"]);
        check(&Expectation::Never, None, "2026-11-29T18:00:00Z", &["not expected"]);
    }

    #[test]
    fn exception_is_shown_with_its_end_its_user_and_its_reason() {
        let at = |text: &str| text.parse().unwrap();
        let (from, until) = (at("2026-11-29T17:30:00Z"), at("2026-11-29T18:30:00Z"));
        let entry = ExceptionEntry {
            exception: schedule::Exception { expected: false, from, until },
            user: Some("anna".into()),
            reason: Some("<b>late".into()),
        };
        let parts = ["next from", "2026-11-29T18:30:00Z", "exception: off", "by anna", "&#60;b&#62;late"];
        check(&sundays(), Some(&entry), "2026-11-29T18:00:00Z", &parts);
    }
}
