//! The next changes of what is expected: by the schedules, and by the exceptions of the running daemon.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ZonedDateTime;
use serde::Deserialize;

use crate::cli::client::Client;
use crate::cli::inputs::offline_list;
use crate::cli::listed_inputs::{ListedException, listed_inputs};
use crate::config::Settings;
use crate::event::{InputId, InvalidInputId, InvalidTimestamp, Timestamp};
use crate::journal::{JournalError, Refusal};
use crate::schedule::{self, Expectation, Plan};
use crate::text::escaped;

/// Number of changes printed per input.
const CHANGES: usize = 3;

/// An input, as far as exceptions need it.
#[derive(Deserialize)]
struct Input {
    id: String,
    name: String,
    #[serde(default)]
    exception: Option<ListedException>,
}

/// An exception to the schedule of an input that is in force.
pub(super) struct InForce {
    /// The name of the input.
    name: String,
    expected: bool,
    until: Timestamp,
    user: Option<String>,
    reason: Option<String>,
}

/// The exceptions that are in force in the running daemon.
pub(super) fn of_daemon(daemon: &Client) -> anyhow::Result<BTreeMap<InputId, InForce>> {
    read(&daemon.get("/api/v1/inputs")?)
}

/// The exceptions that are in force according to the shared journal.
pub(super) fn of_journal(settings: &Settings) -> anyhow::Result<BTreeMap<InputId, InForce>> {
    match offline_list(settings) {
        Err(error) if is_missing(&error) => Ok(BTreeMap::new()),
        list => read(&list?),
    }
}

/// Whether there is no journal yet.
fn is_missing(error: &anyhow::Error) -> bool {
    let refused = |error: &JournalError| matches!(error, JournalError::Refused { refusal: Refusal::Missing(_), .. });
    error.downcast_ref().is_some_and(refused)
}

fn read(json: &str) -> anyhow::Result<BTreeMap<InputId, InForce>> {
    let inputs: Vec<Input> = listed_inputs(json)?;
    let excepted = inputs.into_iter().filter_map(|Input { id, name, exception }| Some((id, name, exception?)));
    let in_force = excepted.map(|(id, name, ListedException { expected, until, user, reason })| {
        let id = id.parse().map_err(|error: InvalidInputId| anyhow::Error::from(error))?;
        let until = until.parse().map_err(|error: InvalidTimestamp| anyhow::Error::from(error))?;
        Ok((id, InForce { name, expected, until, user, reason }))
    });
    in_force.collect()
}

/// What is expected of each input that has a schedule or an exception.
pub(super) fn forecast(settings: &Settings, exceptions: &BTreeMap<InputId, InForce>, now: Timestamp) -> String {
    let configured = &settings.inputs.configured;
    let is_scheduled = |id: &InputId| matches!(configured[id].expectation, Expectation::Scheduled(_));
    let scheduled = configured.keys().filter(|id| is_scheduled(id));
    let ids: BTreeSet<&InputId> = scheduled.chain(exceptions.keys()).collect();
    let of_input = |id: &InputId| {
        let exception = exceptions.get(id);
        let configured = configured.get(id);
        let in_force = exception.map(|it| schedule::Exception { expected: it.expected, from: now, until: it.until });
        let plan = Plan::new(configured.map(|configured| &configured.expectation), in_force);
        let name = configured.map(|configured| &*configured.name).filter(|name| !name.is_empty());
        let name = name.or(exception.map(|exception| exception.name.as_str())).unwrap_or_default();
        changes(&format!("{} ({id})", escaped(name)), &plan, exception, now)
    };
    ids.into_iter().map(of_input).collect()
}

fn changes(input: &str, plan: &Plan<'_>, exception: Option<&InForce>, now: Timestamp) -> String {
    let local = |at: Timestamp| time(&plan.local(at));
    let mut text = format!("\n# {}: {} to be live now. Next changes:\n", input.trim_start(), word(plan.at(now)));
    if let Some(InForce { expected, until, user, reason, .. }) = exception {
        let user = user.as_ref().map_or_else(String::new, |user| format!(", by {}", escaped(user)));
        let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {}", escaped(reason)));
        text.push_str(&format!("#   {} until {} by an exception{user}{reason}\n", word(*expected), local(*until)));
    }
    let changes = plan.changes(now, CHANGES);
    for change in &changes {
        text.push_str(&format!("#   {}  {}\n", local(change.at), word(change.expected)));
    }
    if changes.len() < CHANGES {
        text.push_str("#   no further changes\n");
    }
    text
}

fn word(expected: bool) -> &'static str {
    if expected { "expected" } else { "not expected" }
}

fn time(local: &ZonedDateTime) -> String {
    local.strftime("%a %Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn settings() -> Settings {
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
        Settings::load(&Sources { file: Some(file), ..Sources::default() }).unwrap()
    }

    #[test]
    fn next_changes_of_each_scheduled_input_are_printed() {
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
        assert_eq!(forecast(&settings(), &BTreeMap::new(), now), expected);
    }

    #[test]
    fn exceptions_of_the_running_daemon_are_part_of_the_next_changes() {
        let now = "2026-03-28T18:00:00Z".parse().unwrap();
        let exceptions = read(
            r#"{"as_of": "x", "inputs": [
            {"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "name": "Lobby", "expected": false,
             "exception": {"expected": false, "until": "2026-03-28T20:00:00Z", "user": null, "reason": null}},
            {"id": "11111111111111111111111111111111", "name": "From \u001b[31m", "expected": true,
             "exception": {"expected": true, "until": "2026-03-28T19:00:00Z", "user": "anna", "reason": "a \u001b[31m"}},
            {"id": "2c28dd2cc444cb77578c4840b51e43a8", "name": "Chapel", "expected": true,
             "exception": {"expected": true, "until": "2026-03-29T10:00:00Z", "user": "anna", "reason": "rehearsal"}},
            {"id": "eb222fcca08eeb1ae84c981ebe8aeeb6", "name": "Gala", "expected": true, "exception": null}
        ]}"#,
        );
        let expected = "
# Lobby (0f1e2d3c4b5a69788796a5b4c3d2e1f0): not expected to be live now. Next changes:
#   not expected until Sat 2026-03-28T20:00:00+00:00 by an exception
#   Sat 2026-03-28T20:00:00+00:00  expected
#   no further changes

# From \\u001b[31m (11111111111111111111111111111111): expected to be live now. Next changes:
#   expected until Sat 2026-03-28T19:00:00+00:00 by an exception, by anna: a \\u001b[31m
#   Sat 2026-03-28T19:00:00+00:00  not expected
#   no further changes

# Chapel (2c28dd2cc444cb77578c4840b51e43a8): expected to be live now. Next changes:
#   expected until Sun 2026-03-29T11:00:00+01:00 by an exception, by anna: rehearsal
#   Sun 2026-03-29T12:00:00+01:00  not expected
#   Sun 2026-04-05T09:55:00+01:00  expected
#   Sun 2026-04-05T12:00:00+01:00  not expected

# Gala (eb222fcca08eeb1ae84c981ebe8aeeb6): expected to be live now. Next changes:
#   Sat 2026-03-28T22:30:00+00:00  not expected
#   no further changes
";
        assert_eq!(forecast(&settings(), &exceptions.unwrap(), now), expected);
        assert!(read("{}").is_err());
    }
}
