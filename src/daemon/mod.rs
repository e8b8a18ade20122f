//! Assembles the application and runs it until it is stopped.
//!
//! ```text
//! listen  sockets, certificates, web configuration ─▶ private server
//! open    journal ─▶ secrets ─▶ recorder
//! run     state restored ─▶ public server ─▶ ready
//! stop    not ready ─▶ public server drained ─▶ recorder finished ─▶ private server closed
//! ```
//!
//! The tasks are peers. For each of them, one rule says what its end means:
//!
//! | task | when it ends or fails |
//! |---|---|
//! | signals (the main thread) | they end the process |
//! | recorder (a thread) | the daemon stops, and exits with the recorder's error |
//! | public and private server | they end only on request; actix restarts a worker that panics |
//! | reload (a thread each) | the previous configuration stays in force; the next reload tries again |
//! | Cloudflare's API (a thread for each account) | answers, state and readiness do not depend on it; after a panic it begins again |
//! | disk watch | it only logs |
//! | service manager's watch | it only sends messages |
//!
//! SIGTERM or SIGINT stops the daemon. A second one exits immediately: all acknowledged notifications are on disk
//! already. The same holds for the first one while the journal is opened or restored, and for a disk that hangs for
//! longer than the shutdown waits.

mod addresses;
mod application;
mod backfill_stopped;
mod check;
mod cloudflare;
mod configuration;
mod disk_watch;
mod file_descriptors;
mod location;
mod reload;
mod replay_unrecognized;
mod resources;
mod service_manager;
mod signals;
mod sockets;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::config::{Problem, SecretSource, Settings, Sources, WebhookSecrets};
use crate::recorder::DiskOperation;
use crate::telemetry::Log;
use application::Application;
pub use backfill_stopped::backfill_stopped;
pub use check::{Checked, check};
pub use location::location_for_command;
pub use replay_unrecognized::{Replayed, replay_unrecognized};
use service_manager::ServiceManager;

/// Release, commit and compiler.
pub const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("BUILD_REVISION"), ", rustc ", env!("BUILD_RUSTC"), ")");

/// Where Cloudflare and Prometheus reach the daemon, and where its files are.
#[derive(Clone)]
pub struct Endpoints {
    /// The webhook's URLs, with the addresses that the sockets are bound to, separated by commas.
    pub webhook: String,
    /// The webhook's path.
    pub webhook_path: String,
    /// The URLs of the metrics, with the addresses that the sockets are bound to, separated by commas.
    pub metrics: String,
    /// The data folder.
    pub data_folder: PathBuf,
    /// The shared journal, if there is one.
    pub shared_journal: Option<String>,
    /// The secrets by name and where each is, or the file of the daemon's own one.
    pub secret: String,
    /// Whether the secrets are configured, or the daemon's own one was found or generated.
    pub secret_origin: &'static str,
    /// A file that contains a valid secret.
    pub secret_file: Option<PathBuf>,
}

/// The disk did not respond during the shutdown.
#[derive(Debug, Error)]
#[error(
    "{0} has not ended: the disk hangs; all acknowledged notifications are on disk, and the next start restores them"
)]
pub struct DiskHangs(DiskOperation);

/// Runs the daemon until a signal or an error ends it. `sources` are read again on reload. `announce` is called when
/// the daemon accepts notifications.
///
/// # Errors
///
/// An address, file or folder of the configuration cannot be used, the recorder failed, the disk hangs during the
/// shutdown, or a second signal arrived.
pub fn run(
    sources: Sources,
    settings: Settings,
    log: &Log,
    announce: impl FnOnce(&Endpoints) + Send + 'static,
) -> anyhow::Result<()> {
    let (log_level, dropped_lines) = (log.level.clone(), log.dropped_lines.clone());
    let service_manager = Arc::new(ServiceManager::new());
    let application = Application { sources, settings, log_level, dropped_lines, service_manager };
    signals::run(move |requests| application.run(requests, announce))
}

impl Endpoints {
    /// The endpoints of these sockets. The secret is not known yet.
    fn new(
        settings: &Settings,
        public: &[TcpListener],
        (private, private_tls): (&[TcpListener], bool),
    ) -> anyhow::Result<Self> {
        let urls = |tls: bool, sockets: &[TcpListener], path: &str| {
            let scheme = if tls { "https" } else { "http" };
            let url = |socket: &TcpListener| anyhow::Ok(format!("{scheme}://{}{path}", socket.local_addr()?));
            anyhow::Ok(sockets.iter().map(url).collect::<Result<Vec<_>, _>>()?.join(", "))
        };
        Ok(Self {
            webhook: urls(settings.webhook.tls.is_some(), public, &settings.webhook.path)?,
            webhook_path: settings.webhook.path.clone(),
            metrics: urls(private_tls, private, &settings.web.telemetry_path)?,
            data_folder: settings.storage.path.clone(),
            shared_journal: settings.storage.server().map(|server| server.to_string()),
            secret: String::new(),
            secret_origin: "",
            secret_file: None,
        })
    }
}

impl Endpoints {
    /// Adds the secrets.
    fn with_secrets(mut self, configured: &BTreeMap<String, SecretSource>, loaded: &WebhookSecrets) -> Self {
        let file = |source: &SecretSource| match source {
            SecretSource::File(path) => Some(path.clone()),
            SecretSource::Environment(_) => None,
        };
        let place = |(name, source): (&String, &SecretSource)| match file(source) {
            Some(path) => format!("{name}: {}", path.display()),
            None => format!("{name}: environment"),
        };
        (self.secret, self.secret_origin) = match &loaded.own_file {
            Some(own_file) => (own_file.display().to_string(), if loaded.generated { "generated" } else { "found" }),
            None => (configured.iter().map(place).collect::<Vec<_>>().join(", "), "configured"),
        };
        self.secret_file = loaded.own_file.clone().or_else(|| configured.values().find_map(file));
        self
    }
}

/// Logs values and files that are accepted although they are dangerous.
fn log_warnings(warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!(%warning, "configuration accepted with a warning");
    }
}
