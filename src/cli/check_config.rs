//! `check-config`: the effective configuration with what it will expect next, or every problem of it.

use std::process::ExitCode;

use anyhow::Context;

use crate::clock;
use crate::config::{Effective, Settings, Sources};
use crate::event::{InputId, Timestamp};
use crate::http::WebConfig;
use crate::schedule::{Configured, Expectation, Schedule};

/// So many changes of each scheduled input are told.
const CHANGES: usize = 3;

pub(super) fn run(sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    settings.web.config_file.clone().map(WebConfig::load).transpose().context("web.config_file")?;
    super::print(&effective(&settings.effective))?;
    super::print(&agenda(&settings, clock::now()))?;
    Ok(ExitCode::SUCCESS)
}

fn effective(keys: &[Effective]) -> String {
    let lines: Vec<(String, &Effective)> = keys.iter().map(|effective| (assignment(effective), effective)).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default();
    lines.iter().map(|(line, effective)| format!("{line:width$}  # {}\n", effective.origin)).collect()
}

fn assignment(Effective { key, value, .. }: &Effective) -> String {
    format!("{key} = {value:?}")
}

/// The next changes of every scheduled input.
fn agenda(settings: &Settings, now: Timestamp) -> String {
    let scheduled = settings.inputs.configured.iter().filter_map(|(id, configured)| match &configured.expectation {
        Expectation::Scheduled(schedule) => Some(changes(id, configured, schedule, now)),
        Expectation::Always | Expectation::Never => None,
    });
    scheduled.collect()
}

fn changes(id: &InputId, Configured { name, .. }: &Configured, schedule: &Schedule, now: Timestamp) -> String {
    let word = |expected: bool| if expected { "expected" } else { "not expected" };
    let mut text = format!("\n# {name} ({id}) is {} to be live now. Its next changes:\n", word(schedule.at(now)));
    let changes = schedule.changes(now, CHANGES);
    for change in &changes {
        let at = schedule.local(change.at).strftime("%a %Y-%m-%dT%H:%M:%S%:z");
        text.push_str(&format!("#   {at}  {}\n", word(change.expected)));
    }
    if changes.len() < CHANGES {
        text.push_str("#   and no more for 400 days\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheduled_input_has_its_next_changes() {
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
# Chapel (2c28dd2cc444cb77578c4840b51e43a8) is not expected to be live now. Its next changes:
#   Sun 2026-03-29T09:55:00+01:00  expected
#   Sun 2026-03-29T12:00:00+01:00  not expected
#   Sun 2026-04-05T09:55:00+01:00  expected

# Gala (eb222fcca08eeb1ae84c981ebe8aeeb6) is expected to be live now. Its next changes:
#   Sat 2026-03-28T22:30:00+00:00  not expected
#   and no more for 400 days
";
        assert_eq!(agenda(&settings, now), expected);
    }
}
