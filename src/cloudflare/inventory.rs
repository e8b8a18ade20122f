//! The account's live inputs: their names, whether they are enabled, and which were deleted.
//!
//! An input is deleted if two complete lists in a row lack it, an earlier one contained it, and the API says that there is
//! no such input. The inventory in the view is the earlier list: it survives restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::list::{self, List};
use super::status::{NO_SUCH_INPUT, input_request};
use super::{Answer, ApiError, Due, Effect, Priority, Progress, Request, Settings, Task, result};
use crate::event::{AccountId, InputId, Observation, Observed, Timestamp};
use crate::live::{Input, Inventory, Listed, View};

/// This many complete lists in a row must lack an input.
const LISTS: u32 = 2;

/// Lists the live inputs of an account.
#[derive(Debug)]
pub struct InventoryTask {
    account_id: AccountId,
    interval: Option<Duration>,
    listed_at: Option<Timestamp>,
    /// The newest inventory. That of the view may be an older one.
    newest: Option<Inventory>,
    /// Inputs of the inventory, and how many complete lists in a row lack them.
    missing: BTreeMap<InputId, u32>,
    /// Missing inputs that the API is to be asked for.
    to_verify: BTreeSet<InputId>,
    /// Inputs that only partial lists contained: that they are missing proves nothing.
    unproven: BTreeSet<InputId>,
    /// Deleted inputs. If an event arrived at the same time, the observation was dropped.
    deleted: BTreeSet<InputId>,
    asked: Option<Asked>,
    /// What the single inputs say.
    enabled: BTreeMap<InputId, bool>,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    List,
    Input(InputId),
}

impl InventoryTask {
    /// A task without a list.
    pub fn new(settings: &Settings) -> Self {
        Self {
            account_id: settings.account_id,
            interval: settings.inventory,
            listed_at: None,
            newest: None,
            missing: BTreeMap::new(),
            to_verify: BTreeSet::new(),
            unproven: BTreeSet::new(),
            deleted: BTreeSet::new(),
            asked: None,
            enabled: BTreeMap::new(),
        }
    }

    /// Whether an input may be streamed to, for a list that does not say it.
    pub fn set_enabled(&mut self, input_id: InputId, enabled: bool) {
        self.enabled.insert(input_id, enabled);
    }

    fn listed(&mut self, list: List, view: &View) -> Inventory {
        let newest = self.newest.take().map(|inventory| inventory.inputs);
        let mut before =
            newest.or_else(|| Some(view.state.inventory(&self.account_id)?.inputs.clone())).unwrap_or_default();
        let mut inputs = list.inputs;
        for (input_id, listed) in &mut inputs {
            let earlier = || before.get(input_id).and_then(|earlier| earlier.enabled);
            listed.enabled = listed.enabled.or_else(|| self.enabled.get(input_id).copied()).or_else(earlier);
        }
        self.enabled.retain(|input_id, _| inputs.contains_key(input_id));
        if list.is_complete {
            let unproven = std::mem::take(&mut self.unproven);
            before.retain(|input_id, _| !unproven.contains(input_id));
            self.compare(&before, &inputs, view);
        } else {
            self.missing.clear();
            self.unproven.extend(inputs.keys().filter(|input_id| !before.contains_key(input_id)));
        }
        // Missing inputs stay until they are known to be deleted.
        for (input_id, listed) in before {
            inputs.entry(input_id).or_insert(listed);
        }
        Inventory { account_id: self.account_id, inputs }
    }

    /// Counts the inputs that a complete list lacks.
    fn compare(&mut self, before: &BTreeMap<InputId, Listed>, listed: &BTreeMap<InputId, Listed>, view: &View) {
        let is_known = |id: &InputId| view.state.inputs().get(id).is_some_and(|it| it.input.known_since.is_some());
        self.deleted.retain(|input_id| !listed.contains_key(input_id) && is_known(input_id));
        let missing = before.keys().filter(|input_id| !listed.contains_key(*input_id));
        let counted = missing.map(|id| (*id, self.missing.get(id).copied().unwrap_or_default().saturating_add(1)));
        self.missing = counted.collect();
        let verifiable = self.missing.iter().filter(|(_, lists)| **lists >= LISTS).map(|(input_id, _)| *input_id);
        self.to_verify = verifiable.chain(self.deleted.iter().copied()).collect();
    }

    fn verified(&mut self, input_id: InputId, now: Timestamp, view: &View) -> [Option<Effect>; 2] {
        self.missing.remove(&input_id);
        self.deleted.insert(input_id);
        let input = view.state.known_input(&input_id).map(|entry| &entry.input);
        let events = input.map_or(0, Input::event_count);
        let account_id = self.account_id;
        let observation = Observation { input_id, found: Observed::Deleted, at: now, events, account_id };
        let without = self.newest.as_mut().map(|inventory| {
            inventory.inputs.remove(&input_id);
            Effect::Inventory(inventory.clone())
        });
        [Some(Effect::Observe(observation)), without]
    }
}

impl Task for InventoryTask {
    fn configure(&mut self, settings: &Settings) {
        self.interval = settings.inventory;
    }

    fn due(&mut self, now: Timestamp, _view: &View) -> Option<Due> {
        let interval = self.interval?;
        Some(if self.to_verify.is_empty() {
            Due::after(self.listed_at, interval, now, Priority::Periodic)
        } else {
            Due { at: Timestamp::EPOCH, priority: Priority::First }
        })
    }

    fn request(&mut self, _now: Timestamp, _view: &View) -> Option<Request> {
        if let Some(input_id) = self.to_verify.pop_first() {
            self.asked = Some(Asked::Input(input_id));
            return Some(input_request(self.account_id, input_id));
        }
        self.asked = Some(Asked::List);
        Some(list::request(self.account_id))
    }

    fn answered(
        &mut self,
        request: &Request,
        answer: &Answer,
        now: Timestamp,
        view: &View,
        effects: &mut Vec<Effect>,
    ) -> Result<Progress, ApiError> {
        match self.asked.take() {
            None => Ok(Progress::Continues),
            Some(Asked::List) => {
                let list = list::read(request, answer).inspect_err(|_| self.missing.clear())?;
                self.listed_at = Some(now);
                let inventory = self.listed(list, view);
                self.newest = Some(inventory.clone());
                effects.push(Effect::Inventory(inventory));
                Ok(Progress::Completed)
            }
            Some(Asked::Input(input_id)) => {
                match result::<serde::de::IgnoredAny>(request, answer) {
                    Err(error) if error.kind == NO_SUCH_INPUT => {
                        effects.extend(self.verified(input_id, now, view).into_iter().flatten());
                    }
                    Err(error) => return Err(error),
                    // It exists: the lists were not complete.
                    Ok(_) => {
                        self.missing.remove(&input_id);
                        self.deleted.remove(&input_id);
                    }
                }
                Ok(Progress::Continues)
            }
        }
    }
}
