//! One live input's state as samples.

use std::time::Duration;

use super::catalogue::Family;
use super::catalogue::inputs::{
    CONNECTED, CONNECTED_SECONDS, ERRORS, EVENTS, EXPECTED, INCONSISTENT_EVENTS, INFO, LAST_ERROR, LAST_EVENT,
    RECONNECTS, SESSIONS, STATE_TIMESTAMP,
};
use super::encode::Value;
use super::samples::Write;
use crate::event::{ErrorClass, EventKind, InputId, Timestamp};
use crate::live::{Input, State};

/// A live input at the time of a scrape.
pub(super) struct InputView<'a> {
    pub(super) input_id: InputId,
    pub(super) input: &'a Input,
    pub(super) state: &'a State,
    pub(super) as_of: Timestamp,
}

/// The families with series of every input: the values of the label beside the input's id, and how
/// an input's samples are written.
pub(super) const FAMILIES: [(&Family, &[&str], Write); 12] = [
    (&CONNECTED, &[], |samples, view| {
        samples.put_known([view.input.evidence.map(|evidence| evidence.connected)]);
    }),
    (&STATE_TIMESTAMP, &[], |samples, view| {
        samples.put_known([view.input.evidence.map(|evidence| evidence.updated_at)]);
    }),
    (&EXPECTED, &[], |samples, view| samples.put(0, view.state.expected(&view.input_id, view.as_of))),
    (&EVENTS, &EventKind::NAMES, |samples, view| samples.put_all(view.input.events)),
    (&ERRORS, &ErrorClass::LABELS, |samples, view| samples.put_all(view.input.errors.counts())),
    (&LAST_EVENT, &EventKind::NAMES, |samples, view| samples.put_known(view.input.last_event)),
    (&LAST_ERROR, &ErrorClass::LABELS, |samples, view| samples.put_known(view.input.errors.last())),
    (&SESSIONS, &[], |samples, view| samples.put(0, view.input.sessions)),
    (&RECONNECTS, &[], |samples, view| samples.put(0, view.input.reconnects)),
    (&CONNECTED_SECONDS, &[], |samples, view| samples.put(0, millis(view.input.connected_time(view.as_of)))),
    (&INCONSISTENT_EVENTS, &EventKind::STATE_NAMES, |samples, view| samples.put_all(view.input.inconsistent)),
    (&INFO, &[], |samples, view| samples.put_labelled(view.state.name(&view.input_id), 1)),
];

fn millis(duration: Duration) -> Value {
    Value::Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
