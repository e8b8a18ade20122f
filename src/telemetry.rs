//! Log lines on standard error: logfmt for people, JSON for machines.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// Changes the level of a running program's log.
#[derive(Clone)]
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Logs from now on what is at least so severe.
    pub fn set(&self, level: LevelFilter) {
        self.0.reload(targets(level)).expect("the subscriber lives as long as the process");
    }
}

/// Begins to log. Without `json` lines are logfmt; `None` chooses by whether a person reads them.
///
/// # Panics
///
/// When called twice.
pub fn init(level: LevelFilter, json: Option<bool>) -> Level {
    let (filter, handle) = reload::Layer::new(targets(level));
    let format = if json.unwrap_or_else(|| !io::stderr().is_terminal()) {
        fmt::layer().json().flatten_event(true).with_target(false).with_writer(io::stderr).boxed()
    } else {
        tracing_logfmt::builder().with_target(false).layer().with_writer(io::stderr).boxed()
    };
    tracing_subscriber::registry().with(filter).with(format).init();
    Level(handle)
}

/// Ours at the level; of what we build on, only what goes wrong. What strangers send that is no HTTP
/// is no error of ours, although the HTTP library logs it as one.
fn targets(level: LevelFilter) -> Targets {
    let strangers = if level >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("actix_http", strangers)
        .with_target(env!("CARGO_CRATE_NAME"), level)
}
