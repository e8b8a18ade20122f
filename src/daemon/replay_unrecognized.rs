//! Reads the kept bodies that were not understood again, after an upgrade of the program.
//!
//! What is understood now goes through the recorder like a delivery that was received at that time. The recorder deletes
//! it from the kept bodies in the same transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::sync::oneshot;

use super::location::location_for_command;
use crate::accept::{self, Received};
use crate::clock;
use crate::config::Settings;
use crate::event::Notification;
use crate::http::NotReplayed;
use crate::journal::{KeptBody, Location, Reader};
use crate::metrics::Exporter;
use crate::recorder::{self, Delivery, Handle, Limits, Outcome, Overloaded, Reservation, restore};

/// The number of bodies with each outcome.
#[derive(Debug, Clone, Copy, Default)]
pub struct Replayed {
    /// A new event was recorded.
    pub recorded: usize,
    /// The event was known already.
    pub duplicates: usize,
    /// It is a test message.
    pub tests: usize,
    /// Still not understood, or not used: it is kept.
    pub left: usize,
}

/// Reads the kept bodies of the journal again and records the events in them. No daemon may run on a local journal.
///
/// # Errors
///
/// The journal cannot be used, or cannot be written.
pub fn replay_unrecognized(settings: &Settings) -> anyhow::Result<Replayed> {
    let location = location_for_command(settings);
    let journal = location.open_existing()?;
    let limits = unchanged_limits(&*journal, settings)?;
    let bodies = journal.unrecognized()?;
    let metrics = Arc::new(Exporter::new(clock::now(), false));
    let running = recorder::start_with(journal, limits, recorder::prepare(bodies.len().max(1)), metrics)
        .context("the recorder's thread cannot be started")?;
    let mut replayed = Replayed { left: bodies.len(), ..Replayed::default() };
    let mut failed = false;
    if running.restored.blocking_recv().is_ok() {
        let queued: Vec<_> = bodies
            .into_iter()
            .filter_map(|kept| Some(running.handle.queue(delivery(kept, running.handle.reservation())?)))
            .collect();
        running.handle.wake();
        for answer in queued {
            let outcome = answer.ok().and_then(|answer| answer.blocking_recv().ok().flatten());
            failed |= outcome.is_none();
            let count = match outcome {
                Some(Outcome::Recorded) => &mut replayed.recorded,
                Some(Outcome::Duplicate) => &mut replayed.duplicates,
                Some(Outcome::Test) => &mut replayed.tests,
                Some(Outcome::Ignored(_) | Outcome::NotJson) | None => continue,
            };
            *count += 1;
            replayed.left -= 1;
        }
        running.handle.finish();
    }
    running.thread.join().map_err(|_| anyhow!("the recorder panicked"))??;
    if failed {
        bail!("{location}: some bodies could not be recorded; they are kept");
    }
    Ok(replayed)
}

/// Reads a kept body again and queues it for the recorder of the running daemon. The answer is `None` if it could not be
/// recorded. Waits for the disk.
///
/// # Errors
///
/// It was not queued.
pub(super) fn replay_kept(
    location: &Location,
    recorder: &Handle,
    number: u64,
) -> Result<oneshot::Receiver<Option<Outcome>>, NotReplayed> {
    let kept = location.open_to_read().and_then(|journal| journal.kept_body(number));
    let kept = kept.map_err(|error| NotReplayed::Unreadable(error.to_string()))?.ok_or(NotReplayed::NoSuchBody)?;
    let delivery = delivery(kept, recorder.reservation()).ok_or(NotReplayed::NotUnderstood)?;
    recorder.record(delivery).map_err(|Overloaded| NotReplayed::Overloaded)
}

/// Limits with which the recorder changes nothing but what it is given.
pub(super) fn unchanged_limits(journal: &dyn Reader, settings: &Settings) -> anyhow::Result<Limits> {
    let restored = restore(journal, &settings.inputs.rules())?;
    Ok(Limits {
        rules: restored.fold.state().rules().clone(),
        retention: Duration::MAX,
        forget_after: Duration::ZERO,
        accounts: BTreeMap::new(),
        configured: settings.inputs.configured.clone(),
        secrets: restored.last_seen.by_secret.into_keys().collect(),
    })
}

/// The delivery of a body; `None` if it is not understood.
fn delivery(kept: KeptBody, reservation: Reservation) -> Option<Delivery> {
    let KeptBody { number, received_at, body, .. } = kept;
    // The clock may have been behind when the body was received, so that the event was in the future.
    let received = Received { at: received_at, latest: received_at.max(clock::now()) };
    let notification = match accept::read(&body, received).ok()?.notification {
        Notification::Ignored(_) | Notification::NotJson => return None,
        understood @ (Notification::Event(_) | Notification::Test) => understood,
    };
    let (secret, body) = ("".into(), body.into());
    Some(Delivery { received_at, peer: None, secret, notification, body, kept: Some(number), reservation })
}
