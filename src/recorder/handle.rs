//! Access to the recorder.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::memory::{Memory, Overloaded, Reservation};
use super::{CorrectionOutcome, Delivery, HistoryOutcome, Limits, Outcome, StateReader};
use crate::event::{AccountId, Correction, Event, InputId, Observation, ScheduleException};
use crate::live::{Inventory, Quality};

/// Channel for the outcome of a delivery; `None` if it could not be made durable.
pub(super) type Answer = oneshot::Sender<Option<Outcome>>;

/// Channel for the outcome of a correction; `None` if it could not be made durable.
pub(super) type CorrectionAnswer = oneshot::Sender<Option<CorrectionOutcome>>;

/// Channel for what became of events; `None` if they could not be made durable.
pub(super) type HistoryAnswer = oneshot::Sender<Option<HistoryOutcome>>;

pub(super) enum Message {
    Deliver(Delivery, Answer),
    Correct(Correction, CorrectionAnswer),
    Except(ScheduleException, CorrectionAnswer),
    Observe(Observation),
    RecordHistory(Vec<Event>, HistoryAnswer),
}

/// What Cloudflare's API said that is no record. A later fact about the same replaces one that was not taken yet.
#[derive(Debug, Default)]
pub(super) struct ApiFacts {
    pub(super) inventories: BTreeMap<AccountId, Inventory>,
    pub(super) quality: BTreeMap<AccountId, BTreeMap<InputId, Quality>>,
    /// The notification history was read.
    pub(super) backfilled: bool,
}

/// What waits to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueUsage {
    /// Number of waiting messages.
    pub waiting: usize,
    /// Maximum number of waiting messages.
    pub limit: usize,
    /// Bytes of the bodies that are being read or wait.
    pub bytes: usize,
    /// Maximum number of these bytes.
    pub bytes_limit: usize,
}

/// Requests that do not wait for room in the queue, so that a hanging disk delays neither a reload nor the shutdown.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// The most messages that can wait.
    queue_limit: usize,
    /// Number of messages that wait.
    waiting: AtomicUsize,
    /// The newest limits that are not adopted yet.
    limits: Mutex<Option<Limits>>,
    api_facts: Mutex<Option<ApiFacts>>,
    finish: AtomicBool,
}

impl Control {
    pub(super) fn take_limits(&self) -> Option<Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn take_api_facts(&self) -> Option<ApiFacts> {
        self.api_facts.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn new(queue_limit: usize) -> Self {
        Self { queue_limit, ..Self::default() }
    }

    /// A message was taken out of the queue.
    pub(super) fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
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

impl Queue {
    /// Whether messages wait.
    pub(super) fn has_waiting(&self) -> bool {
        self.control.waiting.load(Ordering::Relaxed) > 0
    }

    /// The next message, if one waits.
    pub(super) fn try_recv(&self) -> Result<Message, TryRecvError> {
        self.queue_rx.try_recv().inspect(|_| self.control.taken())
    }
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

    /// Queues an exception to the schedule of an input and wakes the recorder. The answer is `None` if it could not be
    /// made durable.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if the queue is full; the exception was not accepted.
    pub fn except(
        &self,
        exception: ScheduleException,
    ) -> Result<oneshot::Receiver<Option<CorrectionOutcome>>, Overloaded> {
        let (answer_tx, answer) = oneshot::channel();
        self.try_send(Message::Except(exception, answer_tx))?;
        self.wake();
        Ok(answer)
    }

    /// Queues what Cloudflare's API said about the state of an input, and wakes the recorder. It is recorded unless it
    /// changes nothing, or an event of the input was recorded meanwhile.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if the queue is full; the observation was not accepted.
    pub fn observe(&self, observation: Observation) -> Result<(), Overloaded> {
        self.try_send(Message::Observe(observation))?;
        self.wake();
        Ok(())
    }

    /// Queues events of the notification history, ascending by event time, and wakes the recorder. The answer is `None` if
    /// they could not be made durable.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if the queue is full; the events were not accepted.
    pub fn record_history(&self, events: Vec<Event>) -> Result<oneshot::Receiver<Option<HistoryOutcome>>, Overloaded> {
        let (answer_tx, answer) = oneshot::channel();
        self.try_send(Message::RecordHistory(events, answer_tx))?;
        self.wake();
        Ok(answer)
    }

    /// Replaces the inventory of an account. Does not wait.
    pub fn set_inventory(&self, inventory: Inventory) {
        self.set_api_facts(|facts| drop(facts.inventories.insert(inventory.account_id, inventory)));
    }

    /// Replaces the ingest quality of the inputs of an account. Does not wait.
    pub fn set_quality(&self, account_id: AccountId, quality: BTreeMap<InputId, Quality>) {
        self.set_api_facts(|facts| drop(facts.quality.insert(account_id, quality)));
    }

    /// The notification history was read since [`View::downtime`](crate::live::View::downtime) began. Does not wait.
    pub fn set_backfilled(&self) {
        self.set_api_facts(|facts| facts.backfilled = true);
    }

    fn set_api_facts(&self, set: impl FnOnce(&mut ApiFacts)) {
        set(self.control.api_facts.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default());
        self.wake();
    }

    fn try_send(&self, message: Message) -> Result<(), Overloaded> {
        // Counted first, because the recorder may take it at once.
        self.control.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(message).map_err(|_: TrySendError<Message>| {
            self.control.taken();
            Overloaded
        })
    }

    /// What waits to be recorded.
    pub fn queue_usage(&self) -> QueueUsage {
        let (bytes, bytes_limit) = self.memory.usage();
        let waiting = self.control.waiting.load(Ordering::Relaxed);
        QueueUsage { waiting, limit: self.control.queue_limit, bytes, bytes_limit }
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
