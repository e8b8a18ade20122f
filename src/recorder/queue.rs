//! The queue to the recorder.

use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::{Delivery, Limits, Outcome};

/// How a sender learns what became of its delivery: `None` if it could not be made durable.
pub(super) type Answer = oneshot::Sender<Option<Outcome>>;

pub(super) enum Message {
    Deliver(Delivery, Answer),
    Adopt(Limits),
    Finish,
}

/// How messages reach the recorder.
pub(super) struct Queue {
    pub(super) queue_rx: Receiver<Message>,
    pub(super) wake_rx: Receiver<()>,
}
