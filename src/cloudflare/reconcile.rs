//! Compares what the API says about an input with its state.
//!
//! The status is documented as a word, and seen as an object in two forms, as null, and absent. Only words that are known
//! are evidence: an unknown word says nothing.

use std::time::Duration;

use serde_json::Value;

use crate::event::Timestamp;
use crate::live::{Evidence, Input};

/// The words for an input that is connected.
const UP: [&str; 3] = ["connected", "reconnected", "new_configuration_accepted"];
/// The words for one that is not. `reconnecting` is in neither list: the encoder has a moment to come back.
const DOWN: [&str; 5] =
    ["disconnected", "client_disconnect", "ttl_exceeded", "failed_to_connect", "failed_to_reconnect"];
/// A status without a reliable time may be older than evidence of this age.
const UNSETTLED: Duration = Duration::from_secs(120);
/// The clocks of the API and of this host may differ by this. The header `date` has whole seconds, and takes its time.
const TOLERANCE: Duration = Duration::from_secs(5);

/// What the API said about an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Whether the input is connected, if it said so.
    pub connected: Option<bool>,
    /// Since when, if it said so, by the API's clock.
    pub entered_at: Option<Timestamp>,
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The API says the same.
    Agreement,
    /// The API says nothing that could contradict the state.
    NoEvidence,
    /// The API says the opposite.
    Disagreement(Disagreement),
}

/// The API contradicts the state of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disagreement {
    /// What the API says.
    pub connected: bool,
    /// Since when, by our clock; without a reliable time, that of the answer.
    pub at: Timestamp,
    /// Whether `at` is the time that the API said.
    pub is_exact: bool,
    /// The state that it contradicts.
    pub evidence: Option<Evidence>,
    /// Number of events of the input.
    pub events: u64,
}

impl Status {
    /// Reads the member `status` of an input.
    pub fn read(status: &Value) -> Self {
        let (current, status_state) = (&status["current"], &status["state"]);
        let (word, entered_at) = match (status.as_str(), current["state"].as_str()) {
            (Some(word), _) => (Some(word), &Value::Null),
            (None, Some(word)) => (Some(word), &current["statusEnteredAt"]),
            (None, None) => (status_state.as_str(), &status["statusEnteredAt"]),
        };
        let connected = word.and_then(|word| match word {
            _ if UP.contains(&word) => Some(true),
            _ if DOWN.contains(&word) => Some(false),
            _ => None,
        });
        Self { connected, entered_at: entered_at.as_str().and_then(|text| text.parse().ok()) }
    }
}

impl Disagreement {
    /// If an earlier disagreement is the same, and nothing happened in between: since when the API contradicts the state.
    pub fn confirms(&self, earlier: &Self) -> Option<Timestamp> {
        let what = |one: &Self| (one.connected, one.evidence, one.events);
        let since = if self.is_exact { self.at } else { self.at.min(earlier.at) };
        (what(self) == what(earlier)).then_some(since)
    }
}

/// Compares an input with what the API said about it. `date` is the API's clock, and `now` ours, when it answered.
pub fn reconcile(input: &Input, status: Status, date: Option<Timestamp>, now: Timestamp) -> Finding {
    let Some(connected) = status.connected else { return Finding::NoEvidence };
    let evidence = input.evidence();
    let is_skewed = date.is_some_and(|date| difference(date, now) > TOLERANCE);
    let clock = date.filter(|_| is_skewed);
    let entered_at = status.entered_at.map(|at| clock.map_or(at, |date| shifted(at, date, now)));
    // A time in the future is none.
    // As a match: rustc 1.95 compiles `filter` and `map` with `min` to a wrong result when it optimises.
    let entered_at = match entered_at {
        Some(at) if at > now.plus(TOLERANCE) => None,
        Some(at) if at > now => Some(now),
        entered_at => entered_at,
    };
    let disagreement = Disagreement {
        connected,
        at: entered_at.unwrap_or(now),
        is_exact: entered_at.is_some(),
        evidence,
        events: input.event_count(),
    };
    let Some(evidence) = evidence else {
        // An input that never spoke and is not connected: nothing was lost.
        return if connected { Finding::Disagreement(disagreement) } else { Finding::NoEvidence };
    };
    if evidence.connected == connected {
        return Finding::Agreement;
    }
    // Event times are Cloudflare's, so a wrong clock of this host is not in them, and conversion would move only one side.
    let is_reliable = entered_at.is_some() && !is_skewed;
    let is_settled = now.since(evidence.updated_at).is_some_and(|age| age >= UNSETTLED);
    if disagreement.at > evidence.updated_at && (is_reliable || is_settled) {
        Finding::Disagreement(disagreement)
    } else {
        Finding::NoEvidence
    }
}

fn difference(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).or_else(|| other.since(one)).unwrap_or_default()
}

/// A time by the API's clock as one by ours.
fn shifted(at: Timestamp, date: Timestamp, now: Timestamp) -> Timestamp {
    match date.since(now) {
        Some(ahead) => at.minus(ahead),
        None => at.plus(difference(date, now)),
    }
}

#[cfg(test)]
mod tests;
