//! `check-config`: prints the effective configuration and the next changes of every schedule, or everything that would
//! stop a start or a reload.

mod forecast;

use std::collections::BTreeMap;
use std::process::ExitCode;

use super::client::{Access, Client};
use crate::clock;
use crate::config::{Effective, Settings, Sources};
use crate::daemon::{self, Checked};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Check only the configuration, not the files, the data folder and the addresses that it names: on a machine
    /// without the secrets
    #[arg(long)]
    syntax_only: bool,
    #[command(flatten)]
    access: Access,
}

pub(super) fn run(Arguments { syntax_only, access }: &Arguments, sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let now = clock::wall();
    let Checked { warnings, is_running } = if *syntax_only {
        Checked { warnings: settings.warnings(now), is_running: false }
    } else {
        daemon::check(&settings)?
    };
    for warning in warnings {
        super::print_message(&format!("warning: {warning}"));
    }
    let exceptions = if is_running {
        Client::new(access, &settings).and_then(|daemon| forecast::of_daemon(&daemon))
    } else if settings.storage.url.is_some() && !syntax_only {
        forecast::of_journal(&settings)
    } else {
        Ok(BTreeMap::new())
    };
    let exceptions = exceptions.unwrap_or_else(|error| {
        super::print_message(&format!(
            "warning: the next changes are those of the schedules alone, because exceptions cannot be read: {error:#}"
        ));
        BTreeMap::new()
    });
    super::print(&effective(&settings.effective))?;
    super::print(&forecast::forecast(&settings, &exceptions, now))?;
    Ok(ExitCode::SUCCESS)
}

fn effective(keys: &[Effective]) -> String {
    let lines: Vec<_> = keys.iter().map(|effective| (effective.assignment(), effective.comment())).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default();
    lines.iter().map(|(line, comment)| format!("{line:width$}  # {comment}\n")).collect()
}
