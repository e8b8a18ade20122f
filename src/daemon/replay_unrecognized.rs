//! Reads the kept bodies that were not understood again, after an upgrade of the program.
//!
//! What is understood now goes through the recorder like a delivery that was received at that time. It is deleted from
//! the kept bodies afterwards, so after a crash it is read again, and is a duplicate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use crate::accept::{self, Received};
use crate::clock;
use crate::config::Settings;
use crate::event::Notification;
use crate::journal::{Journal, KeptBody};
use crate::metrics::Exporter;
use crate::recorder::{self, Delivery, Limits, Outcome, Reservation, restore};

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

/// Reads the kept bodies of the journal again and records the events in them. No daemon may run on it.
///
/// # Errors
///
/// The journal cannot be used, or cannot be written.
pub fn replay_unrecognized(settings: &Settings) -> anyhow::Result<Replayed> {
    let folder = &settings.storage.path;
    // This does not make a new journal, unlike opening it to write.
    let journal = Journal::open_to_read(folder)?;
    let limits = unchanged_limits(&journal, settings)?;
    let bodies = journal.unrecognized()?;
    drop(journal);

    let journal = Journal::open(folder)?;
    let metrics = Arc::new(Exporter::new(clock::now(), false));
    let running = recorder::start(journal, limits, bodies.len().max(1), metrics)
        .context("the recorder's thread cannot be started")?;
    let mut replayed = Replayed { left: bodies.len(), ..Replayed::default() };
    let mut understood = Vec::new();
    let mut failed = false;
    if running.restored.blocking_recv().is_ok() {
        let queued: Vec<_> = bodies
            .into_iter()
            .filter_map(|kept| {
                let number = kept.number;
                let answer = running.handle.queue(delivery(kept, running.handle.reservation())?);
                Some((number, answer))
            })
            .collect();
        running.handle.wake();
        for (number, answer) in queued {
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
            understood.push(number);
        }
        running.handle.finish();
    }
    running.thread.join().map_err(|_| anyhow!("the recorder panicked"))??;

    let mut journal = Journal::open(folder)?;
    journal.recover_wal()?;
    journal.forget_unrecognized(&understood)?;
    journal.close()?;
    if failed {
        bail!("{}: some bodies could not be recorded; they are kept", folder.display());
    }
    Ok(replayed)
}

/// Limits with which the recorder changes nothing but what it is given.
pub(super) fn unchanged_limits(journal: &Journal, settings: &Settings) -> anyhow::Result<Limits> {
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
    let KeptBody { received_at, body, .. } = kept;
    // The clock may have been behind when the body was received, so that the event was in the future.
    let received = Received { at: received_at, latest: received_at.max(clock::now()) };
    let notification = match accept::read(&body, received).ok()?.notification {
        Notification::Ignored(_) | Notification::NotJson => return None,
        understood @ (Notification::Event(_) | Notification::Test) => understood,
    };
    Some(Delivery { received_at, secret: "".into(), notification, body: body.into(), reservation })
}
