//! Whether destination and policies deliver all notifications. Pure.

use super::finding::{Finding, Level};
use crate::cloudflare::List;
use crate::cloudflare::model::{Destination, EVENT_TYPES, Policy, Silence};
use crate::cloudflare::setup::Existing;
use crate::event::Timestamp;

const SETUP: &str = "run `stream-live-exporter cloudflare setup`";
/// Policies that were created before do not deliver errors, even without a filter of events.
const ERRORS_SINCE: &str = "2024-07-23T00:00:00Z";
/// At most this many inputs are named.
const MAX_NAMED: usize = 5;

/// What Cloudflare says about the delivery to a URL.
pub(super) struct Delivery<'a> {
    pub(super) url: &'a str,
    pub(super) existing: &'a Existing,
    pub(super) silences: &'a [Silence],
    /// The inputs of the account, if they can be listed.
    pub(super) inputs: Option<&'a List>,
    /// Whether policies of this account can deliver errors; `None` if the API does not say it.
    pub(super) is_errored_known: Option<bool>,
    pub(super) now: Timestamp,
}

impl Delivery<'_> {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let is_ours = |destination: &&Destination| destination.url == self.url;
        let ours: Vec<&Destination> = self.existing.destinations.iter().filter(is_ours).collect();
        if ours.is_empty() {
            return vec![Finding::error(
                "destination",
                format!("no webhook destination has the URL {}", self.url),
                SETUP,
            )];
        }
        let feeds = |policy: &&Policy| {
            policy.body.is_about_live_inputs() && ours.iter().any(|destination| policy.body.feeds(&destination.id))
        };
        let feeding: Vec<&Policy> = self.existing.policies.iter().filter(feeds).collect();
        let mut findings: Vec<Finding> = ours.iter().map(|destination| health(destination)).collect();
        findings.extend(self.policies(&feeding));
        findings
    }

    fn policies(&self, feeding: &[&Policy]) -> Vec<Finding> {
        const SUBJECT: &str = "policy";
        if feeding.is_empty() {
            return vec![Finding::error(
                SUBJECT,
                "no policy about live inputs delivers to the destination".into(),
                SETUP,
            )];
        }
        let enabled: Vec<&Policy> = feeding.iter().filter(|policy| policy.body.enabled).copied().collect();
        // A disabled policy or a partial one does no harm beside a complete one.
        let level = |is_covered: bool| if is_covered { Level::Warning } else { Level::Error };
        let is_active = |policy: &&&Policy| !self.silences.iter().any(|silence| silence.silences(&policy.id, self.now));
        let active: Vec<&Policy> = enabled.iter().filter(is_active).copied().collect();
        let mut findings = Vec::new();
        for policy in feeding.iter().filter(|policy| !policy.body.enabled) {
            let text = format!("{} is disabled", titled(policy));
            findings.push(Finding { level: level(!active.is_empty()), ..Finding::error(SUBJECT, text, SETUP) });
        }
        findings.extend(enabled.iter().flat_map(|policy| self.silences_of(policy)));
        for event_type in EVENT_TYPES {
            if !enabled.is_empty() && !enabled.iter().any(|policy| policy.body.includes_event(event_type)) {
                findings.push(Finding::error(SUBJECT, format!("no enabled policy delivers {event_type}"), SETUP));
            }
        }
        findings.extend(self.old_policies(&enabled));
        if self.is_errored_known == Some(false) {
            let fix = "without errors, metrics about them stay at 0: ask Cloudflare's support";
            findings.push(Finding::warning(SUBJECT, "the API does not list the event live_input.errored".into(), fix));
        }
        findings.extend(self.uncovered_inputs(&enabled));
        if findings.iter().all(|finding| finding.level == Level::Ok) {
            let names: Vec<_> = active.iter().map(|policy| titled(policy)).collect();
            findings.push(Finding::ok(SUBJECT, format!("all events are delivered by {}", names.join(", "))));
        }
        findings
    }

    fn silences_of(&self, policy: &Policy) -> Vec<Finding> {
        let until = |silence: &Silence| match silence.end_time {
            Some(end) => format!("until {end}"),
            None => "without an end".to_owned(),
        };
        let of_policy = self.silences.iter().filter(|silence| silence.policy_id == policy.id.as_str());
        let finding = |silence: &Silence| {
            const FIX: &str =
                "delete the silence in Cloudflare's dashboard, unless it is meant: notifications are lost";
            if silence.silences(&policy.id, self.now) {
                let text = format!("{} is silenced {}", titled(policy), until(silence));
                return Some(Finding::error("silence", text, FIX));
            }
            let start = silence.start_time.filter(|start| *start > self.now)?;
            let text = format!("{} is going to be silenced from {start} {}", titled(policy), until(silence));
            Some(Finding::warning("silence", text, FIX))
        };
        of_policy.filter_map(finding).collect()
    }

    /// Only policies that are older than the event; a newer one beside them delivers it.
    fn old_policies(&self, enabled: &[&Policy]) -> Option<Finding> {
        let since: Timestamp = ERRORS_SINCE.parse().ok()?;
        let is_old = |policy: &&&Policy| policy.body.filter("event_type").is_empty() && policy.created < Some(since);
        let is_dated = |policy: &&&Policy| policy.created.is_some();
        let old = enabled.iter().find(|policy| is_dated(policy) && is_old(policy))?;
        let has_newer = enabled.iter().any(|policy| !is_old(&policy) || !is_dated(&policy));
        (!has_newer).then(|| {
            let text =
                format!("{} was created before errors could be delivered, and may never deliver them", titled(old));
            Finding::warning("policy", text, format!("delete it in Cloudflare's dashboard and {SETUP}"))
        })
    }

    fn uncovered_inputs(&self, enabled: &[&Policy]) -> Option<Finding> {
        let inputs = &self.inputs?.inputs;
        let is_uncovered = |id| !enabled.iter().any(|policy| policy.body.includes_input(id));
        let uncovered: Vec<_> = inputs.iter().filter(|(id, _)| is_uncovered(**id)).collect();
        if uncovered.is_empty() || enabled.is_empty() {
            return None;
        }
        let named = uncovered.iter().take(MAX_NAMED).map(|(id, input)| match &*input.name {
            "" => id.to_string(),
            name => format!("{name} ({id})"),
        });
        let more = if uncovered.len() > MAX_NAMED { ", ..." } else { "" };
        let named = named.collect::<Vec<_>>().join(", ");
        let text = format!("{} of {} inputs are in no policy: {named}{more}", uncovered.len(), inputs.len());
        Some(Finding::warning("policy", text, format!("{SETUP} without --input, or with all inputs that are meant")))
    }
}

fn health(destination: &Destination) -> Finding {
    const SUBJECT: &str = "destination";
    let Destination { name, id, .. } = destination;
    let at = |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |time| time.to_string());
    let (success, failure) = (at(destination.last_success), at(destination.last_failure));
    let text = format!("\"{name}\" ({id}): last success {success}, last failure {failure}");
    if destination.is_failing() {
        let fix = format!(
            "see the log of the daemon, and the webhook below; if it answers, {SETUP}: it sets the secret again"
        );
        Finding::error(SUBJECT, text, fix)
    } else {
        Finding::ok(SUBJECT, text)
    }
}

fn titled(policy: &Policy) -> String {
    format!("\"{}\" ({})", policy.body.name, policy.id)
}

#[cfg(test)]
mod tests;
