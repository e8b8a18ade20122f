//! The fold: the state after all applied records, and the changes of a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::changes::Session;
use super::dedup::SeenLimits;
use super::{
    ExceptionEntry, Exceptions, ForgottenInputs, Input, InputEntry, Inventory, LastSeen, Quality, SeenEvents, State,
    Totals,
};
use crate::event::{AccountId, InputId, Record, Rules, Timestamp};
use crate::schedule::Configured;

/// The state after all records of the journal. Cloning shares all structure.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    state: State,
    restored: RestoredPositions,
}

/// Positions of the parts of a restored checkpoint that are ahead of it. Replay skips the records that they have.
#[derive(Debug, Clone, Default)]
struct RestoredPositions {
    totals: u64,
    inputs: HashMap<InputId, u64>,
}

/// The result of applying records to a fold: copies of the changed parts, to be adopted once the records are durable.
#[derive(Debug)]
pub struct Changes {
    pub(super) inputs: BTreeMap<InputId, InputChange>,
    pub(super) forgotten: ForgottenInputs,
    pub(super) exceptions: Exceptions,
    /// Inputs whose exception changed.
    pub(super) excepted: BTreeSet<InputId>,
    pub(super) totals: Arc<Totals>,
    pub(super) rules: Arc<Rules>,
    pub(super) seen_limits: SeenLimits,
    /// Sessions that no later record changes, and that the inputs do not have after the changes.
    pub(super) sessions: BTreeMap<InputId, Vec<Session>>,
    /// The reconnect windows of restored inputs that had a change of the rules already.
    pub(super) windows_before: BTreeMap<InputId, Duration>,
}

/// The change of an input.
#[derive(Debug)]
pub(super) enum InputChange {
    /// It has this new state, and these additional events.
    Updated(Input, SeenEvents),
    /// It is new, or was forgotten and has a new first event.
    Replaced(InputEntry),
    Removed,
}

impl Fold {
    /// A fold without records.
    pub fn new(rules: Rules) -> Self {
        let inputs = rules.configured.iter().map(|input_id| (*input_id, Arc::default())).collect();
        let state = State { inputs, rules: Arc::new(rules), ..State::default() };
        Self { state, restored: RestoredPositions::default() }
    }

    /// The current state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Makes changes part of the state. Parts that no reader shares are changed in place instead of copied.
    pub fn adopt(&mut self, changes: Changes) {
        let limit = changes.seen_limits.per_input;
        for (input_id, change) in changes.inputs {
            match change {
                InputChange::Updated(input, added) => {
                    if let Some(entry) = self.state.inputs.get_mut(&input_id) {
                        let entry = changeable(entry, &mut self.state.copied);
                        entry.input = input;
                        entry.seen.extend(&added, limit);
                    }
                }
                InputChange::Replaced(entry) => {
                    self.state.inputs.insert(input_id, Arc::new(entry));
                    self.state.only_listed.remove(&input_id);
                }
                InputChange::Removed => {
                    self.state.inputs.remove(&input_id);
                    if self.state.listed(&input_id).is_some() {
                        self.state.only_listed.insert(input_id);
                    }
                }
            }
        }
        let max_changed = self.state.rules.max_inputs != changes.rules.max_inputs;
        self.state.forgotten = changes.forgotten;
        self.state.exceptions = changes.exceptions;
        self.state.totals = changes.totals;
        self.state.rules = changes.rules;
        if limit < self.state.seen_limits.per_input {
            self.trim_seen(limit);
        }
        self.state.seen_limits = changes.seen_limits;
        if max_changed {
            self.list_inputs();
        }
        self.state.make_room();
    }

    fn trim_seen(&mut self, limit: usize) {
        let above = |entry: &InputEntry| entry.seen.count(SeenEvents::EMPTY, limit) < entry.seen.len();
        let large = self.state.inputs.iter().filter(|(_, entry)| above(entry));
        for input_id in large.map(|(input_id, _)| *input_id).collect::<Vec<_>>() {
            if let Some(entry) = self.state.inputs.get_mut(&input_id) {
                changeable(entry, &mut self.state.copied).seen.trim(limit);
            }
        }
    }

    /// Sets names and expectations. Which inputs are configured is part of the rules.
    pub fn set_configured(&mut self, configured: BTreeMap<InputId, Configured>) {
        self.state.configured = Arc::new(configured);
    }

    /// Sets the names of the configured accounts, and drops what Cloudflare's API said about others.
    pub fn set_accounts(&mut self, names: BTreeMap<AccountId, Arc<str>>) {
        Arc::make_mut(&mut self.state.inventories).retain(|account_id, _| names.contains_key(account_id));
        Arc::make_mut(&mut self.state.quality).retain(|account_id, _| names.contains_key(account_id));
        self.state.account_names = Arc::new(names);
        self.list_inputs();
    }

    /// Replaces the inventory of an account.
    pub fn set_inventory(&mut self, inventory: Inventory) {
        Arc::make_mut(&mut self.state.inventories).insert(inventory.account_id, inventory);
        self.list_inputs();
    }

    /// Replaces the ingest quality of the inputs of an account.
    pub fn set_quality(&mut self, account_id: AccountId, quality: BTreeMap<InputId, Quality>) {
        Arc::make_mut(&mut self.state.quality).insert(account_id, quality);
    }

    /// Finds the inputs that only an inventory has.
    fn list_inputs(&mut self) {
        let listed = self.state.inventories.values().flat_map(|inventory| inventory.inputs.keys());
        let only_listed = listed.filter(|input_id| !self.state.inputs.contains_key(*input_id)).copied();
        self.state.only_listed = only_listed.collect();
        self.state.make_room();
    }

    /// Sets the times at which deliveries were last seen.
    pub fn set_last_seen(&mut self, last_seen: impl Into<Arc<LastSeen>>) {
        self.state.last_seen = last_seen.into();
    }

    /// Removes inputs from the list of forgotten ones. Only events that are newer than all of these are accepted then.
    pub fn drop_forgotten(&mut self, input_ids: &[InputId]) {
        input_ids.iter().for_each(|input_id| self.state.forgotten.unlist(input_id));
    }

    /// Drops exceptions that have ended.
    pub fn drop_exceptions(&mut self, input_ids: &[InputId]) {
        input_ids.iter().for_each(|input_id| self.state.exceptions.remove(input_id));
    }

    /// Restores until when inputs were forgotten that are no longer listed.
    pub fn restore_unlisted(&mut self, until: Option<Timestamp>) {
        self.state.forgotten.unlist_until(until);
    }

    /// Restores the counts over all inputs, which have the records up to `position`.
    pub fn restore_totals(&mut self, totals: Totals, position: u64) {
        self.state.totals = Arc::new(totals);
        self.restored.totals = position;
    }

    /// Restores an input.
    pub fn restore_input(&mut self, input_id: InputId, entry: InputEntry) {
        self.state.seen_limits.total += entry.seen.len();
        self.state.inputs.insert(input_id, Arc::new(entry));
    }

    /// Restores when an input was forgotten.
    pub fn restore_forgotten(&mut self, input_id: InputId, at: Timestamp) {
        self.state.forgotten.insert(input_id, at);
    }

    /// Restores the exception to the schedule of an input.
    pub fn restore_exception(&mut self, input_id: InputId, entry: ExceptionEntry) {
        self.state.exceptions.insert(input_id, entry);
    }

    /// Sets the position up to which a restored input has every record, if that is after the checkpoint's.
    pub fn set_input_position(&mut self, input_id: InputId, position: u64) {
        self.restored.inputs.insert(input_id, position);
    }

    /// Ends a replay: all parts of the fold are at the same position.
    pub fn end_replay(&mut self) {
        self.restored = RestoredPositions::default();
    }

    /// Whether the restored input has the record already.
    pub(super) fn input_has(&self, input_id: &InputId, record: &Record) -> bool {
        record.is_appended() && self.restored.inputs.get(input_id).is_some_and(|restored| record.position <= *restored)
    }

    /// Whether the restored totals have the record already.
    pub(super) fn totals_have(&self, record: &Record) -> bool {
        record.is_appended() && record.position <= self.restored.totals
    }
}

/// The entry, copied if a view has it, too.
fn changeable<'a>(entry: &'a mut Arc<InputEntry>, copied: &mut u64) -> &'a mut InputEntry {
    if Arc::strong_count(entry) > 1 {
        *copied += entry.size() as u64;
    }
    Arc::make_mut(entry)
}

impl Changes {
    /// The changed inputs, whose rows of the checkpoint become out of date.
    pub fn input_ids(&self) -> impl Iterator<Item = InputId> {
        self.inputs.keys().chain(&self.excepted).copied()
    }
}
