//! Writes log lines to standard error without delaying the threads that log.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Number of lines that wait for standard error, each a few hundred bytes.
const QUEUED_LINES: usize = 4096;

/// How long the end of the process waits for lines that are not written yet.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Counts the log lines that were lost.
#[derive(Debug, Clone)]
pub struct DroppedLines {
    /// The queue was full.
    overflowed: ErrorCounter,
    /// Standard error failed.
    failed: Arc<AtomicU64>,
}

impl DroppedLines {
    /// The number of lines so far.
    pub fn count(&self) -> u64 {
        self.overflowed.dropped_lines() as u64 + self.failed.load(Ordering::Relaxed)
    }
}

/// The thread that writes. When it is dropped, it waits for the lines in the queue, for a limited time.
pub(super) struct Writer(Option<WorkerGuard>);

impl Drop for Writer {
    fn drop(&mut self) {
        let guard = self.0.take();
        let (flushed_tx, flushed) = channel::<()>();
        // The guard prints to standard output if the queue is full, and that may block too.
        let flush = thread::Builder::new().name("log-flush".into()).spawn(move || {
            drop(guard);
            drop(flushed_tx);
        });
        if flush.is_ok() {
            // Nothing is sent: the channel is closed when the flush ends.
            let _ = flushed.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// Starts the thread. The queue drops lines when it is full.
pub(super) fn start() -> io::Result<(NonBlocking, Writer, DroppedLines)> {
    // Not `io::stderr()`: a thread that hangs in a write would hold its lock.
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let failed = Arc::new(AtomicU64::new(0));
    let output = Output { file, failed: failed.clone() };
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUED_LINES).thread_name("log");
    let (queue, guard) = builder.finish(output);
    let dropped_lines = DroppedLines { overflowed: queue.error_counter(), failed };
    Ok((queue, Writer(Some(guard)), dropped_lines))
}

/// Standard error. Counts the lines that it does not take.
struct Output {
    file: File,
    failed: Arc<AtomicU64>,
}

impl Output {
    fn write_line(&self, mut line: &[u8]) -> io::Result<()> {
        while !line.is_empty() {
            match (&self.file).write(line) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => line = line.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process may have made the file non-blocking for everyone who shares it.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.write_line(line).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
