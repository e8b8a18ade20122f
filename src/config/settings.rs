//! The typed settings, each section with the lines that read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::cloudflare::CloudflareSettings;
use super::problem::Problem;
use super::reader::{Effective, Reader, single};
use super::secret::read_password;
use super::secret_source::{self, SecretSource};
use super::values::{self, ListenAddress, LogLevel};
use super::{InvalidConfig, Sources, inputs, spelling};
use crate::event::{InputId, Rules};
use crate::journal::{Address, SchemaName, Server};
use crate::schedule::Configured;
use crate::telemetry::Format;

/// A valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The public listener.
    pub webhook: WebhookSettings,
    /// The private listener.
    pub web: WebSettings,
    /// The journal.
    pub storage: StorageSettings,
    /// The live inputs.
    pub inputs: InputSettings,
    /// Cloudflare's API.
    pub cloudflare: CloudflareSettings,
    /// Logging.
    pub log: LogSettings,
    /// Every key with its value and origin, secrets masked.
    pub effective: Vec<Effective>,
    /// The warnings that were found while reading.
    pub(super) warnings: Vec<Problem>,
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
        let (listed, max) = (inputs.configured.len(), inputs.max);
        if listed > max {
            reader.conflict("inputs.list", &format!("{listed} inputs listed, but inputs.max is {max}"));
        }
        let (cloudflare, log) = (CloudflareSettings::read(&mut reader), LogSettings::read(&mut reader));
        let (effective, mut warnings) = reader.finish()?;
        warnings.extend(spelling::ignored_variables(&sources.environment));
        Ok(Self { webhook, web, storage, inputs, cloudflare, log, effective, warnings })
    }

    /// The effective configuration after a reload with these settings: keys that need a restart keep their values.
    pub fn in_force<'a>(&'a self, started_with: &'a Self) -> impl Iterator<Item = &'a Effective> {
        self.effective.iter().map(|new| {
            let of_start = || started_with.effective.iter().find(|old| old.key == new.key);
            Some(new).filter(|new| new.reloadable).or_else(of_start).unwrap_or(new)
        })
    }

    /// The keys whose new values take effect only after a restart.
    pub fn needs_restart<'a>(&self, new: &'a Self) -> Vec<&'a str> {
        let unchanged = |new: &Effective| self.effective.iter().any(|old| old.key == new.key && old.value == new.value);
        let changed = new.effective.iter().filter(|new| !new.reloadable && !unchanged(new));
        changed.map(|new| new.key.as_str()).collect()
    }
}

/// Defines a section: each field with its type and how it is read.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident($reader:ident) {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $read:expr,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            fn read($reader: &mut Reader) -> Self {
                Self { $($field: $read,)* }
            }
        }
    };
}

section! {
    /// The public listener, which receives notifications.
    WebhookSettings(reader) {
        /// Addresses to listen on, at least one. With `systemd_socket`, only commands that send requests use them.
        listen_addresses: Vec<ListenAddress> =
            reader.list_on_restart("webhook.listen_address", values::listen_addresses),
        /// Whether systemd opens the listening sockets.
        systemd_socket: bool = reader.on_restart("webhook.systemd_socket", values::boolean),
        /// Path of the webhook's URL.
        path: String = reader.on_restart("webhook.path", values::url_path),
        /// Largest accepted body, in bytes.
        max_body_size: usize = reader.size_on_reload("webhook.max_body_size"),
        /// Time limit for reading a body.
        body_timeout: Duration = reader.duration_on_reload("webhook.body_timeout", values::positive_duration),
        /// Maximum number of notifications waiting to be written.
        queue_size: usize = reader.on_restart("webhook.queue_size", values::queue_size),
        /// Maximum number of open connections.
        max_connections: usize = reader.on_restart("webhook.max_connections", values::count),
        /// Maximum number of open connections per peer (IPv4 address or IPv6 /64).
        max_connections_per_peer: usize = reader.on_restart("webhook.max_connections_per_peer", values::count),
        /// Connections are closed when no request begins or is answered for this long.
        idle_timeout: Duration = reader.duration_on_restart("webhook.idle_timeout", values::positive_duration),
        /// Failed authentications per peer and minute before 429.
        max_failures_per_peer: usize = reader.on_reload("webhook.max_failures_per_peer", values::count),
        /// Proxies whose `x-forwarded-for` is trusted.
        trusted_proxies: Vec<IpNet> = reader.on_reload("webhook.trusted_proxies", values::networks),
        /// Certificate and key in PEM format. Without them, the listener speaks plain HTTP.
        tls: Option<(PathBuf, PathBuf)> = read_tls(reader),
        /// Valid secrets by name. If there are none, one is generated in the data folder.
        secrets: BTreeMap<String, SecretSource> = secret_source::read(reader),
    }
}

section! {
    /// The private listener, which serves metrics, status and API.
    WebSettings(reader) {
        /// Addresses to listen on, at least one. With `systemd_socket`, only commands that send requests use them.
        listen_addresses: Vec<ListenAddress> =
            reader.list_on_restart("web.listen_address", values::listen_addresses),
        /// Whether systemd opens the listening sockets.
        systemd_socket: bool = reader.on_restart("web.systemd_socket", values::boolean),
        /// Path of the metrics.
        telemetry_path: String = reader.on_restart("web.telemetry_path", values::telemetry_path),
        /// Whether OpenMetrics output has `_created` samples.
        created_samples: bool = reader.on_restart("web.created_samples", values::boolean),
        /// Whether responses are compressed for clients that accept gzip.
        compression: bool = reader.on_restart("web.compression", values::boolean),
        /// Whether clients without authentication may correct inputs, also if the listener is not on loopback.
        enable_admin_api: bool = reader.on_restart("web.enable_admin_api", values::boolean),
        /// Base URL of Grafana, without a slash at its end.
        grafana_url: Option<String> = reader.on_reload("web.grafana_url", values::optional_base_url),
        /// Web configuration file: TLS, client certificates, users.
        config_file: Option<PathBuf> = reader.optional_path_on_restart("web.config_file"),
    }
}

section! {
    /// The journal.
    StorageSettings(reader) {
        /// Data folder.
        path: PathBuf = reader.path_on_restart("storage.path"),
        /// PostgreSQL, which has the journal if it is given.
        url: Option<Address> = reader.on_restart("storage.url", values::optional_server),
        /// File with the password for it.
        password_file: Option<PathBuf> = reader.optional_path_on_restart("storage.password_file"),
        /// The schema that has the journal.
        schema: SchemaName = reader.on_restart("storage.schema", values::schema_name),
        /// Maximum number of records that wait in the data folder while PostgreSQL is away.
        spool_max: usize = reader.on_restart("storage.spool_max", values::count),
        /// How long events are kept.
        retention: Duration = reader.duration_on_reload("storage.retention", values::retention),
    }
}

section! {
    /// The live inputs.
    InputSettings(reader) {
        /// Maximum number of inputs.
        max: usize = reader.on_reload("inputs.max", values::count),
        /// A connect within this time after a disconnect is a reconnect.
        reconnect_window: Duration = reader.duration_on_reload("inputs.reconnect_window", values::parse_duration),
        /// Events may arrive in any order within this time.
        reorder_window: Duration = reader.duration_on_reload("inputs.reorder_window", values::parse_duration),
        /// A disconnected input without events for this long is forgotten; zero means never.
        forget_after: Duration = reader.duration_on_reload("inputs.forget_after", values::parse_duration),
        /// The configured inputs.
        configured: BTreeMap<InputId, Configured> = inputs::read(reader),
    }
}

section! {
    /// Logging.
    LogSettings(reader) {
        /// Lowest severity that is logged.
        level: LogLevel = reader.on_reload("log.level", values::log_level),
        /// Format of log lines.
        format: Format = reader.on_restart("log.format", values::log_format),
    }
}

impl StorageSettings {
    /// The folder of the daemon's own webhook secret; `None` with a shared journal.
    pub fn own_secret_folder(&self) -> Option<&Path> {
        self.url.is_none().then_some(&self.path)
    }

    /// The server of a shared journal.
    pub fn server(&self) -> Option<Server> {
        let address = self.url.clone()?;
        Some(Server::new(address, self.password_file.clone(), self.schema.clone()))
    }

    /// What is dangerous about a password file that works. A connection reports one that does not.
    pub fn password_warnings(&self) -> Vec<Problem> {
        let mut warnings = Vec::new();
        if let Some(path) = &self.password_file {
            _ = read_password(path, &mut warnings);
        }
        warnings
    }
}

impl LogSettings {
    /// The format of log lines, also if the configuration has problems, so that they can be logged. Layers that cannot be
    /// read and invalid values are skipped.
    pub fn format_despite_problems(sources: &Sources) -> Format {
        let formats = sources.values("log.format").into_iter().filter_map(|value| single(value).ok());
        formats.filter_map(|text| values::log_format(&text).ok()).next().unwrap_or(Format::Auto)
    }
}

fn read_tls(reader: &mut Reader) -> Option<(PathBuf, PathBuf)> {
    let certificate = reader.optional_path_on_restart("webhook.tls_cert_file");
    let key = reader.optional_path_on_restart("webhook.tls_key_file");
    match (&certificate, &key) {
        (Some(_), None) => reader.conflict("webhook.tls_key_file", "required with webhook.tls_cert_file"),
        (None, Some(_)) => reader.conflict("webhook.tls_cert_file", "required with webhook.tls_key_file"),
        (None, None) | (Some(_), Some(_)) => {}
    }
    certificate.zip(key)
}

impl InputSettings {
    /// The rules of the fold.
    pub fn rules(&self) -> Rules {
        let configured = self.configured.keys().copied().collect();
        Rules {
            reconnect_window: self.reconnect_window,
            reorder_window: self.reorder_window,
            max_inputs: self.max,
            configured,
        }
    }
}
