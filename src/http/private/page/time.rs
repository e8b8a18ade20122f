//! Times on pages.

use std::fmt;

use askama::{FastWritable, Values};

use crate::event::Timestamp;

/// A time in UTC, as an element whose age the script adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub(super) Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0.to_jiff();
        let (machine, people) = (at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M:%S UTC"));
        write!(f, r#"<time datetime="{machine}">{people}</time>"#)
    }
}

/// It is HTML already.
impl askama::filters::HtmlSafe for Time {}

impl FastWritable for Time {
    fn write_into(&self, dest: &mut dyn fmt::Write, _: &dyn Values) -> askama::Result<()> {
        Ok(write!(dest, "{self}")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_a_form_for_machines_and_one_for_people() {
        let time = Time("2026-11-29T18:00:00.75Z".parse().unwrap());
        assert_eq!(time.to_string(), r#"<time datetime="2026-11-29T18:00:00Z">2026-11-29 18:00:00 UTC</time>"#);
    }
}
