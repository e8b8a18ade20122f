//! An account with everything that the API knows about it.

use std::collections::BTreeMap;

use super::super::fact::Fact;
use super::alerting::Alerting;
use super::inputs::{Listing, LiveInput};
use super::message::{Query, Refusal, Reply, Success};
use crate::event::{InputId, Timestamp};

/// An account.
#[derive(Debug)]
pub struct Account {
    /// Whether it has a Stream subscription.
    pub subscribed: bool,
    /// The form of the list of inputs.
    pub listing: Listing,
    /// Notifications: destinations, policies, silences and the history.
    pub alerting: Alerting,
    seed: u64,
    inputs: BTreeMap<InputId, LiveInput>,
}

impl Account {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            subscribed: true,
            listing: Listing::default(),
            alerting: Alerting::new(seed),
            seed,
            inputs: BTreeMap::new(),
        }
    }

    /// Adds an input that was never connected, unless it is there.
    pub fn add_input(&mut self, id: InputId, name: impl Into<String>, created: Timestamp) -> &mut LiveInput {
        let seed = seed_of(id, self.seed);
        self.inputs.entry(id).or_insert_with(|| LiveInput::new(name, created, seed))
    }

    /// An input, to change it.
    pub fn input(&mut self, id: InputId) -> Option<&mut LiveInput> {
        self.inputs.get_mut(&id)
    }

    /// All inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (InputId, &LiveInput)> {
        self.inputs.iter().map(|(id, input)| (*id, input))
    }

    /// Deletes an input. Returns whether it was there.
    pub fn delete_input(&mut self, id: InputId) -> bool {
        self.inputs.remove(&id).is_some()
    }

    /// Adds a fact to the truth about its input, whether or not a notification arrives. An input that is not there is
    /// added without a name.
    pub fn learn(&mut self, fact: &Fact) {
        self.add_input(fact.input_id, "", fact.updated_at).learn(fact);
    }

    pub(super) fn list(&self, query: Query<'_>) -> Reply {
        self.stream()?;
        Ok(self.listing.list(self.inputs().collect(), query))
    }

    pub(super) fn details(&self, id: &str, now: Timestamp, shift: impl Fn(Timestamp) -> Timestamp) -> Reply {
        self.stream()?;
        let input = id.parse().ok().and_then(|id| self.inputs.get_key_value(&id));
        let (id, input) = input.ok_or(Refusal::NO_INPUT)?;
        Ok(Success::new(input.details(*id, now, shift, seed_of(*id, self.seed))))
    }

    fn stream(&self) -> Result<(), Refusal> {
        if self.subscribed { Ok(()) } else { Err(Refusal::NO_SUBSCRIPTION) }
    }
}

/// A seed for the choices about one input.
fn seed_of(id: InputId, seed: u64) -> u64 {
    id.bytes().iter().fold(seed, |seed, byte| seed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte))
}
