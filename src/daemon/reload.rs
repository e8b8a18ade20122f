//! What a reload takes over: inputs, secrets, log level and limits.

use std::sync::{Arc, Mutex, PoisonError};

use crate::accept;
use crate::clock;
use crate::config::{InvalidConfig, Secrets, Settings, Sources};
use crate::http::{Private, RequestPolicy, TrustedProxies, Webhook};
use crate::live::Rules;
use crate::metrics::Exporter;
use crate::recorder::{Handle, Limits};
use crate::telemetry::Level;

/// Loads the configuration anew and hands it to everyone concerned; a bad one changes nothing.
pub(super) struct Reloader {
    sources: Sources,
    /// What the daemon started with, which stays in force where only a restart changes it.
    started_with: Settings,
    /// One reload at a time.
    reloading: Mutex<()>,
    level: Level,
    webhook: Arc<Webhook>,
    recorder: Handle,
    metrics: Arc<Exporter>,
}

impl Reloader {
    pub(super) fn new(
        sources: Sources,
        settings: Settings,
        level: Level,
        webhook: Arc<Webhook>,
        recorder: Handle,
        metrics: Arc<Exporter>,
    ) -> Self {
        Self { sources, started_with: settings, reloading: Mutex::new(()), level, webhook, recorder, metrics }
    }

    /// Reloads, and says in the log and in the metrics how it went.
    pub(super) fn reload(&self) -> Result<(), InvalidConfig> {
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.load();
        self.metrics.reloaded(clock::now(), loaded.is_ok());
        match loaded {
            Ok((new, secrets)) => {
                self.apply(&new, &secrets);
                let needs_restart = self.started_with.needs_restart(&new);
                if !needs_restart.is_empty() {
                    tracing::warn!(keys = needs_restart.join(", "), "some changes take effect on restart only");
                }
                tracing::info!("configuration reloaded");
                Ok(())
            }
            Err(invalid) => {
                tracing::error!(problems = %invalid, "the configuration was not reloaded; the one before stays in force");
                Err(invalid)
            }
        }
    }

    fn load(&self) -> Result<(Settings, Secrets), InvalidConfig> {
        let settings = Settings::load(&self.sources)?;
        let secrets = Secrets::load(&settings.webhook.secrets, &self.started_with.storage.path)?;
        Ok((settings, secrets))
    }

    fn apply(&self, settings: &Settings, secrets: &Secrets) {
        self.level.set(settings.log.level);
        self.webhook.set_policy(policy(settings, secrets));
        self.recorder.adopt(limits(settings, secrets));
    }

    /// What the private listener serves from.
    pub(super) fn private(self: &Arc<Self>) -> Private {
        let reloader = self.clone();
        Private {
            telemetry_path: self.started_with.web.telemetry_path.clone(),
            compression: self.started_with.web.compression,
            state_reader: self.recorder.state_reader().clone(),
            metrics: self.metrics.clone(),
            reload: Arc::new(move || reloader.reload().map_err(|invalid| invalid.to_string())),
        }
    }
}

/// The webhook's policy as configured.
pub(super) fn policy(settings: &Settings, secrets: &Secrets) -> RequestPolicy {
    let named = secrets.named.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
    RequestPolicy {
        secrets: accept::Secrets::new(named),
        max_body_size: settings.webhook.max_body_size,
        body_timeout: settings.webhook.body_timeout,
        max_failures: settings.webhook.max_failures_per_peer,
        trusted_proxies: TrustedProxies(settings.webhook.trusted_proxies.clone()),
    }
}

/// The recorder's limits as configured.
pub(super) fn limits(settings: &Settings, secrets: &Secrets) -> Limits {
    let inputs = &settings.inputs;
    Limits {
        rules: Rules { reconnect_window: inputs.reconnect_window, max_inputs: inputs.max },
        retention: settings.storage.retention,
        forget_after: inputs.forget_after,
        configured: inputs.configured.clone(),
        secrets: secrets.named.iter().map(|(name, _)| name.clone()).collect(),
    }
}
