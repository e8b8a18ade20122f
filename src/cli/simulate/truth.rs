//! What Prometheus should now say, by a model of its own.
//!
//! The model knows nothing of how the daemon folds events. It takes the facts that the daemon
//! acknowledged, each once, sorts them by input and event time, and reads off the end of each list.
//! A fact whose answer was lost may have been recorded or not: such facts are counted as uncertain,
//! and with any of them the daemon may rightly know more than is said here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::answer::Outcome;
use super::fact::{COMPLAINTS, Fact, Happening};
use super::tally::Tally;
use crate::event::{InputId, Timestamp};

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Truth {
    inputs: BTreeMap<InputId, InputTruth>,
    /// Notifications by what the daemon said that it did with them.
    outcomes: BTreeMap<&'static str, u64>,
    /// Notifications that were sent, or could not be.
    posted: u64,
    /// Facts that may or may not have been recorded.
    uncertain: u64,
}

/// What is true of an input of which at least one fact was acknowledged.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct InputTruth {
    /// 1 or 0; absent when there was neither a connect nor a disconnect.
    #[serde(skip_serializing_if = "Option::is_none")]
    connected: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_timestamp_ms: Option<i64>,
    /// All three kinds, those that never happened as 0.
    events: BTreeMap<&'static str, u64>,
    /// All seven codes, those that never happened as 0.
    errors: BTreeMap<&'static str, u64>,
    /// Only kinds that happened.
    last_event_ms: BTreeMap<&'static str, i64>,
}

impl Truth {
    pub(super) fn of(tally: &Tally) -> Self {
        let facts: BTreeMap<_, _> = tally.acknowledged.iter().map(|fact| (identity(fact), fact)).collect();
        let uncertain: BTreeSet<_> = tally.uncertain.iter().map(identity).collect();
        let mut inputs: BTreeMap<_, InputTruth> = BTreeMap::new();
        for ((input_id, _), fact) in &facts {
            inputs.entry(*input_id).or_default().learn(fact);
        }
        Self {
            inputs,
            outcomes: Outcome::ALL.into_iter().map(|outcome| (outcome.name(), tally.outcomes(outcome))).collect(),
            posted: tally.posted(),
            uncertain: uncertain.iter().filter(|identity| !facts.contains_key(identity)).count() as u64,
        }
    }
}

/// Facts of one input differ in their time. Sorts by input, then by time.
fn identity(fact: &Fact) -> (InputId, Timestamp) {
    (fact.input_id, fact.updated_at)
}

impl Default for InputTruth {
    fn default() -> Self {
        Self {
            connected: None,
            state_timestamp_ms: None,
            events: Happening::NAMES.into_iter().map(|name| (name, 0)).collect(),
            errors: COMPLAINTS.iter().map(|complaint| (complaint.label, 0)).collect(),
            last_event_ms: BTreeMap::new(),
        }
    }
}

impl InputTruth {
    /// Learns the next fact in the order of event time: the last word is the one that stays.
    fn learn(&mut self, fact: &Fact) {
        let at = fact.updated_at.as_millis();
        *self.events.entry(fact.happening.name()).or_default() += 1;
        self.last_event_ms.insert(fact.happening.name(), at);
        match fact.happening {
            Happening::Connected => (self.connected, self.state_timestamp_ms) = (Some(1), Some(at)),
            Happening::Disconnected => (self.connected, self.state_timestamp_ms) = (Some(0), Some(at)),
            Happening::Errored(complaint) => *self.errors.entry(complaint.label).or_default() += 1,
        }
    }
}

#[cfg(test)]
mod tests;
