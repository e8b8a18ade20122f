//! The scenarios: which notifications are sent, and in which order.
//!
//! A [`Script`] is a deterministic, endless sequence. Scenario, seed and number of inputs determine the input
//! ids, the events and their order. The time is an argument and determines only event times and `ts`.
//!
//! ```text
//! inputs -> fact -> notification (policy, time sent) -> due now or later
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use fastrand::Rng;

use super::inputs::{Input, Inputs, SHORTEST_DELAY};
use crate::event::{InputId, Timestamp};
use crate::simulate::{Fact, Notification, POLICIES};

/// Share of errors in all scenarios but [`Scenario::Errors`].
const FEW_ERRORS: f64 = 0.02;
const MANY_ERRORS: f64 = 0.75;

/// Share of the notifications that are about flapping inputs.
const FLAPPING_SHARE: f64 = 0.75;

/// Number of pending notifications from which the next is chosen at random.
const WINDOW: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// Inputs connect and disconnect, about nine in ten are live, errors are rare
    Steady,
    /// A tenth of the inputs, at least one, reconnects all the time; the rest is steady
    Flapping,
    /// Every documented error code, an undocumented one, and errors without details
    Errors,
    /// All inputs connect and disconnect at the same time, in bursts
    Storm,
    /// As steady, but notifications arrive in another order than they were sent, also those of one input
    OutOfOrder,
    /// As steady, but one to three policies send each event
    Duplicates,
}

impl fmt::Display for Scenario {
    /// The value on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().expect("no scenario is skipped");
        f.write_str(name.get_name())
    }
}

/// An endless sequence of notifications.
#[derive(Debug)]
pub(super) struct Script {
    scenario: Scenario,
    rng: Rng,
    inputs: Inputs,
    /// Empty except in [`Scenario::Flapping`].
    flapping: Inputs,
    pending: Vec<Notification>,
    /// Number of events.
    events: u64,
    /// Inputs without events until the number of events is this, the earliest first.
    paused: VecDeque<Paused>,
}

#[derive(Debug)]
struct Paused {
    until: u64,
    flaps: bool,
    input: (Input, bool),
}

impl Script {
    /// A script for this number of inputs, at least one.
    pub(super) fn new(scenario: Scenario, seed: u64, inputs: u32) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut ids: Vec<_> = (0..inputs).map(|_| InputId::from_bytes(rng.u128(..).to_be_bytes())).collect();
        let flapping_count = if scenario == Scenario::Flapping { (ids.len() / 10).max(1) } else { 0 };
        let flapping = Inputs::new(ids.drain(..flapping_count), rng.fork());
        let inputs = Inputs::new(ids, rng.fork());
        Self { scenario, rng, inputs, flapping, pending: Vec::new(), events: 0, paused: VecDeque::new() }
    }

    /// The inputs that have events.
    pub(super) fn inputs(&self) -> impl Iterator<Item = InputId> {
        self.flapping.ids().chain(self.inputs.ids())
    }

    /// Keeps the state of an input until this number of events of others have happened, so that there is time to notice
    /// that a notification about it was lost. At least half of the inputs always have events.
    pub(super) fn pause(&mut self, id: InputId, events: u64) {
        if self.inputs().count() <= self.paused.len() + 1 || self.scenario == Scenario::Storm {
            return;
        }
        let (flapping, inputs) = (self.flapping.take(id), self.inputs.take(id));
        let flaps = flapping.is_some();
        if let Some(input) = flapping.or(inputs) {
            self.paused.push_back(Paused { until: self.events.saturating_add(events), flaps, input });
        }
    }

    fn end_pauses(&mut self) {
        while self.paused.front().is_some_and(|paused| paused.until <= self.events) {
            let Some(Paused { flaps, input, .. }) = self.paused.pop_front() else { return };
            let inputs = if flaps { &mut self.flapping } else { &mut self.inputs };
            inputs.put_back(input);
        }
    }

    /// The notifications that are due at `now`: a burst in a storm, otherwise exactly one.
    pub(super) fn next_burst(&mut self, now: Timestamp) -> Vec<Notification> {
        match self.scenario {
            Scenario::Storm => self.storm(now),
            Scenario::OutOfOrder => vec![self.random_from_window(now)],
            Scenario::Duplicates => vec![self.new_or_repeat(now)],
            Scenario::Steady | Scenario::Flapping | Scenario::Errors => vec![self.next_notification(now)],
        }
    }

    fn storm(&mut self, now: Timestamp) -> Vec<Notification> {
        let facts = self.inputs.toggle_all(now);
        facts.into_iter().map(|fact| self.notify(fact, 0, now)).collect()
    }

    fn random_from_window(&mut self, now: Timestamp) -> Notification {
        while self.pending.len() < WINDOW {
            let notification = self.next_notification(now);
            self.pending.push(notification);
        }
        self.pending.swap_remove(self.rng.usize(..WINDOW))
    }

    /// A repeat may be sent after newer events of its input.
    fn new_or_repeat(&mut self, now: Timestamp) -> Notification {
        let repeats = self.pending.len() >= WINDOW || (!self.pending.is_empty() && self.rng.bool());
        if repeats {
            return self.pending.swap_remove(self.rng.usize(..self.pending.len()));
        }
        let notification = self.next_notification(now);
        for policy in 1..self.rng.usize(1..=POLICIES.len()) {
            let repeat = self.notify(notification.fact, policy, now);
            self.pending.push(repeat);
        }
        notification
    }

    /// A new event, sent by the first policy.
    fn next_notification(&mut self, now: Timestamp) -> Notification {
        let fact = self.next_fact(now);
        self.notify(fact, 0, now)
    }

    fn next_fact(&mut self, now: Timestamp) -> Fact {
        self.events += 1;
        self.end_pauses();
        let error_share = if self.scenario == Scenario::Errors { MANY_ERRORS } else { FEW_ERRORS };
        let flaps = !self.flapping.is_empty() && (self.inputs.is_empty() || self.rng.f64() < FLAPPING_SHARE);
        if flaps { self.flapping.toggle_one(0, now) } else { self.inputs.next_event(error_share, now) }
    }

    /// The notification of an event by a policy, with a `ts` between event time and `now`.
    fn notify(&mut self, fact: Fact, policy: usize, now: Timestamp) -> Notification {
        let earliest = fact.updated_at.plus(SHORTEST_DELAY);
        let range = now.since(earliest).unwrap_or_default();
        let sent_at = whole_second(earliest.plus(range.mul_f64(self.rng.f64())));
        Notification { fact, policy: &POLICIES[policy], correlation_id: self.rng.u128(..), sent_at }
    }
}

fn whole_second(at: Timestamp) -> Timestamp {
    at.minus(Duration::from_nanos(at.as_nanos().unsigned_abs() % 1_000_000_000))
}

#[cfg(test)]
mod tests;
