//! The simulated live inputs: which are live, and what happens next.
//!
//! A random generator decides which input has which event. It never depends on the time. An input connects
//! and disconnects alternately, only live inputs have errors, and the event times of one input strictly
//! increase.

use std::collections::VecDeque;
use std::iter;
use std::time::Duration;

use fastrand::Rng;

use crate::event::{InputId, Timestamp};
use crate::simulate::{ERRORS, Fact, FactKind, SimulatedError};

/// Shortest time from an event to its delivery. At least a second, so that a whole second for the
/// envelope's `ts` lies between the two.
pub(super) const SHORTEST_DELAY: Duration = Duration::from_secs(1);

const LONGEST_DELAY: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(super) struct Inputs {
    rng: Rng,
    live: Vec<Input>,
    /// Longest offline first. At the start it has all inputs.
    offline: VecDeque<Input>,
    /// Errors that have not occurred since the set was last refilled.
    errors: Vec<&'static SimulatedError>,
}

#[derive(Debug)]
pub(super) struct Input {
    id: InputId,
    newest: Timestamp,
}

impl Inputs {
    pub(super) fn new(ids: impl IntoIterator<Item = InputId>, rng: Rng) -> Self {
        let offline = ids.into_iter().map(|id| Input { id, newest: Timestamp::EPOCH }).collect();
        Self { rng, live: Vec::new(), offline, errors: Vec::new() }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = InputId> {
        self.live.iter().chain(&self.offline).map(|input| input.id)
    }

    /// Removes an input. Returns it with whether it is live.
    pub(super) fn take(&mut self, id: InputId) -> Option<(Input, bool)> {
        if let Some(index) = self.live.iter().position(|input| input.id == id) {
            return Some((self.live.swap_remove(index), true));
        }
        let index = self.offline.iter().position(|input| input.id == id)?;
        self.offline.remove(index).map(|input| (input, false))
    }

    /// Adds an input that was removed.
    pub(super) fn put_back(&mut self, (input, live): (Input, bool)) {
        if live { self.live.push(input) } else { self.offline.push_back(input) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.offline.is_empty()
    }

    /// An error with the probability `error_share`, otherwise a connect or disconnect. After all inputs have
    /// connected, about nine in ten stay live.
    pub(super) fn next_event(&mut self, error_share: f64, now: Timestamp) -> Fact {
        let inputs = self.live.len() + self.offline.len();
        let error = if self.rng.f64() < error_share { self.error(now) } else { None };
        error.unwrap_or_else(|| self.toggle_one(inputs / 10, now))
    }

    /// A connect if more than `most_offline` inputs are offline; otherwise a connect or disconnect at random.
    ///
    /// # Panics
    ///
    /// If there are no inputs.
    pub(super) fn toggle_one(&mut self, most_offline: usize, now: Timestamp) -> Fact {
        let connects = self.offline.len() > most_offline || self.rng.bool();
        let fact = if connects {
            self.connect(now).or_else(|| self.disconnect(now))
        } else {
            self.disconnect(now).or_else(|| self.connect(now))
        };
        fact.expect("every input is either live or offline")
    }

    /// Disconnects all live inputs, or connects all inputs if none is live.
    pub(super) fn toggle_all(&mut self, now: Timestamp) -> Vec<Fact> {
        if self.live.is_empty() {
            iter::from_fn(|| self.connect(now)).collect()
        } else {
            iter::from_fn(|| self.disconnect(now)).collect()
        }
    }

    /// Connects the input that has been offline longest.
    fn connect(&mut self, now: Timestamp) -> Option<Fact> {
        let mut input = self.offline.pop_front()?;
        let fact = input.event(FactKind::Connected, now, &mut self.rng);
        self.live.push(input);
        Some(fact)
    }

    fn disconnect(&mut self, now: Timestamp) -> Option<Fact> {
        let chosen = self.rng.choice(0..self.live.len())?;
        let mut input = self.live.swap_remove(chosen);
        let fact = input.event(FactKind::Disconnected, now, &mut self.rng);
        self.offline.push_back(input);
        Some(fact)
    }

    /// An error of a random live input. Every error occurs once before any is repeated.
    fn error(&mut self, now: Timestamp) -> Option<Fact> {
        let chosen = self.rng.choice(0..self.live.len())?;
        if self.errors.is_empty() {
            self.errors.extend(&ERRORS);
        }
        let error = self.errors.swap_remove(self.rng.usize(..self.errors.len()));
        Some(self.live[chosen].event(FactKind::Errored(error), now, &mut self.rng))
    }
}

impl Input {
    /// An event shortly before `now`, and after all earlier events of this input.
    fn event(&mut self, kind: FactKind, now: Timestamp, rng: &mut Rng) -> Fact {
        let earliest = now.minus(LONGEST_DELAY).max(self.newest.plus(Duration::from_nanos(1)));
        let range = now.minus(SHORTEST_DELAY).since(earliest).unwrap_or_default();
        self.newest = earliest.plus(range.mul_f64(rng.f64()));
        Fact { input_id: self.id, kind, updated_at: self.newest }
    }
}
