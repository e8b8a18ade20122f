//! Notifications: destinations, policies, silences, available alerts and the history.

use fastrand::Rng;
use serde_json::{Value, json};

use super::destinations::{Destinations, SaveAndTest};
use super::history::History;
use super::message::{Query, Refusal, Reply, Success};
use super::policies::{Policies, Silences};
use crate::event::Timestamp;

/// Everything about notifications that an account has.
#[derive(Debug)]
pub struct Alerting {
    /// Where notifications are sent.
    pub destinations: Destinations,
    /// Which notifications are sent.
    pub policies: Policies,
    /// When they are not sent.
    pub silences: Silences,
    /// Which were sent.
    pub history: History,
    /// The filters that a policy for live inputs can have. Older accounts had no `live_input.errored`.
    pub event_types: Vec<&'static str>,
}

/// A request below `/accounts/{account_id}/alerting/v3`.
pub(super) struct AlertingRequest<'a> {
    pub(super) method: &'a str,
    pub(super) parts: &'a [&'a str],
    pub(super) query: Query<'a>,
    pub(super) body: &'a [u8],
}

const NO_SUCH: Refusal = Refusal::new(404, 1002, "not found");
const INVALID_BODY: Refusal = Refusal::new(400, 1001, "the request body is not valid");

impl Alerting {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            destinations: Destinations::default(),
            // Other identifiers than those of the inputs, which may follow from the same seed.
            policies: Policies::new(Rng::with_seed(!seed)),
            silences: Silences::default(),
            history: History::new(seed),
            event_types: vec!["live_input.connected", "live_input.disconnected", "live_input.errored"],
        }
    }

    pub(super) fn reply(&mut self, request: &AlertingRequest<'_>, test: &mut SaveAndTest, now: Timestamp) -> Reply {
        let body = || serde_json::from_slice::<Value>(request.body).map_err(|_| INVALID_BODY);
        let result = match (request.method, request.parts) {
            ("GET", ["available_alerts"]) => self.available_alerts(),
            ("GET", ["history"]) => return self.history.list(request.query, now),
            ("GET", ["destinations", "webhooks"]) => self.destinations.list(),
            ("POST", ["destinations", "webhooks"]) => {
                let id = self.policies.new_id();
                self.destinations.put(&id, &body()?, test, now)?
            }
            ("GET", ["destinations", "webhooks", id]) => self.destinations.get(id).ok_or(NO_SUCH)?,
            ("PUT", ["destinations", "webhooks", id]) => {
                self.destinations.get(id).ok_or(NO_SUCH)?;
                self.destinations.put(id, &body()?, test, now)?
            }
            ("DELETE", ["destinations", "webhooks", id]) => found(self.destinations.delete(id))?,
            ("GET", ["policies"]) => self.policies.list(),
            ("POST", ["policies"]) => self.policies.create(&body()?, &self.destinations, now)?,
            ("GET", ["policies", id]) => self.policies.get(id).ok_or(NO_SUCH)?,
            ("PUT", ["policies", id]) => {
                self.policies.get(id).ok_or(NO_SUCH)?;
                self.policies.update(id, &body()?, &self.destinations, now)?
            }
            ("DELETE", ["policies", id]) => found(self.policies.delete(id))?,
            ("GET", ["silences"]) => self.silences.list(),
            ("POST", ["silences"]) => self.silences.add(&body()?, &mut self.policies, now)?,
            ("GET", ["silences", id]) => self.silences.get(id).ok_or(NO_SUCH)?,
            ("DELETE", ["silences", id]) => found(self.silences.delete(id))?,
            _ => return Err(Refusal::NO_ROUTE),
        };
        Ok(Success::new(result))
    }

    fn available_alerts(&self) -> Value {
        let values: Vec<_> = self.event_types.iter().map(|id| json!({ "Description": id, "ID": id })).collect();
        json!({
            "Stream": [{
                "type": "stream_live_notifications",
                "display_name": "Stream Live Notifications",
                "description": "Receive notifications about connections to live inputs.",
                "filter_options": [
                    { "Key": "input_id", "ComparisonOperator": "==", "Range": "0-n", "AvailableValues": null },
                    { "Key": "event_type", "ComparisonOperator": "==", "Range": "0-n", "AvailableValues": values },
                ],
            }],
            "Traffic Monitoring": [{
                "type": "traffic_anomalies_alert",
                "display_name": "Traffic Anomalies Alert",
                "description": "Receive notifications about unusual traffic.",
                "filter_options": [
                    { "Key": "zones", "ComparisonOperator": "==", "Range": "1-n", "AvailableValues": null },
                ],
            }],
        })
    }
}

fn found(deleted: bool) -> Result<Value, Refusal> {
    if deleted { Ok(Value::Null) } else { Err(NO_SUCH) }
}

#[cfg(test)]
mod tests;
