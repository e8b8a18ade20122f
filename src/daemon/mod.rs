//! Assembles the application and runs it until it is stopped.
//!
//! ```text
//! build   sockets ─▶ journal ─▶ resources ─▶ recorder
//! run     private server ─▶ state restored ─▶ public server ─▶ ready
//! stop    not ready ─▶ public server drained ─▶ recorder finished ─▶ private server closed
//! ```
//!
//! The tasks are peers. For each of them, one rule says what its end means:
//!
//! | task | when it ends or fails |
//! |---|---|
//! | recorder (a thread) | the daemon stops, and exits with the recorder's error |
//! | public and private server | they end only on request; actix restarts a worker that panics |
//! | reload (a thread per SIGHUP) | the previous configuration stays in force; the next SIGHUP tries again |
//!
//! SIGTERM or SIGINT stops the daemon. A second one exits immediately: all acknowledged notifications
//! are on disk already.

mod addresses;
mod check;
mod file_descriptors;
mod reload;
mod resources;
mod signals;

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use actix_web::dev::{Server, ServerHandle};
use actix_web::rt;
use anyhow::{Context, anyhow, bail};

use crate::clock;
use crate::config::{
    InvalidConfig, ListenAddress, MissingSecret, Problem, Settings, Sources, WebSettings, WebhookSecrets,
    WebhookSettings,
};
use crate::http::{self, Certificate, ConnectionLimits, Private, WebConfig, Webhook};
use crate::journal::Journal;
use crate::metrics::Exporter;
use crate::recorder::{self, Running};
use crate::telemetry::Level;
pub use check::check;
use reload::{Reloader, limits, policy};
use resources::Resources;
use signals::Signals;

/// Release, commit and compiler.
pub const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("BUILD_REVISION"), ", rustc ", env!("BUILD_RUSTC"), ")");

/// The assembled application. Its sockets are bound, and the recorder is restoring the state.
pub struct Daemon {
    endpoints: Endpoints,
    /// The servers start when they are first polled.
    public: Server,
    private: Server,
    recorder: Running,
    reloader: Arc<Reloader>,
}

/// Where Cloudflare and Prometheus reach the daemon.
pub struct Endpoints {
    /// The webhook's URL, with the address that the socket is bound to.
    pub webhook: String,
    /// The webhook's path.
    pub webhook_path: String,
    /// The URL of the metrics, with the address that the socket is bound to.
    pub metrics: String,
    /// The file of the generated secret, or the names of the configured ones.
    pub secret: String,
}

impl Daemon {
    /// Binds the sockets, opens the journal and starts the recorder. `sources` are read again on
    /// reload.
    ///
    /// # Errors
    ///
    /// An address, file or folder of the configuration cannot be used.
    pub fn build(sources: Sources, settings: Settings, log_level: Level) -> anyhow::Result<Self> {
        file_descriptors::raise_limit(settings.webhook.max_connections.saturating_add(http::PRIVATE_CONNECTIONS));
        log_warnings(&settings.warnings(clock::now()));
        addresses::conflict(&settings).map_or(Ok(()), |conflict| Err(InvalidConfig(vec![conflict])))?;
        let public = listen("webhook.listen_address", &settings.webhook.listen_address)?;
        let private = listen("web.listen_address", &settings.web.listen_address)?;
        let journal = Journal::open(&settings.storage.path)?;
        let missing_secret = if journal.last_position() == 0 { MissingSecret::Generate } else { MissingSecret::Refuse };
        let resources = Resources::load(&settings, missing_secret)?;
        log_warnings(&resources.warnings());
        let Resources { secrets, certificate, web_config } = resources;
        announce_generated(&secrets);
        WebConfig::watch_exposure(web_config.as_deref(), &private)?;
        let metrics = exporter(&settings, certificate.clone(), web_config.clone());
        let (limits, queue_size) = (limits(&settings, &secrets), settings.webhook.queue_size);
        let recorder = recorder::start(journal, limits, queue_size, metrics.clone())
            .context("the recorder's thread cannot be started")?;
        let private_tls = web_config.as_ref().is_some_and(|web_config| web_config.has_tls());
        let endpoints = Endpoints::new(&settings, &secrets, &public, (&private, private_tls))?;
        tracing::info!(
            version = VERSION,
            webhook = %endpoints.webhook,
            metrics = %endpoints.metrics,
            secret = %endpoints.secret,
            "listening"
        );

        let WebhookSettings { path, max_connections, max_connections_per_peer, idle_timeout, .. } =
            settings.webhook.clone();
        let policy = policy(&settings, &secrets);
        let webhook = Arc::new(Webhook::new(path, policy, recorder.handle.clone(), metrics.clone()));
        let unused_deliveries = webhook.unused_deliveries();
        let limits = ConnectionLimits { total: max_connections, per_peer: max_connections_per_peer, idle_timeout };
        let public = http::serve_public(public, limits, certificate, webhook.clone());
        let WebSettings { telemetry_path, compression, enable_admin_api, .. } = settings.web.clone();
        let reloader = Arc::new(Reloader {
            sources,
            log_level,
            webhook,
            recorder: recorder.handle.clone(),
            metrics: metrics.clone(),
            started_with: settings,
            reloading: Default::default(),
        });
        let (state_reader, reload) = (recorder.handle.state_reader().clone(), Reloader::callback(&reloader));
        let recorder_handle = recorder.handle.clone();
        let served = Private {
            telemetry_path,
            compression,
            enable_admin_api,
            recorder: recorder_handle,
            state_reader,
            metrics,
            unused_deliveries,
            reload,
        };
        let private = http::serve_private(private, idle_timeout, web_config, served);
        Ok(Self {
            endpoints,
            public: public.context("the webhook cannot be served")?,
            private: private.context("the private listener cannot be served")?,
            recorder,
            reloader,
        })
    }

    /// Where the daemon can be reached.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Serves until SIGTERM or SIGINT, or until the recorder fails.
    ///
    /// # Errors
    ///
    /// The recorder failed, or a second signal arrived.
    pub fn run(self) -> anyhow::Result<()> {
        rt::System::new().block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
        let Self { public, private, mut recorder, reloader, .. } = self;
        let mut signals = Signals::new(reloader).context("signals cannot be received")?;
        let private = spawn(private);
        let restored = tokio::select! {
            restored = recorder.restored => restored.is_ok(),
            () = signals.stop_requested() => false,
        };
        let public = restored.then(|| spawn(public));
        if public.is_some() {
            tracing::info!("ready");
            tokio::select! {
                () = signals.stop_requested() => {}
                _ = &mut recorder.ended => {}
            }
        }
        recorder.handle.state_reader().readiness().begin_draining();
        let stopped = async {
            if let Some(public) = public {
                tracing::info!("shutting down: finishing in-flight requests");
                public.stop(true).await;
            }
            if !recorder.ended.is_terminated() {
                // On a separate thread, because it blocks while the queue is full: a second signal must still work.
                thread::spawn(move || recorder.handle.finish());
                // The error only says that the sender was dropped, which is the signal.
                let _ = recorder.ended.await;
            }
            private.stop(false).await;
        };
        tokio::select! {
            () = stopped => {}
            () = signals.stop_requested() => {
                bail!("second signal received: exiting immediately; all acknowledged notifications are on disk");
            }
        }
        let panicked = |_| anyhow!("the recorder panicked; all acknowledged notifications are on disk");
        recorder.thread.join().map_err(panicked)??;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Runs a server as a task; the handle stops it.
fn spawn(server: Server) -> ServerHandle {
    let handle = server.handle();
    rt::spawn(server);
    handle
}

impl Endpoints {
    fn new(
        settings: &Settings,
        secrets: &WebhookSecrets,
        public: &[TcpListener],
        (private, private_tls): (&[TcpListener], bool),
    ) -> anyhow::Result<Self> {
        let origin = |tls: bool, sockets: &[TcpListener]| {
            let scheme = if tls { "https" } else { "http" };
            let first = sockets.first().ok_or_else(|| anyhow!("the address resolves to nothing"))?;
            anyhow::Ok(format!("{scheme}://{}", first.local_addr()?))
        };
        let names = || secrets.named.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Ok(Self {
            webhook: origin(settings.webhook.tls.is_some(), public)? + &settings.webhook.path,
            webhook_path: settings.webhook.path.clone(),
            metrics: origin(private_tls, private)? + &settings.web.telemetry_path,
            secret: match &secrets.own_file {
                Some(file) => file.display().to_string(),
                None => format!("configured: {}", names()),
            },
        })
    }
}

fn listen(key: &str, address: &ListenAddress) -> anyhow::Result<Vec<TcpListener>> {
    let addresses = address.resolve().with_context(|| format!("{key}: {address} cannot be resolved"))?;
    http::listen(&addresses).with_context(|| format!("{key}: cannot listen on {address}"))
}

/// Logs values and files that are accepted although they are dangerous.
fn log_warnings(warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!(%warning, "configuration accepted with a warning");
    }
}

/// Without this secret, every notification is rejected, so it must not be overlooked.
fn announce_generated(secrets: &WebhookSecrets) {
    if let Some(file) = secrets.own_file.as_ref().filter(|_| secrets.generated) {
        tracing::warn!(
            file = %file.display(),
            action = "enter the content of this file as the secret of the webhook destination in Cloudflare's dashboard",
            "new webhook secret generated"
        );
    }
}

fn exporter(
    settings: &Settings,
    certificate: Option<Arc<Certificate>>,
    web_config: Option<Arc<WebConfig>>,
) -> Arc<Exporter> {
    let metrics = Exporter::new(clock::now(), settings.web.created_samples);
    metrics.reloaded(clock::now(), true);
    if let Some(certificate) = certificate {
        metrics.watch_certificate("webhook", move || certificate.not_after());
    }
    if let Some(web_config) = web_config.filter(|web_config| web_config.has_tls()) {
        metrics.watch_certificate("web", move || web_config.not_after());
    }
    Arc::new(metrics)
}
