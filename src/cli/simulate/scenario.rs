//! Which notifications come, and in what order.
//!
//! A [`Script`] is a pure, endless sequence: the same scenario, seed and inputs give the same input
//! ids, the same happenings and the same order, whatever the time. The time is passed in and goes
//! only into event times and `ts`; told the same times, a script says the same to the nanosecond.
//!
//! ```text
//! inputs (what happens) -> fact -> notification (which policy, when sent) -> held back, or due now
//! ```

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use fastrand::Rng;

use super::fact::Fact;
use super::inputs::{Inputs, SHORTEST_DELAY};
use super::notification::{Notification, POLICIES};
use crate::event::{InputId, Timestamp};

/// Errors are a rare thing, outside of the scenario that is about them.
const FEW_ERRORS: f64 = 0.02;
const MANY_ERRORS: f64 = 0.75;

/// The part of all notifications that is about inputs that flap.
const FLAPPING_SHARE: f64 = 0.75;

/// How many notifications are held back, to be delivered in an order of chance.
const WINDOW: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// Inputs come and go, about nine in ten are live, errors are rare.
    Steady,
    /// A tenth of the inputs, at least one, drops and comes back all the time; the rest is steady.
    Flapping,
    /// Every documented error code, one that is not documented, and errors without details.
    Errors,
    /// All inputs connect at once, drop at once and come back at once, in bursts.
    Storm,
    /// As steady, but notifications overtake each other, also those about one input.
    OutOfOrder,
    /// As steady, but each notification comes one to three times, each from another policy.
    Duplicates,
}

impl fmt::Display for Scenario {
    /// The name on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().expect("every scenario can be chosen");
        f.write_str(name.get_name())
    }
}

/// What comes next, without end.
#[derive(Debug)]
pub(super) struct Script {
    scenario: Scenario,
    rng: Rng,
    inputs: Inputs,
    /// Empty but for [`Scenario::Flapping`].
    flappers: Inputs,
    /// Made, and not due yet: the window out of order, or the repeats.
    held: Vec<Notification>,
}

impl Script {
    /// The script for so many inputs, of which there must be one at least.
    pub(super) fn new(scenario: Scenario, seed: u64, inputs: u32) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut ids: Vec<_> = (0..inputs).map(|_| InputId::from_bytes(rng.u128(..).to_be_bytes())).collect();
        let flapping = if scenario == Scenario::Flapping { (ids.len() / 10).max(1) } else { 0 };
        let flappers = Inputs::new(ids.drain(..flapping), rng.fork());
        let inputs = Inputs::new(ids, rng.fork());
        Self { scenario, rng, inputs, flappers, held: Vec::new() }
    }

    /// What is due together at `now`: a burst in a storm, otherwise one notification; never none.
    pub(super) fn next_burst(&mut self, now: Timestamp) -> Vec<Notification> {
        match self.scenario {
            Scenario::Storm => self.storm(now),
            Scenario::OutOfOrder => vec![self.anything_from_the_window(now)],
            Scenario::Duplicates => vec![self.news_or_repeat(now)],
            Scenario::Steady | Scenario::Flapping | Scenario::Errors => vec![self.news(now)],
        }
    }

    fn storm(&mut self, now: Timestamp) -> Vec<Notification> {
        let facts = self.inputs.all_come_or_go(now);
        facts.into_iter().map(|fact| self.notify(fact, 0, now)).collect()
    }

    fn anything_from_the_window(&mut self, now: Timestamp) -> Notification {
        while self.held.len() < WINDOW {
            let news = self.news(now);
            self.held.push(news);
        }
        self.held.swap_remove(self.rng.usize(..WINDOW))
    }

    /// A repeat may come after newer facts about its input.
    fn news_or_repeat(&mut self, now: Timestamp) -> Notification {
        let repeats = self.held.len() >= WINDOW || (!self.held.is_empty() && self.rng.bool());
        if repeats {
            return self.held.swap_remove(self.rng.usize(..self.held.len()));
        }
        let news = self.news(now);
        for policy in 1..self.rng.usize(1..=POLICIES.len()) {
            let repeat = self.notify(news.fact, policy, now);
            self.held.push(repeat);
        }
        news
    }

    /// A new fact, from the first policy.
    fn news(&mut self, now: Timestamp) -> Notification {
        let fact = self.next_fact(now);
        self.notify(fact, 0, now)
    }

    fn next_fact(&mut self, now: Timestamp) -> Fact {
        let error_share = if self.scenario == Scenario::Errors { MANY_ERRORS } else { FEW_ERRORS };
        let flaps = !self.flappers.is_empty() && (self.inputs.is_empty() || self.rng.f64() < FLAPPING_SHARE);
        if flaps { self.flappers.come_or_go(0, now) } else { self.inputs.go_on(error_share, now) }
    }

    /// Puts a fact into a policy's envelope, stamped with a whole second between fact and `now`.
    fn notify(&mut self, fact: Fact, policy: usize, now: Timestamp) -> Notification {
        let earliest = fact.updated_at.plus(SHORTEST_DELAY);
        let leeway = now.since(earliest).unwrap_or_default();
        let sent_at = whole_second(earliest.plus(leeway.mul_f64(self.rng.f64())));
        Notification { fact, policy: &POLICIES[policy], correlation_id: self.rng.u128(..), sent_at }
    }
}

fn whole_second(at: Timestamp) -> Timestamp {
    at.minus(Duration::from_nanos(at.as_nanos().unsigned_abs() % 1_000_000_000))
}

#[cfg(test)]
mod tests;
