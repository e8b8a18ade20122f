//! The recorder's thread.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::{io, thread};

use tokio::sync::oneshot;

use super::handle::{Control, Queue};
use super::run_loop::Recorder;
use super::{Handle, Limits, StateReader};
use crate::journal::{Journal, JournalError, Spool, SqliteJournal};
use crate::metrics::Exporter;

/// A running recorder.
pub struct Running {
    /// Access to it.
    pub handle: Handle,
    /// Receives when deliveries can be recorded; is closed if that failed.
    pub restored: oneshot::Receiver<()>,
    /// Is closed when the thread ends, for any reason.
    pub ended: oneshot::Receiver<()>,
    /// The thread.
    pub thread: JoinHandle<Result<(), JournalError>>,
}

/// Creates access to a recorder that is started later, by [`start_with`]. Until then it shows nothing, and what is queued
/// waits.
pub fn prepare(queue_size: usize) -> (Handle, Queue) {
    let (queue_tx, queue_rx) = sync_channel(queue_size);
    let (wake_tx, wake_rx) = sync_channel(1);
    let control = Arc::new(Control::new(queue_size));
    let state_reader = StateReader::waking(wake_tx.clone());
    let handle = Handle::new(queue_tx, wake_tx, control.clone(), state_reader);
    (handle, Queue { queue_rx, wake_rx, control })
}

/// Starts a recorder on a journal. It must be the only writer.
///
/// # Errors
///
/// The thread cannot be started.
pub fn start(journal: SqliteJournal, limits: Limits, queue_size: usize, metrics: Arc<Exporter>) -> io::Result<Running> {
    start_with(Box::new(journal), limits, prepare(queue_size), metrics)
}

/// Like [`start`], for a prepared recorder.
///
/// # Errors
///
/// The thread cannot be started.
pub fn start_with(
    journal: Box<dyn Journal>,
    limits: Limits,
    prepared: (Handle, Queue),
    metrics: Arc<Exporter>,
) -> io::Result<Running> {
    start_spooling(journal, None, limits, prepared, metrics)
}

/// Like [`start_with`], with a spool for the time during which a shared journal is away. Without one, nothing can be
/// recorded then.
///
/// # Errors
///
/// The thread cannot be started.
pub fn start_spooling(
    mut journal: Box<dyn Journal>,
    spool: Option<Spool>,
    limits: Limits,
    (handle, queue): (Handle, Queue),
    metrics: Arc<Exporter>,
) -> io::Result<Running> {
    let (restored_tx, restored) = oneshot::channel();
    let (ended_tx, ended) = oneshot::channel::<()>();
    let state_reader = handle.state_reader().clone();
    let disk = state_reader.readiness().disk().clone();
    let thread = thread::Builder::new().name("recorder".into()).spawn(move || {
        let _closed_at_the_end = ended_tx;
        let is_shared = journal.shared().is_some();
        let recorder = Recorder::new(journal, limits, queue, state_reader, metrics);
        let recorder = if is_shared { recorder.sharing(spool)? } else { recorder.restored()? };
        // The receiver may have stopped waiting.
        let _ = restored_tx.send(());
        let result = recorder.run();
        disk.end();
        result
    })?;
    Ok(Running { handle, restored, ended, thread })
}
