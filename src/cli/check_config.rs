//! `check-config`: the effective configuration, or every problem of it.

use std::process::ExitCode;

use crate::config::{Effective, Settings, Sources};

pub(super) fn run(sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let lines: Vec<(String, &Effective)> =
        settings.effective.iter().map(|effective| (assignment(effective), effective)).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default();
    let lines = lines.iter().map(|(line, effective)| format!("{line:width$}  # {}\n", effective.origin));
    super::print(&lines.collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

fn assignment(Effective { key, value, .. }: &Effective) -> String {
    format!("{key} = {value:?}")
}
