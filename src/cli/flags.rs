//! Flags in the exporters' manner: `--webhook.listen-address` is the key `webhook.listen_address`.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Flag, Sources};

/// What can be configured on the command line. Values are checked with the rest of the
/// configuration, so that all problems are reported at once.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration (each flag is also a key of the file and an environment variable)")]
pub(super) struct Flags {
    /// Configuration file, TOML or YAML
    #[arg(long = "config.file", value_name = "PATH", global = true)]
    config_file: Option<PathBuf>,
    /// Where Cloudflare's notifications arrive [default: 0.0.0.0:10418]
    #[arg(long = "webhook.listen-address", value_name = "ADDRESS", global = true)]
    webhook_listen_address: Option<String>,
    /// Path of the webhook's URL [default: /webhook]
    #[arg(long = "webhook.path", value_name = "PATH", global = true)]
    webhook_path: Option<String>,
    /// A valid secret's name and file, repeatable [default: one is made in the data folder]
    #[arg(long = "webhook.secret-file", value_name = "NAME=PATH", value_parser = named_file, global = true)]
    webhook_secret_file: Vec<(String, String)>,
    /// Largest accepted body [default: 64KiB]
    #[arg(long = "webhook.max-body-size", value_name = "SIZE", global = true)]
    webhook_max_body_size: Option<String>,
    /// Where metrics, status and API are served [default: 127.0.0.1:10419]
    #[arg(long = "web.listen-address", value_name = "ADDRESS", global = true)]
    web_listen_address: Option<String>,
    /// Path of the metrics [default: /metrics]
    #[arg(long = "web.telemetry-path", value_name = "PATH", global = true)]
    web_telemetry_path: Option<String>,
    /// Web configuration file of the private listener: TLS, client certificates, users [default: none]
    #[arg(long = "web.config.file", value_name = "PATH", global = true)]
    web_config_file: Option<String>,
    /// Data folder [default: data]
    #[arg(long = "storage.path", value_name = "PATH", global = true)]
    storage_path: Option<String>,
    /// How long events are kept [default: 90d]
    #[arg(long = "storage.retention", value_name = "DURATION", global = true)]
    storage_retention: Option<String>,
    /// How many inputs are known at the most [default: 10000]
    #[arg(long = "inputs.max", value_name = "COUNT", global = true)]
    inputs_max: Option<String>,
    /// A connect within this time after a disconnect is a reconnect [default: 60s]
    #[arg(long = "inputs.reconnect-window", value_name = "DURATION", global = true)]
    inputs_reconnect_window: Option<String>,
    /// Forget an input that is disconnected and silent for so long; 0 means never [default: 0]
    #[arg(long = "inputs.forget-after", value_name = "DURATION", global = true)]
    inputs_forget_after: Option<String>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long = "log.level", value_name = "LEVEL", global = true)]
    log_level: Option<String>,
    /// auto, logfmt or json [default: auto]
    #[arg(long = "log.format", value_name = "FORMAT", global = true)]
    log_format: Option<String>,
}

impl Flags {
    /// The configuration's layers: these flags on top of file and environment.
    pub(super) fn into_sources(self) -> Sources {
        let scalars = [
            ("webhook.listen_address", self.webhook_listen_address),
            ("webhook.path", self.webhook_path),
            ("webhook.max_body_size", self.webhook_max_body_size),
            ("web.listen_address", self.web_listen_address),
            ("web.telemetry_path", self.web_telemetry_path),
            ("web.config_file", self.web_config_file),
            ("storage.path", self.storage_path),
            ("storage.retention", self.storage_retention),
            ("inputs.max", self.inputs_max),
            ("inputs.reconnect_window", self.inputs_reconnect_window),
            ("inputs.forget_after", self.inputs_forget_after),
            ("log.level", self.log_level),
            ("log.format", self.log_format),
        ];
        let scalars = scalars.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        let files = self.webhook_secret_file.into_iter();
        let files = files.map(|(name, path)| (format!("webhook.secret_files.{name}"), path));
        let flags = scalars.chain(files).map(|(key, value)| Flag { key, value }).collect();
        Sources::of_this_process(self.config_file, flags)
    }
}

fn named_file(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.to_owned())),
        _ => Err("expected NAME=PATH"),
    }
}
