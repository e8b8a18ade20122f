//! `secret`: prints the webhook secrets, which Cloudflare needs, and new ones. No other command prints a secret.
//!
//! An image without a shell has no other way to read the generated one.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::Subcommand;

use crate::config::{MissingSecret, Secret, Settings, Sources, WebhookSecrets};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the webhook secret for Cloudflare's dashboard: the configured ones, or else the generated one
    Show {
        /// Name of one secret; without it, several secrets are printed as one line each: name, blank, secret
        name: Option<String>,
        /// Print also if standard output is not a terminal
        #[arg(long)]
        print: bool,
    },
    /// Print a new random secret; changes nothing
    New,
}

pub(super) fn run(command: &Command, sources: &Sources) -> anyhow::Result<ExitCode> {
    let text = match command {
        Command::Show { print: false, .. } if !io::stdout().is_terminal() => {
            bail!("standard output is not a terminal, so the secret could end up in a log: to print it, add --print")
        }
        Command::Show { name, .. } => show(name.as_deref(), sources)?,
        Command::New => format!("{}\n", Secret::generate()?.expose()),
    };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn show(name: Option<&str>, sources: &Sources) -> anyhow::Result<String> {
    let Settings { webhook, storage, .. } = Settings::load(sources)?;
    let WebhookSecrets { named, .. } =
        WebhookSecrets::load(&webhook.secrets, storage.own_secret_folder(), MissingSecret::Ignore)?;
    let names = || named.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut secrets = named.values();
    match (name, secrets.next(), secrets.next()) {
        (_, None, _) if storage.url.is_some() => Err(anyhow!(
            "no secret is configured; with storage.url, webhook.secret_files names the one that all replicas have"
        )),
        (_, None, _) => Err(missing(&storage.path)),
        (Some(name), Some(_), _) => {
            let secret = named.get(name).ok_or_else(|| anyhow!("no secret is named {name}: there is {}", names()))?;
            Ok(format!("{}\n", secret.expose()))
        }
        (None, Some(secret), None) => Ok(format!("{}\n", secret.expose())),
        (None, Some(_), Some(_)) => {
            Ok(named.iter().map(|(name, secret)| format!("{name} {}\n", secret.expose())).collect())
        }
    }
}

fn missing(data_folder: &Path) -> anyhow::Error {
    anyhow!(
        "no secret is configured, and {} does not exist: name the daemon's configuration with --config.file or its data \
         folder with --storage.path; or start the daemon, which generates the secret",
        WebhookSecrets::own_file_in(data_folder).display()
    )
}
