//! Sessions and newest records of an input.

use std::time::Duration;

use askama::Template;

use super::subject::Subject;
use crate::event::{Corrected, Event, EventKind, EventSource, Note, Record, RecordKind, Timestamp};
use crate::http::private::page::fragment::Fragment;
use crate::http::private::page::time::Time;
use crate::text::escaped;
use crate::timeline::{Reach, SessionRow, in_words};

/// Number of sessions, and of records, to show.
const SESSIONS: usize = 50;
const RECORDS: usize = 100;

#[derive(Template)]
#[template(path = "input_sessions.html", config = "src/http/private/page/askama.toml")]
struct Sessions {
    problem: Option<String>,
    rows: Vec<SessionLine>,
    more: &'static str,
}

struct SessionLine {
    began: Option<Time>,
    ended: Option<Time>,
    /// In seconds, and in words.
    length: Option<(u64, String)>,
    reconnects: u32,
    errors: usize,
}

#[derive(Template)]
#[template(path = "input_records.html", config = "src/http/private/page/askama.toml")]
struct Records {
    problem: Option<String>,
    rows: Vec<RecordLine>,
    more: &'static str,
}

/// A record for people.
struct RecordLine {
    /// When it happened.
    at: Time,
    what: String,
    source: &'static str,
    /// When it was received, or decided.
    received: Time,
    /// From when it happened to its receipt.
    delay: Option<Duration>,
    note: &'static str,
    user: String,
    reason: String,
}

/// The newest sessions.
pub(super) fn sessions(subject: &Subject<'_>) -> Fragment {
    let window = subject.view.state.rules().reconnect_window;
    let (rows, more, problem) = match subject.history {
        Ok(history) => {
            let sessions = history.sessions(subject.input, window);
            let is_cut = sessions.len() > SESSIONS;
            let line = |row: SessionRow| SessionLine {
                began: row.session.began.map(Time),
                ended: row.session.ended.map(Time),
                length: row.length().map(|length| (length.as_secs(), in_words(length))),
                reconnects: row.session.reconnects,
                errors: row.errors,
            };
            (sessions.into_iter().take(SESSIONS).map(line).collect(), more(history.reach(), is_cut), None)
        }
        Err(error) => (Vec::new(), "", Some(error.to_string())),
    };
    Fragment::new("sessions", &Sessions { problem, rows, more })
}

/// The newest records.
pub(super) fn records(subject: &Subject<'_>) -> Fragment {
    let (rows, more, problem) = match subject.history {
        Ok(history) => {
            let is_cut = history.records().len() > RECORDS;
            let rows = history.records().filter_map(line).take(RECORDS).collect();
            (rows, more(history.reach(), is_cut), None)
        }
        Err(error) => (Vec::new(), "", Some(error.to_string())),
    };
    Fragment::new("records", &Records { problem, rows, more })
}

/// What there is besides the rows of a table.
fn more(reach: Reach, is_cut: bool) -> &'static str {
    match reach {
        _ if is_cut => "Only the newest ones are shown.",
        Reach::Limit => "Older ones are not shown.",
        Reach::OldestKept => "The journal has no older ones: they are deleted after storage.retention.",
        Reach::Everything => "",
    }
}

fn line(record: &Record) -> Option<RecordLine> {
    let at = |at: Timestamp, what: String, source| RecordLine {
        at: Time(at),
        what,
        source,
        received: Time(record.recorded_at),
        delay: None,
        note: "",
        user: String::new(),
        reason: String::new(),
    };
    let text = |text: &Option<Box<str>>| text.as_deref().map(|text| escaped(text).into_owned()).unwrap_or_default();
    Some(match &record.kind {
        RecordKind::Event(event, note) => RecordLine {
            received: Time(event.received_at),
            delay: (event.origin.source == EventSource::Webhook)
                .then(|| event.received_at.since(event.updated_at).unwrap_or_default()),
            note: match note {
                None => "",
                Some(Note::OutOfOrder) => "out of order: it did not change the state",
                Some(Note::Inconsistent) => "inconsistent: it repeated the state when it arrived",
            },
            ..at(event.updated_at, what(event), source(event))
        },
        RecordKind::Correction(correction) => RecordLine {
            user: text(&correction.user),
            reason: text(&correction.reason),
            ..at(
                correction.at,
                match correction.to {
                    Corrected::Forgotten => "forgotten".to_owned(),
                    to @ (Corrected::Connected | Corrected::Disconnected) => format!("set {}", to.label()),
                },
                "operator",
            )
        },
        RecordKind::Observation(observation) => {
            at(observation.at, format!("found {}", observation.found.label()), "Cloudflare's API")
        }
        RecordKind::Exception(exception) => RecordLine {
            user: text(&exception.user),
            reason: text(&exception.reason),
            ..at(
                exception.at,
                match exception.expected {
                    Some(true) => format!("expected until {}", short(exception.until)),
                    Some(false) => format!("not expected until {}", short(exception.until)),
                    None => "exception to the schedule ended".to_owned(),
                },
                "operator",
            )
        },
        RecordKind::Forgotten(_) => at(record.recorded_at, "forgotten".to_owned(), "silent for inputs.forget_after"),
        RecordKind::Rules(_) | RecordKind::ClockSetBack => return None,
    })
}

fn what(event: &Event) -> String {
    let EventKind::Errored(detail) = &event.kind else { return event.kind.name().to_owned() };
    let code = Some(detail.code.as_str()).filter(|code| !code.is_empty()).unwrap_or("no code");
    match &detail.message {
        Some(message) => escaped(&format!("errored {code}: {message}")).into_owned(),
        None => escaped(&format!("errored {code}")).into_owned(),
    }
}

fn source(event: &Event) -> &'static str {
    match event.origin.source {
        EventSource::Webhook => "notification",
        EventSource::History => "notification history",
    }
}

fn short(at: Timestamp) -> String {
    at.to_jiff().strftime("%Y-%m-%d %H:%M UTC").to_string()
}
