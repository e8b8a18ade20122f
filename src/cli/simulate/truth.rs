//! The truth file: the values that Prometheus must show after the simulation.
//!
//! It covers the events that the daemon acknowledged, each once. Events whose notification was lost on purpose are not
//! counted, but change the state: the exporter learns it from the API. If a response was lost, the event may or may
//! not have been recorded. Such events are counted as uncertain; if there are any, the daemon may correctly
//! show more than the truth file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::answer::Outcome;
use super::tally::Tally;
use crate::event::{InputId, Timestamp};
use crate::simulate::{Counts, Fact, FactKind, InputTruth};

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Truth {
    /// Every input with at least one acknowledged or lost event.
    inputs: BTreeMap<InputId, InputTruth>,
    /// Notifications by the outcome in the response.
    outcomes: BTreeMap<&'static str, u64>,
    /// Notifications that were sent or could not be sent.
    posted: u64,
    /// Events that may or may not have been recorded.
    uncertain: u64,
    /// Events that were lost on purpose, by kind.
    lost: Counts,
}

impl Truth {
    pub(super) fn of(tally: &Tally) -> Self {
        let facts: BTreeMap<_, _> = tally.acknowledged.iter().map(|fact| (identity(fact), fact)).collect();
        let uncertain: BTreeSet<_> = tally.uncertain.iter().map(identity).collect();
        let mut lost: BTreeMap<_, _> = tally.lost.iter().map(|fact| (identity(fact), fact)).collect();
        lost.retain(|identity, _| !facts.contains_key(identity));
        let mut inputs: BTreeMap<_, InputTruth> = BTreeMap::new();
        for (identity, fact) in facts.iter().chain(&lost).collect::<BTreeMap<_, _>>() {
            let input = inputs.entry(fact.input_id).or_default();
            if lost.contains_key(identity) {
                input.learn_lost(fact);
            } else {
                input.learn(fact);
            }
        }
        Self {
            inputs,
            outcomes: Outcome::ALL.into_iter().map(|outcome| (outcome.name(), tally.outcomes(outcome))).collect(),
            posted: tally.posted(),
            uncertain: uncertain.iter().filter(|identity| !facts.contains_key(identity)).count() as u64,
            lost: by_kind(lost.into_values()),
        }
    }
}

fn by_kind<'a>(facts: impl Iterator<Item = &'a Fact>) -> Counts {
    let mut counts: Counts = FactKind::NAMES.map(|name| (name, 0)).into();
    for fact in facts {
        *counts.entry(fact.kind.name()).or_default() += 1;
    }
    counts
}

/// Identifies an event, because events of one input have different times.
fn identity(fact: &Fact) -> (InputId, Timestamp) {
    (fact.input_id, fact.updated_at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::answer::Answer;
    use super::*;

    fn connected(input: u8) -> Fact {
        Fact { input_id: InputId::from_bytes([input; 16]), kind: FactKind::Connected, updated_at: Timestamp::EPOCH }
    }

    fn truth(answers: &[(Fact, Answer)]) -> serde_json::Value {
        let mut tally = Tally::default();
        for (fact, answer) in answers {
            tally.count(*fact, answer.clone(), Duration::ZERO);
        }
        serde_json::to_value(Truth::of(&tally)).unwrap()
    }

    fn lost() -> Answer {
        Answer::Lost("timeout: receive response".to_owned())
    }

    #[test]
    fn event_acknowledged_twice_counts_once() {
        let [recorded, duplicate] = [Outcome::Recorded, Outcome::Duplicate].map(Answer::Accepted);
        let truth = truth(&[(connected(1), recorded), (connected(1), duplicate)]);
        assert_eq!(truth["inputs"]["01010101010101010101010101010101"]["events"]["connected"], 1);
        assert_eq!(truth["outcomes"], json!({ "recorded": 1, "duplicate": 1, "test": 0, "ignored": 0 }));
        assert_eq!(truth["posted"], 2);
    }

    #[test]
    fn only_acknowledged_events_count() {
        let truth = truth(&[
            (connected(1), Answer::Refused(503)),
            (connected(2), Answer::Accepted(Outcome::Ignored)),
            (connected(3), lost()),
        ]);
        assert_eq!((&truth["inputs"], &truth["posted"], &truth["uncertain"]), (&json!({}), &json!(3), &json!(1)));
    }

    #[test]
    fn event_acknowledged_after_a_lost_response_is_certain() {
        let recorded = Answer::Accepted(Outcome::Recorded);
        let truth =
            truth(&[(connected(1), lost()), (connected(1), recorded), (connected(2), lost()), (connected(2), lost())]);
        assert_eq!(truth["uncertain"], 1);
    }

    #[test]
    fn lost_event_changes_the_state_and_is_not_counted() {
        let mut tally = Tally::default();
        let disconnected = |input, seconds| {
            let updated_at = Timestamp::from_seconds(seconds);
            Fact { kind: FactKind::Disconnected, updated_at, ..connected(input) }
        };
        tally.count(connected(1), Answer::Accepted(Outcome::Recorded), Duration::ZERO);
        tally.lost = vec![disconnected(1, 10), disconnected(1, 10), connected(2)];
        let truth = serde_json::to_value(Truth::of(&tally)).unwrap();
        let input = &truth["inputs"]["01010101010101010101010101010101"];
        assert_eq!((&input["connected"], &input["state_timestamp_ms"]), (&json!(0), &json!(10_000)));
        assert_eq!(input["events"], json!({ "connected": 1, "disconnected": 0, "errored": 0 }));
        assert_eq!(truth["inputs"]["02020202020202020202020202020202"]["connected"], 1);
        assert_eq!(truth["lost"], json!({ "connected": 1, "disconnected": 1, "errored": 0 }));
    }
}
