//! The thread of an account.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, Configuration, Requested};
use super::backfills::Backfills;
use super::token::Token;
use crate::clock;
use crate::cloudflare::{
    Answer, ApiErrorKind, Effect, Endpoint, Engine, Next, Request, Settings, TaskName, successful,
};
use crate::event::{Event, Timestamp};
use crate::live::View;
use crate::metrics::Exporter;
use crate::recorder::{Handle, HistoryOutcome};

/// Wait while the state is not restored, or there is no usable token.
const UNUSABLE: Duration = Duration::from_secs(5);
/// Wait before events of the history are recorded again that could not be made durable.
const RETRY: Duration = Duration::from_secs(5);
/// Wait after a defect of this program.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// The thread of an account.
pub(super) struct Worker {
    account: Arc<Account>,
    configuration: Configuration,
    recorder: Handle,
    backfills: Arc<Backfills>,
    metrics: Arc<Exporter>,
    engine: Engine,
    token: Token,
    /// Its requests were sent by this process. Of several replicas, only one sends them.
    leads: bool,
    /// The tasks whose failure was logged, and when it was.
    failing: BTreeMap<TaskName, Timestamp>,
}

impl Worker {
    pub(super) fn new(
        account: Arc<Account>,
        configuration: Configuration,
        (recorder, backfills): (Handle, Arc<Backfills>),
        metrics: Arc<Exporter>,
    ) -> Self {
        let engine = Engine::new(configuration.tasks.clone(), clock::now(), fastrand::u64(..));
        let failing = BTreeMap::new();
        let token = Token::default();
        Self { account, configuration, recorder, backfills, metrics, engine, token, leads: false, failing }
    }

    /// Runs until the account is removed from the configuration, or the process ends.
    pub(super) fn run(&mut self) {
        self.show_endpoints();
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            tracing::error!(
                account = self.account.label(),
                "the thread for Cloudflare's API panicked; it continues in a minute"
            );
            self.account.pause(AFTER_PANIC);
            self.engine = Engine::new(self.configuration.tasks.clone(), clock::now(), fastrand::u64(..));
        }
    }

    fn work(&mut self) {
        while let Some(requested) = self.account.take() {
            self.follow(requested);
            let wait = self.step();
            self.account.wait(wait);
        }
    }

    fn follow(&mut self, Requested { configuration, backfill }: Requested) {
        if let Some(configuration) = configuration.filter(|configuration| *configuration != self.configuration) {
            self.engine.reconfigure(configuration.tasks.clone());
            self.configuration = configuration;
            if self.configuration.tasks.quality.is_none() {
                self.recorder.set_quality(self.account.id, BTreeMap::new());
            }
            self.show_endpoints();
            self.account.publish(self.engine.facts(), &self.metrics);
        }
        if let Some(since) = backfill {
            tracing::info!(account = self.account.label(), %since, "backfill requested");
            self.engine.backfill(since, clock::now());
            self.account.publish(self.engine.facts(), &self.metrics);
        }
    }

    /// Sends the next request, if it is due. Returns how long to wait.
    fn step(&mut self) -> Duration {
        if !self.recorder.state_reader().leads() {
            self.leave_to_another_replica();
            return UNUSABLE;
        }
        self.leads = true;
        let Configuration { base_url, token_file, .. } = &self.configuration;
        if self.token.refresh(base_url, token_file) {
            self.engine.token_changed(clock::now());
        }
        let (Some(client), Some(view)) = (self.token.client(), self.recorder.state_reader().view()) else {
            return UNUSABLE;
        };
        let now = clock::now();
        let request = match self.engine.next(now, &view) {
            Next::Wait(until) => return until.since(now).unwrap_or_default(),
            Next::Request(request) => request,
        };
        // Inputs that change while a view is held are copied.
        drop(view);
        let answer = client.send(&request);
        if let Some(view) = self.view() {
            self.answered(&request, &answer, &view);
        }
        Duration::ZERO
    }

    /// Another replica asks the API, and shows what it says.
    fn leave_to_another_replica(&mut self) {
        if std::mem::take(&mut self.leads) {
            self.engine = Engine::new(self.configuration.tasks.clone(), clock::now(), fastrand::u64(..));
            self.account.publish(self.engine.facts(), &self.metrics);
            self.recorder.set_quality(self.account.id, BTreeMap::new());
        }
    }

    /// The view; `None` if the account was removed.
    fn view(&self) -> Option<View> {
        while !self.account.is_stopped() {
            if let Some(view) = self.recorder.state_reader().view() {
                return Some(view);
            }
            self.account.pause(UNUSABLE);
        }
        None
    }

    /// Shows the counters of all requests that are possible, so that the first one is an increase.
    fn show_endpoints(&self) {
        for endpoint in endpoints(&self.configuration.tasks) {
            for result in ApiErrorKind::RESULTS {
                self.metrics.cloudflare_requests.with_label_values(&[endpoint.label(), result]);
            }
        }
    }

    fn answered(&mut self, request: &Request, answer: &Answer, view: &View) {
        let task = self.engine.in_flight();
        let effects = self.engine.answered(answer, clock::now(), view);
        let facts = self.engine.facts();
        let error = task.and_then(|task| facts.tasks.get(&task)?.error.as_ref());
        let kind = successful(request, answer).err().or_else(|| error.cloned()).map(|error| error.kind);
        let result = kind.map_or("ok", ApiErrorKind::result);
        self.metrics.cloudflare_requests.with_label_values(&[request.endpoint.label(), result]).inc();
        self.account.publish(facts, &self.metrics);
        if let Some(task) = task {
            self.log(task);
        }
        for effect in effects {
            if self.account.is_stopped() {
                return;
            }
            self.pass_on(effect);
        }
    }

    fn pass_on(&self, effect: Effect) {
        match effect {
            // If the recorder is overloaded, the next poll finds the same again.
            Effect::Observe(observation) => drop(self.recorder.observe(observation)),
            Effect::Record(events) => self.record(&events),
            Effect::Inventory(inventory) => self.recorder.set_inventory(inventory),
            Effect::Quality(account_id, quality) => self.recorder.set_quality(account_id, quality),
            Effect::Backfilled => self.backfills.completed(self.account.id),
        }
    }

    /// Records events of the history, and repeats that until they are durable: the history is read only once.
    fn record(&self, events: &[Event]) {
        while !self.account.is_stopped() {
            let recorded = self.recorder.record_history(events.to_vec());
            match recorded.map(|answer| answer.blocking_recv()) {
                Ok(Ok(Some(outcome))) => {
                    self.account.recorded(&outcome);
                    let HistoryOutcome { new, known, .. } = outcome;
                    tracing::info!(account = self.account.label(), events = events.len(), new, known, "backfilled");
                    return;
                }
                // The recorder has ended, and the daemon ends.
                Ok(Err(_)) => return,
                Ok(Ok(None)) | Err(_) => self.account.pause(RETRY),
            }
        }
    }

    /// Logs the first failure of a task, and when it has completed again.
    fn log(&mut self, task: TaskName) {
        let (account, label) = (self.account.label(), task.label());
        let Some(facts) = self.engine.facts().tasks.get(&task) else { return };
        match (&facts.error, self.failing.get(&task)) {
            (Some(error), None) => {
                tracing::warn!(account, task = label, %error, "a request to Cloudflare's API failed; it is repeated");
                self.failing.insert(task, clock::now());
            }
            (None, Some(since)) if facts.last_success.is_some_and(|success| success >= *since) => {
                tracing::info!(account, task = label, "requests to Cloudflare's API succeed again");
                self.failing.remove(&task);
            }
            (Some(_), Some(_)) | (None, _) => {}
        }
    }
}

/// The requests that these settings can lead to.
fn endpoints(settings: &Settings) -> Vec<Endpoint> {
    let Settings { webhook_url, inventory, reconcile, backfill, destination, quality, .. } = settings;
    let uses: [(bool, &[Endpoint]); 5] = [
        (inventory.is_some(), &[Endpoint::Inputs, Endpoint::Input]),
        (*reconcile, &[Endpoint::Input]),
        (*backfill, &[Endpoint::History]),
        (
            destination.is_some() && webhook_url.is_some(),
            &[Endpoint::Destinations, Endpoint::Policies, Endpoint::Silences],
        ),
        (quality.is_some(), &[Endpoint::Quality]),
    ];
    uses.iter().filter(|(is_used, _)| *is_used).flat_map(|(_, endpoints)| endpoints.iter().copied()).collect()
}
