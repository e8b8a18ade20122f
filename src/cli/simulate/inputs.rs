//! The simulated live inputs: which of them are live, and what happens to them next.
//!
//! Chance decides, from the given generator alone: which input and what happens depends on nothing
//! else, and never on the time. An input connects and disconnects by turns, errors come to live
//! inputs only, and the event times of one input increase strictly.

use std::collections::VecDeque;
use std::iter;
use std::time::Duration;

use fastrand::Rng;

use super::fact::{COMPLAINTS, Complaint, Fact, Happening};
use crate::event::{InputId, Timestamp};

/// A fact becomes known at the earliest so long after it happened. Not less than a second, so that
/// a whole second lies between the two for the envelope's `ts`.
pub(super) const SHORTEST_DELAY: Duration = Duration::from_secs(1);

/// A fact becomes known at the latest so long after it happened.
const LONGEST_DELAY: Duration = Duration::from_secs(4);

/// A group of inputs that share their fortune.
#[derive(Debug)]
pub(super) struct Inputs {
    rng: Rng,
    live: Vec<Input>,
    /// Those that are not live, longest first. At the start all of them.
    offline: VecDeque<Input>,
    /// What is to be complained about before anything is complained about again.
    complaints: Vec<&'static Complaint>,
}

#[derive(Debug)]
struct Input {
    id: InputId,
    newest: Timestamp,
}

impl Inputs {
    /// These inputs, none of them live.
    pub(super) fn new(ids: impl IntoIterator<Item = InputId>, rng: Rng) -> Self {
        let offline = ids.into_iter().map(|id| Input { id, newest: Timestamp::EPOCH }).collect();
        Self { rng, live: Vec::new(), offline, complaints: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.offline.is_empty()
    }

    /// An error with the probability `error_share`, else an input goes or comes; once all have
    /// come, about nine in ten stay live.
    pub(super) fn go_on(&mut self, error_share: f64, now: Timestamp) -> Fact {
        let inputs = self.live.len() + self.offline.len();
        let error = if self.rng.f64() < error_share { self.complain(now) } else { None };
        error.unwrap_or_else(|| self.come_or_go(inputs / 10, now))
    }

    /// An input comes when more than `most_offline` are away; otherwise one comes or goes.
    ///
    /// # Panics
    ///
    /// When there are no inputs at all.
    pub(super) fn come_or_go(&mut self, most_offline: usize, now: Timestamp) -> Fact {
        let comes = self.offline.len() > most_offline || self.rng.bool();
        let fact = if comes {
            self.connect(now).or_else(|| self.disconnect(now))
        } else {
            self.disconnect(now).or_else(|| self.connect(now))
        };
        fact.expect("every input is either live or offline")
    }

    /// All live inputs drop at once; when none is live, all come at once.
    pub(super) fn all_come_or_go(&mut self, now: Timestamp) -> Vec<Fact> {
        if self.live.is_empty() {
            iter::from_fn(|| self.connect(now)).collect()
        } else {
            iter::from_fn(|| self.disconnect(now)).collect()
        }
    }

    /// Connects the input that has been offline longest.
    fn connect(&mut self, now: Timestamp) -> Option<Fact> {
        let mut input = self.offline.pop_front()?;
        let fact = input.experience(Happening::Connected, now, &mut self.rng);
        self.live.push(input);
        Some(fact)
    }

    /// Disconnects any live input.
    fn disconnect(&mut self, now: Timestamp) -> Option<Fact> {
        let chosen = self.rng.choice(0..self.live.len())?;
        let mut input = self.live.swap_remove(chosen);
        let fact = input.experience(Happening::Disconnected, now, &mut self.rng);
        self.offline.push_back(input);
        Some(fact)
    }

    /// Complains about any live input.
    fn complain(&mut self, now: Timestamp) -> Option<Fact> {
        let chosen = self.rng.choice(0..self.live.len())?;
        let complaint = self.next_complaint();
        Some(self.live[chosen].experience(Happening::Errored(complaint), now, &mut self.rng))
    }

    /// All complaints have their turn, in an order of chance, before one comes again.
    fn next_complaint(&mut self) -> &'static Complaint {
        if self.complaints.is_empty() {
            self.complaints.extend(&COMPLAINTS);
        }
        self.complaints.swap_remove(self.rng.usize(..self.complaints.len()))
    }
}

impl Input {
    /// It happens to this input, a little before `now` and after all that happened to it before.
    fn experience(&mut self, happening: Happening, now: Timestamp, rng: &mut Rng) -> Fact {
        let earliest = now.minus(LONGEST_DELAY).max(self.newest.plus(Duration::from_nanos(1)));
        let leeway = now.minus(SHORTEST_DELAY).since(earliest).unwrap_or_default();
        self.newest = earliest.plus(leeway.mul_f64(rng.f64()));
        Fact { input_id: self.id, happening, updated_at: self.newest }
    }
}
