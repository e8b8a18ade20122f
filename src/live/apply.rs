//! The batch function: the only way in which records change the state.
//!
//! Recorder, replay, tests and examples all call it. The result does not depend on how records are split into
//! batches.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::dedup::{Identity, Lookup};
use super::fold::InputChange;
use super::{Changes, Fold, Input, InputEntry, SeenEvents};
use crate::event::{Event, IgnoredReason, InputId, Note, Record, RecordKind, Rules};

/// The result of applying a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is new and must be appended to the journal, unless it comes from there.
    Recorded(Option<Note>),
    /// It changes nothing, because the fold has it already.
    Duplicate,
    /// An event that cannot be used.
    Ignored(IgnoredReason),
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
            rules: state.rules.clone(),
        };
        Self { fold, changes, inputs: state.inputs.len() }
    }

    fn apply(&mut self, record: &Record) -> Verdict {
        match &record.kind {
            RecordKind::Event(event, _) => self.apply_event(record, event),
            RecordKind::Forgotten(input_id) => self.forget(record, *input_id),
            RecordKind::Rules(rules) => self.change_rules(record, rules),
        }
    }

    fn apply_event(&mut self, record: &Record, event: &Event) -> Verdict {
        let input_id = event.input_id;
        if self.fold.input_has(&input_id, record) {
            return Verdict::Duplicate;
        }
        let identity = Identity::of(event);
        let before = self.fold.state().inputs.get(&input_id).map(AsRef::as_ref);
        let change = self.changes.inputs.entry(input_id);
        let seen = match &change {
            Entry::Vacant(_) => before.map(|before| (&before.seen, SeenEvents::EMPTY)),
            Entry::Occupied(change) => match change.get() {
                InputChange::Updated(_, added) => before.map(|before| (&before.seen, added)),
                InputChange::Replaced(entry) => Some((&entry.seen, SeenEvents::EMPTY)),
                InputChange::Removed => None,
            },
        };
        let forgotten_at = self.changes.forgotten.get(&input_id);
        if !record.is_appended() {
            let ignored = match seen.map(|(seen, added)| seen.lookup(added, &identity)) {
                _ if forgotten_at.is_some_and(|at| event.updated_at <= at) => Some(IgnoredReason::TooOld),
                Some(Lookup::New) => None,
                Some(Lookup::Seen) => return Verdict::Duplicate,
                Some(Lookup::TooOld) => Some(IgnoredReason::TooOld),
                None => (self.inputs >= self.changes.rules.max_inputs).then_some(IgnoredReason::TooManyInputs),
            };
            if let Some(reason) = ignored {
                return Verdict::Ignored(reason);
            }
        }
        self.inputs += usize::from(seen.is_none());
        if forgotten_at.is_some() {
            self.changes.forgotten.remove(&input_id);
        }
        let (input, seen) = parts(change, before);
        let effect = input.apply(event, record.shown_until, self.changes.rules.reconnect_window);
        seen.remember(identity);
        if !self.fold.totals_have(record) {
            Arc::make_mut(&mut self.changes.totals).count(event, effect);
        }
        Verdict::Recorded(effect.note())
    }

    fn forget(&mut self, record: &Record, input_id: InputId) -> Verdict {
        if self.fold.input_has(&input_id, record) {
            return Verdict::Duplicate;
        }
        let Some(input) = self.input(&input_id) else { return Verdict::Duplicate };
        if let Some(session) = input.ended_session() {
            self.book_session(record, session);
        }
        self.changes.forgotten.insert(input_id, record.recorded_at);
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
        let before = std::mem::replace(&mut self.changes.rules, rules.clone());
        if before.reconnect_window != rules.reconnect_window {
            self.book_finished_sessions(record, before.reconnect_window);
        }
        for input_id in before.configured.difference(&rules.configured) {
            if self.input(input_id).is_some_and(|input| input.known_since.is_none()) {
                self.changes.inputs.insert(*input_id, InputChange::Removed);
                self.inputs -= 1;
            }
        }
        for input_id in rules.configured.difference(&before.configured) {
            if self.input(input_id).is_none() {
                self.changes.inputs.insert(*input_id, InputChange::Replaced(InputEntry::default()));
                self.inputs += 1;
            }
        }
        Verdict::Recorded(None)
    }

    /// Books sessions that are finished by the current reconnect window. A new window must not resume them.
    fn book_finished_sessions(&mut self, record: &Record, window: Duration) {
        let as_of = record.recorded_at.max(record.shown_until);
        let finished = |input: &Input| input.finished_session(as_of, window);
        let unchanged = self.fold.state().inputs.iter().map(|(input_id, entry)| (*input_id, &entry.input));
        let candidates = unchanged.filter(|(_, input)| finished(input).is_some()).map(|(input_id, _)| input_id);
        let input_ids: BTreeSet<InputId> = candidates.chain(self.changes.inputs.keys().copied()).collect();
        for input_id in input_ids {
            if self.fold.input_has(&input_id, record) {
                continue;
            }
            let Some(session) = self.input(&input_id).and_then(finished) else { continue };
            self.book_session(record, session);
            let before = self.fold.state().inputs.get(&input_id).map(AsRef::as_ref);
            parts(self.changes.inputs.entry(input_id), before).0.end_session();
        }
    }

    fn book_session(&mut self, record: &Record, duration: Duration) {
        if !self.fold.totals_have(record) {
            Arc::make_mut(&mut self.changes.totals).session_duration.observe(duration);
        }
    }

    /// The input after the changes.
    fn input(&self, input_id: &InputId) -> Option<&Input> {
        match self.changes.inputs.get(input_id) {
            Some(InputChange::Updated(input, _) | InputChange::Replaced(InputEntry { input, .. })) => Some(input),
            Some(InputChange::Removed) => None,
            None => self.fold.state().inputs.get(input_id).map(|entry| &entry.input),
        }
    }
}

/// The parts of an input to change: its state, and where to add events.
fn parts<'c>(
    change: Entry<'c, InputId, InputChange>,
    before: Option<&InputEntry>,
) -> (&'c mut Input, &'c mut SeenEvents) {
    let change = change.or_insert_with(|| match before {
        Some(before) => InputChange::Updated(before.input.clone(), SeenEvents::default()),
        None => InputChange::Removed,
    });
    if matches!(change, InputChange::Removed) {
        *change = InputChange::Replaced(InputEntry::default());
    }
    match change {
        InputChange::Updated(input, seen) | InputChange::Replaced(InputEntry { input, seen }) => (input, seen),
        InputChange::Removed => unreachable!("it was replaced above"),
    }
}
