//! What the status page shows of the configuration in force.

use std::path::PathBuf;
use std::sync::Arc;

use super::addresses;
use super::resources::{Files, Resources};
use crate::config::{Effective, Problem, SecretSource, Settings};
use crate::event::Timestamp;
use crate::http::{Configuration, ConfiguredAccount, ConfiguredSecret, ListenerCertificate, Setting};

/// The configuration after loading these settings. There are no resources before the journal is open.
pub(super) fn configuration(
    settings: &Settings,
    started_with: &Settings,
    resources: Option<&Resources>,
    loaded_at: Timestamp,
) -> Configuration {
    let setting = |key: &Effective| Setting { assignment: key.assignment(), comment: key.comment() };
    let warnings = match resources {
        Some(resources) => warnings(settings, started_with, resources, loaded_at),
        None => settings.warnings(loaded_at),
    };
    // Their keys have the id of the input.
    let is_of_input = |key: &Effective| key.key.matches('.').count() > 1 && key.key.starts_with("inputs.");
    let (of_inputs, others): (Vec<_>, Vec<_>) = settings.in_force(started_with).partition(|key| is_of_input(key));
    let accounts = settings.cloudflare.accounts.iter().map(|account| ConfiguredAccount {
        name: account.name.clone(),
        account_id: account.account_id,
        webhook_url: account.webhook_url.clone(),
    });
    Configuration {
        settings: others.into_iter().map(setting).collect(),
        input_settings: of_inputs.into_iter().map(setting).collect(),
        max_connections: started_with.webhook.max_connections,
        needs_restart: started_with.needs_restart(settings).into_iter().map(str::to_owned).collect(),
        warnings: warnings.iter().map(ToString::to_string).collect(),
        loaded_at,
        secrets: resources.map(|resources| secrets(settings, resources)).unwrap_or_default(),
        accounts: accounts.collect(),
        grafana_url: settings.web.grafana_url.clone(),
        ..Configuration::default()
    }
}

/// Everything that works and is dangerous.
pub(super) fn warnings(
    settings: &Settings,
    started_with: &Settings,
    resources: &Resources,
    now: Timestamp,
) -> Vec<Problem> {
    let mut warnings = settings.warnings(now);
    warnings.extend(resources.warnings());
    warnings.extend(addresses::exposure(started_with, resources.files.web_config.as_deref()));
    warnings
}

/// The certificates of the listeners with TLS.
pub(super) fn certificates(settings: &Settings, files: &Files) -> Vec<ListenerCertificate> {
    let Files { certificate, web_config, .. } = files.clone();
    let public = certificate.zip(settings.webhook.tls.clone()).map(|(certificate, (file, _))| ListenerCertificate {
        listener: "webhook",
        file,
        not_after: Arc::new(move || certificate.not_after()),
    });
    let web_config = web_config.filter(|web_config| web_config.has_tls()).zip(settings.web.config_file.clone());
    let private = web_config.map(|(web_config, file)| ListenerCertificate {
        listener: "web",
        file,
        not_after: Arc::new(move || web_config.not_after()),
    });
    public.into_iter().chain(private).collect()
}

fn secrets(settings: &Settings, Resources { secrets, .. }: &Resources) -> Vec<ConfiguredSecret> {
    let configured = |name: &String| match settings.webhook.secrets.get(name) {
        Some(SecretSource::File(path)) => Some(path.clone()),
        Some(SecretSource::Environment(_)) => None,
        None => secrets.own_file.clone(),
    };
    let secret = |name: &String| {
        let file: Option<PathBuf> = configured(name);
        ConfiguredSecret { name: name.clone(), file }
    };
    secrets.named.keys().map(secret).collect()
}
