//! Which steps lead from the destinations and policies that exist to the ones that are wanted. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::model::{ALERT_TYPE, Destination, ObjectId, Policy, PolicyBody, alerting, destinations, policies};
use super::{Endpoint, Method, Request};
use crate::event::{AccountId, InputId};

/// What exists in an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Existing {
    /// All webhook destinations.
    pub destinations: Vec<Destination>,
    /// All notification policies.
    pub policies: Vec<Policy>,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name of a destination or policy that is created.
    pub name: String,
    /// Where Cloudflare posts notifications to.
    pub url: String,
    /// The inputs whose events are delivered; empty: all.
    pub inputs: BTreeSet<InputId>,
}

/// A change. Each is one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Creates the destination, with the secret.
    CreateDestination {
        /// Its name.
        name: String,
        /// Its URL.
        url: String,
    },
    /// Changes the URL of the destination, and sets the secret.
    UpdateDestination {
        /// As it is.
        before: Destination,
        /// The new URL.
        url: String,
    },
    /// Deletes the destination.
    DeleteDestination(Destination),
    /// Creates a policy that delivers to the destination.
    CreatePolicy(PolicyBody),
    /// Changes a policy so that it delivers to the destination.
    UpdatePolicy {
        /// As it is.
        before: Policy,
        /// As it is going to be, except that it may not name the destination yet.
        after: PolicyBody,
    },
    /// Changes a policy so that it no longer delivers to the destination.
    DetachPolicy {
        /// As it is.
        before: Policy,
        /// As it is going to be.
        after: PolicyBody,
    },
    /// Deletes a policy.
    DeletePolicy(Policy),
}

impl Existing {
    /// The destination of this exporter: the one with the URL, or else the one with the name. Several can have the URL
    /// while a secret is rotated by hand; the one with the name is preferred.
    pub fn destination(&self, wanted: &Wanted) -> Option<&Destination> {
        let named = |destination: &&Destination| destination.name == wanted.name;
        let mut with_url = self.destinations.iter().filter(|destination| destination.url == wanted.url);
        let first = with_url.clone().next();
        with_url.find(named).or(first).or_else(|| self.destinations.iter().find(named))
    }

    /// The policies about live inputs that deliver to this destination, if they are enabled.
    pub fn feeding(&self, destination: &ObjectId) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(move |policy| policy.body.is_about_live_inputs() && policy.body.feeds(destination))
    }
}

/// The steps to what is wanted; none if it exists.
pub fn plan(existing: &Existing, wanted: &Wanted) -> Vec<Step> {
    let destination = existing.destination(wanted);
    let mut steps = Vec::new();
    match destination {
        None => steps.push(Step::CreateDestination { name: wanted.name.clone(), url: wanted.url.clone() }),
        // The API never shows the secret. A wrong one makes deliveries fail.
        Some(found) if found.url != wanted.url || found.is_failing() => {
            steps.push(Step::UpdateDestination { before: found.clone(), url: wanted.url.clone() });
        }
        Some(_) => {}
    }
    steps.extend(policy_step(existing, wanted, destination.map(|destination| &destination.id)));
    steps
}

fn policy_step(existing: &Existing, wanted: &Wanted, destination: Option<&ObjectId>) -> Option<Step> {
    let feeding: Vec<&Policy> = destination.map_or_else(Vec::new, |id| existing.feeding(id).collect());
    if feeding.iter().any(|policy| is_as_wanted(&policy.body, wanted)) {
        return None;
    }
    let named = |policy: &&Policy| policy.body.is_about_live_inputs() && policy.body.name == wanted.name;
    let before = match (existing.policies.iter().find(named), feeding.as_slice()) {
        (Some(named), _) => named,
        (None, [only]) => only,
        (None, _) => return Some(Step::CreatePolicy(as_wanted(None, wanted))),
    };
    Some(Step::UpdatePolicy { before: before.clone(), after: as_wanted(Some(&before.body), wanted) })
}

fn is_as_wanted(policy: &PolicyBody, wanted: &Wanted) -> bool {
    let inputs: BTreeSet<_> = policy.filter("input_id").into_iter().map(|text| text.parse().ok()).collect();
    let wanted_inputs: BTreeSet<_> = wanted.inputs.iter().copied().map(Some).collect();
    policy.enabled && policy.includes_all_events() && inputs == wanted_inputs
}

/// The policy with its other receivers, and without a filter of events: it then delivers also events that are added later.
fn as_wanted(before: Option<&PolicyBody>, wanted: &Wanted) -> PolicyBody {
    let mut policy = before.cloned().unwrap_or_else(|| PolicyBody {
        name: wanted.name.clone(),
        description: None,
        enabled: true,
        alert_type: ALERT_TYPE.to_owned(),
        alert_interval: None,
        mechanisms: Map::new(),
        filters: Map::new(),
    });
    policy.enabled = true;
    policy.filters.remove("event_type");
    if wanted.inputs.is_empty() {
        policy.filters.remove("input_id");
    } else {
        let inputs: Vec<_> = wanted.inputs.iter().map(ToString::to_string).collect();
        policy.filters.insert("input_id".to_owned(), json!(inputs));
    }
    policy
}

/// The steps that undo what [`plan`] led to: policies that deliver only to the destination are deleted, others keep their
/// other receivers, and the destination is deleted. A destination with another name is not deleted: it was not created by
/// [`plan`].
pub fn removal(existing: &Existing, wanted: &Wanted) -> Vec<Step> {
    let destination = existing.destinations.iter().find(|destination| destination.name == wanted.name);
    let Some(destination) = destination else { return Vec::new() };
    let mut steps: Vec<Step> = existing
        .policies
        .iter()
        .filter(|policy| policy.body.feeds(&destination.id))
        .map(|policy| {
            let after = detached(&policy.body, &destination.id);
            match after.mechanisms.is_empty() && policy.body.is_about_live_inputs() {
                true => Step::DeletePolicy(policy.clone()),
                false => Step::DetachPolicy { before: policy.clone(), after },
            }
        })
        .collect();
    steps.push(Step::DeleteDestination(destination.clone()));
    steps
}

fn detached(policy: &PolicyBody, destination: &ObjectId) -> PolicyBody {
    let mut policy = policy.clone();
    policy.mechanisms = policy
        .mechanisms
        .into_iter()
        .filter_map(|(kind, receivers)| {
            let Value::Array(receivers) = receivers else { return None };
            let is_other =
                |receiver: &Value| kind != "webhooks" || receiver["id"].as_str() != Some(destination.as_str());
            let others: Vec<Value> = receivers.into_iter().filter(is_other).collect();
            (!others.is_empty()).then_some((kind, Value::Array(others)))
        })
        .collect();
    policy
}

impl Step {
    /// Whether it sets the secret of the destination. Cloudflare then sends a test message.
    pub fn sets_secret(&self) -> bool {
        matches!(self, Self::CreateDestination { .. } | Self::UpdateDestination { .. })
    }

    /// The request that does it. The destination is the one that exists by then.
    pub fn request(&self, account: AccountId, secret: &str, destination: Option<&ObjectId>) -> Request {
        let policy = |id: &ObjectId| alerting(account, &format!("policies/{id}"));
        let target = |id: &ObjectId| alerting(account, &format!("destinations/webhooks/{id}"));
        let (endpoint, method, path, body) = match self {
            Self::CreateDestination { name, url } => {
                let body = json!({"name": name, "url": url, "secret": secret});
                (Endpoint::Destinations, Method::Post, destinations(account).path, Some(body))
            }
            Self::UpdateDestination { before, url } => {
                let body = json!({"name": before.name, "url": url, "secret": secret});
                (Endpoint::Destinations, Method::Put, target(&before.id), Some(body))
            }
            Self::DeleteDestination(before) => (Endpoint::Destinations, Method::Delete, target(&before.id), None),
            Self::CreatePolicy(after) => {
                let body = json!(attached(after, destination));
                (Endpoint::Policies, Method::Post, policies(account).path, Some(body))
            }
            Self::UpdatePolicy { before, after } => {
                let body = json!(attached(after, destination));
                (Endpoint::Policies, Method::Put, policy(&before.id), Some(body))
            }
            Self::DetachPolicy { before, after } => {
                (Endpoint::Policies, Method::Put, policy(&before.id), Some(json!(after)))
            }
            Self::DeletePolicy(before) => (Endpoint::Policies, Method::Delete, policy(&before.id), None),
        };
        Request { endpoint, method, path, body }
    }
}

/// The policy, delivering to the destination too. No list of receivers stays empty: Terraform would report a difference.
fn attached(policy: &PolicyBody, destination: Option<&ObjectId>) -> PolicyBody {
    let mut policy = policy.clone();
    policy.mechanisms.retain(|_, receivers| receivers.as_array().is_some_and(|receivers| !receivers.is_empty()));
    if let Some(id) = destination.filter(|id| !policy.feeds(id)) {
        let webhooks = policy.mechanisms.entry("webhooks").or_insert_with(|| json!([]));
        webhooks.as_array_mut().into_iter().for_each(|webhooks| webhooks.push(json!({"id": id})));
    }
    policy
}

#[cfg(test)]
mod tests;
