//! The daemon, from the configuration to the last checkpoint.
//!
//! ```text
//! configuration ─▶ sockets ─▶ journal ─▶ private listener ─▶ restored ─▶ public listener
//!                    SIGTERM ─▶ not ready ─▶ public listener ends ─▶ recorder ends ─▶ private listener ends
//! ```
//!
//! A second SIGTERM or SIGINT ends it at once, wherever it is: what was answered is durable already.

mod file_descriptors;
mod reload;

use std::io::{self, IsTerminal};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use actix_web::dev::{Server, ServerHandle};
use actix_web::rt;
use anyhow::{Context, anyhow, bail};
use futures_util::future::OptionFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use reload::{Reloader, limits, policy};

use crate::clock;
use crate::config::{ListenAddress, LogFormat, Secrets, Settings, Sources};
use crate::http::{self, Certificate, CertificateFiles, ConnectionLimits, Rejection, WebConfig, Webhook};
use crate::journal::Journal;
use crate::metrics::{Exporter, LabelValues};
use crate::recorder::{self, Outcome, Running};
use crate::telemetry;

/// Release, commit and compiler.
pub const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("BUILD_REVISION"), ", rustc ", env!("BUILD_RUSTC"), ")");

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// The configuration is bad, something that it names cannot be used, or recording failed.
pub fn run(sources: &Sources, print: fn(&str) -> io::Result<()>) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let json = match settings.log.format {
        LogFormat::Auto => None,
        LogFormat::Logfmt => Some(false),
        LogFormat::Json => Some(true),
    };
    let level = telemetry::init(settings.log.level, json);
    file_descriptors::provide(settings.webhook.max_connections.saturating_add(http::PRIVATE_CONNECTIONS));
    let public = listen("webhook.listen_address", &settings.webhook.listen_address)?;
    let private = listen("web.listen_address", &settings.web.listen_address)?;
    let journal = Journal::open(&settings.storage.path)?;
    let secrets = Secrets::load(&settings.webhook.secrets, &settings.storage.path)?;

    let certificate = settings.webhook.tls.clone().map(|(certificate, key)| {
        Certificate::load(CertificateFiles { certificate, key }).context("webhook.tls_cert_file, webhook.tls_key_file")
    });
    let certificate = certificate.transpose()?.map(Arc::new);
    let web_config = settings.web.config_file.clone().map(WebConfig::load);
    let web_config = web_config.transpose().context("web.config_file")?.map(Arc::new);
    WebConfig::watch_exposure(web_config.as_deref(), &private)?;

    let values = LabelValues { outcomes: &Outcome::NAMES, rejections: &Rejection::REASONS };
    let metrics = Arc::new(Exporter::new(clock::now(), settings.web.created_samples, values));
    metrics.reloaded(clock::now(), true);
    if let Some(certificate) = certificate.clone() {
        metrics.watch_certificate("webhook", move || certificate.not_after());
    }
    if let Some(web_config) = web_config.clone().filter(|web_config| web_config.has_tls()) {
        metrics.watch_certificate("web", move || web_config.not_after());
    }
    let recorder = recorder::start(journal, limits(&settings, &secrets), settings.webhook.queue_size, metrics.clone())
        .context("the recorder's thread cannot be started")?;
    let path = settings.webhook.path.clone();
    let webhook = Arc::new(Webhook::new(path, policy(&settings, &secrets), recorder.handle.clone(), metrics.clone()));
    let metrics_scheme =
        if web_config.as_ref().is_some_and(|web_config| web_config.has_tls()) { "https" } else { "http" };
    announce(&settings, &secrets, &public, (metrics_scheme, &private), print)?;

    let connection_limits = ConnectionLimits {
        total: settings.webhook.max_connections,
        per_peer: settings.webhook.max_connections_per_peer,
        idle_timeout: settings.webhook.idle_timeout,
    };
    let reloader = Reloader::new(sources.clone(), settings, level, webhook.clone(), recorder.handle.clone(), metrics);
    let reloader = Arc::new(reloader);
    let daemon = Daemon { recorder, webhook, connection_limits, certificate, web_config, reloader };
    rt::System::new().block_on(daemon.run(public, private))
}

struct Daemon {
    recorder: Running,
    webhook: Arc<Webhook>,
    connection_limits: ConnectionLimits,
    certificate: Option<Arc<Certificate>>,
    web_config: Option<Arc<WebConfig>>,
    reloader: Arc<Reloader>,
}

impl Daemon {
    async fn run(self, public: Vec<TcpListener>, private: Vec<TcpListener>) -> anyhow::Result<ExitCode> {
        let Self {
            recorder: Running { handle, restored, mut ended, thread: recording },
            webhook,
            connection_limits,
            certificate,
            web_config,
            reloader,
        } = self;
        let mut signals = Signals::new().context("signals cannot be received")?;
        let private = http::serve_private(private, connection_limits.idle_timeout, web_config, reloader.private());
        let private = spawn(private.context("the private listener cannot be served")?);
        let public = tokio::select! {
            restored = restored => match restored {
                Ok(()) => Some(spawn(http::serve_public(public, connection_limits, certificate, webhook).context("the webhook cannot be served")?)),
                Err(_) => None,
            },
            () = signals.terminated(&reloader) => None,
        };
        let mut has_ended = false;
        if public.is_some() {
            tracing::info!("ready");
            tokio::select! {
                () = signals.terminated(&reloader) => {}
                _ = &mut ended => has_ended = true,
            }
        }
        handle.state_reader().readiness().begin_draining();
        let stopped = async {
            if let Some(public) = public {
                tracing::info!("shutting down: answering what is under way");
                public.stop(true).await;
            }
            if !has_ended {
                // That waits for room in the queue; the signals must not.
                thread::spawn(move || handle.finish());
                // It is dropped, and tells nothing else.
                let _ = ended.await;
            }
            private.stop(false).await;
        };
        tokio::select! {
            () = stopped => {}
            () = signals.terminated(&reloader) => bail!("ended at once by a second signal; nothing that was answered 2xx is lost"),
        }
        recording.join().map_err(|_| anyhow!("the recorder panicked; nothing that was answered 2xx is lost"))??;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }
}

/// Lets a server run beside us; the handle ends it.
fn spawn(server: Server) -> ServerHandle {
    let handle = server.handle();
    rt::spawn(server);
    handle
}

/// The signals that a daemon obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Fails when the reload that is under way has ended.
    reloading: Option<oneshot::Receiver<()>>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reloading: None,
        })
    }

    /// Waits until the daemon is to end, and reloads on SIGHUP until then, one after the other.
    ///
    /// A reload waits for room in the queue, which there is none of while a disk hangs: signals do not wait with it.
    async fn terminated(&mut self, reloader: &Arc<Reloader>) {
        let Self { terminate, interrupt, hangup, reloading } = self;
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                // Signals that come meanwhile are one that comes then.
                _ = hangup.recv(), if reloading.is_none() => *reloading = Some(reload(reloader.clone())),
                Some(_) = OptionFuture::from(reloading.as_mut()) => *reloading = None,
            }
        }
    }
}

/// Reloads on a thread that nobody joins: the end of the daemon does not wait for it.
fn reload(reloader: Arc<Reloader>) -> oneshot::Receiver<()> {
    let (tell_ended, ended) = oneshot::channel();
    let started = thread::Builder::new().name("reload".into()).spawn(move || {
        let _told_at_the_end = tell_ended;
        // The outcome is logged and exposed where it happens.
        let _ = reloader.reload();
    });
    if let Err(error) = started {
        tracing::error!(%error, "the configuration was not reloaded; the one before stays in force");
    }
    ended
}

fn listen(key: &str, address: &ListenAddress) -> anyhow::Result<Vec<TcpListener>> {
    let addresses = address.resolve().with_context(|| format!("{key}: {address} cannot be resolved"))?;
    http::listen(&addresses).with_context(|| format!("{key}: cannot listen on {address}"))
}

/// Says where everything is: to a person in a few lines, to a machine in the log.
fn announce(
    settings: &Settings,
    secrets: &Secrets,
    public: &[TcpListener],
    (metrics_scheme, private): (&str, &[TcpListener]),
    print: fn(&str) -> io::Result<()>,
) -> anyhow::Result<()> {
    let scheme = if settings.webhook.tls.is_some() { "https" } else { "http" };
    let webhook = format!("{scheme}://{}{}", local_address(public)?, settings.webhook.path);
    let metrics = format!("{metrics_scheme}://{}{}", local_address(private)?, settings.web.telemetry_path);
    let secret = match &secrets.own_file {
        Some(file) => file.display().to_string(),
        None => format!(
            "configured: {}",
            secrets.named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
        ),
    };
    tracing::info!(version = VERSION, %webhook, %metrics, %secret, "listening");
    if io::stderr().is_terminal() {
        print(&format!(
            "\npoint Cloudflare at   https://YOUR.NAME{path}, forwarded to {webhook}\n\
             with the secret in    {secret}\n\
             and Prometheus at     {metrics}\n\n",
            path = settings.webhook.path,
        ))?;
    }
    Ok(())
}

fn local_address(listeners: &[TcpListener]) -> anyhow::Result<SocketAddr> {
    let first = listeners.first().ok_or_else(|| anyhow!("the address resolves to nothing"))?;
    Ok(first.local_addr()?)
}
