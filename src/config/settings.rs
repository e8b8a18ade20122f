//! The typed settings, each section with the lines that read it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::{Effective, Reader};
use super::secrets::SecretSource;
use super::values::{self, ListenAddress, LogLevel};
use super::{InvalidConfig, Sources, inputs, secrets};
use crate::event::{InputId, Rules};
use crate::schedule::Configured;
use crate::telemetry::Format;

/// A valid configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The public listener.
    pub webhook: WebhookSettings,
    /// The private listener.
    pub web: WebSettings,
    /// The journal.
    pub storage: StorageSettings,
    /// The live inputs.
    pub inputs: InputSettings,
    /// Logging.
    pub log: LogSettings,
    /// Every key with its value and origin, secrets masked.
    pub effective: Vec<Effective>,
}

impl Settings {
    /// Reads and merges all layers.
    ///
    /// # Errors
    ///
    /// All problems: unreadable files, unknown keys, invalid values.
    pub fn load(sources: &Sources) -> Result<Self, InvalidConfig> {
        let mut reader = Reader::new(sources)?;
        let (webhook, web) = (WebhookSettings::read(&mut reader), WebSettings::read(&mut reader));
        let (storage, inputs) = (StorageSettings::read(&mut reader), InputSettings::read(&mut reader));
        let log = LogSettings::read(&mut reader);
        Ok(Self { webhook, web, storage, inputs, log, effective: reader.finish()? })
    }

    /// The keys whose new values take effect only after a restart.
    pub fn needs_restart<'a>(&self, new: &'a Self) -> Vec<&'a str> {
        let unchanged = |new: &Effective| self.effective.iter().any(|old| old.key == new.key && old.value == new.value);
        let changed = new.effective.iter().filter(|new| !new.reloadable && !unchanged(new));
        changed.map(|new| new.key.as_str()).collect()
    }
}

/// The public listener, which receives notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Address to listen on.
    pub listen_address: ListenAddress,
    /// Path of the webhook's URL.
    pub path: String,
    /// Largest accepted body, in bytes.
    pub max_body_size: usize,
    /// Time limit for reading a body.
    pub body_timeout: Duration,
    /// Maximum number of notifications waiting to be written.
    pub queue_size: usize,
    /// Maximum number of open connections.
    pub max_connections: usize,
    /// Maximum number of open connections per peer (IPv4 address or IPv6 /64).
    pub max_connections_per_peer: usize,
    /// Connections are closed when no request begins or is answered for this long.
    pub idle_timeout: Duration,
    /// Failed authentications per peer and minute before 429.
    pub max_failures_per_peer: usize,
    /// Proxies whose `x-forwarded-for` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Certificate and key in PEM format. Without them, the listener speaks plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Valid secrets by name. If there are none, one is generated in the data folder.
    pub secrets: BTreeMap<String, SecretSource>,
}

impl WebhookSettings {
    fn read(reader: &mut Reader) -> Self {
        Self {
            listen_address: reader.on_restart("webhook.listen_address", values::listen_address),
            path: reader.on_restart("webhook.path", values::url_path),
            max_body_size: reader.on_reload("webhook.max_body_size", values::size),
            body_timeout: reader.on_reload("webhook.body_timeout", values::positive_duration),
            queue_size: reader.on_restart("webhook.queue_size", values::queue_size),
            max_connections: reader.on_restart("webhook.max_connections", values::count),
            max_connections_per_peer: reader.on_restart("webhook.max_connections_per_peer", values::count),
            idle_timeout: reader.on_restart("webhook.idle_timeout", values::positive_duration),
            max_failures_per_peer: reader.on_reload("webhook.max_failures_per_peer", values::count),
            trusted_proxies: reader.on_reload("webhook.trusted_proxies", values::networks),
            tls: Self::read_tls(reader),
            secrets: secrets::read(reader),
        }
    }

    fn read_tls(reader: &mut Reader) -> Option<(PathBuf, PathBuf)> {
        let certificate = reader.on_restart("webhook.tls_cert_file", values::optional_path);
        let key = reader.on_restart("webhook.tls_key_file", values::optional_path);
        match (certificate, key) {
            (Some(certificate), Some(key)) => return Some((certificate, key)),
            (None, None) => {}
            (Some(_), None) => reader.conflict("webhook.tls_key_file", "required with webhook.tls_cert_file"),
            (None, Some(_)) => reader.conflict("webhook.tls_cert_file", "required with webhook.tls_key_file"),
        }
        None
    }
}

/// The private listener, which serves metrics, status and API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSettings {
    /// Address to listen on.
    pub listen_address: ListenAddress,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// Whether OpenMetrics output has `_created` samples.
    pub created_samples: bool,
    /// Whether responses are compressed for clients that accept gzip.
    pub compression: bool,
    /// Web configuration file: TLS, client certificates, users.
    pub config_file: Option<PathBuf>,
}

impl WebSettings {
    fn read(reader: &mut Reader) -> Self {
        Self {
            listen_address: reader.on_restart("web.listen_address", values::listen_address),
            telemetry_path: reader.on_restart("web.telemetry_path", values::telemetry_path),
            created_samples: reader.on_restart("web.created_samples", values::boolean),
            compression: reader.on_restart("web.compression", values::boolean),
            config_file: reader.on_restart("web.config_file", values::optional_path),
        }
    }
}

/// The journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSettings {
    /// Data folder.
    pub path: PathBuf,
    /// How long events are kept.
    pub retention: Duration,
}

impl StorageSettings {
    fn read(reader: &mut Reader) -> Self {
        Self {
            path: reader.on_restart("storage.path", values::path),
            retention: reader.on_reload("storage.retention", values::positive_duration),
        }
    }
}

/// The live inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSettings {
    /// Maximum number of inputs.
    pub max: usize,
    /// A connect within this time after a disconnect is a reconnect.
    pub reconnect_window: Duration,
    /// A disconnected input without events for this long is forgotten; zero means never.
    pub forget_after: Duration,
    /// The configured inputs.
    pub configured: BTreeMap<InputId, Configured>,
}

impl InputSettings {
    /// The rules for the fold of inputs.
    pub fn rules(&self) -> Rules {
        let configured = self.configured.keys().copied().collect();
        Rules { reconnect_window: self.reconnect_window, max_inputs: self.max, configured }
    }

    fn read(reader: &mut Reader) -> Self {
        let inputs = Self {
            max: reader.on_reload("inputs.max", values::count),
            reconnect_window: reader.on_reload("inputs.reconnect_window", values::parse_duration),
            forget_after: reader.on_reload("inputs.forget_after", values::parse_duration),
            configured: inputs::read(reader),
        };
        let (listed, max) = (inputs.configured.len(), inputs.max);
        if listed > max {
            reader.conflict("inputs.list", &format!("{listed} inputs listed, but inputs.max is {max}"));
        }
        inputs
    }
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Lowest severity that is logged.
    pub level: LogLevel,
    /// Format of log lines.
    pub format: Format,
}

impl LogSettings {
    fn read(reader: &mut Reader) -> Self {
        Self {
            level: reader.on_reload("log.level", values::log_level),
            format: reader.on_restart("log.format", values::log_format),
        }
    }
}
