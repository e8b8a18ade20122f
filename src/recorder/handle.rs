//! Access to the recorder.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::memory::{Memory, Overloaded, Reservation};
use super::{CorrectionOutcome, Delivery, Limits, Outcome, StateReader};
use crate::event::Correction;

/// Channel for the outcome of a delivery; `None` if it could not be made durable.
pub(super) type Answer = oneshot::Sender<Option<Outcome>>;

/// Channel for the outcome of a correction; `None` if it could not be made durable.
pub(super) type CorrectionAnswer = oneshot::Sender<Option<CorrectionOutcome>>;

pub(super) enum Message {
    Deliver(Delivery, Answer),
    Correct(Correction, CorrectionAnswer),
}

/// Requests that do not wait for room in the queue, so that a hanging disk delays neither a reload nor the shutdown.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// The newest limits that are not adopted yet.
    limits: Mutex<Option<Limits>>,
    finish: AtomicBool,
}

impl Control {
    pub(super) fn take_limits(&self) -> Option<Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn finishing(&self) -> bool {
        self.finish.load(Ordering::Acquire)
    }
}

/// Receiving ends of the recorder's channels.
pub struct Queue {
    pub(super) queue_rx: Receiver<Message>,
    pub(super) wake_rx: Receiver<()>,
    pub(super) control: Arc<Control>,
}

/// Access to the recorder.
#[derive(Clone)]
pub struct Handle {
    queue: SyncSender<Message>,
    /// Wake-up flag: a channel of capacity 1. If it is full, a wake-up is pending already.
    wake_tx: SyncSender<()>,
    control: Arc<Control>,
    state_reader: StateReader,
    memory: Memory,
}

impl Handle {
    pub(super) fn new(
        queue: SyncSender<Message>,
        wake_tx: SyncSender<()>,
        control: Arc<Control>,
        state_reader: StateReader,
    ) -> Self {
        Self { queue, wake_tx, control, state_reader, memory: Memory::default() }
    }

    /// A reservation for a notification that is about to be read, still empty.
    pub fn reservation(&self) -> Reservation {
        self.memory.reservation()
    }

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

    /// Like [`Handle::record`], but does not wake the recorder: deliveries that are queued before [`Handle::wake`]
    /// share a batch.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if the queue is full; the delivery was not accepted.
    pub fn queue(&self, delivery: Delivery) -> Result<oneshot::Receiver<Option<Outcome>>, Overloaded> {
        let (answer_tx, answer) = oneshot::channel();
        self.try_send(Message::Deliver(delivery, answer_tx))?;
        Ok(answer)
    }

    /// Queues a correction and wakes the recorder. The answer is `None` if it could not be made durable.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if the queue is full; the correction was not accepted.
    pub fn correct(&self, correction: Correction) -> Result<oneshot::Receiver<Option<CorrectionOutcome>>, Overloaded> {
        let (answer_tx, answer) = oneshot::channel();
        self.try_send(Message::Correct(correction, answer_tx))?;
        self.wake();
        Ok(answer)
    }

    fn try_send(&self, message: Message) -> Result<(), Overloaded> {
        self.queue.try_send(message).map_err(|_: TrySendError<Message>| Overloaded)
    }

    /// Wakes the recorder: it records everything in the queue.
    pub fn wake(&self) {
        // Otherwise a wake-up is pending already, or the recorder has ended.
        let _ = self.wake_tx.try_send(());
    }

    /// Changes the limits, at the next batch. Does not wait.
    pub fn adopt(&self, limits: Limits) {
        *self.control.limits.lock().unwrap_or_else(PoisonError::into_inner) = Some(limits);
        self.wake();
    }

    /// Ends the recorder, after everything in the queue. Does not wait.
    pub fn finish(&self) {
        self.control.finish.store(true, Ordering::Release);
        self.wake();
    }

    /// Read access to the state.
    pub fn state_reader(&self) -> &StateReader {
        &self.state_reader
    }
}
