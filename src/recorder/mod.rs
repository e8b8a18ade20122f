//! The shell around the pure stages: one thread owns the journal.
//!
//! ```text
//! submit ─▶ bounded queue ─▶ woken: take all that waits ─▶ draft ─▶ append, one sync ─▶ publish ─▶ answer all
//! ```
//!
//! Who submits wakes the recorder when they have submitted what they can. Otherwise it would be woken by the first of
//! many, sync that one alone and let the others wait for it: with 64 connections, a tenth fewer a second.
//!
//! Whoever is answered [`Outcome::Recorded`] knows the event to be durable; nothing is visible in a
//! [`View`] before it is. When a batch cannot be made durable its draft is dropped, everybody in it
//! is told so, and until the journal can be written again [`Readiness`] names it. When a sync fails
//! the thread ends with that error: only a new start can tell what is on the disk.
//!
//! Between batches the thread moves the checkpoint on, slice by slice, deletes events past their retention and
//! forgets silent inputs. [`Handle::finish`] lets it work off the queue, write a last checkpoint and
//! end.

mod batch;
mod retention_clock;
mod housekeeping;
mod published;
mod restore;
mod dirty_inputs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use bytes::Bytes;
use tokio::sync::oneshot;

pub use published::{Readiness, RecentDelivery};
pub use restore::{Restored, restore};

use crate::clock::{self, Stopwatch};
use crate::event::{IgnoredReason, InputId, Notification, Timestamp};
use crate::journal::{self, Journal, JournalError};
use crate::live::{Fold, Rules, View};
use crate::metrics::Exporter;
use crate::schedule::Configured;
use dirty_inputs::DirtyInputs;
use published::Published;
use retention_clock::RetentionClock;

/// An authenticated, well-formed delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// When it had been read.
    pub received_at: Timestamp,
    /// The configured name of the secret that it came with.
    pub secret: Arc<str>,
    /// What it says.
    pub notification: Notification,
    /// Its body when it is ignored, to be kept; nobody reads that of others.
    pub body: Bytes,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is a new event, and durable.
    Recorded,
    /// The event was told before.
    Duplicate,
    /// "Save and Test".
    Test,
    /// Understood and not used.
    Ignored(IgnoredReason),
}

impl Outcome {
    /// Every name that [`Outcome::name`] gives.
    pub const NAMES: [&'static str; 4] = ["recorded", "duplicate", "test", "ignored"];

    /// The value of the label `outcome`, and of the answer's member of that name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Duplicate => "duplicate",
            Self::Test => "test",
            Self::Ignored(_) => "ignored",
        }
    }
}

/// What a reload changes about recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The rules of the fold.
    pub rules: Rules,
    /// Events are kept for so long.
    pub retention: Duration,
    /// A disconnected input that is silent for so long is forgotten; zero means never.
    pub forget_after: Duration,
    /// The configured inputs.
    pub configured: BTreeMap<InputId, Configured>,
    /// The names of the valid secrets; when others were last used is forgotten.
    pub secrets: BTreeSet<String>,
}

/// The queue is full, or nobody works it off any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overloaded;

enum Message {
    Deliver(Delivery, oneshot::Sender<Option<Outcome>>),
    Adopt(Limits),
    Finish,
}

/// Access to the recorder.
#[derive(Clone)]
pub struct Handle {
    queue: SyncSender<Message>,
    /// Holds one call at the most: whoever finds it there knows the recorder to look once more.
    wake_tx: SyncSender<()>,
    state_reader: StateReader,
}

/// Read access to what the recorder has published.
#[derive(Clone)]
pub struct StateReader {
    published: Arc<Published>,
    readiness: Arc<Readiness>,
    folder: PathBuf,
}

impl Handle {
    /// Queues a delivery for the recorder, who is to be woken then. The answer is `None` when it could not be made
    /// durable.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] when the queue is full; the delivery was not taken.
    pub fn submit(&self, delivery: Delivery) -> Result<oneshot::Receiver<Option<Outcome>>, Overloaded> {
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Message::Deliver(delivery, answer)) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Overloaded),
        }
    }

    /// Wakes the recorder, or lets it go on: it takes everything that is queued.
    pub fn wake(&self) {
        // It was called before and has not looked yet, or is gone.
        let _ = self.wake_tx.try_send(());
    }

    /// Changes the limits, after everything that is queued already.
    pub fn adopt(&self, limits: Limits) {
        self.order(Message::Adopt(limits));
    }

    /// Ends the recorder after everything that is queued already.
    pub fn finish(&self) {
        self.order(Message::Finish);
    }

    fn order(&self, message: Message) {
        // Without a recorder nobody is left whom it could concern.
        let _ = self.queue.send(message);
        self.wake();
    }

    /// Read access.
    pub fn state_reader(&self) -> &StateReader {
        &self.state_reader
    }
}

impl StateReader {
    /// The state now. Nothing in it is ever taken back by a later view.
    pub fn view(&self) -> View {
        self.published.view(clock::now(), journal::size_bytes(&self.folder))
    }

    /// The newest deliveries, newest first, at the most `limit`.
    pub fn recent_deliveries(&self, limit: usize) -> Vec<RecentDelivery> {
        self.published.recent_deliveries(limit)
    }

    /// Whether notifications can be recorded.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }
}

/// A running recorder: how to reach it, when it has restored its state, and how it ended.
pub struct Running {
    /// Access to it.
    pub handle: Handle,
    /// Fires when the state is restored, or is dropped when that failed.
    pub restored: oneshot::Receiver<()>,
    /// Is dropped when the thread ends, however it ends.
    pub ended: oneshot::Receiver<()>,
    /// The thread.
    pub thread: JoinHandle<Result<(), JournalError>>,
}

/// Starts the recorder on a journal that nobody else writes.
///
/// # Errors
///
/// The thread could not be started.
pub fn start(journal: Journal, limits: Limits, queue_size: usize, metrics: Arc<Exporter>) -> io::Result<Running> {
    let (sender, queue) = sync_channel(queue_size);
    let (wake_tx, wake_rx) = sync_channel(1);
    let (tell_restored, restored) = oneshot::channel();
    let (tell_ended, ended) = oneshot::channel::<()>();
    let folder = journal.path().parent().map(PathBuf::from).unwrap_or_default();
    let state_reader = StateReader { published: Arc::default(), readiness: Arc::default(), folder };
    let shared = state_reader.clone();
    let thread = thread::Builder::new().name("recorder".into()).spawn(move || {
        let _told_at_the_end = tell_ended;
        let recorder = Recorder::restored(journal, limits, (queue, wake_rx), shared, metrics)?;
        // Whoever waits may have given up.
        let _ = tell_restored.send(());
        recorder.run()
    })?;
    Ok(Running { handle: Handle { queue: sender, wake_tx, state_reader }, restored, ended, thread })
}

struct Recorder {
    journal: Journal,
    fold: Fold,
    limits: Limits,
    queue: Receiver<Message>,
    wake_rx: Receiver<()>,
    state_reader: StateReader,
    metrics: Arc<Exporter>,
    /// What differs from the checkpoint.
    dirty_inputs: DirtyInputs,
    since_checkpoint: Stopwatch,
    since_task: Stopwatch,
    /// From one task to the next.
    pause: Duration,
    since_expiry: Stopwatch,
    /// How far the search for silent inputs has come that is under way.
    searched_until: Option<InputId>,
    retention_clock: RetentionClock,
    /// The newest event's `recorded_at`.
    recorded_until: Timestamp,
    finished: bool,
    /// A sync failed: nothing may be written any more.
    unsynced: Option<JournalError>,
}

#[cfg(test)]
mod tests;
