//! Cloudflare's own view of its deliveries to us: the destination with our URL, and the policies that feed it.

use std::time::Duration;

use super::model::{self, Destination, EVENT_TYPES, ObjectId, Policy, Silence};
use super::{
    Answer, ApiError, ApiErrorKind, Due, Effect, Endpoint, Facts, Priority, Progress, Request, Settings, Task, result,
};
use crate::event::{AccountId, Timestamp};
use crate::live::View;

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
    Policies { destinations: Vec<ObjectId> },
    Silences { feeding: Vec<Policy> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Found {
    exists: Option<bool>,
    last_success: Option<Timestamp>,
    last_failure: Option<Timestamp>,
    is_delivering: Option<bool>,
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
            let without_slash = |url: &str| url.trim_end_matches('/').to_owned();
            self.webhook_url.as_deref().is_some_and(|ours| without_slash(&destination.url) == without_slash(ours))
        };
        let ours: Vec<_> = all.into_iter().filter(is_ours).collect();
        self.found.last_success = ours.iter().filter_map(|destination| destination.last_success).max();
        self.found.last_failure = ours.iter().filter_map(|destination| destination.last_failure).max();
        self.found.exists = Some(!ours.is_empty());
        if ours.is_empty() {
            return self.completed(false, now);
        }
        self.step = Step::Policies { destinations: ours.into_iter().map(|destination| destination.id).collect() };
        Progress::Continues
    }
}

fn feeds(policy: &Policy, destinations: &[ObjectId]) -> bool {
    let Policy { body, .. } = policy;
    body.enabled && body.is_about_live_inputs() && destinations.iter().any(|destination| body.feeds(destination))
}

/// Whether all types of events arrive: by one policy, or by several that do not choose inputs.
fn is_delivering(feeding: &[Policy]) -> bool {
    let of_all_inputs = || feeding.iter().filter(|policy| policy.body.filter("input_id").is_empty());
    let together = |event_type: &&str| of_all_inputs().any(|policy| policy.body.includes_event(event_type));
    feeding.iter().any(|policy| policy.body.includes_all_events()) || EVENT_TYPES.iter().all(together)
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
        Some(match self.step {
            Step::Destinations => model::destinations(self.account_id),
            Step::Policies { .. } => model::policies(self.account_id),
            Step::Silences { .. } => model::silences(self.account_id),
        })
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
                let feeding: Vec<_> = all.into_iter().filter(|policy| feeds(policy, &destinations)).collect();
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
                feeding.retain(|policy| !silences.iter().any(|silence| silence.silences(&policy.id, now)));
                Ok(self.completed(is_delivering(&feeding), now))
            }
            Step::Destinations => Ok(Progress::Continues),
        }
    }

    fn report(&self, facts: &mut Facts) {
        let Found { exists, last_success, last_failure, is_delivering } = self.found;
        facts.destination_found = exists;
        (facts.destination_last_success, facts.destination_last_failure) = (last_success, last_failure);
        facts.policy_delivering = is_delivering;
    }
}
