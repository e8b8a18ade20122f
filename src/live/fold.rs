//! One event after the other: is it new, and what does it change?

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::memory::{Identity, Memory, Recall};
use super::{Deliveries, Identities, Input, Rules, State, Totals};
use crate::event::{Configured, Event, IgnoredReason, InputId, Timestamp};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// New: it must become durable.
    Recorded(Note),
    /// Told before.
    Duplicate,
    /// Not used.
    Ignored(IgnoredReason),
}

/// What is remarkable about a recorded event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Nothing.
    Plain,
    /// It is older than what was known: counted, not believed.
    OutOfOrder,
    /// It repeats the state already held: a notification in between was lost.
    Inconsistent,
}

/// Everything that the journal's events amount to, and the memory of which they were.
#[derive(Debug)]
pub struct Fold {
    state: State,
    memory: Memory,
}

/// A batch of events on top of a [`Fold`], not durable yet.
#[derive(Debug)]
pub struct Draft<'a> {
    fold: &'a Fold,
    state: State,
    fresh: HashSet<(InputId, Identity)>,
    shown_until: Timestamp,
}

/// The outcome of a [`Draft`], to be adopted once it is durable.
#[derive(Debug)]
pub struct Changes {
    state: State,
    fresh: HashSet<(InputId, Identity)>,
}

impl Fold {
    /// Nothing has happened yet.
    pub fn new(rules: Rules) -> Self {
        Self { state: State { rules, ..State::default() }, memory: Memory::default() }
    }

    /// The current state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The identities that an input remembers; `None` when it has had no event.
    pub fn identities(&self, input_id: &InputId) -> Option<&Identities> {
        self.memory.identities(input_id)
    }

    /// Begins a batch, before whose adoption no view later than `shown_until` is shown.
    pub fn draft(&self, shown_until: Timestamp) -> Draft<'_> {
        Draft { fold: self, state: self.state.clone(), fresh: HashSet::new(), shown_until }
    }

    /// Makes a durable batch the current state.
    pub fn adopt(&mut self, changes: Changes) {
        self.state = changes.state;
        for (input_id, identity) in changes.fresh {
            self.memory.remember(input_id, identity);
        }
    }

    /// Folds an event that is already in the journal, as it was folded when it was recorded; unless
    /// it is `uncounted`, the totals have it already.
    pub fn replay(&mut self, event: &Event, shown_until: Timestamp, uncounted: bool) {
        if self.memory.learn(event.input_id, Identity::of(event)) == Recall::New {
            let effect = self.state.apply_to_input(event, shown_until);
            if uncounted {
                self.state.count(event, effect);
            }
        }
    }

    /// Takes over what a checkpoint kept of all inputs together.
    pub fn restore_totals(&mut self, totals: Totals) {
        self.state.totals = Arc::new(totals);
    }

    /// Takes over what was kept of all deliveries.
    pub fn restore_deliveries(&mut self, deliveries: Deliveries) {
        self.state.deliveries = Arc::new(deliveries);
    }

    /// Takes over what a checkpoint kept of one input.
    pub fn restore_input(&mut self, input_id: InputId, input: Input, identities: Identities) {
        self.state.inputs.insert(input_id, Arc::new(input));
        self.memory.restore(input_id, identities);
    }

    /// Changes the rules, when views up to `shown_until` may have been shown. What they showed stays
    /// counted: returns the inputs that this touched.
    pub fn set_rules(&mut self, rules: Rules, shown_until: Timestamp) -> Vec<InputId> {
        let inputs: Vec<InputId> = self.state.inputs.keys().copied().collect();
        let settled = inputs.into_iter().filter(|input_id| self.settle(input_id, shown_until)).collect();
        self.state.rules = rules;
        settled
    }

    /// Makes exactly these inputs the configured ones. A configured input is known before its first
    /// event; one that is neither configured nor had an event is not.
    pub fn configure(&mut self, configured: BTreeMap<InputId, Configured>) {
        let dropped: Vec<InputId> =
            self.state.configured.keys().filter(|id| !configured.contains_key(id)).copied().collect();
        for input_id in dropped {
            if self.state.inputs.get(&input_id).is_some_and(|input| input.known_since.is_none()) {
                self.state.inputs.remove(&input_id);
            }
        }
        for input_id in configured.keys() {
            self.state.inputs.entry(*input_id).or_default();
        }
        self.state.configured = Arc::new(configured);
    }

    /// Makes exactly these the secrets whose use is noted; when others were used is forgotten.
    pub fn keep_secrets(&mut self, names: BTreeSet<String>) {
        Arc::make_mut(&mut self.state.deliveries).by_secret.retain(|name, _| names.contains(name));
        self.state.secrets = Some(Arc::new(names));
    }

    /// Forgets inputs that are disconnected, not configured, and had no event since `horizon`, when views up to
    /// `shown_until` may have been shown: up to `limit` of them. Returns them.
    pub fn forget_silent_since(&mut self, horizon: Timestamp, shown_until: Timestamp, limit: usize) -> Vec<InputId> {
        let silent = |input: &Input| {
            input.evidence.is_none_or(|evidence| !evidence.connected)
                && input.newest_event().is_some_and(|newest| newest < horizon)
        };
        let inputs =
            self.state.inputs.iter().filter(|(id, input)| silent(input) && !self.state.configured.contains_key(id));
        let forgotten: Vec<InputId> = inputs.map(|(input_id, _)| *input_id).take(limit).collect();
        for input_id in &forgotten {
            self.settle(input_id, shown_until);
            self.state.inputs.remove(input_id);
            self.memory.forget(input_id);
        }
        forgotten
    }

    /// Banks the input's finished session; whether there was one.
    fn settle(&mut self, input_id: &InputId, shown_until: Timestamp) -> bool {
        let window = self.state.rules.reconnect_window;
        let Some(input) = self.state.inputs.get_mut(input_id) else {
            return false;
        };
        let Some(duration) = input.finished_session(shown_until, window) else {
            return false;
        };
        Arc::make_mut(input).end_session();
        Arc::make_mut(&mut self.state.totals).session_duration.observe(duration);
        true
    }
}

impl Changes {
    /// When deliveries were last seen, those of the batch included.
    pub fn deliveries(&self) -> &Deliveries {
        &self.state.deliveries
    }
}

impl Draft<'_> {
    /// Judges an event, and folds it when it is new.
    pub fn consider(&mut self, event: &Event) -> Verdict {
        let identity = Identity::of(event);
        let fresh = (event.input_id, identity);
        match self.fold.memory.recall(&event.input_id, &identity) {
            Recall::Known => return Verdict::Duplicate,
            Recall::TooOld => return Verdict::Ignored(IgnoredReason::TooOld),
            Recall::New if self.fresh.contains(&fresh) => return Verdict::Duplicate,
            Recall::New => {}
        }
        if !self.state.inputs.contains_key(&event.input_id) && self.state.inputs.len() >= self.state.rules.max_inputs {
            return Verdict::Ignored(IgnoredReason::TooManyInputs);
        }
        self.fresh.insert(fresh);
        let effect = self.state.apply(event, self.shown_until);
        Verdict::Recorded(match (effect.out_of_order, effect.inconsistent) {
            (true, _) => Note::OutOfOrder,
            (_, true) => Note::Inconsistent,
            (false, false) => Note::Plain,
        })
    }

    /// Notes an authenticated, well-formed delivery, whatever it was.
    pub fn see(&mut self, received_at: Timestamp, secret: &str, test: bool) {
        self.state.see(received_at, secret, test);
    }

    /// Ends the batch.
    pub fn finish(self) -> Changes {
        Changes { state: self.state, fresh: self.fresh }
    }
}
