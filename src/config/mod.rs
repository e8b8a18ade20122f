//! The configuration: embedded defaults, overridden by a file, the environment and flags, in this order.
//!
//! A key has one name in every layer: `webhook.listen_address` in a file is
//! `STREAM_LIVE_EXPORTER__WEBHOOK__LISTEN_ADDRESS` in the environment and
//! `--webhook.listen-address` on the command line. All problems are reported at once, unknown keys
//! included, each with its origin and key. Secrets come from files or from the environment, and are
//! never printed.
//!
//! A new key needs a line in `config/default.toml`, a field in `settings.rs` with its type and
//! parser, and a row in docs/configuration.md. A flag is one more row, in `cli/flags.rs`.

mod settings;
mod cloudflare;
mod entry;
mod inputs;
mod layers;
mod problem;
mod reader;
mod secret;
mod secret_source;
mod secrets;
mod spelling;
mod values;
mod warnings;

use thiserror::Error;

pub use cloudflare::{CloudflareAccount, CloudflareSettings};
pub use layers::{Flag, Sources};
pub use problem::Problem;
pub use reader::Effective;
pub use secret::{InvalidSecret, Secret, read_password};
pub use secret_source::SecretSource;
pub use secrets::{MissingSecret, WebhookSecrets};
pub use settings::{InputSettings, LogSettings, Settings, StorageSettings, WebSettings, WebhookSettings};
pub use values::{ListenAddress, LogLevel, duration_in_words, positive_duration};

/// The defaults, which also document every key.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// All problems of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InvalidConfig(pub Vec<Problem>);

#[cfg(test)]
mod tests;
