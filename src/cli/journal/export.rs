//! `journal export`: prints the records.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::json_lines::{self, write_line};
use crate::event::{
    AccountId, Correction, ErrorDetail, Event, EventKind, InputId, Note, Observation, PolicyId, Record, RecordKind,
    ScheduleException,
};
use crate::journal::Reader;

/// A record as a line of JSON. Times are RFC 3339; absent values are null.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    recorded_at: String,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(tag = "record", rename_all = "lowercase")]
enum Content<'a> {
    Event(EventLine),
    Forgotten {
        input_id: InputId,
    },
    Correction {
        input_id: InputId,
        to: &'static str,
        at: String,
        user: Option<&'a str>,
        reason: Option<&'a str>,
    },
    Exception {
        input_id: InputId,
        expected: Option<bool>,
        until: Option<String>,
        at: String,
        user: Option<&'a str>,
        reason: Option<&'a str>,
    },
    Observation {
        input_id: InputId,
        found: &'static str,
        at: String,
        account_id: AccountId,
    },
    Rules {
        reconnect_window_seconds: f64,
        reorder_window_seconds: f64,
        max_inputs: usize,
        configured: &'a BTreeSet<InputId>,
    },
    #[serde(rename = "clock_set_back")]
    ClockSetBack,
}

#[derive(Serialize)]
struct EventLine {
    received_at: String,
    sent_at: Option<String>,
    updated_at: String,
    input_id: InputId,
    event: &'static str,
    note: Option<&'static str>,
    source: &'static str,
    account_id: Option<AccountId>,
    policy_id: Option<PolicyId>,
    #[serde(flatten)]
    detail: ErrorDetail,
}

impl<'a> From<&'a Record> for Line<'a> {
    fn from(record: &'a Record) -> Self {
        let content = match &record.kind {
            RecordKind::Event(event, note) => Content::Event(event_line(event, *note)),
            RecordKind::Forgotten(input_id) => Content::Forgotten { input_id: *input_id },
            RecordKind::ClockSetBack => Content::ClockSetBack,
            RecordKind::Correction(Correction { input_id, to, at, user, reason }) => Content::Correction {
                input_id: *input_id,
                to: to.label(),
                at: at.to_string(),
                user: user.as_deref(),
                reason: reason.as_deref(),
            },
            RecordKind::Exception(ScheduleException { input_id, expected, until, at, user, reason }) => {
                Content::Exception {
                    input_id: *input_id,
                    expected: *expected,
                    until: expected.map(|_| until.to_string()),
                    at: at.to_string(),
                    user: user.as_deref(),
                    reason: reason.as_deref(),
                }
            }
            RecordKind::Observation(Observation { input_id, found, at, account_id, .. }) => Content::Observation {
                input_id: *input_id,
                found: found.label(),
                at: at.to_string(),
                account_id: *account_id,
            },
            RecordKind::Rules(rules) => Content::Rules {
                reconnect_window_seconds: rules.reconnect_window.as_secs_f64(),
                reorder_window_seconds: rules.reorder_window.as_secs_f64(),
                max_inputs: rules.max_inputs,
                configured: &rules.configured,
            },
        };
        Self { seq: record.position, recorded_at: record.recorded_at.to_string(), content }
    }
}

fn event_line(event: &Event, note: Option<Note>) -> EventLine {
    let detail = match &event.kind {
        EventKind::Errored(detail) => ErrorDetail::clone(detail),
        EventKind::Connected | EventKind::Disconnected => ErrorDetail::default(),
    };
    EventLine {
        received_at: event.received_at.to_string(),
        sent_at: event.sent_at.map(|at| at.to_string()),
        updated_at: event.updated_at.to_string(),
        input_id: event.input_id,
        event: event.kind.name(),
        note: note.map(Note::label),
        source: event.origin.source.label(),
        account_id: event.origin.account_id,
        policy_id: event.origin.policy_id,
        detail,
    }
}

/// Prints every record. No read transaction is open while a line is written, because a paused pager would otherwise
/// hold back the daemon's WAL checkpoints.
pub(super) fn run(journal: &dyn Reader) -> anyhow::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    let progress = super::progress(journal)?;
    let mut written: io::Result<()> = Ok(());
    journal.replay(0, &mut |record| {
        progress.inc(1);
        if written.is_ok() {
            written = write_line(&mut output, &Line::from(&record));
        }
    })?;
    progress.finish_and_clear();
    json_lines::written(written.and_then(|()| output.flush()))
}
