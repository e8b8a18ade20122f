//! Logging to standard error: logfmt for people, JSON for machines.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

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
/// # Panics
///
/// When called twice.
pub fn init(level: LevelFilter, format: Format) -> Level {
    let (filter, handle) = reload::Layer::new(targets(level));
    let json = match format {
        Format::Auto => !io::stderr().is_terminal(),
        Format::Logfmt => false,
        Format::Json => true,
    };
    let lines = if json {
        fmt::layer().json().flatten_event(true).with_target(false).with_writer(io::stderr).boxed()
    } else {
        tracing_logfmt::builder().with_target(false).layer().with_writer(io::stderr).boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Level(handle)
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
