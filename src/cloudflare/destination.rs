//! Cloudflare's own view of its deliveries to us: the destination with our URL, and the policies that feed it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Answer, ApiError, ApiErrorKind, Due, Effect, Endpoint, Facts, Priority, Progress, Request, Settings, Task, result,
};
use crate::event::{AccountId, Timestamp};
use crate::live::View;

/// The notification type of live inputs.
const ALERT_TYPE: &str = "stream_live_notifications";
/// The event types that must arrive.
const EVENT_TYPES: [&str; 3] = ["live_input.connected", "live_input.disconnected", "live_input.errored"];

/// Checks destination, policies and silences, in three requests.
#[derive(Debug)]
pub struct DestinationCheck {
    account_id: AccountId,
    webhook_url: Option<String>,
    interval: Option<Duration>,
    checked_at: Option<Timestamp>,
    step: Step,
    /// The health of our destination, when it was last checked.
    found: Found,
}

/// The request that is next.
#[derive(Debug)]
enum Step {
    Destinations,
    Policies { destinations: BTreeSet<String> },
    Silences { feeding: Vec<Policy> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Found {
    last_success: Option<Timestamp>,
    last_failure: Option<Timestamp>,
    is_delivering: Option<bool>,
}

/// A webhook destination. Its members can be null.
#[derive(Debug, Deserialize)]
struct Destination {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    url: Value,
    #[serde(default)]
    last_success: Value,
    #[serde(default)]
    last_failure: Value,
}

/// A notification policy.
#[derive(Debug, Deserialize)]
struct Policy {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    enabled: Value,
    #[serde(default)]
    alert_type: Value,
    #[serde(default)]
    mechanisms: Value,
    #[serde(default)]
    filters: Value,
}

/// A time in which a policy sends nothing.
#[derive(Debug, Deserialize)]
struct Silence {
    #[serde(default)]
    policy_id: Value,
    #[serde(default)]
    start_time: Value,
    #[serde(default)]
    end_time: Value,
}

impl DestinationCheck {
    /// A check that was not made.
    pub fn new(settings: &Settings) -> Self {
        Self {
            account_id: settings.account_id,
            webhook_url: settings.webhook_url.clone(),
            interval: settings.destination,
            checked_at: None,
            step: Step::Destinations,
            found: Found::default(),
        }
    }

    fn completed(&mut self, is_delivering: bool, now: Timestamp) -> Progress {
        self.found.is_delivering = Some(is_delivering);
        (self.step, self.checked_at) = (Step::Destinations, Some(now));
        Progress::Completed
    }

    fn read_destinations(&mut self, all: Vec<Destination>, now: Timestamp) -> Progress {
        let is_ours = |destination: &Destination| {
            let url = destination.url.as_str().zip(self.webhook_url.as_deref());
            url.is_some_and(|(url, ours)| url.trim_end_matches('/') == ours.trim_end_matches('/'))
        };
        let ours: Vec<_> = all.into_iter().filter(is_ours).collect();
        let newest = |time: fn(&Destination) -> &Value| ours.iter().filter_map(|one| timestamp(time(one))).max();
        self.found.last_success = newest(|destination| &destination.last_success);
        self.found.last_failure = newest(|destination| &destination.last_failure);
        if ours.is_empty() {
            return self.completed(false, now);
        }
        let destinations = ours.iter().filter_map(|destination| destination.id.as_str().map(str::to_owned)).collect();
        self.step = Step::Policies { destinations };
        Progress::Continues
    }
}

impl Policy {
    fn feeds(&self, destinations: &BTreeSet<String>) -> bool {
        let webhooks = self.mechanisms["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_ours = |webhook: &Value| webhook["id"].as_str().is_some_and(|id| destinations.contains(id));
        self.enabled.as_bool() != Some(false) && self.alert_type == ALERT_TYPE && webhooks.iter().any(is_ours)
    }

    /// Whether it sends this type of event. An empty filter lets all pass.
    fn sends(&self, event_type: &str) -> bool {
        let types = self.filters["event_type"].as_array().map(Vec::as_slice).unwrap_or_default();
        types.is_empty() || types.iter().any(|one| one == event_type)
    }

    fn sends_all_inputs(&self) -> bool {
        self.filters["input_id"].as_array().is_none_or(Vec::is_empty)
    }

    fn is_silenced(&self, silences: &[Silence], now: Timestamp) -> bool {
        let is_active = |silence: &Silence| {
            timestamp(&silence.start_time).is_none_or(|start| start <= now)
                && timestamp(&silence.end_time).is_none_or(|end| now < end)
        };
        silences.iter().any(|silence| !self.id.is_null() && silence.policy_id == self.id && is_active(silence))
    }
}

/// Whether all types of events arrive: by one policy, or by several that do not choose inputs.
fn is_delivering(feeding: &[Policy]) -> bool {
    let alone = feeding.iter().any(|policy| EVENT_TYPES.iter().all(|event_type| policy.sends(event_type)));
    let together = |event_type: &&str| feeding.iter().any(|one| one.sends_all_inputs() && one.sends(event_type));
    alone || EVENT_TYPES.iter().all(together)
}

fn timestamp(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

impl Task for DestinationCheck {
    fn configure(&mut self, settings: &Settings) {
        self.interval = settings.destination;
        if self.webhook_url != settings.webhook_url {
            *self = Self::new(settings);
        }
    }

    fn due(&mut self, now: Timestamp, _view: &View) -> Option<Due> {
        let interval = self.interval?;
        Some(match self.step {
            Step::Destinations => Due::after(self.checked_at, interval, now, Priority::Periodic),
            Step::Policies { .. } | Step::Silences { .. } => Due { at: Timestamp::EPOCH, priority: Priority::Periodic },
        })
    }

    fn request(&mut self, _now: Timestamp, _view: &View) -> Option<Request> {
        let (endpoint, path) = match self.step {
            Step::Destinations => (Endpoint::Destinations, "destinations/webhooks"),
            Step::Policies { .. } => (Endpoint::Policies, "policies"),
            Step::Silences { .. } => (Endpoint::Silences, "silences"),
        };
        Some(Request::get(endpoint, format!("/accounts/{}/alerting/v3/{path}", self.account_id)))
    }

    fn answered(
        &mut self,
        request: &Request,
        answer: &Answer,
        now: Timestamp,
        _view: &View,
        _effects: &mut Vec<Effect>,
    ) -> Result<Progress, ApiError> {
        // After a failure, it begins again.
        match std::mem::replace(&mut self.step, Step::Destinations) {
            _ if request.endpoint == Endpoint::Destinations => {
                let all = result::<Option<Vec<Destination>>>(request, answer)?;
                Ok(self.read_destinations(all.unwrap_or_default(), now))
            }
            Step::Policies { destinations } => {
                let all = result::<Option<Vec<Policy>>>(request, answer)?.unwrap_or_default();
                let feeding: Vec<_> = all.into_iter().filter(|policy| policy.feeds(&destinations)).collect();
                if feeding.is_empty() {
                    return Ok(self.completed(false, now));
                }
                self.step = Step::Silences { feeding };
                Ok(Progress::Continues)
            }
            Step::Silences { mut feeding } => {
                let silences = match result::<Option<Vec<Silence>>>(request, answer) {
                    Err(ApiError { kind: ApiErrorKind::NotFound { .. }, .. }) => Vec::new(),
                    silences => silences?.unwrap_or_default(),
                };
                feeding.retain(|policy| !policy.is_silenced(&silences, now));
                Ok(self.completed(is_delivering(&feeding), now))
            }
            Step::Destinations => Ok(Progress::Continues),
        }
    }

    fn report(&self, facts: &mut Facts) {
        let Found { last_success, last_failure, is_delivering } = self.found;
        (facts.destination_last_success, facts.destination_last_failure) = (last_success, last_failure);
        facts.policy_delivering = is_delivering;
    }
}
