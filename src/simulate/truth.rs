//! The expected values of metrics about an input after given events.
//!
//! This model does not use [`crate::live`]. Tests compare the two.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::fact::{ERRORS, Fact, FactKind};
use crate::event::Timestamp;

/// Counts by label value.
pub type Counts = BTreeMap<&'static str, u64>;

/// Counters and state of an input. The serialized form is the truth file of the command `simulate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputTruth {
    /// Absent before the first connect or disconnect. Serialized as 1 or 0.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_number")]
    pub connected: Option<bool>,
    /// Event time of the newest connect or disconnect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_timestamp_ms: Option<i64>,
    /// Events by kind; has all three kinds.
    pub events: Counts,
    /// Errors by the label `code`; has all seven values.
    pub errors: Counts,
    /// Event time of the newest event of each kind that occurred.
    pub last_event_ms: BTreeMap<&'static str, i64>,
    /// Event time of the newest error of each code that occurred.
    #[serde(skip)]
    pub last_error_ms: BTreeMap<&'static str, i64>,
    #[serde(skip)]
    state_since: Option<Timestamp>,
}

impl Default for InputTruth {
    fn default() -> Self {
        Self {
            connected: None,
            state_timestamp_ms: None,
            events: FactKind::NAMES.map(|name| (name, 0)).into(),
            errors: ERRORS.iter().map(|error| (error.label, 0)).collect(),
            last_event_ms: BTreeMap::new(),
            last_error_ms: BTreeMap::new(),
            state_since: None,
        }
    }
}

impl InputTruth {
    /// Adds an event of this input that was not added before.
    pub fn learn(&mut self, fact: &Fact) {
        let at = fact.updated_at;
        count(fact.kind.name(), at, &mut self.events, &mut self.last_event_ms);
        match fact.kind {
            FactKind::Connected => self.change_state(true, at),
            FactKind::Disconnected => self.change_state(false, at),
            FactKind::Errored(error) => count(error.label, at, &mut self.errors, &mut self.last_error_ms),
        }
    }

    fn change_state(&mut self, connected: bool, at: Timestamp) {
        if self.state_since.is_none_or(|since| since < at) {
            (self.connected, self.state_since) = (Some(connected), Some(at));
            self.state_timestamp_ms = Some(at.as_millis());
        }
    }
}

fn count(label: &'static str, at: Timestamp, counts: &mut Counts, newest: &mut BTreeMap<&'static str, i64>) {
    *counts.entry(label).or_default() += 1;
    let newest = newest.entry(label).or_default();
    *newest = at.as_millis().max(*newest);
}

fn as_number<S: Serializer>(connected: &Option<bool>, serializer: S) -> Result<S::Ok, S::Error> {
    connected.map(u8::from).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::InputId;

    fn learned(events: &[(u64, FactKind)]) -> InputTruth {
        let mut truth = InputTruth::default();
        for (seconds, kind) in events {
            let updated_at = Timestamp::from_seconds(1_800_000_000).plus(Duration::from_secs(*seconds));
            truth.learn(&Fact { input_id: InputId::from_bytes([1; 16]), kind: *kind, updated_at });
        }
        truth
    }

    #[test]
    fn serialized_state_counts_and_times_do_not_depend_on_the_order() {
        let mut events = [
            (3, FactKind::Disconnected),
            (1, FactKind::Connected),
            (4, FactKind::Errored(&ERRORS[0])),
            (5, FactKind::Errored(&ERRORS[7])),
            (2, FactKind::Connected),
        ];
        let expected = serde_json::json!({
            "connected": 0,
            "state_timestamp_ms": 1_800_000_003_000_i64,
            "events": { "connected": 2, "disconnected": 1, "errored": 2 },
            "errors": {
                "ERR_GOP_OUT_OF_RANGE": 1,
                "ERR_UNSUPPORTED_VIDEO_CODEC": 0,
                "ERR_UNSUPPORTED_AUDIO_CODEC": 0,
                "ERR_STORAGE_QUOTA_EXHAUSTED": 0,
                "ERR_MISSING_SUBSCRIPTION": 0,
                "ERR_UNHEALTHY": 0,
                "other": 1,
            },
            "last_event_ms": {
                "connected": 1_800_000_002_000_i64,
                "disconnected": 1_800_000_003_000_i64,
                "errored": 1_800_000_005_000_i64,
            },
        });
        for _ in 0..events.len() {
            events.rotate_left(1);
            assert_eq!(serde_json::to_value(learned(&events)).unwrap(), expected, "{events:?}");
        }
    }

    #[test]
    fn connection_state_is_absent_before_the_first_connect_or_disconnect() {
        let truth = learned(&[(0, FactKind::Errored(&ERRORS[0]))]);
        let input = serde_json::to_value(truth).unwrap();
        assert_eq!(input.as_object().unwrap().keys().collect::<Vec<_>>(), ["errors", "events", "last_event_ms"]);
        assert_eq!(input["last_event_ms"].as_object().unwrap().len(), 1);
    }
}
