//! Logging to standard error: logfmt for people, JSON for machines.
//!
//! No caller waits for standard error. Lines go into a bounded queue, from which a separate thread writes them. While
//! the queue is full, lines are dropped and counted. Panics are logged in the same way.

mod format;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic;

use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::text::escaped_lines;
use format::Lines;
pub use writer::DroppedLines;
use writer::Writer;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// logfmt on a terminal, JSON otherwise.
    Auto,
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// The running log. When it is dropped, it waits for the lines that are not written yet, for a limited time.
pub struct Log {
    /// Changes the lowest severity.
    pub level: Level,
    /// Counts the lines that were lost.
    pub dropped_lines: DroppedLines,
    /// Prints text for a person between the lines.
    pub screen: Screen,
    _writer: Writer,
}

/// Prints text for a person at a terminal, in order with the lines, and without waiting for the terminal.
#[derive(Clone)]
pub struct Screen(NonBlocking);

impl Screen {
    /// Prints lines, with control characters escaped, if standard error is a terminal.
    pub fn print(&self, lines: &str) {
        if io::stderr().is_terminal() {
            // The queue takes everything, and counts what it drops.
            let _ = self.0.clone().write_all(escaped_lines(lines).as_bytes());
        }
    }
}

/// Changes the log level at run time.
#[derive(Clone)]
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Sets the lowest severity that is logged.
    pub fn set(&self, level: LevelFilter) {
        self.0.reload(targets(level)).expect("the subscriber lives as long as the process");
    }
}

/// Starts logging.
///
/// # Errors
///
/// Standard error or a thread is not available.
///
/// # Panics
///
/// When called twice.
pub fn init(level: LevelFilter, format: Format) -> io::Result<Log> {
    let json = match format {
        Format::Auto => !io::stderr().is_terminal(),
        Format::Logfmt => false,
        Format::Json => true,
    };
    let (queue, writer, dropped_lines) = writer::start()?;
    let (filter, handle) = reload::Layer::new(targets(level));
    let screen = Screen(queue.clone());
    let lines = fmt::layer().event_format(Lines { json }).with_writer(queue).boxed();
    tracing_subscriber::registry().with(filter).with(lines).init();
    panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(%panic, backtrace, "internal error");
    }));
    Ok(Log { level: Level(handle), dropped_lines, screen, _writer: writer })
}

/// The given level for this crate, at most warnings for dependencies.
///
/// `actix_http` logs malformed requests as errors. On a public listener they are expected, so they
/// are shown, as warnings or worse, only at debug level.
fn targets(level: LevelFilter) -> Targets {
    let malformed_requests = if level >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("actix_http", malformed_requests)
        .with_target(env!("CARGO_CRATE_NAME"), level)
}
