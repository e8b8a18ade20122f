//! Signals: SIGTERM and SIGINT stop the daemon, SIGHUP reloads the configuration.
//!
//! The main thread receives them and does nothing else, so that nothing can delay them: neither a disk that hangs nor a
//! name server that does not answer. The application runs on a separate thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot, watch};

/// What signals have requested.
#[derive(Clone)]
pub(super) struct Requests {
    stop: watch::Receiver<bool>,
    reload: Arc<Notify>,
    recording: Arc<AtomicBool>,
}

impl Requests {
    /// Waits for the request to stop.
    pub(super) async fn stop(&mut self) {
        // The sender exists as long as the main thread.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }

    /// Waits for the next request to reload.
    pub(super) async fn reload(&self) {
        self.reload.notified().await;
    }

    /// From here on, a stop is orderly. Before, nothing has been recorded, and a stop is immediate.
    pub(super) fn begin_recording(&self) {
        self.recording.store(true, Ordering::Release);
    }
}

/// Runs an application until it ends, or until signals end it.
///
/// # Errors
///
/// The application's error, or a second signal arrived.
pub(super) fn run(application: impl FnOnce(Requests) -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("signals cannot be received")?.block_on(async {
        let receive = |kind| signal(kind).context("signals cannot be received");
        let (mut terminate, mut interrupt) = (receive(SignalKind::terminate())?, receive(SignalKind::interrupt())?);
        let mut hangup = receive(SignalKind::hangup())?;
        let (stop_tx, stop) = watch::channel(false);
        let requests = Requests { stop, reload: Arc::default(), recording: Arc::default() };
        let (ended_tx, mut ended) = oneshot::channel();
        let started = thread::Builder::new().name("daemon".into()).spawn({
            let requests = requests.clone();
            // The receiver may have been dropped because of a signal.
            move || _ = ended_tx.send(application(requests))
        });
        started.context("a thread cannot be started")?;
        loop {
            tokio::select! {
                ended = &mut ended => return ended.unwrap_or_else(|_| Err(anyhow!("internal error; the log has it"))),
                _ = hangup.recv() => {
                    requests.reload.notify_one();
                    continue;
                }
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !requests.recording.load(Ordering::Acquire) {
                tracing::info!("stopped before the journal was restored");
                return Ok(());
            }
            if stop_tx.send_replace(true) {
                bail!("second signal received: exiting immediately; all acknowledged notifications are on disk");
            }
        }
    })
}
