//! `serve`: runs the daemon.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use crate::config::{Settings, Sources};
use crate::daemon::{Daemon, Endpoints};
use crate::telemetry;

pub(super) fn run(sources: Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&sources)?;
    let log_level = telemetry::init(settings.log.level, settings.log.format);
    let daemon = Daemon::build(sources, settings, log_level)?;
    if io::stderr().is_terminal() {
        super::print(&next_steps(daemon.endpoints()))?;
    }
    daemon.run()?;
    Ok(ExitCode::SUCCESS)
}

fn next_steps(Endpoints { webhook, webhook_path, metrics, secret }: &Endpoints) -> String {
    format!(
        "\npoint Cloudflare at   https://YOUR.NAME{webhook_path}, forwarded to {webhook}\n\
         with the secret in    {secret}\n\
         and Prometheus at     {metrics}\n\n"
    )
}
