//! The application: its parts, and their order at start and at shutdown.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use actix_web::{rt, web};
use anyhow::{Context, anyhow};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::cloudflare::Accounts;
use super::configuration::{certificates, configuration};
use super::location::location;
use super::reload::{MAX_RELOADS, Reloader, limits, policy};
use super::replay_unrecognized::replay_kept;
use super::resources::{Files, Resources};
use super::service_manager::ServiceManager;
use super::signals::Requests;
use super::sockets::Listeners;
use super::{DiskHangs, Endpoints, VERSION, disk_watch, file_descriptors, log_warnings};
use crate::clock;
use crate::config::{MissingSecret, Settings, Sources, WebSettings, WebhookSecrets, WebhookSettings};
use crate::event::Timestamp;
use crate::http::{
    self, Configuration, ConnectionLimits, ListenerCertificate, Private, Server, ServerHandle, Sockets,
    UnusedDeliveries, WebConfig, Webhook,
};
use crate::journal::{Journal, PostgresJournal, Spool, SqliteJournal};
use crate::metrics::Exporter;
use crate::recorder::{self, Handle, KeptBodies, Running, StateReader};
use crate::telemetry::{DroppedLines, Level};
use crate::timeline::Timelines;

/// How long the shutdown waits for the recorder, after the requests in flight have ended.
const RECORDER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the application is made of.
pub(super) struct Application {
    /// Read again on reload.
    pub(super) sources: Sources,
    pub(super) settings: Settings,
    pub(super) log_level: Level,
    pub(super) dropped_lines: DroppedLines,
    pub(super) service_manager: Arc<ServiceManager>,
}

/// An opened journal, and the spool for a shared one.
struct Opened {
    journal: Box<dyn Journal>,
    spool: Option<Spool>,
}

/// The part that has no journal yet: its sockets are bound, and the private server is running.
struct Listening {
    public: Sockets,
    private: ServerHandle,
    files: Files,
    metrics: Arc<Exporter>,
    recorder: Handle,
    accounts: Arc<Accounts>,
    unused_deliveries: Arc<UnusedDeliveries>,
    /// Shown by pages.
    configuration: watch::Sender<Arc<Configuration>>,
    /// Set when the configuration can be reloaded.
    reloader: Arc<OnceLock<Arc<Reloader>>>,
    endpoints: Endpoints,
}

impl Application {
    /// Runs until a signal stops it, or until the recorder fails. `announce` is called when the daemon accepts
    /// notifications.
    pub(super) fn run(self, requests: Requests, announce: impl FnOnce(&Endpoints)) -> anyhow::Result<()> {
        rt::System::new().block_on(self.start_and_serve(requests, announce))
    }

    async fn start_and_serve(self, requests: Requests, announce: impl FnOnce(&Endpoints)) -> anyhow::Result<()> {
        let (recorder, queue) = recorder::prepare(self.settings.webhook.queue_size);
        let listening = self.listen(recorder)?;
        let (Opened { journal, spool }, secrets) = self.open(&listening.recorder).await?;
        let resources = Resources { secrets, files: listening.files.clone() };
        log_warnings(&resources.warnings());
        listening.configuration.send_modify(|shown| {
            let loaded = configuration(&self.settings, &self.settings, Some(&resources), shown.loaded_at);
            *shown = Arc::new(loaded.with_listeners_of(shown));
        });
        let Resources { secrets, .. } = resources;
        announce_generated(&secrets);
        let endpoints = listening.endpoints.clone().with_secrets(&self.settings.webhook.secrets, &secrets);
        tracing::info!(secret = endpoints.secret, origin = endpoints.secret_origin, "webhook secret");
        let (limits, metrics) = (limits(&self.settings, &secrets), listening.metrics.clone());
        let prepared = (listening.recorder.clone(), queue);
        let recorder = recorder::start_spooling(journal, spool, limits, prepared, metrics);
        let recorder = recorder.context("the recorder's thread cannot be started")?;
        let (public, private) = self.assemble(listening, &secrets, &requests)?;
        let on_ready = || announce(&endpoints);
        serve(public, &private, recorder, requests, on_ready, &self.service_manager).await
    }

    /// Binds the sockets, and starts the private server, so that it answers while the journal is opened and restored.
    fn listen(&self, recorder: Handle) -> anyhow::Result<Listening> {
        let Self { settings, .. } = self;
        file_descriptors::raise_limit(settings.webhook.max_connections.saturating_add(http::PRIVATE_CONNECTIONS));
        log_warnings(&settings.warnings(clock::now()));
        let Listeners { public, private } = Listeners::open(settings, &self.sources)?;
        let files = Files::load(settings)?;
        let web_config = files.web_config.clone();
        WebConfig::watch_exposure(web_config.as_deref(), &private.listeners)?;
        let private_tls = web_config.as_ref().is_some_and(|web_config| web_config.has_tls());
        let endpoints = Endpoints::new(settings, &public.listeners, (&private.listeners, private_tls))?;
        let state_reader = recorder.state_reader().clone();
        let (started_at, certificates) = (clock::now(), certificates(settings, &files));
        let metrics = self.exporter(started_at, &certificates, &state_reader);
        let shown = configuration(settings, settings, None, started_at);
        let shown = Configuration { webhook: endpoints.webhook.clone(), certificates, ..shown };
        let (configuration, shown) = watch::channel(Arc::new(shown));
        let accounts = Arc::new(Accounts::new(recorder.clone(), metrics.clone()));
        let reloader = Arc::<OnceLock<Arc<Reloader>>>::default();
        let unused_deliveries = Arc::<UnusedDeliveries>::default();
        let WebSettings { telemetry_path, compression, enable_admin_api, .. } = settings.web.clone();
        let location = location(settings);
        let served = Private {
            telemetry_path,
            compression,
            enable_admin_api,
            recorder: recorder.clone(),
            state_reader: state_reader.clone(),
            metrics: metrics.clone(),
            unused_deliveries: unused_deliveries.clone(),
            kept_bodies: KeptBodies::new(location.clone()),
            configuration: shown,
            timelines: Timelines::new(location.clone()),
            api_tasks: accounts.clone(),
            reload: Arc::new({
                let reloader = reloader.clone();
                move || reloader.get()?.start()
            }),
            replay: Arc::new({
                let recorder = recorder.clone();
                move |number| replay_kept(&location, &recorder, number)
            }),
        };
        let private = http::serve_private(private, settings.webhook.idle_timeout, web_config, served);
        let private = private.context("the private listener cannot be served")?.start();
        let Endpoints { webhook, metrics: url, data_folder, shared_journal, .. } = &endpoints;
        let (data_folder, shared_journal) = (data_folder.display(), shared_journal.as_deref());
        tracing::info!(version = VERSION, webhook, metrics = url, %data_folder, shared_journal, "listening");
        rt::spawn({
            let (service_manager, state_reader) = (self.service_manager.clone(), state_reader.clone());
            async move { service_manager.watch(state_reader).await }
        });
        rt::spawn(disk_watch::run(state_reader));
        Ok(Listening {
            public,
            private,
            files,
            metrics,
            recorder,
            accounts,
            unused_deliveries,
            configuration,
            reloader,
            endpoints,
        })
    }

    /// Opens the journal and reads the secrets, on another thread, because the disk may hang.
    async fn open(&self, recorder: &Handle) -> anyhow::Result<(Opened, WebhookSecrets)> {
        let opening = recorder.state_reader().readiness().disk().begin("opening");
        let (storage, configured) = (self.settings.storage.clone(), self.settings.webhook.secrets.clone());
        let recorder = recorder.clone();
        let opened = web::block(move || {
            let _until_opened = opening;
            if let Some(server) = storage.server() {
                let secrets = WebhookSecrets::load(&configured, storage.own_secret_folder(), MissingSecret::Refuse)?;
                let spool = Spool::open(&storage.path, storage.spool_max as u64)?;
                let journal = PostgresJournal::open(server, &replica_name(), move || recorder.wake())?;
                return anyhow::Ok((Opened { journal: Box::new(journal), spool: Some(spool) }, secrets));
            }
            let journal = SqliteJournal::open(&storage.path)?;
            let missing_secret =
                if journal.last_position() == 0 { MissingSecret::Generate } else { MissingSecret::Refuse };
            let secrets = WebhookSecrets::load(&configured, storage.own_secret_folder(), missing_secret)?;
            Ok((Opened { journal: Box::new(journal), spool: None }, secrets))
        });
        opened.await.context("the journal was not opened")?
    }

    /// Connects the recorder with the public server, which starts later, and with reloads.
    fn assemble(
        &self,
        listening: Listening,
        secrets: &WebhookSecrets,
        requests: &Requests,
    ) -> anyhow::Result<(Server, ServerHandle)> {
        let Self { sources, settings, log_level, .. } = self;
        let Listening { public, private, metrics, recorder, accounts, unused_deliveries, .. } = listening;
        let Listening { files, configuration, reloader, .. } = listening;
        let WebhookSettings { path, max_connections, max_connections_per_peer, idle_timeout, .. } =
            settings.webhook.clone();
        let policy = policy(settings, secrets);
        let webhook = Webhook::new(path, policy, recorder.clone(), metrics.clone(), unused_deliveries);
        let webhook = Arc::new(webhook);
        let limits = ConnectionLimits { total: max_connections, per_peer: max_connections_per_peer, idle_timeout };
        let public = http::serve_public(public, limits, files.certificate.clone(), webhook.clone());
        accounts.configure(&settings.cloudflare);
        let reloader = reloader.get_or_init(|| {
            Arc::new(Reloader {
                sources: sources.clone(),
                started_with: settings.clone(),
                log_level: log_level.clone(),
                webhook,
                recorder,
                accounts,
                metrics,
                files,
                configuration,
                service_manager: self.service_manager.clone(),
                reloading: Mutex::default(),
                places: Arc::new(Semaphore::new(MAX_RELOADS)),
            })
        });
        rt::spawn(reload_on_request(reloader.clone(), requests.clone()));
        Ok((public.context("the webhook cannot be served")?, private))
    }

    fn exporter(
        &self,
        started_at: Timestamp,
        certificates: &[ListenerCertificate],
        state_reader: &StateReader,
    ) -> Arc<Exporter> {
        let metrics = Exporter::new(started_at, self.settings.web.created_samples);
        metrics.reloaded(started_at, true);
        for ListenerCertificate { listener, not_after, .. } in certificates {
            let not_after = not_after.clone();
            metrics.watch_certificate(listener, move || not_after());
        }
        let disk = state_reader.readiness().disk().clone();
        metrics.watch_journal_write(move || disk.current().map(|operation| operation.since));
        let dropped_lines = self.dropped_lines.clone();
        metrics.watch_dropped_log_lines(move || dropped_lines.count());
        Arc::new(metrics)
    }
}

/// Serves until a stop is requested or the recorder fails, then shuts down in order.
async fn serve(
    public: Server,
    private: &ServerHandle,
    mut recorder: Running,
    mut requests: Requests,
    on_ready: impl FnOnce(),
    service_manager: &ServiceManager,
) -> anyhow::Result<()> {
    let mut serving = None;
    if recorder.restored.await.is_ok() {
        requests.begin_recording();
        serving = Some(public.start());
        match recorder.handle.state_reader().readiness().failing() {
            None => tracing::info!("ready"),
            Some(reason) => tracing::warn!(%reason, "started, but not ready"),
        }
        service_manager.ready();
        on_ready();
        tokio::select! {
            () = requests.stop() => {}
            _ = &mut recorder.ended => {}
        }
    }
    let readiness = recorder.handle.state_reader().readiness();
    readiness.begin_draining();
    service_manager.stopping();
    if let Some(public) = serving {
        tracing::info!("shutting down: finishing in-flight requests");
        public.stop().await;
    }
    if !recorder.ended.is_terminated() {
        recorder.handle.finish();
        // The error only says that the sender was dropped, which is the signal.
        if timeout(RECORDER_TIMEOUT, &mut recorder.ended).await.is_err() {
            let hanging = readiness.disk().current();
            return Err(hanging.map_or_else(|| anyhow!("the recorder does not end"), |it| DiskHangs(it).into()));
        }
    }
    private.stop().await;
    let panicked = |_| anyhow!("the recorder panicked; all acknowledged notifications are on disk");
    recorder.thread.join().map_err(panicked)??;
    tracing::info!("stopped");
    Ok(())
}

/// Reloads on each SIGHUP. Those that arrive during a reload cause one more after it.
async fn reload_on_request(reloader: Arc<Reloader>, requests: Requests) {
    loop {
        requests.reload().await;
        // If too many are waiting, those will read the configuration as it is now.
        if let Some(result) = reloader.start() {
            // The reloader logs the result.
            let _ = result.await;
        }
    }
}

/// Names this process among the replicas of a shared journal, for people.
fn replica_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
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
