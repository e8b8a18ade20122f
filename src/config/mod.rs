//! The configuration: embedded defaults, then a file, then the environment, then flags.
//!
//! One key has one name in every layer: `webhook.listen_address` in a file is
//! `STREAM_LIVE_EXPORTER__WEBHOOK__LISTEN_ADDRESS` in the environment and
//! `--webhook.listen-address` on the command line. A key that nobody knows is a problem, and all
//! problems are reported at once, each with its origin and key. Secrets come from files or from the
//! environment, and are never printed.

mod expected;
mod layers;
mod reader;
mod secrets;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use thiserror::Error;

pub use layers::{Flag, Sources, environment_name, flag_name};
pub use reader::{Effective, Problem};
pub use secrets::{Secret, SecretOrigin, Secrets};
pub use values::{ListenAddress, LogLevel, parse_duration};

use crate::event::InputId;
use crate::schedule::Configured;
use crate::telemetry::Format;
use reader::Reader;

/// The defaults, which also document every key.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// A configuration in which everything is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The public listener.
    pub webhook: Webhook,
    /// The private listener.
    pub web: Web,
    /// The journal.
    pub storage: Storage,
    /// The live inputs.
    pub inputs: Inputs,
    /// What is logged, and how.
    pub log: Log,
    /// Every key with its value and where that came from, secrets left out.
    pub effective: Vec<Effective>,
}

/// The public listener: where notifications arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it listens.
    pub listen_address: ListenAddress,
    /// The path of the webhook's URL; begins with a slash.
    pub path: String,
    /// The largest body that is read, in bytes.
    pub max_body_size: usize,
    /// The longest time that a body may take.
    pub body_timeout: Duration,
    /// So many notifications may wait for the journal.
    pub queue_size: usize,
    /// So many connections are open at the most.
    pub max_connections: usize,
    /// So many connections of one peer, an IPv4 address or an IPv6 network of 64 bits, are open at
    /// the most.
    pub max_connections_per_peer: usize,
    /// A connection on which no request begins or is answered for so long is closed.
    pub idle_timeout: Duration,
    /// So many wrong secrets of one peer are answered as such in a minute.
    pub max_failures_per_peer: usize,
    /// The networks of proxies whose word about their clients is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The certificate and its key in PEM format; without them the listener speaks plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where the valid secrets are to be found; with none the daemon makes its own.
    pub secrets: Vec<SecretOrigin>,
}

/// The private listener: metrics, status, API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where it listens.
    pub listen_address: ListenAddress,
    /// The path of the metrics; begins with a slash.
    pub telemetry_path: String,
    /// Whether OpenMetrics output has `_created` samples.
    pub created_samples: bool,
    /// Whether answers are compressed for clients that take gzip.
    pub compression: bool,
    /// The web configuration file: TLS, client certificates, users.
    pub config_file: Option<PathBuf>,
}

/// The journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The data folder.
    pub path: PathBuf,
    /// How long events are kept.
    pub retention: Duration,
}

/// The live inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// So many are known at the most.
    pub max: usize,
    /// A connect within this time after a disconnect is a reconnect.
    pub reconnect_window: Duration,
    /// A disconnected input that is silent for so long is forgotten; zero means never.
    pub forget_after: Duration,
    /// The configured inputs.
    pub configured: BTreeMap<InputId, Configured>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The least severity that is logged.
    pub level: LogLevel,
    /// The format.
    pub format: Format,
}

/// A configuration that cannot be used, with every problem that it has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InvalidConfig(pub Vec<Problem>);

impl Settings {
    /// Reads all layers.
    ///
    /// # Errors
    ///
    /// Every problem at once: files that cannot be read, unknown keys, bad values.
    pub fn load(sources: &Sources) -> Result<Self, InvalidConfig> {
        let mut reader = Reader::new(sources)?;
        let mut settings = Self {
            webhook: Webhook {
                listen_address: reader.scalar("webhook.listen_address", values::listen_address),
                path: reader.scalar("webhook.path", values::url_path),
                max_body_size: reader.scalar("webhook.max_body_size", values::size),
                body_timeout: reader.scalar("webhook.body_timeout", values::positive_duration),
                queue_size: reader.scalar("webhook.queue_size", values::queue_length),
                max_connections: reader.scalar("webhook.max_connections", values::count),
                max_connections_per_peer: reader.scalar("webhook.max_connections_per_peer", values::count),
                idle_timeout: reader.scalar("webhook.idle_timeout", values::positive_duration),
                max_failures_per_peer: reader.scalar("webhook.max_failures_per_peer", values::count),
                trusted_proxies: reader.scalar("webhook.trusted_proxies", values::networks),
                tls: Self::tls(&mut reader),
                secrets: secrets::origins(&mut reader),
            },
            web: Web {
                listen_address: reader.scalar("web.listen_address", values::listen_address),
                telemetry_path: reader.scalar("web.telemetry_path", values::telemetry_path),
                created_samples: reader.scalar("web.created_samples", values::boolean),
                compression: reader.scalar("web.compression", values::boolean),
                config_file: reader.scalar("web.config_file", values::optional_path),
            },
            storage: Storage {
                path: reader.scalar("storage.path", values::path),
                retention: reader.scalar("storage.retention", values::positive_duration),
            },
            inputs: Inputs {
                max: reader.scalar("inputs.max", values::count),
                reconnect_window: reader.scalar("inputs.reconnect_window", parse_duration),
                forget_after: reader.scalar("inputs.forget_after", parse_duration),
                configured: reader.inputs("inputs.list"),
            },
            log: Log {
                level: reader.scalar("log.level", values::log_level),
                format: reader.scalar("log.format", values::log_format),
            },
            effective: Vec::new(),
        };
        if settings.inputs.configured.len() > settings.inputs.max {
            let message =
                format!("lists {} inputs, but inputs.max is {}", settings.inputs.configured.len(), settings.inputs.max);
            reader.problem("inputs.list", message);
        }
        settings.effective = reader.finish()?;
        Ok(settings)
    }

    fn tls(reader: &mut Reader) -> Option<(PathBuf, PathBuf)> {
        let certificate = reader.scalar("webhook.tls_cert_file", values::optional_path);
        let key = reader.scalar("webhook.tls_key_file", values::optional_path);
        match (certificate, key) {
            (Some(certificate), Some(key)) => return Some((certificate, key)),
            (None, None) => {}
            (Some(_), None) => reader.problem("webhook.tls_key_file", "is missing beside webhook.tls_cert_file"),
            (None, Some(_)) => reader.problem("webhook.tls_cert_file", "is missing beside webhook.tls_key_file"),
        }
        None
    }

    /// The keys in which a new configuration differs from this one although only a restart applies
    /// them.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let checks = [
            ("webhook.listen_address", self.webhook.listen_address != new.webhook.listen_address),
            ("webhook.path", self.webhook.path != new.webhook.path),
            ("webhook.queue_size", self.webhook.queue_size != new.webhook.queue_size),
            ("webhook.max_connections", self.webhook.max_connections != new.webhook.max_connections),
            (
                "webhook.max_connections_per_peer",
                self.webhook.max_connections_per_peer != new.webhook.max_connections_per_peer,
            ),
            ("webhook.idle_timeout", self.webhook.idle_timeout != new.webhook.idle_timeout),
            ("webhook.tls_cert_file, webhook.tls_key_file", self.webhook.tls != new.webhook.tls),
            ("web.listen_address", self.web.listen_address != new.web.listen_address),
            ("web.telemetry_path", self.web.telemetry_path != new.web.telemetry_path),
            ("web.created_samples", self.web.created_samples != new.web.created_samples),
            ("web.compression", self.web.compression != new.web.compression),
            ("web.config_file", self.web.config_file != new.web.config_file),
            ("storage.path", self.storage.path != new.storage.path),
            ("log.format", self.log.format != new.log.format),
        ];
        checks.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests;
