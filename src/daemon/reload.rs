//! Reload: applies changed inputs, secrets, Cloudflare accounts, log level and limits without a restart.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, oneshot, watch};

use super::cloudflare::Accounts;
use super::configuration::configuration;
use super::resources::{Files, Resources};
use super::service_manager::ServiceManager;
use crate::accept;
use crate::clock;
use crate::config::{InvalidConfig, MissingSecret, Settings, Sources, WebhookSecrets};
use crate::event::Timestamp;
use crate::http::{Configuration, FailedReload, RateLimiter, RequestPolicy, TrustedProxies, Webhook};
use crate::metrics::Exporter;
use crate::recorder::{Handle, Limits};
use crate::telemetry::Level;

/// Number of reloads that may run or wait.
pub(super) const MAX_RELOADS: usize = 8;

/// The log message of a failed reload.
const FAILED: &str = "reload failed: the previous configuration stays in force";

/// Reads the configuration again and applies it. An invalid configuration changes nothing.
pub(super) struct Reloader {
    pub(super) sources: Sources,
    /// Stays in force for the keys that need a restart.
    pub(super) started_with: Settings,
    pub(super) log_level: Level,
    pub(super) webhook: Arc<Webhook>,
    pub(super) recorder: Handle,
    pub(super) accounts: Arc<Accounts>,
    pub(super) metrics: Arc<Exporter>,
    /// The files of the listeners, which read them again themselves.
    pub(super) files: Files,
    /// Shown by pages.
    pub(super) configuration: watch::Sender<Arc<Configuration>>,
    pub(super) service_manager: Arc<ServiceManager>,
    /// Serializes reloads by SIGHUP and by request.
    pub(super) reloading: Mutex<()>,
    /// Limits the reloads that run or wait.
    pub(super) places: Arc<Semaphore>,
}

impl Reloader {
    /// Starts a reload, and returns where its result arrives; the error lists the problems. `None` if too many are waiting.
    ///
    /// The thread is not joined: it reads files, which may hang, and neither requests nor the shutdown may wait for that.
    pub(super) fn start(self: &Arc<Self>) -> Option<oneshot::Receiver<Result<(), String>>> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let (result_tx, result) = oneshot::channel();
        let reloader = self.clone();
        let started = thread::Builder::new().name("reload".into()).spawn(move || {
            let _held = place;
            // The receiver may have stopped waiting. The result is also in the log.
            let _ = result_tx.send(reloader.reload().map_err(|invalid| invalid.to_string()));
        });
        if let Err(error) = started {
            self.note_failed(clock::now(), &error.to_string());
        }
        Some(result)
    }

    /// Reloads. The result is also logged and exposed as a metric.
    fn reload(&self) -> Result<(), InvalidConfig> {
        let _guard = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        self.service_manager.reloading();
        let result = self.apply();
        self.service_manager.reloaded(if result.is_ok() { "configuration reloaded" } else { FAILED });
        result
    }

    fn apply(&self) -> Result<(), InvalidConfig> {
        let loaded = self.load();
        let now = clock::now();
        let (settings, resources) = loaded.inspect_err(|invalid| self.note_failed(now, &invalid.to_string()))?;
        self.metrics.reloaded(now, true);
        self.configuration.send_modify(|shown| {
            let loaded = configuration(&settings, &self.started_with, Some(&resources), now);
            *shown = Arc::new(loaded.with_listeners_of(shown));
        });
        let Resources { secrets, files: Files { token_warnings, .. } } = resources;
        self.log_level.set(settings.log.level);
        super::log_warnings(&settings.warnings(clock::now()));
        super::log_warnings(&secrets.warnings);
        super::log_warnings(&token_warnings);
        self.webhook.set_policy(policy(&settings, &secrets));
        self.recorder.adopt(limits(&settings, &secrets));
        self.accounts.configure(&settings.cloudflare);
        let needs_restart = self.started_with.needs_restart(&settings);
        if !needs_restart.is_empty() {
            tracing::warn!(keys = needs_restart.join(", "), "some changed keys need a restart to take effect");
        }
        tracing::info!("configuration reloaded");
        Ok(())
    }

    fn note_failed(&self, at: Timestamp, problems: &str) {
        self.metrics.reloaded(at, false);
        let failed = FailedReload { at, problems: problems.to_owned() };
        self.configuration.send_modify(|shown| Arc::make_mut(shown).failed_reload = Some(failed));
        tracing::error!(problems, "{FAILED}");
    }

    fn load(&self) -> Result<(Settings, Resources), InvalidConfig> {
        let settings = Settings::load(&self.sources)?;
        let storage = &self.started_with.storage;
        let secrets =
            WebhookSecrets::load(&settings.webhook.secrets, storage.own_secret_folder(), MissingSecret::Refuse)?;
        let token_warnings = settings.cloudflare.check_tokens()?;
        let files = Files { token_warnings, ..self.files.clone() };
        Ok((settings, Resources { secrets, files }))
    }
}

pub(super) fn policy(settings: &Settings, secrets: &WebhookSecrets) -> RequestPolicy {
    let named = secrets.named.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
    RequestPolicy {
        secrets: accept::Secrets::new(named),
        max_body_size: settings.webhook.max_body_size,
        body_timeout: settings.webhook.body_timeout,
        wrong_secrets: Arc::new(RateLimiter::per_minute(settings.webhook.max_failures_per_peer)),
        trusted_proxies: TrustedProxies(settings.webhook.trusted_proxies.clone()),
    }
}

pub(super) fn limits(settings: &Settings, secrets: &WebhookSecrets) -> Limits {
    let (inputs, accounts) = (&settings.inputs, settings.cloudflare.accounts.iter());
    Limits {
        rules: inputs.rules(),
        retention: settings.storage.retention,
        forget_after: inputs.forget_after,
        configured: inputs.configured.clone(),
        accounts: accounts.map(|account| (account.account_id, account.name.as_str().into())).collect(),
        secrets: secrets.named.keys().cloned().collect(),
    }
}
