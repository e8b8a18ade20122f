//! The expected values of metrics about an input after given events.
//!
//! This model does not use [`crate::live`]. Tests compare the two.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::fact::{ERRORS, Fact, FactKind};
use crate::event::Timestamp;

/// A connect within this time after the disconnect continues the session: the default configuration.
const RECONNECT_WINDOW: Duration = Duration::from_secs(60);

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
    #[serde(skip)]
    disconnected_at: Option<Timestamp>,
}

/// The effect of an event, given all events that were added before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A connect that begins a session.
    SessionStart,
    /// A connect within the reconnect window.
    Reconnect,
    /// The input was connected or unknown, and is now disconnected.
    Disconnect,
    /// A connect or disconnect that repeats the current state: a notification in between is missing.
    Repeat,
    /// A connect or disconnect that is not newer than the current state.
    OutOfOrder,
    /// An error, which does not change the connection state.
    Error,
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
            disconnected_at: None,
        }
    }
}

impl InputTruth {
    /// Adds an event of this input that was not added before.
    pub fn learn(&mut self, fact: &Fact) -> Meaning {
        let at = fact.updated_at;
        count(fact.kind.name(), at, &mut self.events, &mut self.last_event_ms);
        match fact.kind {
            FactKind::Connected => self.change_state(true, at),
            FactKind::Disconnected => self.change_state(false, at),
            FactKind::Errored(error) => {
                count(error.label, at, &mut self.errors, &mut self.last_error_ms);
                Meaning::Error
            }
        }
    }

    /// Adds an event whose notification was lost: it changes the state, and is not counted.
    pub fn learn_lost(&mut self, fact: &Fact) {
        match fact.kind {
            FactKind::Connected => _ = self.change_state(true, fact.updated_at),
            FactKind::Disconnected => _ = self.change_state(false, fact.updated_at),
            FactKind::Errored(_) => {}
        }
    }

    fn change_state(&mut self, connected: bool, at: Timestamp) -> Meaning {
        if self.state_since.is_some_and(|since| at <= since) {
            return Meaning::OutOfOrder;
        }
        let repeats = self.connected == Some(connected);
        (self.connected, self.state_since) = (Some(connected), Some(at));
        self.state_timestamp_ms = Some(at.as_millis());
        if repeats {
            return Meaning::Repeat;
        }
        if !connected {
            self.disconnected_at = Some(at);
            return Meaning::Disconnect;
        }
        let gap = self.disconnected_at.and_then(|disconnected_at| at.since(disconnected_at));
        if gap.is_some_and(|gap| gap <= RECONNECT_WINDOW) { Meaning::Reconnect } else { Meaning::SessionStart }
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
    use super::*;
    use crate::event::InputId;

    fn learned(events: &[(u64, FactKind)]) -> (Vec<Meaning>, InputTruth) {
        let mut truth = InputTruth::default();
        let meanings = events.iter().map(|(seconds, kind)| {
            let updated_at = Timestamp::from_seconds(1_800_000_000).plus(Duration::from_secs(*seconds));
            truth.learn(&Fact { input_id: InputId::from_bytes([1; 16]), kind: *kind, updated_at })
        });
        (meanings.collect(), truth)
    }

    #[test]
    fn effect_of_an_event_depends_on_earlier_events() {
        let (meanings, truth) = learned(&[
            (0, FactKind::Connected),
            (100, FactKind::Disconnected),
            (160, FactKind::Connected),
            (200, FactKind::Connected),
            (150, FactKind::Disconnected),
            (210, FactKind::Errored(&ERRORS[0])),
            (300, FactKind::Disconnected),
            (300, FactKind::Connected),
            (310, FactKind::Disconnected),
            (361, FactKind::Connected),
        ]);
        use Meaning::{Disconnect, Error, OutOfOrder, Reconnect, Repeat, SessionStart};
        let expected = [
            SessionStart,
            Disconnect,
            Reconnect,
            Repeat,
            OutOfOrder,
            Error,
            Disconnect,
            OutOfOrder,
            Repeat,
            SessionStart,
        ];
        assert_eq!(meanings, expected);
        assert_eq!((truth.connected, truth.state_timestamp_ms), (Some(true), Some(1_800_000_361_000)));
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
            assert_eq!(serde_json::to_value(learned(&events).1).unwrap(), expected, "{events:?}");
        }
    }

    #[test]
    fn connection_state_is_absent_before_the_first_connect_or_disconnect() {
        let (_, truth) = learned(&[(0, FactKind::Errored(&ERRORS[0]))]);
        let input = serde_json::to_value(truth).unwrap();
        assert_eq!(input.as_object().unwrap().keys().collect::<Vec<_>>(), ["errors", "events", "last_event_ms"]);
        assert_eq!(input["last_event_ms"].as_object().unwrap().len(), 1);
    }
}
