//! The state of all inputs together, as readers see it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter;
use std::ops::Bound;
use std::sync::{Arc, LazyLock};

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use super::changes::CountedDuration;
use super::dedup::SeenLimits;
use super::{ExceptionEntry, Exceptions, ForgottenInputs, Histogram, Input, Inventory, Listed, Quality, SeenEvents};
use crate::event::{AccountId, Delays, Event, InputId, Note, Rules, Timestamp};
use crate::schedule::{Configured, Plan};

/// A consistent state of everything. Cloning shares all structure.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(super) inputs: OrdMap<InputId, Arc<InputEntry>>,
    pub(super) forgotten: ForgottenInputs,
    /// Of inputs with and without records.
    pub(super) exceptions: Exceptions,
    pub(super) totals: Arc<Totals>,
    pub(super) rules: Arc<Rules>,
    pub(super) seen_limits: SeenLimits,
    /// Names and expectations by configuration. Not part of the fold.
    pub(super) configured: Arc<BTreeMap<InputId, Configured>>,
    /// Names of accounts by configuration. Not part of the fold.
    pub(super) account_names: Arc<BTreeMap<AccountId, Arc<str>>>,
    /// What Cloudflare's API lists. Not part of the fold.
    pub(super) inventories: Arc<BTreeMap<AccountId, Inventory>>,
    /// Inputs that are known only from an inventory, as far as the maximum number of inputs allows.
    pub(super) only_listed: OrdSet<InputId>,
    /// Ingest quality by account. Not part of the fold.
    pub(super) quality: Arc<BTreeMap<AccountId, BTreeMap<InputId, Quality>>>,
    /// Not part of the fold: deliveries without an event count, too.
    pub(super) last_seen: Arc<LastSeen>,
    /// Bytes of inputs that were copied because a view had them. Not part of the fold.
    pub(super) copied: u64,
}

/// One live input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputEntry {
    /// Its state.
    pub input: Input,
    /// The newest events of the input, for deduplication.
    pub seen: SeenEvents,
}

/// Counts over all inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// What later records cannot take back.
    #[serde(flatten)]
    pub(super) durations: Durations,
    /// `ts - updated_at`: the time inside Cloudflare.
    pub source_delay: Histogram,
    /// Receipt minus `ts`.
    pub delivery_delay: Histogram,
    /// Notifications that were received before their `ts`.
    pub clock_skew: u64,
    /// Events that arrived too late to change the state of their input.
    pub out_of_order: u64,
    /// When counting began; `None` before the first event.
    pub counted_since: Option<Timestamp>,
}

/// Histograms that follow from the changes of all inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// Durations of finished sessions.
    pub session_duration: Histogram,
    /// From a disconnect to the next connect, up to an hour.
    pub reconnect_delay: Histogram,
}

/// When deliveries of each kind were last seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LastSeen {
    /// The last authenticated, well-formed delivery of any kind.
    pub last: Option<Timestamp>,
    /// The last "Save and Test".
    pub last_test: Option<Timestamp>,
    /// The last use of each secret, by its configured name.
    pub by_secret: BTreeMap<String, Timestamp>,
}

/// Limits of one part of the search for silent inputs. The part ends at the first limit that is reached.
#[derive(Debug, Clone, Copy)]
pub struct SearchLimits {
    /// Number of inputs to look at.
    pub visited: usize,
    /// Number of silent inputs to find.
    pub found: usize,
}

/// A part of the search for silent inputs.
#[derive(Debug, PartialEq, Eq)]
pub struct SilentInputs {
    /// The silent inputs.
    pub found: Vec<InputId>,
    /// The next part starts after this input; `None` when the search is complete.
    pub resume_after: Option<InputId>,
}

const SESSION_BOUNDS: &[u32] = &[10, 30, 60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 604_800];
const RECONNECT_BOUNDS: &[u32] = &[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const DELAY_BOUNDS: &[u32] = &[1, 2, 3, 5, 10, 15, 30, 60, 120, 300, 900, 3600];

impl InputEntry {
    /// An input without records.
    pub fn empty() -> &'static Self {
        static EMPTY: LazyLock<InputEntry> = LazyLock::new(InputEntry::default);
        &EMPTY
    }

    /// Size of a copy, in bytes, with the part of the map that is copied with it.
    pub(super) fn size(&self) -> usize {
        /// Entries of a leaf of the map.
        const LEAF: usize = 64 * size_of::<(InputId, Arc<InputEntry>)>();
        LEAF + size_of::<Self>() + self.input.list_size() + self.seen.encoded_size()
    }
}

impl State {
    /// Bytes of inputs that were copied because a view had them.
    pub fn copied(&self) -> u64 {
        self.copied
    }

    /// All inputs that have records or are configured, by identifier.
    pub fn inputs(&self) -> &OrdMap<InputId, Arc<InputEntry>> {
        &self.inputs
    }

    /// Inputs that were forgotten.
    pub fn forgotten(&self) -> &ForgottenInputs {
        &self.forgotten
    }

    /// All known inputs after this one, by identifier: those of [`State::inputs`], and those that only an inventory has.
    pub fn known(&self, after: Option<InputId>) -> impl Iterator<Item = (InputId, &InputEntry)> {
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut with_records = self.inputs.range(range).map(|(input_id, entry)| (*input_id, entry.as_ref())).peekable();
        let mut only_listed = self.only_listed.range(range).map(|input_id| (*input_id, InputEntry::empty())).peekable();
        iter::from_fn(move || {
            // Without an inventory, a scrape does not pay for it.
            let Some((listed, _)) = only_listed.peek() else { return with_records.next() };
            let is_next = with_records.peek().is_none_or(|(recorded, _)| listed < recorded);
            if is_next { only_listed.next() } else { with_records.next() }
        })
    }

    /// Number of known inputs.
    pub fn known_count(&self) -> usize {
        self.inputs.len() + self.only_listed.len()
    }

    /// A known input.
    pub fn known_input(&self, input_id: &InputId) -> Option<&InputEntry> {
        let only_listed = self.only_listed.contains(input_id).then_some(InputEntry::empty());
        self.inputs.get(input_id).map(AsRef::as_ref).or(only_listed)
    }

    /// The name of an input: the configured one, otherwise that of the inventory; empty if it has none.
    pub fn name(&self, input_id: &InputId) -> &str {
        let configured = self.configured.get(input_id).map(|configured| configured.name.as_ref());
        configured.filter(|name| !name.is_empty()).or_else(|| Some(&*self.listed(input_id)?.1.name)).unwrap_or_default()
    }

    /// The account of an input: its configured name, otherwise its id; empty if neither is known.
    pub fn account(&self, input_id: &InputId, input: &Input) -> Cow<'_, str> {
        self.account_id(input_id, input).map_or(Cow::Borrowed(""), |account_id| self.account_name(account_id))
    }

    /// The id of the account of an input, if it is known.
    pub fn account_id(&self, input_id: &InputId, input: &Input) -> Option<AccountId> {
        let listed = || self.listed(input_id).map(|(account_id, _)| account_id);
        input.account_id.or_else(listed)
    }

    /// The configured name of an account, otherwise its id.
    pub fn account_name(&self, account_id: AccountId) -> Cow<'_, str> {
        match self.account_names.get(&account_id) {
            Some(name) if !name.is_empty() => Cow::Borrowed(name),
            _ => Cow::Owned(account_id.to_string()),
        }
    }

    /// Whether any input is configured or has an exception.
    pub fn has_plans(&self) -> bool {
        !self.configured.is_empty() || !self.exceptions.is_empty()
    }

    /// Whether Cloudflare's API has said anything.
    pub fn has_api_facts(&self) -> bool {
        !self.inventories.is_empty() || !self.quality.is_empty()
    }

    /// What Cloudflare's API lists for an account; `None` before the first complete list.
    pub fn inventory(&self, account_id: &AccountId) -> Option<&Inventory> {
        self.inventories.get(account_id)
    }

    /// What an inventory says about an input, with the account.
    pub fn listed(&self, input_id: &InputId) -> Option<(AccountId, &Listed)> {
        self.inventories.values().find_map(|inventory| Some((inventory.account_id, inventory.inputs.get(input_id)?)))
    }

    /// The ingest quality of an input, if Cloudflare's API has reported it.
    pub fn quality(&self, input_id: &InputId) -> Option<&Quality> {
        self.quality.values().find_map(|inputs| inputs.get(input_id))
    }

    /// When the input is expected to be live, by its configuration and the newest exception.
    pub fn plan(&self, input_id: &InputId) -> Plan<'_> {
        let configured = self.configured.get(input_id).map(|configured| &configured.expectation);
        Plan::new(configured, self.exceptions.get(input_id).map(|entry| entry.exception))
    }

    /// Whether the input is expected to be live at this time.
    pub fn expected(&self, input_id: &InputId, at: Timestamp) -> bool {
        self.plan(input_id).at(at)
    }

    /// The exception to the schedule of an input that is in force at this time.
    pub fn exception(&self, input_id: &InputId, at: Timestamp) -> Option<&ExceptionEntry> {
        self.exceptions.get(input_id).filter(|entry| entry.exception.contains(at))
    }

    /// All exceptions to schedules that are in force or ended recently.
    pub fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// Inputs that only an inventory has give way to those with records.
    pub(super) fn make_room(&mut self) {
        while self.known_count() > self.rules.max_inputs && self.only_listed.remove_max().is_some() {}
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Counts over all inputs.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// When deliveries were last seen.
    pub fn last_seen(&self) -> &Arc<LastSeen> {
        &self.last_seen
    }

    /// Durations of finished sessions, and of the gaps between connections, in a view at `as_of`.
    pub fn durations(&self, as_of: Timestamp) -> Durations {
        let mut durations = self.totals.durations.clone();
        for entry in self.inputs.values() {
            entry.input.durations(as_of, &self.rules, |duration| durations.observe(duration));
        }
        durations
    }

    /// Searches for inputs that are neither connected, configured nor listed by Cloudflare's API, have no exception, and
    /// had no event, correction or observation since `horizon`.
    /// Searches only a part of the inputs, starting after the given one.
    pub fn silent_inputs(&self, horizon: Timestamp, after: Option<InputId>, limits: SearchLimits) -> SilentInputs {
        let is_silent = |input: &Input| {
            let evidence = input.evidence();
            // A correction or an observation is evidence, but no event.
            let newest = input.newest_event().max(evidence.map(|evidence| evidence.updated_at));
            evidence.is_none_or(|evidence| !evidence.connected) && newest.is_some_and(|newest| newest < horizon)
        };
        let mut search = SilentInputs { found: Vec::new(), resume_after: None };
        let mut last = after;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (visited, (input_id, entry)) in self.inputs.range((start, Bound::Unbounded)).enumerate() {
            if visited >= limits.visited || search.found.len() >= limits.found {
                search.resume_after = last;
                break;
            }
            let is_kept = || {
                self.rules.configured.contains(input_id)
                    || self.listed(input_id).is_some()
                    || self.exceptions.get(input_id).is_some()
            };
            if is_silent(&entry.input) && !is_kept() {
                search.found.push(*input_id);
            }
            last = Some(*input_id);
        }
        search
    }
}

impl LastSeen {
    /// Records a delivery. `secret` is `None` if the secret of the delivery is no longer configured.
    pub fn record(&mut self, received_at: Timestamp, secret: Option<&str>, test: bool) {
        let seen = Some(received_at);
        self.last = self.last.max(seen);
        if test {
            self.last_test = self.last_test.max(seen);
        }
        let Some(secret) = secret else { return };
        match self.by_secret.get_mut(secret) {
            Some(last) => *last = received_at.max(*last),
            None => drop(self.by_secret.insert(secret.to_owned(), received_at)),
        }
    }

    /// Adds what others have seen.
    pub fn merge(&mut self, others: &Self) {
        self.last = self.last.max(others.last);
        self.last_test = self.last_test.max(others.last_test);
        for (secret, time) in &others.by_secret {
            let last = self.by_secret.entry(secret.clone()).or_insert(*time);
            *last = (*last).max(*time);
        }
    }

    /// The clock was set back: no delivery was seen later than now.
    pub fn set_clock_back(&mut self, now: Timestamp) {
        let times = self.last.iter_mut().chain(&mut self.last_test).chain(self.by_secret.values_mut());
        times.for_each(|time| *time = now.min(*time));
    }
}

impl Durations {
    pub(super) fn observe(&mut self, duration: CountedDuration) {
        match duration {
            CountedDuration::Session(duration) => self.session_duration.observe(duration),
            CountedDuration::ReconnectDelay(delay) => self.reconnect_delay.observe(delay),
        }
    }
}

impl Totals {
    pub(super) fn count(&mut self, event: &Event, note: Option<Note>) {
        self.counted_since.get_or_insert(event.received_at);
        self.out_of_order += u64::from(note == Some(Note::OutOfOrder));
        let Some(Delays { source, delivery }) = event.delays() else { return };
        self.clock_skew += u64::from(delivery.is_none());
        self.delivery_delay.observe(delivery.unwrap_or_default());
        self.source_delay.observe(source);
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            durations: Durations {
                session_duration: Histogram::new(SESSION_BOUNDS),
                reconnect_delay: Histogram::new(RECONNECT_BOUNDS),
            },
            source_delay: Histogram::new(DELAY_BOUNDS),
            delivery_delay: Histogram::new(DELAY_BOUNDS),
            clock_skew: 0,
            out_of_order: 0,
            counted_since: None,
        }
    }
}
