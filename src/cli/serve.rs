//! `serve`: runs the daemon. Its errors are log lines, in the format of the log.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use super::simulate;
use crate::config::{Flag, InvalidConfig, LogLevel, LogSettings, Settings, Sources};
use crate::daemon::{self, Endpoints};
use crate::telemetry;

pub(super) fn run(sources: Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&sources);
    let (level, format) = match &settings {
        Ok(settings) => (settings.log.level, settings.log.format),
        Err(_) => (LogLevel::INFO, LogSettings::format_despite_problems(&sources)),
    };
    let log = telemetry::init(level, format)?;
    let (screen, show_secret) = (log.screen.clone(), show_secret(&sources));
    let announce = move |endpoints: &Endpoints| screen.print(&next_steps(endpoints, &show_secret));
    let served = settings.map_err(Into::into).and_then(|settings| daemon::run(sources, settings, &log, announce));
    Ok(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log_error(&error);
            super::exit_code(&error)
        }
    })
}

fn log_error(error: &anyhow::Error) {
    if let Some(InvalidConfig(problems)) = error.downcast_ref() {
        for problem in problems {
            tracing::error!(error = %problem, "invalid configuration");
        }
    } else {
        let hint = super::is_damaged(error).then_some(super::SALVAGE);
        tracing::error!(error = format!("{error:#}"), hint, "the daemon ends");
    }
}

/// Addresses, files and the next commands, for a person at a terminal.
fn next_steps(endpoints: &Endpoints, show_secret: &str) -> String {
    let Endpoints { webhook, webhook_path, metrics, data_folder, secret, secret_origin, .. } = endpoints;
    let journal =
        endpoints.shared_journal.iter().map(|journal| format!("journal      {journal}\n")).collect::<String>();
    let program = env::args().next().unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
    let simulate = simulate_command(webhook, endpoints.secret_file.as_deref());
    format!(
        "\n\
         webhook      {webhook}\n\
         metrics      {metrics}\n\
         data folder  {}\n\
         {journal}\
         secret       {secret} ({secret_origin})\n\
         \n\
         To try it, send notifications from a second terminal:\n\
         \x20   {program} {simulate}\n\
         To connect Cloudflare, forward https://YOUR.NAME{webhook_path} to the webhook above, and create a webhook\n\
         destination with this URL and the secret that this command prints:\n\
         \x20   {program} {show_secret}\n\n",
        data_folder.display()
    )
}

/// The command that posts to the first of these URLs with this secret.
fn simulate_command(webhook: &str, secret_file: Option<&Path>) -> String {
    let first = webhook.split(", ").next().unwrap_or_default();
    let url = first.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//127.0.0.1:");
    let mut command = "simulate --duration 10s".to_owned();
    if url != simulate::DEFAULT_URL {
        command.push_str(&format!(" --url {url}"));
    }
    let default = std::path::absolute(simulate::DEFAULT_SECRET_FILE).unwrap_or_default();
    if let Some(file) = secret_file.filter(|file| **file != default) {
        command.push_str(&format!(" --secret-file {}", file.display()));
    }
    command
}

/// The command that finds the secrets of these sources.
fn show_secret(Sources { file, flags, .. }: &Sources) -> String {
    let config_file = file.iter().map(|file| format!(" --config.file={}", file.display()));
    let acts = |flag: &&Flag| flag.key == "storage.path" || flag.key.starts_with("webhook.secret_files.");
    // The name of a secret's flag ends with the secret's name.
    let flags = flags.iter().filter(acts).map(|flag| format!(" {}={}", flag.name.replace(' ', "="), flag.value));
    ["secret show".to_owned()].into_iter().chain(config_file).chain(flags).collect()
}
