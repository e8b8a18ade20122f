//! The results of all notifications. Each worker keeps a tally; at the end they are added.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::answer::{Answer, Outcome};
use crate::simulate::Fact;

/// Longer than the timeouts of a request allow.
const LONGEST_LATENCY_MICROS: u64 = 60_000_000;

#[derive(Debug)]
pub(super) struct Tally {
    pub(super) answers: BTreeMap<Answer, u64>,
    /// From the first byte sent to the last byte of the response, in microseconds; only requests with a response.
    pub(super) latency_micros: Histogram<u64>,
    /// Events that the daemon confirmed, once per confirmation.
    pub(super) acknowledged: Vec<Fact>,
    /// Events that the daemon may have recorded, once per request without a clear response.
    pub(super) uncertain: Vec<Fact>,
    /// Notifications that were due but not posted before the end.
    pub(super) unposted: u64,
    /// Events whose notification was lost on purpose, once per notification.
    pub(super) lost: Vec<Fact>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            answers: BTreeMap::new(),
            latency_micros: Histogram::new_with_max(LONGEST_LATENCY_MICROS, 3)
                .expect("a histogram can hold a minute with three digits"),
            acknowledged: Vec::new(),
            uncertain: Vec::new(),
            unposted: 0,
            lost: Vec::new(),
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
        self.lost.extend(other.lost);
        self
    }

    /// Notifications that were sent or could not be sent.
    pub(super) fn posted(&self) -> u64 {
        self.answers.values().sum()
    }

    pub(super) fn accepted(&self) -> u64 {
        self.answers.iter().filter(|(answer, _)| answer.is_accepted()).map(|(_, count)| count).sum()
    }

    pub(super) fn outcomes(&self, outcome: Outcome) -> u64 {
        self.answers.get(&Answer::Accepted(outcome)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{InputId, Timestamp};
    use crate::simulate::FactKind;

    fn tally(answer: &Answer, latencies_micros: &[u64]) -> Tally {
        let input_id = InputId::from_bytes([1; 16]);
        let fact = Fact { input_id, kind: FactKind::Connected, updated_at: Timestamp::EPOCH };
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
