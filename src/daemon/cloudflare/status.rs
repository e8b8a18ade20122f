//! The state of an account's tasks, for the private API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cloudflare::{ApiErrorKind, BackfillProgress, Entries, Facts, Period};
use crate::event::{AccountId, Timestamp};
use crate::recorder::HistoryOutcome;

/// What became of the events of the newest backfill.
#[derive(Default)]
pub(super) struct Recorded {
    period: Option<Period>,
    outcome: HistoryOutcome,
}

impl Recorded {
    /// Counts from 0 if this is another backfill.
    pub(super) fn begin(&mut self, progress: Option<&BackfillProgress>) {
        let period = progress.map(|progress| progress.period);
        if self.period != period {
            *self = Self { period, outcome: HistoryOutcome::default() };
        }
    }

    pub(super) fn add(&mut self, outcome: &HistoryOutcome) {
        self.outcome.add(outcome);
    }
}

/// The state of an account's tasks. `waits`: a backfill is requested and has not begun.
pub(super) fn json(name: &str, id: AccountId, facts: &Facts, (waits, recorded): (bool, &Recorded)) -> Value {
    let tasks = facts.tasks.iter().map(|(name, task)| {
        let status = json!({
            "last_success": text(task.last_success),
            "last_failure": text(task.last_failure),
            "failures": task.failures,
            "error": task.error.as_ref().map(ToString::to_string),
            "unauthorized": task.error.as_ref().is_some_and(|error| error.kind == ApiErrorKind::Unauthorized),
        });
        (name.label(), status)
    });
    json!({
        "name": name,
        "account_id": id,
        "tasks": tasks.collect::<BTreeMap<_, _>>(),
        "next_request": text(facts.next_request),
        "oldest_status": text(facts.oldest_status),
        "destination": {
            "found": facts.destination_found,
            "last_success": text(facts.destination_last_success),
            "last_failure": text(facts.destination_last_failure),
            "policy_delivering": facts.policy_delivering,
        },
        "backfill_requested": waits,
        "backfill": facts.backfill.as_ref().map(|progress| backfill(progress, &recorded.outcome)),
    })
}

/// The state of a backfill. It runs until its events are recorded.
fn backfill(progress: &BackfillProgress, recorded: &HistoryOutcome) -> Value {
    let BackfillProgress { period: Period { since, before }, ended, pages, entries, error } = progress;
    let Entries { read, events, unusable } = entries;
    let mut unusable = unusable.clone();
    for (reason, count) in &recorded.unusable {
        *unusable.entry(reason).or_default() += count;
    }
    json!({
        "since": since.to_string(),
        "before": before.to_string(),
        "running": ended.is_none() || (error.is_none() && recorded.all() < *events),
        "ended": text(*ended),
        "pages": pages,
        "read": read,
        "new": recorded.new,
        "known": recorded.known,
        "unusable": unusable,
        "error": error.as_ref().map(ToString::to_string),
    })
}

fn text(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::MAX;

    fn facts(since: Timestamp, ended: Option<Timestamp>, events: u64) -> Facts {
        let entries = Entries { read: events + 2, events, unusable: [("prose", 2)].into() };
        let period = Period { since, before: NOW };
        let backfill = Some(BackfillProgress { period, ended, pages: 1, entries, error: None });
        Facts { backfill, ..Facts::default() }
    }

    #[test]
    fn backfill_runs_until_all_of_its_events_are_recorded() {
        let mut recorded = Recorded::default();
        let mut member = |facts: &Facts, outcome: &HistoryOutcome, name: &str| {
            recorded.begin(facts.backfill.as_ref());
            recorded.add(outcome);
            json("main", AccountId::from_bytes([1; 16]), facts, (false, &recorded))["backfill"][name].clone()
        };
        let nothing = HistoryOutcome::default();
        assert_eq!(member(&Facts::default(), &nothing, "running"), Value::Null);
        assert_eq!(member(&facts(Timestamp::EPOCH, None, 3), &nothing, "running"), true);
        let facts_at_end = facts(Timestamp::EPOCH, Some(NOW), 3);
        assert_eq!(member(&facts_at_end, &nothing, "running"), true);
        let outcome = HistoryOutcome { new: 1, known: 1, unusable: [("too_old", 1)].into() };
        assert_eq!(member(&facts_at_end, &outcome, "running"), false);
        assert_eq!(
            ["read", "new", "known"].map(|name| member(&facts_at_end, &nothing, name)),
            [5, 1, 1].map(Value::from)
        );
        assert_eq!(member(&facts_at_end, &nothing, "unusable"), json!({ "prose": 2, "too_old": 1 }));
        // Another one counts from 0.
        let next = facts(Timestamp::from_seconds(1), None, 0);
        assert_eq!(["new", "known"].map(|name| member(&next, &nothing, name)), [0, 0].map(Value::from));
    }
}
