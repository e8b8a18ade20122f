//! The objects of the API that more than one part needs: webhook destinations, notification policies, silences.
//!
//! Only what is needed is read. The secret of a destination is never in an answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use super::{Endpoint, Request};
use crate::event::{AccountId, InputId, Timestamp};

/// The type of the notifications about live inputs.
pub const ALERT_TYPE: &str = "stream_live_notifications";
/// The event that older policies never deliver.
pub const ERRORED: &str = "live_input.errored";
/// The events that a policy must deliver.
pub const EVENT_TYPES: [&str; 3] = ["live_input.connected", "live_input.disconnected", ERRORED];

/// The identifier of a destination, a policy, a silence or a token. It can be a part of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectId(String);

/// A webhook destination.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Destination {
    /// Its identifier.
    pub id: ObjectId,
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Where Cloudflare posts notifications to.
    #[serde(default, deserialize_with = "or_default")]
    pub url: String,
    /// When a notification was last delivered; `None`: never.
    #[serde(default, deserialize_with = "time")]
    pub last_success: Option<Timestamp>,
    /// When a delivery last failed; `None`: never.
    #[serde(default, deserialize_with = "time")]
    pub last_failure: Option<Timestamp>,
}

impl Destination {
    /// Whether the last delivery failed.
    pub fn is_failing(&self) -> bool {
        self.last_failure > self.last_success
    }
}

/// A notification policy: which notifications go to which destinations.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Policy {
    /// Its identifier.
    pub id: ObjectId,
    /// When it was created.
    #[serde(default, deserialize_with = "time")]
    pub created: Option<Timestamp>,
    /// What it says.
    #[serde(flatten)]
    pub body: PolicyBody,
}

/// What a notification policy says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyBody {
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// A text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it sends notifications.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The type of its notifications.
    #[serde(default, deserialize_with = "or_default")]
    pub alert_type: String,
    /// How often the same alert is repeated, for some types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_interval: Option<String>,
    /// Lists of receivers by their kind: `{"webhooks": [{"id": ...}]}`.
    #[serde(default, deserialize_with = "or_default")]
    pub mechanisms: Map<String, Value>,
    /// Lists of accepted values by what they filter: `{"input_id": [...]}`. No list, or an empty one, accepts all.
    #[serde(default, deserialize_with = "or_default")]
    pub filters: Map<String, Value>,
}

impl PolicyBody {
    /// Whether it is about live inputs.
    pub fn is_about_live_inputs(&self) -> bool {
        self.alert_type == ALERT_TYPE
    }

    /// The ids of the webhook destinations that it delivers to.
    pub fn webhooks(&self) -> impl Iterator<Item = &str> {
        let webhooks = self.mechanisms.get("webhooks").and_then(Value::as_array).into_iter().flatten();
        webhooks.filter_map(|webhook| webhook["id"].as_str())
    }

    /// Whether it delivers to this destination, if it is enabled.
    pub fn feeds(&self, destination: &ObjectId) -> bool {
        self.webhooks().any(|id| id == destination.as_str())
    }

    /// Whether it delivers this event.
    pub fn includes_event(&self, event_type: &str) -> bool {
        let accepted = self.filter("event_type");
        accepted.is_empty() || accepted.contains(&event_type)
    }

    /// Whether it delivers all events of live inputs.
    pub fn includes_all_events(&self) -> bool {
        EVENT_TYPES.iter().all(|event_type| self.includes_event(event_type))
    }

    /// Whether it delivers events of this input.
    pub fn includes_input(&self, input: InputId) -> bool {
        let accepted = self.filter("input_id");
        accepted.is_empty() || accepted.iter().any(|text| text.parse() == Ok(input))
    }

    /// The accepted values of a filter; empty if it accepts all.
    pub fn filter(&self, name: &str) -> Vec<&str> {
        self.filters.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

/// A time in which a policy sends nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Silence {
    /// The policy that is silenced.
    #[serde(default, deserialize_with = "or_default")]
    pub policy_id: String,
    /// When it begins; `None`: at once.
    #[serde(default, deserialize_with = "time")]
    pub start_time: Option<Timestamp>,
    /// When it ends; `None`: never.
    #[serde(default, deserialize_with = "time")]
    pub end_time: Option<Timestamp>,
}

impl Silence {
    /// Whether the policy sends nothing at this time.
    pub fn silences(&self, policy: &ObjectId, at: Timestamp) -> bool {
        let is_during = self.start_time.is_none_or(|start| start <= at) && self.end_time.is_none_or(|end| at < end);
        self.policy_id == policy.as_str() && is_during
    }
}

/// The types of notifications that an account can have, by product.
pub type AvailableAlerts = BTreeMap<String, Vec<AvailableAlert>>;

/// A type of notifications.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AvailableAlert {
    /// As policies name it.
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub alert_type: String,
    /// What its policies can filter. The form of an option is not documented.
    #[serde(default, deserialize_with = "or_default")]
    pub filter_options: Vec<Value>,
}

impl AvailableAlert {
    /// Whether a policy of this type can filter by this event; `None` if the API does not list the events.
    pub fn knows_event(&self, event_type: &str) -> Option<bool> {
        let is_about_events = |option: &&Value| option["Key"].as_str() == Some("event_type");
        let values = self.filter_options.iter().find(is_about_events)?.get("AvailableValues")?.as_array()?;
        let name = |value: &Value| value.as_str().or_else(|| value["ID"].as_str()).map(str::to_owned);
        let names: Vec<String> = values.iter().filter_map(name).collect();
        if names.is_empty() { None } else { Some(names.iter().any(|name| name == event_type)) }
    }
}

/// The answer about the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TokenStatus {
    /// Its identifier.
    pub id: ObjectId,
    /// `active`, `disabled` or `expired`.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// When it expires; `None`: never.
    #[serde(default, deserialize_with = "time")]
    pub expires_on: Option<Timestamp>,
}

/// The webhook destinations of an account.
pub fn destinations(account: AccountId) -> Request {
    Request::get(Endpoint::Destinations, alerting(account, "destinations/webhooks"))
}

/// The notification policies of an account.
pub fn policies(account: AccountId) -> Request {
    Request::get(Endpoint::Policies, alerting(account, "policies"))
}

/// The silences of an account.
pub fn silences(account: AccountId) -> Request {
    Request::get(Endpoint::Silences, alerting(account, "silences"))
}

/// The types of notifications that an account can have.
pub fn available_alerts(account: AccountId) -> Request {
    Request::get(Endpoint::AvailableAlerts, alerting(account, "available_alerts"))
}

/// The path of an object of the notifications of an account.
pub fn alerting(account: AccountId, object: &str) -> String {
    format!("/accounts/{account}/alerting/v3/{object}")
}

impl ObjectId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        let fits =
            !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits { Ok(Self(id)) } else { Err(de::Error::custom("not an id")) }
    }
}

fn yes() -> bool {
    true
}

/// `null` is the same as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A time, if it is one: Go's zero time, in the year 1, is none.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn destination_is_failing_if_its_last_delivery_failed() {
        for (success, failure, failing) in [
            (json!(null), json!(null), false),
            (json!("2026-11-20T18:00:00Z"), json!(null), false),
            (json!(null), json!("2026-11-20T18:00:00Z"), true),
            (json!("2026-11-20T18:00:01Z"), json!("2026-11-20T18:00:00.5Z"), false),
            (json!("2026-11-20T18:00:00Z"), json!("2026-11-20T18:00:01Z"), true),
            (json!("2026-11-20T18:00:00Z"), json!("0001-01-01T00:00:00Z"), false),
            (json!(""), json!(12), false),
        ] {
            let destination: Destination =
                from_value(json!({"id": "a1", "last_success": success, "last_failure": failure})).unwrap();
            assert_eq!(destination.is_failing(), failing, "{destination:?}");
        }
    }

    #[test]
    fn policy_without_filters_includes_everything() {
        let input: InputId = "2c28dd2cc444cb77578c4840b51e43a8".parse().unwrap();
        for (filters, all_events, includes_input) in [
            (json!(null), true, true),
            (json!({}), true, true),
            (json!({"event_type": [], "input_id": []}), true, true),
            (json!({"event_type": EVENT_TYPES}), true, true),
            (json!({"event_type": EVENT_TYPES[..2]}), false, true),
            (json!({"input_id": ["2C28DD2CC444CB77578C4840B51E43A8"]}), true, true),
            (json!({"input_id": ["eb222fcca08eeb1ae84c981ebe8aeeb6"]}), true, false),
        ] {
            let policy: Policy = from_value(json!({"id": "p", "filters": filters})).unwrap();
            let found = (policy.body.includes_all_events(), policy.body.includes_input(input));
            assert_eq!(found, (all_events, includes_input), "{filters}");
        }
    }

    #[test]
    fn silence_lasts_from_its_start_to_its_end() {
        let policy: Policy = from_value(json!({"id": "p1"})).unwrap();
        let at = "2026-11-20T18:00:00Z".parse().unwrap();
        for (silence, silences) in [
            (
                json!({"policy_id": "p1", "start_time": "2026-11-20T18:00:00Z", "end_time": "2026-11-20T19:00:00Z"}),
                true,
            ),
            (
                json!({"policy_id": "p1", "start_time": "2026-11-20T17:00:00Z", "end_time": "2026-11-20T18:00:00Z"}),
                false,
            ),
            (json!({"policy_id": "p1", "start_time": "2026-11-20T18:00:01Z"}), false),
            (json!({"policy_id": "p1"}), true),
            (json!({"policy_id": "p2"}), false),
            (json!({}), false),
        ] {
            assert_eq!(from_value::<Silence>(silence.clone()).unwrap().silences(&policy.id, at), silences, "{silence}");
        }
    }

    #[test]
    fn events_of_an_alert_are_known_only_if_they_are_listed() {
        for (options, known) in [
            (json!(null), None),
            (json!([{"Key": "event_type", "AvailableValues": null}]), None),
            (json!([{"Key": "input_id", "AvailableValues": [{"ID": "x"}]}]), None),
            (json!([{"Key": "event_type", "AvailableValues": [{"ID": "live_input.connected"}]}]), Some(false)),
            (json!([{"Key": "event_type", "AvailableValues": [{"ID": "live_input.errored"}]}]), Some(true)),
            (json!([{"Key": "event_type", "AvailableValues": ["live_input.errored"]}]), Some(true)),
        ] {
            let alert: AvailableAlert = from_value(json!({"type": ALERT_TYPE, "filter_options": options})).unwrap();
            assert_eq!(alert.knows_event(ERRORED), known, "{options}");
        }
    }

    #[test]
    fn id_that_would_change_a_path_is_refused() {
        for id in ["", "../policies", "a/b", "a?b", "a b"] {
            assert!(from_value::<Destination>(json!({"id": id})).is_err(), "{id}");
        }
    }
}
