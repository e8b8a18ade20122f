//! Times on pages.

use std::fmt;
use std::time::Duration;

use crate::event::Timestamp;

/// A time in UTC, as an element whose age the script adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub(super) Timestamp);

impl Time {
    /// The form for machines.
    pub(super) fn machine(self) -> impl fmt::Display {
        self.0.to_jiff().strftime("%Y-%m-%dT%H:%M:%SZ")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machine, people) = (self.machine(), self.0.to_jiff());
        let people = people.strftime("%Y-%m-%d %H:%M:%S UTC");
        write!(f, r#"<time datetime="{machine}">{people}</time>"#)
    }
}

/// It is HTML already.
impl askama::filters::HtmlSafe for Time {}

/// The same to the minute, for tables that say that times are in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShortTime {
    pub(super) at: Timestamp,
    /// Times that are half a year away are shown with their year.
    pub(super) now: Timestamp,
}

impl fmt::Display for ShortTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HALF_A_YEAR: Duration = Duration::from_secs(182 * 86_400);
        let Self { at, now } = *self;
        let is_far = at < now.minus(HALF_A_YEAR) || at > now.plus(HALF_A_YEAR);
        let at = at.to_jiff();
        let people = at.strftime(if is_far { "%d %b %Y %H:%M" } else { "%d %b %H:%M" });
        // Without quotes, because a page has hundreds of them.
        write!(f, "<time datetime={}>{people}</time>", at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// It is HTML already.
impl askama::filters::HtmlSafe for ShortTime {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_a_form_for_machines_and_one_for_people() {
        let time = Time("2026-11-29T18:00:00.75Z".parse().unwrap());
        assert_eq!(time.to_string(), r#"<time datetime="2026-11-29T18:00:00Z">2026-11-29 18:00:00 UTC</time>"#);
    }

    #[test]
    fn short_time_has_its_year_if_it_is_far_away() {
        let at: Timestamp = "2026-11-29T18:00:59Z".parse().unwrap();
        for (now, text) in [
            ("2026-11-29T18:01:00Z", "29 Nov 18:00"),
            ("2026-06-29T00:00:00Z", "29 Nov 18:00"),
            ("2026-05-01T00:00:00Z", "29 Nov 2026 18:00"),
            ("2027-07-01T00:00:00Z", "29 Nov 2026 18:00"),
        ] {
            let time = ShortTime { at, now: now.parse().unwrap() };
            assert_eq!(time.to_string(), format!("<time datetime=2026-11-29T18:00:59Z>{text}</time>"), "{now}");
        }
    }
}
