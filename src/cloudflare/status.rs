//! The sweep: asks for the status of one input after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::reconcile::{Disagreement, Finding, Status, reconcile};
use super::rings::{Ring, Rings};
use super::{
    Answer, ApiError, ApiErrorKind, Due, Effect, Endpoint, Facts, Priority, Progress, Request, Settings, Task, invalid,
    result,
};
use crate::event::{AccountId, InputId, Observation, Observed, Timestamp};
use crate::live::{InputEntry, State, View};

/// The API's code for an input that does not exist, or is another account's.
pub(super) const NO_SUCH_INPUT: ApiErrorKind = ApiErrorKind::NotFound { code: Some(10003) };
/// When a disagreement is asked for again.
const RECHECK: Duration = Duration::from_secs(15);
/// An input that changed within this time is asked first.
const RECENT: Duration = Duration::from_secs(120);
/// How often the known inputs are looked through. With ten thousand of them, that takes milliseconds.
const REFRESH: Duration = Duration::from_secs(5);

/// Compares the status of inputs with their state.
#[derive(Debug)]
pub struct StatusSweep {
    account_id: AccountId,
    is_only_account: bool,
    has_inventory: bool,
    rings: Rings,
    refreshed_at: Option<Timestamp>,
    /// Inputs whose last answer contradicts their state.
    disputes: BTreeMap<InputId, Dispute>,
    /// The input in flight, and when it was asked.
    asked: Option<(InputId, Timestamp)>,
    /// Whether the last input may be streamed to: the list of inputs does not always say it.
    enabled: Option<(InputId, bool)>,
}

/// A disagreement that the next answer can confirm.
#[derive(Debug, Clone, Copy)]
struct Dispute {
    disagreement: Disagreement,
    since: Timestamp,
}

/// What is needed of an input. Its stream keys are not read.
#[derive(Debug, Deserialize)]
struct Details {
    #[serde(default)]
    uid: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    enabled: Value,
}

/// The request for an input.
pub(super) fn input_request(account_id: AccountId, input_id: InputId) -> Request {
    Request::get(Endpoint::Input, format!("/accounts/{account_id}/stream/live_inputs/{input_id}"))
}

impl StatusSweep {
    /// A sweep that begins.
    pub fn new(settings: &Settings) -> Self {
        Self {
            account_id: settings.account_id,
            is_only_account: settings.is_only_account,
            has_inventory: settings.inventory.is_some(),
            rings: Rings::default(),
            refreshed_at: None,
            disputes: BTreeMap::new(),
            asked: None,
            enabled: None,
        }
    }

    /// Whether the input of the last answer may be streamed to, if the answer says it.
    pub fn take_enabled(&mut self) -> Option<(InputId, bool)> {
        self.enabled.take()
    }

    /// Whether the account is asked for this input.
    fn is_asked_for(&self, input_id: &InputId, entry: &InputEntry, state: &State) -> bool {
        match entry.input.account_id {
            Some(account_id) => account_id == self.account_id,
            None if self.has_inventory => {
                state.inventory(&self.account_id).is_some_and(|inventory| inventory.inputs.contains_key(input_id))
            }
            None => self.is_only_account,
        }
    }

    fn refresh(&mut self, now: Timestamp, view: &View) {
        if Due::after(self.refreshed_at, REFRESH, now, Priority::Sweep).at > now {
            return;
        }
        self.refreshed_at = Some(now);
        let is_urgent = |input_id: &InputId, entry: &InputEntry| {
            let changed = |at: Timestamp| now.since(at).is_none_or(|age| age < RECENT);
            entry.input.evidence().is_some_and(|evidence| evidence.connected || changed(evidence.updated_at))
                || view.state.expected(input_id, now)
        };
        let asked_for = view.state.known(None).filter(|(id, entry)| self.is_asked_for(id, entry, &view.state));
        let wanted: Vec<_> = asked_for
            .map(|(id, entry)| (id, if is_urgent(&id, entry) { Ring::Urgent } else { Ring::Others }))
            .collect();
        self.rings.replace(wanted);
        self.disputes.retain(|input_id, _| self.rings.contains(input_id));
    }

    /// The input to ask next, and when.
    fn choose(&self, now: Timestamp) -> Option<(InputId, Due)> {
        let recheck = |dispute: &Dispute| Due::after(Some(dispute.since), RECHECK, now, Priority::First);
        let disputes = self.disputes.iter().map(|(input_id, dispute)| (*input_id, recheck(dispute)));
        let dispute = disputes.min_by_key(|(_, due)| due.at);
        let swept = self.rings.next(now);
        match (dispute, swept) {
            (Some(dispute), Some(swept)) if dispute.1.at <= now || dispute.1.at <= swept.1.at => Some(dispute),
            (dispute, swept) => swept.or(dispute),
        }
    }

    fn compare(
        &mut self,
        input_id: InputId,
        details: &Details,
        answer: &Answer,
        now: Timestamp,
        view: &View,
    ) -> Option<Effect> {
        let dispute = self.disputes.remove(&input_id);
        let input = &view.state.known_input(&input_id)?.input;
        let date = answer.as_ref().ok().and_then(|response| response.date);
        let Finding::Disagreement(disagreement) = reconcile(input, Status::read(&details.status), date, now) else {
            return None;
        };
        let Some(at) = dispute.and_then(|dispute| disagreement.confirms(&dispute.disagreement)) else {
            self.disputes.insert(input_id, Dispute { disagreement, since: now });
            return None;
        };
        let found = if disagreement.connected { Observed::Connected } else { Observed::Disconnected };
        let Disagreement { events, .. } = disagreement;
        Some(Effect::Observe(Observation { input_id, found, at, events, account_id: self.account_id }))
    }
}

impl Task for StatusSweep {
    fn configure(&mut self, settings: &Settings) {
        self.is_only_account = settings.is_only_account;
        self.has_inventory = settings.inventory.is_some();
        self.refreshed_at = None;
    }

    fn due(&mut self, now: Timestamp, view: &View) -> Option<Due> {
        self.refresh(now, view);
        self.choose(now).map(|(_, due)| due)
    }

    fn request(&mut self, now: Timestamp, _view: &View) -> Option<Request> {
        let (input_id, _) = self.choose(now)?;
        self.rings.asked(&input_id, now);
        self.asked = Some((input_id, now));
        Some(input_request(self.account_id, input_id))
    }

    fn answered(
        &mut self,
        request: &Request,
        answer: &Answer,
        now: Timestamp,
        view: &View,
        effects: &mut Vec<Effect>,
    ) -> Result<Progress, ApiError> {
        let Some((input_id, asked_at)) = self.asked.take() else { return Ok(Progress::Continues) };
        match result::<Details>(request, answer) {
            Ok(details) => {
                let uid = details.uid.as_str().and_then(|uid| uid.parse::<InputId>().ok());
                if !details.uid.is_null() && uid != Some(input_id) {
                    return Err(invalid(request, "the result is another input"));
                }
                self.enabled = details.enabled.as_bool().map(|enabled| (input_id, enabled));
                effects.extend(self.compare(input_id, &details, answer, now, view));
            }
            // Not evidence of a deletion: it may be an input of another account.
            Err(error) if error.kind == NO_SUCH_INPUT => drop(self.disputes.remove(&input_id)),
            Err(error) => return Err(error),
        }
        self.rings.answered(&input_id, asked_at);
        Ok(Progress::Completed)
    }

    fn report(&self, facts: &mut Facts) {
        facts.oldest_status = self.rings.oldest_answer();
    }
}
