//! An account: what its thread is asked to do, and what it knows.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::status::{self, Recorded};
use crate::cloudflare::{Facts, Settings, TaskName};
use crate::config::CloudflareAccount;
use crate::event::{AccountId, Timestamp};
use crate::metrics::{AccountGauges, Exporter};
use crate::recorder::HistoryOutcome;

/// A configured account.
pub(super) struct Account {
    /// Empty for a single account without a name.
    pub(super) name: String,
    pub(super) id: AccountId,
    shared: Mutex<Shared>,
    changed: Condvar,
}

/// What a reload can change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Configuration {
    pub(super) tasks: Settings,
    pub(super) base_url: String,
    pub(super) token_file: PathBuf,
}

#[derive(Default)]
struct Shared {
    requested: Requested,
    stopped: bool,
    facts: Facts,
    recorded: Recorded,
}

/// What the thread has not taken yet. A later request of a kind replaces an earlier one.
#[derive(Default)]
pub(super) struct Requested {
    pub(super) configuration: Option<Configuration>,
    /// Read the notification history since this time.
    pub(super) backfill: Option<Timestamp>,
}

impl Account {
    pub(super) fn new(name: String, id: AccountId) -> Self {
        Self { name, id, shared: Mutex::default(), changed: Condvar::new() }
    }

    /// For the log: its name, or its id if it has none.
    pub(super) fn label(&self) -> String {
        if self.name.is_empty() { self.id.to_string() } else { self.name.clone() }
    }

    /// Whether this is the configured account. Under another name it is another one, because its gauges have the name.
    pub(super) fn is(&self, configured: &CloudflareAccount) -> bool {
        self.id == configured.account_id && self.name == configured.name
    }

    pub(super) fn reconfigure(&self, configuration: Configuration) {
        self.lock().requested.configuration = Some(configuration);
        self.changed.notify_all();
    }

    /// Requests a backfill. If one is requested already, it begins at the earlier of both times.
    pub(super) fn backfill(&self, since: Timestamp) {
        let mut shared = self.lock();
        let requested = &mut shared.requested.backfill;
        *requested = Some(requested.map_or(since, |earlier| earlier.min(since)));
        drop(shared);
        self.changed.notify_all();
    }

    /// Ends the thread after its current request, and removes the gauges. Returns false: the account is not configured.
    pub(super) fn stop(&self, metrics: &Exporter) -> bool {
        let mut shared = self.lock();
        shared.stopped = true;
        metrics.set_account(&self.name, &gauges(&Facts::default()));
        drop(shared);
        self.changed.notify_all();
        false
    }

    /// What the thread is asked to do; `None` if it is to end.
    pub(super) fn take(&self) -> Option<Requested> {
        let mut shared = self.lock();
        (!shared.stopped).then(|| std::mem::take(&mut shared.requested))
    }

    /// Waits, at most this long, until the thread is asked to do something.
    pub(super) fn wait(&self, limit: Duration) {
        let is_idle = |shared: &mut Shared| {
            let Requested { configuration, backfill } = &shared.requested;
            !shared.stopped && configuration.is_none() && backfill.is_none()
        };
        drop(self.changed.wait_timeout_while(self.lock(), limit, is_idle));
    }

    /// Waits this long, or until the account is removed.
    pub(super) fn pause(&self, length: Duration) {
        drop(self.changed.wait_timeout_while(self.lock(), length, |shared| !shared.stopped));
    }

    /// Publishes what the thread knows, unless the account was removed. A backfill has ended when its events are recorded,
    /// so this comes before they are.
    pub(super) fn publish(&self, facts: &Facts, metrics: &Exporter) {
        let mut shared = self.lock();
        if !shared.stopped {
            metrics.set_account(&self.name, &gauges(facts));
            shared.recorded.begin(facts.backfill.as_ref());
            shared.facts = facts.clone();
        }
    }

    /// Counts what became of events of the history.
    pub(super) fn recorded(&self, outcome: &HistoryOutcome) {
        self.lock().recorded.add(outcome);
    }

    /// The state of its tasks, as JSON.
    pub(super) fn status(&self) -> Value {
        let shared = self.lock();
        let waits = shared.requested.backfill.is_some();
        status::json(&self.name, self.id, &shared.facts, (waits, &shared.recorded))
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gauges(facts: &Facts) -> AccountGauges {
    let Facts { oldest_status, destination_last_success, destination_last_failure, policy_delivering, .. } = *facts;
    AccountGauges {
        last_success: TaskName::ALL.iter().map(|task| (task.label(), facts.last_success(*task))).collect(),
        oldest_status,
        destination_last_success,
        destination_last_failure,
        policy_delivering,
    }
}
