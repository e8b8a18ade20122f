//! What became of all notifications: each worker keeps a tally of its own, and they add up.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::answer::{Answer, Outcome};
use super::fact::Fact;

/// Longer than any request may take.
const LONGEST_LATENCY_MICROS: u64 = 60_000_000;

#[derive(Debug)]
pub(super) struct Tally {
    pub(super) answers: BTreeMap<Answer, u64>,
    /// From the first byte sent to the last byte of the answer, in microseconds. Without those that
    /// were never answered.
    pub(super) latency_micros: Histogram<u64>,
    /// Facts that the daemon said it knows, as often as it said so.
    pub(super) acknowledged: Vec<Fact>,
    /// Facts that it may or may not have recorded, as often as they were sent in vain.
    pub(super) uncertain: Vec<Fact>,
    /// Notifications that came due, and that there was no time left to post.
    pub(super) unposted: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            answers: BTreeMap::new(),
            latency_micros: Histogram::new_with_max(LONGEST_LATENCY_MICROS, 3)
                .expect("a minute and three digits are within what a histogram can hold"),
            acknowledged: Vec::new(),
            uncertain: Vec::new(),
            unposted: 0,
        }
    }
}

impl Tally {
    pub(super) fn count(&mut self, fact: Fact, answer: Answer, latency: Duration) {
        if matches!(answer, Answer::Accepted(_) | Answer::Refused(_)) {
            self.latency_micros.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
        if answer.acknowledges() {
            self.acknowledged.push(fact);
        }
        if answer.is_uncertain() {
            self.uncertain.push(fact);
        }
        *self.answers.entry(answer).or_default() += 1;
    }

    pub(super) fn plus(mut self, other: Self) -> Self {
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        self.latency_micros += other.latency_micros;
        self.acknowledged.extend(other.acknowledged);
        self.uncertain.extend(other.uncertain);
        self.unposted += other.unposted;
        self
    }

    /// Notifications that were sent, or could not be.
    pub(super) fn posted(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Notifications that were answered 2xx.
    pub(super) fn accepted(&self) -> u64 {
        self.answers.iter().filter(|(answer, _)| answer.is_accepted()).map(|(_, count)| count).sum()
    }

    pub(super) fn outcomes(&self, outcome: Outcome) -> u64 {
        self.answers.get(&Answer::Accepted(outcome)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fact::Happening;
    use super::*;
    use crate::event::{InputId, Timestamp};

    fn tally(answer: &Answer, latencies_micros: &[u64]) -> Tally {
        let fact = Fact {
            input_id: InputId::from_bytes([1; 16]),
            happening: Happening::Connected,
            updated_at: Timestamp::EPOCH,
        };
        let mut tally = Tally::default();
        for micros in latencies_micros {
            tally.count(fact, answer.clone(), Duration::from_micros(*micros));
        }
        tally
    }

    #[test]
    fn tallies_add_up() {
        let recorded = Answer::Accepted(Outcome::Recorded);
        let tallies = [
            tally(&recorded, &[700, 1200]),
            tally(&recorded, &[]),
            tally(&Answer::Refused(401), &[900_000]),
            tally(&Answer::Lost("timeout: receive response".to_owned()), &[5_000_000]),
            tally(&recorded, &[500]),
        ];
        let total = tallies.into_iter().fold(Tally::default(), Tally::plus);
        assert_eq!((total.posted(), total.accepted(), total.outcomes(Outcome::Recorded)), (5, 3, 3));
        assert_eq!((total.acknowledged.len(), total.uncertain.len()), (3, 1));
        let latency = &total.latency_micros;
        assert_eq!((latency.len(), latency.min(), latency.max()), (4, 500, 900_095));
    }
}
