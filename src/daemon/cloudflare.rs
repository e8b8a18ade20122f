//! Cloudflare's API: a thread for each configured account, which a reload adds, changes and removes.
//!
//! ```text
//! reload, private API ─▶ Account ─▶ Worker: Engine ─▶ Client ─▶ Engine ─▶ recorder, gauges
//! ```
//!
//! The threads are not joined: a request may take seconds, and neither reloads nor the shutdown wait for it.

mod account;
mod backfills;
mod status;
mod token;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::Value;

use account::{Account, Configuration};
use backfills::Backfills;
use worker::Worker;

use crate::cloudflare::Settings;
use crate::config::{CloudflareAccount, CloudflareSettings};
use crate::event::Timestamp;
use crate::http::ApiTasks;
use crate::metrics::Exporter;
use crate::recorder::Handle;

/// The configured accounts.
pub(super) struct Accounts {
    recorder: Handle,
    metrics: Arc<Exporter>,
    backfills: Arc<Backfills>,
    running: Mutex<Vec<Arc<Account>>>,
}

impl Accounts {
    /// No accounts yet.
    pub(super) fn new(recorder: Handle, metrics: Arc<Exporter>) -> Self {
        let backfills = Arc::new(Backfills::new(recorder.clone()));
        Self { recorder, metrics, backfills, running: Mutex::default() }
    }

    /// Adds, changes and removes accounts, so that they are as configured. Does not wait for requests.
    pub(super) fn configure(&self, settings: &CloudflareSettings) {
        let mut running = self.lock();
        let configured = |account: &Account| settings.accounts.iter().any(|other| account.is(other));
        // A name may pass from one account to another, so the gauges of the old one go first.
        running.retain(|account| configured(account) || account.stop(&self.metrics));
        let reading = settings.accounts.iter().filter(|_| settings.backfill).map(|account| account.account_id);
        self.backfills.expect(reading.collect());
        for account in &settings.accounts {
            let configuration = configuration(settings, account);
            match running.iter().find(|running| running.is(account)) {
                Some(running) => running.reconfigure(configuration),
                None => running.extend(self.start(account, configuration)),
            }
        }
    }

    fn start(&self, account: &CloudflareAccount, configuration: Configuration) -> Option<Arc<Account>> {
        let CloudflareAccount { name, account_id, .. } = account;
        let account = Arc::new(Account::new(name.clone(), *account_id));
        let mut worker = Worker::new(
            account.clone(),
            configuration,
            (self.recorder.clone(), self.backfills.clone()),
            self.metrics.clone(),
        );
        let started = thread::Builder::new().name("cloudflare".into()).spawn(move || worker.run());
        if let Err(error) = &started {
            tracing::error!(%account_id, %error, "the thread for Cloudflare's API cannot be started; a reload tries again");
        }
        started.ok().map(|_| account)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Account>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApiTasks for Accounts {
    fn accounts(&self) -> Vec<Value> {
        let by_another_replica = !self.recorder.state_reader().leads();
        let status = |account: &Arc<Account>| {
            let mut status = account.status();
            status["asked_by_another_replica"] = by_another_replica.into();
            status
        };
        self.lock().iter().map(status).collect()
    }

    fn backfill(&self, since: Timestamp) -> usize {
        let running = self.lock();
        running.iter().for_each(|account| account.backfill(since));
        running.len()
    }
}

fn configuration(settings: &CloudflareSettings, account: &CloudflareAccount) -> Configuration {
    let CloudflareSettings { inventory_interval, destination_interval, quality_interval, .. } = *settings;
    let tasks = Settings {
        account_id: account.account_id,
        is_only_account: settings.accounts.len() == 1,
        webhook_url: account.webhook_url.clone(),
        request_share: settings.request_share,
        inventory: settings.inventory.then_some(inventory_interval),
        reconcile: settings.reconcile,
        backfill: settings.backfill,
        destination: settings.destination.then_some(destination_interval),
        quality: settings.quality.then_some(quality_interval),
    };
    Configuration { tasks, base_url: settings.base_url.clone(), token_file: account.token_file.clone() }
}
