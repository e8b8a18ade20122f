//! The batch function: the only way in which records change the state.
//!
//! Recorder, replay, tests and examples all call it. The result does not depend on how records are split into
//! batches.

mod clock;
mod exception;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::changes::Change;
use super::dedup::{Identity, Lookup};
use super::fold::InputChange;
use super::input::{self, Effect};
use super::{Changes, Fold, Input, InputEntry, SeenEvents};
use crate::event::{
    Corrected, Correction, Event, IgnoredReason, InputId, Note, Observation, Observed, Record, RecordKind, Rules,
    Timestamp,
};

/// The result of applying a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is new and must be appended to the journal, unless it comes from there.
    Recorded(Option<Note>),
    /// It changes nothing, because the fold has it already.
    Duplicate,
    /// An event that cannot be used.
    Ignored(IgnoredReason),
    /// A correction of an input that is not known.
    UnknownInput,
}

/// Applies records in their order. Returns what they change, and a verdict for each.
///
/// Records from the journal were checked when they were recorded, and are applied without checks. New events are
/// checked first: they may be duplicates, too old, or exceed the maximum number of inputs.
pub fn apply(fold: &Fold, records: &[Record]) -> (Changes, Vec<Verdict>) {
    let mut draft = Draft::new(fold);
    let verdicts = records.iter().map(|record| draft.apply(record)).collect();
    (draft.changes, verdicts)
}

impl Fold {
    /// Applies records to a copy of the fold that shows what is not in the journal yet. Parts that the original shares
    /// are copied before they are changed.
    pub fn extend(&mut self, records: &[Record]) -> Vec<Verdict> {
        let (changes, verdicts) = apply(self, records);
        self.adopt(changes);
        verdicts
    }
}

/// A fold with changes on top of it.
struct Draft<'a> {
    fold: &'a Fold,
    changes: Changes,
    /// Number of inputs after the changes.
    inputs: usize,
}

impl<'a> Draft<'a> {
    fn new(fold: &'a Fold) -> Self {
        let state = fold.state();
        let changes = Changes {
            inputs: BTreeMap::new(),
            forgotten: state.forgotten.clone(),
            totals: state.totals.clone(),
            exceptions: state.exceptions.clone(),
            excepted: BTreeSet::new(),
            rules: state.rules.clone(),
            seen_limits: state.seen_limits,
            sessions: BTreeMap::new(),
            windows_before: BTreeMap::new(),
        };
        Self { fold, changes, inputs: state.inputs.len() }
    }

    fn apply(&mut self, record: &Record) -> Verdict {
        match &record.kind {
            RecordKind::Event(event, _) => self.apply_event(record, event),
            RecordKind::Forgotten(input_id) => self.forget(record, *input_id, record.recorded_at),
            RecordKind::Correction(correction) => self.correct(record, correction),
            RecordKind::Exception(exception) => self.except(record, exception),
            RecordKind::Observation(observation) => self.observe(record, observation),
            RecordKind::Rules(rules) => self.change_rules(record, rules),
            RecordKind::ClockSetBack => self.set_clock_back(record),
        }
    }

    fn apply_event(&mut self, record: &Record, event: &Event) -> Verdict {
        let input_id = event.input_id;
        if self.fold.input_has(&input_id, record) {
            return Verdict::Duplicate;
        }
        let before = self.before(&input_id);
        let known = self.input(&input_id, before).is_some();
        if !record.is_appended()
            && let Err(verdict) = self.check(event, before)
        {
            return verdict;
        }
        self.inputs += usize::from(!known);
        self.changes.forgotten.remove(&input_id);
        let rules = self.changes.rules.clone();
        let effect = self.parts(input_id, before).input.apply(event, record, &rules);
        let note = effect.note;
        if !event.is_change() || note == Some(Note::OutOfOrder) {
            self.remember(input_id, before, Identity::of(event));
        }
        self.count(input_id, before, record, effect);
        if !self.fold.totals_have(record) {
            Arc::make_mut(&mut self.changes.totals).count(event, note);
        }
        Verdict::Recorded(note)
    }

    /// Checks an event that is not in the journal. The error is the verdict for one that cannot be recorded.
    fn check(&self, event: &Event, before: Option<&InputEntry>) -> Result<(), Verdict> {
        let too_old = Verdict::Ignored(IgnoredReason::TooOld);
        if self.changes.forgotten.get(&event.input_id).is_some_and(|at| event.updated_at <= at) {
            return Err(too_old);
        }
        let Some(input) = self.input(&event.input_id, before) else {
            if Some(event.updated_at) <= self.changes.forgotten.unlisted_until() {
                return Err(too_old);
            }
            let is_full = self.inputs >= self.changes.rules.max_inputs;
            return if is_full { Err(Verdict::Ignored(IgnoredReason::TooManyInputs)) } else { Ok(()) };
        };
        let found = if event.is_change() && !input.is_before_list(event.updated_at) {
            if input.lists(&Change::of(event)) { Lookup::Seen } else { Lookup::New }
        } else {
            let (seen, added) = self.seen(&event.input_id, before);
            seen.lookup(added, &Identity::of(event), self.changes.seen_limits.per_input)
        };
        match found {
            Lookup::New => Ok(()),
            Lookup::Seen => Err(Verdict::Duplicate),
            Lookup::TooOld => Err(too_old),
        }
    }

    fn correct(&mut self, record: &Record, correction: &Correction) -> Verdict {
        let Correction { input_id, to, at, .. } = *correction;
        if self.fold.input_has(&input_id, record) {
            return Verdict::Duplicate;
        }
        let before = self.before(&input_id);
        let Some(input) = self.input(&input_id, before) else {
            let forgotten = to == Corrected::Forgotten && self.changes.forgotten.get(&input_id).is_some();
            return if forgotten { Verdict::Duplicate } else { Verdict::UnknownInput };
        };
        let connected = match to {
            Corrected::Connected => true,
            Corrected::Disconnected => false,
            Corrected::Forgotten if input.known_since.is_some() => return self.forget(record, input_id, at),
            // It is configured, and nothing is known about it.
            Corrected::Forgotten => return Verdict::Duplicate,
        };
        if input.evidence().is_some_and(|evidence| evidence.connected == connected) {
            return Verdict::Duplicate;
        }
        // As after a newer event: a row of the checkpoint has an input or the time of its forgetting.
        self.changes.forgotten.remove(&input_id);
        let rules = self.changes.rules.clone();
        let effect = self.parts(input_id, before).input.correct(connected, at, record, &rules);
        self.count(input_id, before, record, effect);
        Verdict::Recorded(None)
    }

    fn observe(&mut self, record: &Record, observation: &Observation) -> Verdict {
        let Observation { input_id, found, at, account_id, .. } = *observation;
        if self.fold.input_has(&input_id, record) {
            return Verdict::Duplicate;
        }
        let before = self.before(&input_id);
        if !record.is_appended()
            && let Err(verdict) = self.check_observation(observation, before)
        {
            return verdict;
        }
        let connected = match found {
            Observed::Connected => true,
            Observed::Disconnected => false,
            Observed::Deleted if self.input(&input_id, before).is_some() => return self.forget(record, input_id, at),
            Observed::Deleted => {
                // A change, so that the checkpoint gets the time.
                self.changes.inputs.insert(input_id, InputChange::Removed);
                self.changes.forgotten.insert(input_id, at);
                self.changes.exceptions.remove(&input_id);
                return Verdict::Recorded(None);
            }
        };
        self.inputs += usize::from(self.input(&input_id, before).is_none());
        self.changes.forgotten.remove(&input_id);
        let rules = self.changes.rules.clone();
        let observed = input::Observed { connected, at, account_id };
        let effect = self.parts(input_id, before).input.observe(&observed, record, &rules);
        self.count(input_id, before, record, effect);
        Verdict::Recorded(None)
    }

    /// Checks an observation that is not in the journal. The error is the verdict for one that changes nothing, or that a
    /// later event contradicts.
    fn check_observation(&self, observation: &Observation, before: Option<&InputEntry>) -> Result<(), Verdict> {
        let Observation { input_id, found, at, events, .. } = *observation;
        let forgotten = self.changes.forgotten.get(&input_id);
        let Some(input) = self.input(&input_id, before) else {
            let is_full = self.inputs >= self.changes.rules.max_inputs;
            return match found {
                _ if forgotten >= Some(at) || events > 0 => Err(Verdict::Duplicate),
                Observed::Deleted => Ok(()),
                Observed::Connected | Observed::Disconnected if is_full => {
                    Err(Verdict::Ignored(IgnoredReason::TooManyInputs))
                }
                Observed::Connected | Observed::Disconnected => Ok(()),
            };
        };
        let is_outdated = input.event_count() != events;
        let evidence = input.evidence();
        let changes_nothing = match found {
            Observed::Deleted => input.known_since.is_none() && forgotten.is_some(),
            Observed::Connected | Observed::Disconnected => evidence.is_some_and(|evidence| {
                evidence.connected == (found == Observed::Connected) || at <= evidence.updated_at
            }),
        };
        if is_outdated || changes_nothing { Err(Verdict::Duplicate) } else { Ok(()) }
    }

    /// Forgets an input. Events up to this time, or up to that of its newest event, do not bring it back.
    fn forget(&mut self, record: &Record, input_id: InputId, at: Timestamp) -> Verdict {
        let before = self.before(&input_id);
        if self.fold.input_has(&input_id, record) {
            return Verdict::Duplicate;
        }
        let Some(input) = self.input(&input_id, before) else { return Verdict::Duplicate };
        let newest = input.newest_event().map_or(at, |newest| newest.max(at));
        self.settle(input_id, before, record, Timestamp::MAX);
        let session = self.input(&input_id, before).and_then(|input| input.session_until(at));
        self.changes.sessions.entry(input_id).or_default().extend(session);
        let (seen, added) = self.seen(&input_id, before);
        let events = seen.count(added, self.changes.seen_limits.per_input);
        self.changes.seen_limits.release(events);
        self.changes.forgotten.insert(input_id, newest);
        self.changes.exceptions.remove(&input_id);
        let change = if self.changes.rules.configured.contains(&input_id) {
            InputChange::Replaced(InputEntry::default())
        } else {
            self.inputs -= 1;
            InputChange::Removed
        };
        self.changes.inputs.insert(input_id, change);
        Verdict::Recorded(None)
    }

    fn change_rules(&mut self, record: &Record, rules: &Arc<Rules>) -> Verdict {
        let old = self.changes.rules.clone();
        if (old.reconnect_window, old.reorder_window) != (rules.reconnect_window, rules.reorder_window) {
            self.settle_all(record, rules.reconnect_window);
        }
        self.changes.rules = rules.clone();
        for input_id in old.configured.difference(&rules.configured) {
            let input = self.input(input_id, self.before(input_id));
            if input.is_some_and(|input| input.known_since.is_none()) {
                self.changes.inputs.insert(*input_id, InputChange::Removed);
                self.inputs -= 1;
            }
        }
        for input_id in rules.configured.difference(&old.configured) {
            if self.input(input_id, self.before(input_id)).is_none() {
                self.changes.inputs.insert(*input_id, InputChange::Replaced(InputEntry::default()));
                self.inputs += 1;
            }
        }
        Verdict::Recorded(None)
    }

    /// Ends what depends on the windows in force. New windows must not change the past.
    fn settle_all(&mut self, record: &Record, new_window: Duration) {
        let as_of = record.recorded_at.max(record.shown_until);
        let known = self.fold.state().inputs.keys().chain(self.changes.inputs.keys()).copied();
        let input_ids: BTreeSet<InputId> = known.collect();
        for input_id in input_ids {
            let before = self.before(&input_id);
            let depends = self.input(&input_id, before).is_some_and(Input::depends_on_windows);
            if self.fold.input_has(&input_id, record) {
                self.changes.windows_before.insert(input_id, new_window);
            } else if depends {
                self.settle(input_id, before, record, as_of);
            }
        }
    }

    fn settle(&mut self, input_id: InputId, before: Option<&'a InputEntry>, record: &Record, as_of: Timestamp) {
        let rules = self.changes.rules.clone();
        let effect = self.parts(input_id, before).input.settle(record, &rules, as_of);
        self.count(input_id, before, record, effect);
    }

    /// Counts and remembers what a record leads to.
    fn count(&mut self, input_id: InputId, before: Option<&'a InputEntry>, record: &Record, effect: Effect) {
        for change in effect.folded.iter().filter(|change| change.is_event()) {
            self.remember(input_id, before, Identity::of_change(change));
        }
        if !effect.sessions.is_empty() {
            self.changes.sessions.entry(input_id).or_default().extend(effect.sessions);
        }
        if !effect.durations.is_empty() && !self.fold.totals_have(record) {
            let durations = &mut Arc::make_mut(&mut self.changes.totals).durations;
            effect.durations.into_iter().for_each(|duration| durations.observe(duration));
        }
    }

    /// Remembers an event. If all memories together become too large, their limit is reduced.
    fn remember(&mut self, input_id: InputId, before: Option<&'a InputEntry>, identity: Identity) {
        let mut limits = self.changes.seen_limits;
        let Parts { seen, added, .. } = self.parts(input_id, before);
        limits.total = limits.total.saturating_sub(seen.count(added, limits.per_input));
        added.remember(identity, limits.per_input);
        limits.total += seen.count(added, limits.per_input);
        limits.reduce(|limit| self.count_seen(limit));
        self.changes.seen_limits = limits;
    }

    /// Number of events that all inputs together remember with this limit.
    fn count_seen(&self, limit: usize) -> usize {
        let inputs = self.fold.state().inputs.iter();
        let unchanged = inputs.filter(|(input_id, _)| !self.changes.inputs.contains_key(*input_id));
        let unchanged = unchanged.map(|(_, entry)| entry.seen.count(SeenEvents::EMPTY, limit)).sum::<usize>();
        let changed = self.changes.inputs.keys().map(|input_id| {
            let (seen, added) = self.seen(input_id, self.before(input_id));
            seen.count(added, limit)
        });
        unchanged + changed.sum::<usize>()
    }

    /// The input before the changes.
    fn before(&self, input_id: &InputId) -> Option<&'a InputEntry> {
        self.fold.state().inputs.get(input_id).map(AsRef::as_ref)
    }

    /// The input after the changes.
    fn input<'s>(&'s self, input_id: &InputId, before: Option<&'s InputEntry>) -> Option<&'s Input> {
        match self.changes.inputs.get(input_id) {
            Some(InputChange::Updated(input, _) | InputChange::Replaced(InputEntry { input, .. })) => Some(input),
            Some(InputChange::Removed) => None,
            None => before.map(|before| &before.input),
        }
    }

    /// The events that the input remembers after the changes, in two parts.
    fn seen<'s>(&'s self, input_id: &InputId, before: Option<&'s InputEntry>) -> (&'s SeenEvents, &'s SeenEvents) {
        let seen_before = before.map_or(SeenEvents::EMPTY, |before| &before.seen);
        match self.changes.inputs.get(input_id) {
            Some(InputChange::Updated(_, added)) => (seen_before, added),
            Some(InputChange::Replaced(entry)) => (&entry.seen, SeenEvents::EMPTY),
            Some(InputChange::Removed) => (SeenEvents::EMPTY, SeenEvents::EMPTY),
            None => (seen_before, SeenEvents::EMPTY),
        }
    }

    /// The parts of an input to change.
    fn parts(&mut self, input_id: InputId, before: Option<&'a InputEntry>) -> Parts<'_> {
        let change = self.changes.inputs.entry(input_id).or_insert_with(|| match before {
            Some(before) => InputChange::Updated(before.input.clone(), SeenEvents::default()),
            None => InputChange::Removed,
        });
        if matches!(change, InputChange::Removed) {
            *change = InputChange::Replaced(InputEntry::default());
        }
        match change {
            InputChange::Updated(input, added) => {
                Parts { input, seen: before.map_or(SeenEvents::EMPTY, |before| &before.seen), added }
            }
            InputChange::Replaced(InputEntry { input, seen: added }) => Parts { input, seen: SeenEvents::EMPTY, added },
            InputChange::Removed => unreachable!("it was replaced above"),
        }
    }
}

/// The parts of an input to change.
struct Parts<'c> {
    input: &'c mut Input,
    /// The events that it remembers from before the batch.
    seen: &'c SeenEvents,
    /// Where to add events.
    added: &'c mut SeenEvents,
}
