//! Signals: SIGTERM and SIGINT stop the daemon, SIGHUP reloads the configuration.

use std::io;
use std::sync::Arc;
use std::thread;

use futures_util::future::OptionFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::reload::{FAILED, Reloader};

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reloader: Arc<Reloader>,
    /// Completes when the running reload has ended.
    reloading: Option<oneshot::Receiver<()>>,
}

impl Signals {
    pub(super) fn new(reloader: Arc<Reloader>) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reloader,
            reloading: None,
        })
    }

    /// Waits for SIGTERM or SIGINT. Until then, SIGHUP starts a reload; those that arrive during a
    /// reload start one more after it.
    pub(super) async fn stop_requested(&mut self) {
        let Self { terminate, interrupt, hangup, reloader, reloading } = self;
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hangup.recv(), if reloading.is_none() => *reloading = Some(reload(reloader.clone())),
                Some(_) = OptionFuture::from(reloading.as_mut()) => *reloading = None,
            }
        }
    }
}

/// Reloads on a thread that is not joined. A reload blocks while the recorder's queue is full, for
/// example when the disk hangs; neither signals nor the shutdown may wait for that.
fn reload(reloader: Arc<Reloader>) -> oneshot::Receiver<()> {
    let (done_tx, done_rx) = oneshot::channel::<()>();
    let started = thread::Builder::new().name("reload".into()).spawn(move || {
        let _dropped_at_the_end = done_tx;
        // Logged and counted by the reloader.
        let _ = reloader.reload();
    });
    if let Err(error) = started {
        tracing::error!(%error, "{FAILED}");
    }
    done_rx
}
