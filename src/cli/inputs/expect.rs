//! `inputs expect`: exceptions to the schedule of an input.

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::{Decision, Place, running, stopped};
use crate::cli::client::Client;
use crate::clock;
use crate::config::{Settings, Sources, positive_duration};
use crate::event::{InputId, Timestamp};
use crate::recorder::CorrectionOutcome;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The id of the live input
    id: InputId,
    /// Whether it is expected to be live
    #[arg(value_enum, required_unless_present = "clear", requires = "until")]
    expected: Option<OnOff>,
    /// When the exception ends by itself: a time as in 2026-11-29T22:00:00Z, or a duration from now as in 2h
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_until, requires = "expected")]
    until: Option<Timestamp>,
    /// End the exception that is in force
    #[arg(long, conflicts_with_all = ["expected", "until"])]
    clear: bool,
    /// Why, for the journal and for everyone who looks at the input
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnOff {
    On,
    Off,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings, sources: &Sources) -> anyhow::Result<()> {
    let Arguments { id, expected, until, clear: _, reason, place } = arguments;
    let expected = expected.map(|expected| expected == OnOff::On).zip(*until);
    let decision = Decision { input_id: *id, expected, reason: reason.as_deref() };
    let outcome = match place.offline {
        true => stopped::except(&decision, settings, sources)?,
        false => running::except(&Client::new(&place.access, settings)?, &decision)?,
    };
    let result = match (outcome, expected) {
        (CorrectionOutcome::Recorded, Some((true, until))) => format!("expected to be live until {until}"),
        (CorrectionOutcome::Recorded, Some((false, until))) => format!("not expected to be live until {until}"),
        (CorrectionOutcome::Recorded, None) => "exception cleared".to_owned(),
        (CorrectionOutcome::Unchanged, Some(_)) => "has this exception already".to_owned(),
        (CorrectionOutcome::Unchanged, None) => "no exception to clear".to_owned(),
        (CorrectionOutcome::UnknownInput, _) => bail!(super::unknown(id)),
        (CorrectionOutcome::TooMany, _) => {
            bail!("{id}: there are as many exceptions to schedules as inputs.max allows; clear one")
        }
    };
    super::super::print(&format!("{id}: {result}\n"))?;
    Ok(())
}

fn parse_until(text: &str) -> Result<Timestamp, String> {
    let from_now = || positive_duration(text).map(|duration| clock::wall().plus(duration));
    text.parse().or_else(|_| from_now()).map_err(|problem| {
        format!("{problem}; expected a time as in 2026-11-29T22:00:00Z, or a duration from now as in 2h or 7days")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn end_is_a_time_or_a_duration_from_now() {
        let in_two_hours = clock::wall().plus(Duration::from_secs(7200));
        for text in ["2h", "120m", "1h 60m", in_two_hours.to_string().as_str()] {
            let distance = parse_until(text).unwrap().as_millis().abs_diff(in_two_hours.as_millis());
            assert!(distance < 60_000, "{text}");
        }
        assert_eq!(parse_until("2026-11-29T23:00:00+01:00").unwrap().to_string(), "2026-11-29T22:00:00Z");
        for text in ["", "22:00", "1", "0s", "-1h", "2M", "tomorrow", "2026-11-29", "2026-11-29T22:00:00"] {
            assert!(parse_until(text).is_err(), "{text}");
        }
    }
}
