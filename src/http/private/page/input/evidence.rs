//! Why the state of an input is what it is.

use std::borrow::Cow;

use super::subject::Subject;
use crate::event::{Corrected, EventKind, EventSource, Note, Observed, Record, RecordKind, Timestamp};
use crate::http::private::page::time::Time;
use crate::timeline::InputHistory;

/// What determines the state.
pub(super) struct Reason<'a> {
    pub(super) text: Cow<'a, str>,
    /// Time of the newest change.
    pub(super) at: Time,
    /// Who corrected it, and why.
    pub(super) user: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

/// What determines the state of an input that has one.
pub(super) fn of<'a>(subject: &Subject<'a>) -> Reason<'a> {
    let Subject { id, input, view, history, .. } = *subject;
    let at = view.evidence(&id, input).map_or(Timestamp::EPOCH, |evidence| evidence.updated_at);
    let reason = |text: &'static str| Reason { text: text.into(), at: Time(at), user: None, reason: None };
    if input.evidence() != view.evidence(&id, input) {
        return reason("a notification that is not in the journal yet, because the disk hangs");
    }
    let records = history.iter().flat_map(InputHistory::records);
    // A correction takes effect after the newest change, whose clock can be ahead.
    let newest = records.filter_map(|record| Some((change_time(record)?, record))).filter(|(time, _)| *time <= at);
    let Some((_, record)) = newest.max_by_key(|(time, record)| (*time, record.position)) else {
        return reason("a change that the journal no longer has");
    };
    match &record.kind {
        RecordKind::Event(event, _) => reason(match (&event.kind, event.origin.source) {
            (EventKind::Connected, EventSource::Webhook) => "a notification: connected",
            (EventKind::Connected, EventSource::History) => "Cloudflare's notification history: connected",
            (_, EventSource::Webhook) => "a notification: disconnected",
            (_, EventSource::History) => "Cloudflare's notification history: disconnected",
        }),
        RecordKind::Correction(correction) => Reason {
            user: correction.user.as_deref(),
            reason: correction.reason.as_deref(),
            ..reason("a correction by an operator")
        },
        RecordKind::Observation(_) => reason("Cloudflare's API, in contradiction to the notifications"),
        RecordKind::Exception(_) | RecordKind::Forgotten(_) | RecordKind::Rules(_) | RecordKind::ClockSetBack => {
            reason("another record")
        }
    }
}

/// Time of the change that a record made; `None` if it made none.
fn change_time(record: &Record) -> Option<Timestamp> {
    match &record.kind {
        RecordKind::Event(event, note) => {
            (event.is_change() && *note != Some(Note::OutOfOrder)).then_some(event.updated_at)
        }
        RecordKind::Correction(correction) => (correction.to != Corrected::Forgotten).then_some(correction.at),
        RecordKind::Observation(observation) => (observation.found != Observed::Deleted).then_some(observation.at),
        RecordKind::Exception(_) | RecordKind::Forgotten(_) | RecordKind::Rules(_) | RecordKind::ClockSetBack => None,
    }
}
