//! `check-config`: prints the effective configuration and the next changes of every schedule, or everything that would
//! stop a start or a reload.

use std::process::ExitCode;

use crate::clock;
use crate::config::{Effective, Settings, Sources};
use crate::daemon;
use crate::event::{InputId, Timestamp};
use crate::schedule::{Configured, Expectation, Schedule};

/// Number of changes printed per scheduled input.
const CHANGES: usize = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Check only the configuration, not the files, the data folder and the addresses that it names: on a machine
    /// without the secrets
    #[arg(long)]
    syntax_only: bool,
}

pub(super) fn run(Arguments { syntax_only }: &Arguments, sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let now = clock::now();
    let warnings = if *syntax_only { settings.warnings(now) } else { daemon::check(&settings)? };
    for warning in warnings {
        super::print_message(&format!("warning: {warning}"));
    }
    super::print(&effective(&settings.effective))?;
    super::print(&next_changes(&settings, now))?;
    Ok(ExitCode::SUCCESS)
}

fn effective(keys: &[Effective]) -> String {
    let lines: Vec<_> = keys.iter().map(|effective| (effective.assignment(), effective.comment())).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default();
    lines.iter().map(|(line, comment)| format!("{line:width$}  # {comment}\n")).collect()
}

fn next_changes(settings: &Settings, now: Timestamp) -> String {
    let scheduled = settings.inputs.configured.iter().filter_map(|(id, configured)| match &configured.expectation {
        Expectation::Scheduled(schedule) => Some(changes(id, configured, schedule, now)),
        Expectation::Always | Expectation::Never => None,
    });
    scheduled.collect()
}

fn changes(id: &InputId, Configured { name, .. }: &Configured, schedule: &Schedule, now: Timestamp) -> String {
    let word = |expected: bool| if expected { "expected" } else { "not expected" };
    let mut text = format!("\n# {name} ({id}): {} to be live now. Next changes:\n", word(schedule.at(now)));
    let changes = schedule.changes(now, CHANGES);
    for change in &changes {
        let at = schedule.local(change.at).strftime("%a %Y-%m-%dT%H:%M:%S%:z");
        text.push_str(&format!("#   {at}  {}\n", word(change.expected)));
    }
    if changes.len() < CHANGES {
        text.push_str("#   no further changes\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_changes_of_each_scheduled_input_are_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        let text = r#"
            [[inputs]]
            id = "2c28dd2cc444cb77578c4840b51e43a8"
            name = "Chapel"
            expected = [{ days = ["sun"], from = "10:00", to = "12:00", time_zone = "Europe/London", grace_before = "5m" }]
            [[inputs]]
            id = "eb222fcca08eeb1ae84c981ebe8aeeb6"
            name = "Gala"
            expected = [{ from = 2026-03-28T18:00:00+01:00, until = 2026-03-28T23:30:00+01:00 }]
            [[inputs]]
            id = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
            name = "Lobby"
            expected = "always""#;
        std::fs::write(&file, text).unwrap();
        let settings = Settings::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
        let now = "2026-03-28T18:00:00Z".parse().unwrap();
        let expected = "
# Chapel (2c28dd2cc444cb77578c4840b51e43a8): not expected to be live now. Next changes:
#   Sun 2026-03-29T09:55:00+01:00  expected
#   Sun 2026-03-29T12:00:00+01:00  not expected
#   Sun 2026-04-05T09:55:00+01:00  expected

# Gala (eb222fcca08eeb1ae84c981ebe8aeeb6): expected to be live now. Next changes:
#   Sat 2026-03-28T22:30:00+00:00  not expected
#   no further changes
";
        assert_eq!(next_changes(&settings, now), expected);
    }
}
