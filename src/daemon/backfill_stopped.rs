//! Reads Cloudflare's notification history into the journal of a stopped daemon.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use super::location::location_for_command;
use super::replay_unrecognized::unchanged_limits;
use crate::clock;
use crate::cloudflare::{BackfillProgress, Client, Effect, Engine, Next, Settings as Tasks};
use crate::config::{CloudflareAccount, Settings};
use crate::event::{Event, Timestamp};
use crate::metrics::Exporter;
use crate::recorder::{self, Handle, HistoryOutcome};

/// Wait for the recorder's answer before the journal is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Number of attempts to record events.
const ATTEMPTS: usize = 10;

/// A backfill of one account, and what became of its events.
pub type Read = (BackfillProgress, HistoryOutcome);

/// Reads the history of these accounts since this time, and records the events. No daemon may run on a local journal.
/// `progress` is called after each page. A message on `stop` ends it; what was recorded stays.
///
/// # Errors
///
/// The journal cannot be used, or cannot be written. Errors of the API are part of the result.
pub fn backfill_stopped(
    settings: &Settings,
    accounts: &[(CloudflareAccount, Client)],
    since: Timestamp,
    stop: &Receiver<()>,
    mut progress: impl FnMut(&BackfillProgress, &HistoryOutcome),
) -> anyhow::Result<Vec<Read>> {
    let journal = location_for_command(settings).open_existing()?;
    let mut limits = unchanged_limits(&*journal, settings)?;
    limits.accounts = accounts.iter().map(|(account, _)| (account.account_id, account.name.as_str().into())).collect();
    let metrics = Arc::new(Exporter::new(clock::now(), false));
    let running = recorder::start_with(journal, limits, recorder::prepare(1), metrics);
    let running = running.context("the recorder's thread cannot be started")?;
    let mut results = Ok(Vec::new());
    if running.restored.blocking_recv().is_ok() {
        results = accounts.iter().map(|account| read(account, since, &running.handle, stop, &mut progress)).collect();
        let complete = |(progress, _): &Read| progress.ended.is_some() && progress.error.is_none();
        let view = running.handle.state_reader().view();
        let from = view.and_then(|view| view.downtime?.backfill_from);
        if from.is_some_and(|from| since <= from) && results.as_ref().is_ok_and(|read| read.iter().all(complete)) {
            running.handle.set_backfilled();
        }
        running.handle.finish();
    }
    running.thread.join().map_err(|_| anyhow!("the recorder panicked"))??;
    results
}

/// Reads the history of an account until it ends, or until a message on `stop`.
fn read(
    (account, client): &(CloudflareAccount, Client),
    since: Timestamp,
    recorder: &Handle,
    stop: &Receiver<()>,
    progress: &mut impl FnMut(&BackfillProgress, &HistoryOutcome),
) -> anyhow::Result<Read> {
    let mut engine = Engine::new(tasks(account), clock::now(), fastrand::u64(..));
    engine.backfill(since, clock::now());
    let mut outcome = HistoryOutcome::default();
    loop {
        let view = recorder.state_reader().view().context("the recorder has ended")?;
        let wait = match engine.next(clock::now(), &view) {
            Next::Wait(until) => until.since(clock::now()).unwrap_or_default(),
            Next::Request(request) => {
                for effect in engine.answered(&client.send(&request), clock::now(), &view) {
                    if let Effect::Record(events) = effect {
                        outcome.add(&record(recorder, &events)?);
                    }
                }
                Duration::ZERO
            }
        };
        let read = engine.facts().backfill.clone().context("the backfill has not begun")?;
        progress(&read, &outcome);
        if read.ended.is_some() || stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return Ok((read, outcome));
        }
    }
}

fn record(recorder: &Handle, events: &[Event]) -> anyhow::Result<HistoryOutcome> {
    for _ in 0..ATTEMPTS {
        let answer = recorder.record_history(events.to_vec()).map(|answer| answer.blocking_recv());
        match answer {
            Ok(Ok(Some(outcome))) => return Ok(outcome),
            Ok(Err(_)) => bail!("the recorder has ended"),
            Ok(Ok(None)) | Err(_) => std::thread::sleep(RETRY),
        }
    }
    bail!("the journal cannot be written")
}

/// No task but the backfill.
fn tasks(account: &CloudflareAccount) -> Tasks {
    Tasks {
        account_id: account.account_id,
        is_only_account: true,
        webhook_url: None,
        request_share: 1.0,
        inventory: None,
        reconcile: false,
        backfill: false,
        destination: None,
        quality: None,
    }
}
