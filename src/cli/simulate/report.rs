//! The summary that is printed at the end.

use std::fmt;
use std::iter;
use std::time::Duration;

use super::Arguments;
use super::tally::Tally;

/// The summary mentions the requested rate if the achieved rate is below this share of it.
const ACCEPTABLE_SHARE: f64 = 0.95;

/// Displays as scenario, rate, responses, latency, and where to look next.
pub(super) struct Report<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) elapsed: Duration,
    pub(super) interrupted: bool,
    pub(super) tally: &'a Tally,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arguments { scenario, seed, inputs, url, .. } = self.arguments;
        let (posted, seconds) = (self.tally.posted(), self.elapsed.as_secs_f64());
        let interrupted = if self.interrupted { ", then interrupted" } else { "" };
        writeln!(f, "Scenario {scenario}, seed {seed}: posted {posted} notifications of {inputs} inputs")?;
        writeln!(f, "to {url} in {seconds:.1} s{interrupted}.\n")?;
        self.write_rate(f)?;
        self.write_answers(f)?;
        self.write_latency(f)?;
        self.write_verdict(f)
    }
}

impl Report<'_> {
    fn write_rate(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let achieved = (self.tally.posted() + self.tally.lost.len() as u64) as f64 / self.elapsed.as_secs_f64();
        write!(f, "  rate     {achieved:.1} per second")?;
        if achieved < self.arguments.plan.rate * ACCEPTABLE_SHARE {
            write!(f, ", {} requested: the target was slower than the schedule", self.arguments.plan.rate)?;
        }
        writeln!(f)?;
        if !self.tally.lost.is_empty() {
            let lost = self.tally.lost.len();
            writeln!(f, "  lost     {lost} more were not posted on purpose")?;
        }
        match self.tally.unposted {
            0 => Ok(()),
            unposted => writeln!(f, "           {unposted} more were due but not posted"),
        }
    }

    fn write_answers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.tally.posted().to_string().len();
        let headings = iter::once("answers").chain(iter::repeat(""));
        for (heading, (answer, count)) in headings.zip(&self.tally.answers) {
            write!(f, "  {heading:<7}  {count:>width$} {answer}")?;
            match answer.explanation(&self.arguments.secret_file) {
                Some(explanation) => writeln!(f, ": {explanation}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    fn write_latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.tally.latency_micros;
        if latency.is_empty() {
            return Ok(());
        }
        let millis = |micros: u64| micros as f64 / 1000.0;
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|quantile| millis(latency.value_at_quantile(quantile)));
        let (min, max) = (millis(latency.min()), millis(latency.max()));
        writeln!(f, "  latency  min {min:.2}  p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  max {max:.2} ms")
    }

    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (posted, accepted) = (self.tally.posted(), self.tally.accepted());
        if accepted < posted {
            let refused = posted - accepted;
            return writeln!(f, "\n{refused} of {posted} were not accepted: see the daemon's log and /metrics.");
        }
        writeln!(f, "\nAll were accepted: see the daemon's /metrics and /api/v1/inputs.")
    }
}

#[cfg(test)]
mod tests;
