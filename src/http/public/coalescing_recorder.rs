//! Access to the recorder that wakes it once per event-loop turn instead of once per request.
//!
//! A worker reads every request that is ready in one turn of its event loop. If it woke the recorder for each of
//! them, the recorder would sync the first one alone while the others wait. So the first request of a turn schedules
//! a task. The event loop runs that task after all requests of the turn have been queued; it wakes the recorder, which
//! writes them in one batch. Without this, a tenth fewer notifications per second are recorded with 64 connections.

use std::cell::Cell;
use std::sync::Arc;

use crate::http::rejection::Rejection;
use crate::recorder::{Delivery, Handle, Outcome};

thread_local! {
    /// Whether this worker has scheduled the task that wakes the recorder.
    static WAKE_SCHEDULED: Cell<bool> = const { Cell::new(false) };
}

pub(super) struct CoalescingRecorder(Arc<Handle>);

impl CoalescingRecorder {
    pub(super) fn new(recorder: Handle) -> Self {
        Self(Arc::new(recorder))
    }

    /// Queues a delivery and waits until it is durable.
    pub(super) async fn record(&self, delivery: Delivery) -> Result<Outcome, Rejection> {
        let recorded = self.0.queue(delivery).map_err(|_| Rejection::Overloaded)?;
        if !WAKE_SCHEDULED.replace(true) {
            let recorder = self.0.clone();
            actix_web::rt::spawn(async move {
                WAKE_SCHEDULED.set(false);
                recorder.wake();
            });
        }
        // The sender is dropped without an answer only if the recorder has exited.
        recorded.await.ok().flatten().ok_or(Rejection::Journal)
    }

    /// Whether the daemon is shutting down.
    pub(super) fn draining(&self) -> bool {
        self.0.state_reader().readiness().draining()
    }
}
