//! Notification policies, and silences over them.

use fastrand::Rng;
use serde_json::{Value, json};

use super::destinations::Destinations;
use super::message::Refusal;
use crate::event::Timestamp;

/// The notification policies of an account, as JSON.
#[derive(Debug)]
pub struct Policies {
    rng: Rng,
    policies: Vec<Value>,
}

const INVALID: Refusal = Refusal::new(400, 17103, "name, alert_type and mechanisms are required");
const NO_DESTINATION: Refusal = Refusal::new(400, 17104, "webhook does not exist");

impl Policies {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, policies: Vec::new() }
    }

    /// An identifier that nothing has yet.
    pub(super) fn new_id(&mut self) -> String {
        format!("{:032x}", self.rng.u128(..))
    }

    /// Adds a policy as it is.
    pub fn add(&mut self, policy: Value) {
        self.policies.push(policy);
    }

    /// All policies.
    pub fn all(&self) -> &[Value] {
        &self.policies
    }

    pub(super) fn list(&self) -> Value {
        json!(self.policies)
    }

    pub(super) fn get(&self, id: &str) -> Option<Value> {
        self.policies.iter().find(|policy| policy["id"] == id).cloned()
    }

    pub(super) fn delete(&mut self, id: &str) -> bool {
        let before = self.policies.len();
        self.policies.retain(|policy| policy["id"] != id);
        self.policies.len() < before
    }

    pub(super) fn create(&mut self, body: &Value, known: &Destinations, now: Timestamp) -> Result<Value, Refusal> {
        check(body, known)?;
        let id = self.new_id();
        let time = format!("{now:.6}");
        let mut policy = json!({ "id": id, "description": "", "filters": {}, "created": time, "modified": time });
        merge(&mut policy, body);
        self.policies.push(policy);
        Ok(json!({ "id": id }))
    }

    /// Replaces the members that the body has.
    pub(super) fn update(
        &mut self,
        id: &str,
        body: &Value,
        known: &Destinations,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let mut updated = self.get(id).unwrap_or_default();
        merge(&mut updated, body);
        check(&updated, known)?;
        updated["modified"] = json!(format!("{now:.6}"));
        for policy in self.policies.iter_mut().filter(|policy| policy["id"] == id) {
            *policy = updated.clone();
        }
        Ok(json!({ "id": id }))
    }
}

fn merge(policy: &mut Value, body: &Value) {
    for (member, value) in body.as_object().into_iter().flatten().filter(|(member, _)| *member != "id") {
        policy[member] = value.clone();
    }
}

fn check(policy: &Value, known: &Destinations) -> Result<(), Refusal> {
    let is_text = |member: &str| policy[member].as_str().is_some_and(|text| !text.is_empty());
    if !is_text("name") || !is_text("alert_type") || !policy["mechanisms"].is_object() {
        return Err(INVALID);
    }
    let mut webhooks = policy["mechanisms"]["webhooks"].as_array().into_iter().flatten();
    let exists = |webhook: &Value| known.all().iter().any(|known| webhook["id"] == known.id.as_str());
    if webhooks.all(exists) { Ok(()) } else { Err(NO_DESTINATION) }
}

/// The silences of an account, as JSON.
#[derive(Debug, Default)]
pub struct Silences(Vec<Value>);

impl Silences {
    /// Silences a policy.
    pub fn silence(&mut self, id: impl Into<String>, policy_id: &str, from: Timestamp, until: Timestamp) {
        let (from, until) = (format!("{from:.6}"), format!("{until:.6}"));
        self.0.push(json!({
            "id": id.into(),
            "policy_id": policy_id,
            "start_time": from,
            "end_time": until,
            "created_at": from,
            "updated_at": from,
        }));
    }

    pub(super) fn list(&self) -> Value {
        json!(self.0)
    }

    pub(super) fn get(&self, id: &str) -> Option<Value> {
        self.0.iter().find(|silence| silence["id"] == id).cloned()
    }

    pub(super) fn delete(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|silence| silence["id"] != id);
        self.0.len() < before
    }

    /// Adds a list of silences.
    pub(super) fn add(&mut self, body: &Value, ids: &mut Policies, now: Timestamp) -> Result<Value, Refusal> {
        let silences = body.as_array().ok_or(Refusal::new(400, 17105, "expected a list of silences"))?;
        let time = format!("{now:.6}");
        for silence in silences {
            let mut added = json!({ "created_at": time, "updated_at": time });
            merge(&mut added, silence);
            added["id"] = json!(ids.new_id());
            self.0.push(added);
        }
        Ok(Value::Null)
    }
}
