//! One event after the other: is it new, and what does it change?

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::dedup::{Identity, Lookup};
use super::{Input, InputEntry, LastSeen, Rules, SeenEvents, State, Totals};
use crate::event::{Event, IgnoredReason, InputId, Timestamp};
use crate::schedule::Configured;

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

/// Everything that the journal's events amount to.
#[derive(Debug)]
pub struct Fold {
    state: State,
}

/// How far a part of a search for silent inputs goes: until one of these is reached.
#[derive(Debug, Clone, Copy)]
pub struct SearchLimits {
    /// So many inputs are looked at.
    pub looked_at: usize,
    /// So many are forgotten.
    pub forgotten: usize,
}

/// A part of a search for silent inputs.
#[derive(Debug, PartialEq, Eq)]
pub struct Search {
    /// The inputs that were forgotten.
    pub forgotten: Vec<InputId>,
    /// The next part looks from after this input on; `None` when the whole search is done.
    pub looked_until: Option<InputId>,
}

/// A batch of events on top of a [`Fold`], not durable yet.
#[derive(Debug)]
pub struct Draft<'a> {
    fold: &'a Fold,
    changes: Changes,
    /// So many of the changed inputs are new.
    new: usize,
    shown_until: Timestamp,
}

/// The outcome of a [`Draft`], to be adopted once it is durable.
#[derive(Debug)]
pub struct Changes {
    inputs: BTreeMap<InputId, Changed>,
    totals: Arc<Totals>,
    deliveries: Arc<LastSeen>,
}

/// A changed input, and the events that are to be remembered beside it.
#[derive(Debug)]
struct Changed {
    input: Input,
    displaced: Vec<Identity>,
}

impl Fold {
    /// Nothing has happened yet.
    pub fn new(rules: Rules) -> Self {
        Self { state: State { rules, ..State::default() } }
    }

    /// The current state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Begins a batch, before whose adoption no view later than `shown_until` is shown.
    pub fn draft(&self, shown_until: Timestamp) -> Draft<'_> {
        let State { totals, deliveries, .. } = &self.state;
        let changes = Changes { inputs: BTreeMap::new(), totals: totals.clone(), deliveries: deliveries.clone() };
        Draft { fold: self, changes, new: 0, shown_until }
    }

    /// Makes a durable batch the current state. What nobody else has a clone of is changed where it is.
    pub fn adopt(&mut self, changes: Changes) {
        for (input_id, Changed { input, displaced }) in changes.inputs {
            // An entry alone would look twice for those that are there.
            let known = Arc::make_mut(match self.state.inputs.get_mut(&input_id) {
                Some(known) => known,
                None => self.state.inputs.entry(input_id).or_default(),
            });
            known.input = input;
            displaced.into_iter().for_each(|identity| known.identities.remember(identity));
        }
        self.state.totals = changes.totals;
        self.state.deliveries = changes.deliveries;
    }

    /// Folds an event that is already in the journal, as it was folded when it was recorded; unless
    /// it is `uncounted`, the totals have it already.
    pub fn replay(&mut self, event: &Event, shown_until: Timestamp, uncounted: bool) {
        let known = Arc::make_mut(self.state.inputs.entry(event.input_id).or_default());
        if known.lookup(event, &Identity::of(event)) == Lookup::New {
            let effect = known.input.apply(event, shown_until, self.state.rules.reconnect_window);
            effect.displaced.into_iter().for_each(|identity| known.identities.remember(identity));
            if uncounted {
                Arc::make_mut(&mut self.state.totals).count(event, effect);
            }
        }
    }

    /// Takes over what a checkpoint kept of all inputs together.
    pub fn restore_totals(&mut self, totals: Totals) {
        self.state.totals = Arc::new(totals);
    }

    /// Takes over what was kept of all deliveries.
    pub fn restore_last_seen(&mut self, deliveries: LastSeen) {
        self.state.deliveries = Arc::new(deliveries);
    }

    /// Takes over what a checkpoint kept of one input.
    pub fn restore_input(&mut self, input_id: InputId, input: Input, identities: SeenEvents) {
        self.state.inputs.insert(input_id, Arc::new(InputEntry { input, identities }));
    }

    /// Changes the rules, when views up to `shown_until` may have been shown. What they showed stays
    /// counted: returns the inputs that this touched.
    pub fn set_rules(&mut self, rules: Rules, shown_until: Timestamp) -> Vec<InputId> {
        let inputs: Vec<InputId> = self.state.inputs.keys().copied().collect();
        let settled = inputs.into_iter().filter(|input_id| self.bank_finished_session(input_id, shown_until)).collect();
        self.state.rules = rules;
        settled
    }

    /// Makes exactly these inputs the configured ones. A configured input is known before its first
    /// event; one that is neither configured nor had an event is not.
    pub fn configure(&mut self, configured: BTreeMap<InputId, Configured>) {
        let dropped: Vec<InputId> =
            self.state.configured.keys().filter(|id| !configured.contains_key(id)).copied().collect();
        for input_id in dropped {
            if self.state.inputs.get(&input_id).is_some_and(|known| known.input.known_since.is_none()) {
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

    /// Looks for inputs that are disconnected, not configured, and had no event since `horizon`, and forgets them, when
    /// views up to `shown_until` may have been shown: a part of the whole search, from after an input on.
    pub fn forget_silent_since(
        &mut self,
        horizon: Timestamp,
        shown_until: Timestamp,
        after: Option<InputId>,
        limits: SearchLimits,
    ) -> Search {
        let silent = |known: &InputEntry| {
            known.input.evidence().is_none_or(|evidence| !evidence.connected)
                && known.input.newest_event().is_some_and(|newest| newest < horizon)
        };
        let mut search = Search { forgotten: Vec::new(), looked_until: None };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = after;
        for (looked, (input_id, known)) in (0..).zip(self.state.inputs.range((from, Bound::Unbounded))) {
            if looked >= limits.looked_at || search.forgotten.len() >= limits.forgotten {
                search.looked_until = last;
                break;
            }
            if silent(known) && !self.state.configured.contains_key(input_id) {
                search.forgotten.push(*input_id);
            }
            last = Some(*input_id);
        }
        for input_id in &search.forgotten {
            self.bank_finished_session(input_id, shown_until);
            self.state.inputs.remove(input_id);
        }
        search
    }

    /// Banks the input's finished session; whether there was one.
    fn bank_finished_session(&mut self, input_id: &InputId, shown_until: Timestamp) -> bool {
        let window = self.state.rules.reconnect_window;
        let Some(known) = self.state.inputs.get_mut(input_id) else {
            return false;
        };
        let Some(duration) = known.input.finished_session(shown_until, window) else {
            return false;
        };
        Arc::make_mut(known).input.end_session();
        Arc::make_mut(&mut self.state.totals).session_duration.observe(duration);
        true
    }
}

impl Changes {
    /// When deliveries were last seen, those of the batch included.
    pub fn last_seen(&self) -> &LastSeen {
        &self.deliveries
    }
}

impl Draft<'_> {
    /// Judges an event, and folds it when it is new.
    pub fn consider(&mut self, event: &Event) -> Verdict {
        let identity = Identity::of(event);
        let State { inputs, rules, .. } = &self.fold.state;
        let known = inputs.get(&event.input_id);
        let changed = self.changes.inputs.entry(event.input_id);
        if let Entry::Occupied(changed) = &changed {
            let Changed { input, displaced } = changed.get();
            if input.is_latest(event) || displaced.contains(&identity) {
                return Verdict::Duplicate;
            }
        }
        match known.map_or(Lookup::New, |known| known.lookup(event, &identity)) {
            Lookup::Seen => return Verdict::Duplicate,
            Lookup::TooOld => return Verdict::Ignored(IgnoredReason::TooOld),
            Lookup::New => {}
        }
        let changed = match changed {
            Entry::Occupied(changed) => changed.into_mut(),
            Entry::Vacant(_) if known.is_none() && inputs.len() + self.new >= rules.max_inputs => {
                return Verdict::Ignored(IgnoredReason::TooManyInputs);
            }
            Entry::Vacant(unchanged) => {
                self.new += usize::from(known.is_none());
                let input = known.map(|known| known.input.clone()).unwrap_or_default();
                unchanged.insert(Changed { input, displaced: Vec::new() })
            }
        };
        let effect = changed.input.apply(event, self.shown_until, rules.reconnect_window);
        changed.displaced.extend(effect.displaced);
        Arc::make_mut(&mut self.changes.totals).count(event, effect);
        Verdict::Recorded(match (effect.out_of_order, effect.inconsistent) {
            (true, _) => Note::OutOfOrder,
            (_, true) => Note::Inconsistent,
            (false, false) => Note::Plain,
        })
    }

    /// Notes an authenticated, well-formed delivery, whatever it was.
    pub fn record_delivery(&mut self, received_at: Timestamp, secret: &str, test: bool) {
        // One may have been removed while a delivery with it was under way.
        let secrets = &self.fold.state.secrets;
        let noted = secrets.as_ref().is_none_or(|secrets| secrets.contains(secret));
        Arc::make_mut(&mut self.changes.deliveries).record_delivery(received_at, noted.then_some(secret), test);
    }

    /// Ends the batch.
    pub fn finish(self) -> Changes {
        self.changes
    }
}
