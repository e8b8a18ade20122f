//! The queue to the recorder.

use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::{Delivery, Limits, Outcome};

/// Channel for the outcome of a delivery; `None` if it could not be made durable.
pub(super) type Answer = oneshot::Sender<Option<Outcome>>;

pub(super) enum Message {
    Deliver(Delivery, Answer),
    Adopt(Limits),
    Finish,
}

/// Receiving ends of the recorder's channels.
pub(super) struct Queue {
    pub(super) queue_rx: Receiver<Message>,
    pub(super) wake_rx: Receiver<()>,
}
