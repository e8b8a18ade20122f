//! Access to the recorder's thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::{io, thread};

use tokio::sync::oneshot;

use super::run_loop::{Queue, Recorder};
use super::{Delivery, Limits, Outcome, StateReader};
use crate::journal::{Journal, JournalError};
use crate::metrics::Exporter;

/// How a sender learns what became of its delivery: `None` if it could not be made durable.
pub(super) type Answer = oneshot::Sender<Option<Outcome>>;

pub(super) enum Message {
    Deliver(Delivery, Answer),
    Adopt(Limits),
    Finish,
}

/// Access to the recorder.
#[derive(Clone)]
pub struct Handle {
    queue: SyncSender<Message>,
    /// Wake-up flag: a channel of capacity 1. If it is full, a wake-up is pending already.
    wake_tx: SyncSender<()>,
    state_reader: StateReader,
}

/// The queue is full, or the recorder has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overloaded;

/// A running recorder.
pub struct Running {
    /// Access to it.
    pub handle: Handle,
    /// Receives when the state is restored; is closed if that failed.
    pub restored: oneshot::Receiver<()>,
    /// Is closed when the thread ends, for whatever reason.
    pub ended: oneshot::Receiver<()>,
    /// The thread.
    pub thread: JoinHandle<Result<(), JournalError>>,
}

/// Starts the recorder on a journal that nobody else writes.
///
/// # Errors
///
/// The thread cannot be started.
pub fn start(journal: Journal, limits: Limits, queue_size: usize, metrics: Arc<Exporter>) -> io::Result<Running> {
    let (queue_tx, queue_rx) = sync_channel(queue_size);
    let (wake_tx, wake_rx) = sync_channel(1);
    let (restored_tx, restored) = oneshot::channel();
    let (ended_tx, ended) = oneshot::channel::<()>();
    let state_reader = StateReader::new(journal.path().parent().map(PathBuf::from).unwrap_or_default());
    let handle = Handle { queue: queue_tx, wake_tx, state_reader: state_reader.clone() };
    let queue = Queue { queue_rx, wake_rx };
    let thread = thread::Builder::new().name("recorder".into()).spawn(move || {
        let _closed_at_the_end = ended_tx;
        let recorder = Recorder::restored(journal, limits, queue, state_reader, metrics)?;
        // The receiver may have stopped waiting.
        let _ = restored_tx.send(());
        recorder.run()
    })?;
    Ok(Running { handle, restored, ended, thread })
}

impl Handle {
    /// Queues a delivery and wakes the recorder. The answer is `None` if the delivery could not be made durable.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if the queue is full; the delivery was not accepted.
    pub fn record(&self, delivery: Delivery) -> Result<oneshot::Receiver<Option<Outcome>>, Overloaded> {
        let answer = self.queue(delivery)?;
        self.wake();
        Ok(answer)
    }

    /// Like [`Handle::record`], but does not wake the recorder: deliveries that are queued before [`Handle::wake`] share
    /// a batch.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if the queue is full; the delivery was not accepted.
    pub fn queue(&self, delivery: Delivery) -> Result<oneshot::Receiver<Option<Outcome>>, Overloaded> {
        let (answer_tx, answer) = oneshot::channel();
        match self.queue.try_send(Message::Deliver(delivery, answer_tx)) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Overloaded),
        }
    }

    /// Wakes the recorder: it records everything in the queue.
    pub fn wake(&self) {
        // Otherwise a wake-up is pending already, or the recorder has ended.
        let _ = self.wake_tx.try_send(());
    }

    /// Changes the limits, after everything in the queue. Waits for room in the queue.
    pub fn adopt(&self, limits: Limits) {
        self.send(Message::Adopt(limits));
    }

    /// Ends the recorder, after everything in the queue. Waits for room in the queue.
    pub fn finish(&self) {
        self.send(Message::Finish);
    }

    fn send(&self, message: Message) {
        // It fails only when the recorder has ended.
        let _ = self.queue.send(message);
        self.wake();
    }

    /// Read access to the state.
    pub fn state_reader(&self) -> &StateReader {
        &self.state_reader
    }
}
