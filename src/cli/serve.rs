//! `serve`: runs the daemon. Its errors are log lines, in the format of the log.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::thread;

use crate::config::{InvalidConfig, LogLevel, LogSettings, Settings, Sources};
use crate::daemon::{self, Endpoints};
use crate::telemetry;

pub(super) fn run(sources: Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&sources);
    let (level, format) = match &settings {
        Ok(settings) => (settings.log.level, settings.log.format),
        Err(_) => (LogLevel::INFO, LogSettings::format_despite_problems(&sources)),
    };
    let log = telemetry::init(level, format)?;
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

/// Tells a person at a terminal what to do next. The terminal may be stopped, so another thread prints.
fn announce(endpoints: &Endpoints) {
    if !io::stderr().is_terminal() {
        return;
    }
    let text = next_steps(endpoints);
    // Without the thread or the terminal, only this help is missing.
    let _ = thread::Builder::new().name("announce".into()).spawn(move || super::print(&text));
}

fn next_steps(Endpoints { webhook, webhook_path, metrics, secret }: &Endpoints) -> String {
    format!(
        "\npoint Cloudflare at   https://YOUR.NAME{webhook_path}, forwarded to {webhook}\n\
         with the secret in    {secret}\n\
         and Prometheus at     {metrics}\n\n"
    )
}
