//! What to ask an account next, and what the answers mean.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backfill::Backfill;
use super::budget::{Backoff, Budget, Pause};
use super::destination::DestinationCheck;
use super::inventory::InventoryTask;
use super::quality::QualityTask;
use super::status::StatusSweep;
use super::{Answer, ApiErrorKind, Due, Effect, Facts, Progress, Request, Settings, Task, TaskName};
use crate::event::Timestamp;
use crate::live::View;

/// The longest wait: the view, and what is due, changes meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// A task's backoff after requests that failed.
const TASK_BACKOFF: Backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(300) };

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Send this request, and pass its answer to [`Engine::answered`].
    Request(Request),
    /// Ask again at this time, or earlier.
    Wait(Timestamp),
}

/// Decides for one account what to ask next, and what the answers mean.
///
/// It does no I/O and reads no clock. At most one request is in flight: between [`Next::Request`] and
/// [`Engine::answered`], it only waits.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    budget: Budget,
    random: fastrand::Rng,
    tasks: Tasks,
    /// Until when each task is not retried.
    retries: BTreeMap<TaskName, Pause>,
    facts: Facts,
    in_flight: Option<(TaskName, Request)>,
}

/// The tasks.
#[derive(Debug)]
struct Tasks {
    inventory: InventoryTask,
    status: StatusSweep,
    destination: DestinationCheck,
    history: Backfill,
    quality: QualityTask,
}

impl Tasks {
    fn new(settings: &Settings) -> Self {
        Self {
            inventory: InventoryTask::new(settings),
            status: StatusSweep::new(settings),
            destination: DestinationCheck::new(settings),
            history: Backfill::new(settings),
            quality: QualityTask::new(settings),
        }
    }

    fn get(&mut self, name: TaskName) -> Option<&mut dyn Task> {
        match name {
            TaskName::Inventory => Some(&mut self.inventory),
            TaskName::Status => Some(&mut self.status),
            TaskName::Destination => Some(&mut self.destination),
            TaskName::History => Some(&mut self.history),
            TaskName::Quality => Some(&mut self.quality),
        }
    }
}

impl Engine {
    /// An engine that starts at this time. The seed makes engines different: they do not ask in step.
    pub fn new(settings: Settings, started: Timestamp, seed: u64) -> Self {
        let mut engine = Self {
            budget: Budget::new(settings.request_share, started, seed),
            random: fastrand::Rng::with_seed(seed.wrapping_add(1)),
            tasks: Tasks::new(&settings),
            retries: BTreeMap::new(),
            facts: Facts::default(),
            in_flight: None,
            settings,
        };
        engine.configure_tasks();
        engine
    }

    /// Takes new settings.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.budget.set_share(settings.request_share);
        if settings.account_id != self.settings.account_id {
            // An answer that is on its way is of the other account.
            (self.tasks, self.in_flight) = (Tasks::new(&settings), None);
            self.facts = Facts::default();
        }
        // Perhaps the reason for a failure was removed.
        self.retries.clear();
        self.settings = settings;
        self.configure_tasks();
    }

    /// The token is another one: what the old one was refused is asked again.
    pub fn token_changed(&mut self, now: Timestamp) {
        self.budget.resume(now);
        self.retries.clear();
    }

    /// The task whose request is in flight.
    pub fn in_flight(&self) -> Option<TaskName> {
        self.in_flight.as_ref().map(|(name, _)| *name)
    }

    /// Reads the notification history since this time, whatever the settings say.
    pub fn backfill(&mut self, since: Timestamp, now: Timestamp) {
        self.tasks.history.begin(since, now);
        self.facts.tasks.entry(TaskName::History).or_default();
        self.retries.remove(&TaskName::History);
        self.report();
    }

    /// What it knows.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What to do next.
    pub fn next(&mut self, now: Timestamp, view: &View) -> Next {
        let latest = now.plus(LONGEST_WAIT);
        if self.in_flight.is_some() {
            return Next::Wait(latest);
        }
        let mut due = Vec::new();
        for name in self.facts.tasks.keys().copied() {
            if let Some(Due { at, priority }) = self.tasks.get(name).and_then(|task| task.due(now, view)) {
                let retry = self.retries.get_mut(&name).map_or(Timestamp::EPOCH, |pause| pause.end(now));
                due.push((priority, at.max(retry), name));
            }
        }
        let allowed = self.budget.next(now);
        let ready = due.iter().filter(|(_, at, _)| at.max(&allowed) <= &now).min();
        let request = ready.and_then(|(.., name)| Some((*name, self.tasks.get(*name)?.request(now, view)?)));
        if let Some((name, request)) = request {
            self.budget.sent(now);
            self.in_flight = Some((name, request.clone()));
            return Next::Request(request);
        }
        let next = due.iter().map(|(_, at, _)| at.max(&allowed)).min();
        // Not earlier than now: what is due and has no request is asked again.
        Next::Wait(next.map_or(latest, |at| *at.min(&latest)).max(now.plus(SHORTEST_WAIT)))
    }

    /// The answer to the request in flight, and what it leads to.
    pub fn answered(&mut self, answer: &Answer, now: Timestamp, view: &View) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some((name, request)) = self.in_flight.take() else { return effects };
        self.budget.answered(answer, now);
        // Its task may have been switched off since.
        let task_and_facts = self.tasks.get(name).zip(self.facts.tasks.get_mut(&name));
        let Some((task, facts)) = task_and_facts else { return effects };
        let wait = match task.answered(&request, answer, now, view, &mut effects) {
            Ok(progress) => {
                (facts.failures, facts.error) = (0, None);
                if progress == Progress::Completed {
                    facts.last_success = Some(now);
                }
                Duration::ZERO
            }
            Err(error) => {
                facts.failures = facts.failures.saturating_add(1);
                facts.last_failure = Some(now);
                let needs_people = matches!(error.kind, ApiErrorKind::Unauthorized | ApiErrorKind::NoSubscription);
                facts.error = Some(error);
                match answer {
                    // All tasks wait for the token, and the first one that tries it ends that.
                    Ok(response) if response.status == 401 => Duration::ZERO,
                    _ if needs_people => TASK_BACKOFF.after(u32::MAX, &mut self.random),
                    _ => TASK_BACKOFF.after(facts.failures, &mut self.random),
                }
            }
        };
        self.retries.insert(name, Pause::new(now, wait));
        if let Some((input_id, enabled)) = self.tasks.status.take_enabled() {
            self.tasks.inventory.set_enabled(input_id, enabled);
        }
        self.report();
        self.facts.next_request = Some(self.budget.next(now));
        effects
    }

    fn configure_tasks(&mut self) {
        for name in TaskName::ALL {
            if let Some(task) = self.tasks.get(name) {
                task.configure(&self.settings);
            }
            // A backfill on request needs no setting.
            if self.settings.has(name) || (name == TaskName::History && self.tasks.history.is_reading()) {
                self.facts.tasks.entry(name).or_default();
            } else {
                self.facts.tasks.remove(&name);
            }
        }
        self.report();
    }

    fn report(&mut self) {
        let next_request = self.facts.next_request;
        self.facts = Facts { tasks: std::mem::take(&mut self.facts.tasks), next_request, ..Facts::default() };
        for name in TaskName::ALL {
            if self.facts.tasks.contains_key(&name)
                && let Some(task) = self.tasks.get(name)
            {
                task.report(&mut self.facts);
            }
        }
    }
}
