//! One live input's state as samples.

use std::time::Duration;

use super::catalogue::Family;
use super::catalogue::inputs::{
    CONNECTED, CONNECTED_SECONDS, ERRORS, EVENTS, EXPECTED, INCONSISTENT_EVENTS, INFO, LAST_ERROR, LAST_EVENT,
    RECONNECTS, SESSIONS, STATE_TIMESTAMP,
};
use super::encode::Value;
use super::samples::Series;
use crate::event::{ErrorClass, EventKind, InputId, Timestamp};
use crate::live::{Input, State};

/// A live input at the time of a scrape.
pub(super) struct InputView<'a> {
    pub(super) input_id: InputId,
    pub(super) input: &'a Input,
    pub(super) state: &'a State,
    pub(super) as_of: Timestamp,
}

/// The families with series of every input.
pub(super) const FAMILIES: [(&Family, Series); 12] = [
    (&CONNECTED, Series::Of(&[], |view, values| values.put_known([view.input.evidence().map(|held| held.connected)]))),
    (
        &STATE_TIMESTAMP,
        Series::Of(&[], |view, values| values.put_known([view.input.evidence().map(|held| held.updated_at)])),
    ),
    (&EXPECTED, Series::Of(&[], |view, values| values.put(view.state.expected(&view.input_id, view.as_of)))),
    (&EVENTS, Series::Of(&EventKind::NAMES, |view, values| values.put_all(view.input.events()))),
    (&ERRORS, Series::Of(&ErrorClass::LABELS, |view, values| values.put_all(view.input.errors.counts()))),
    (&LAST_EVENT, Series::Of(&EventKind::NAMES, |view, values| values.put_known(view.input.last_event()))),
    (&LAST_ERROR, Series::Of(&ErrorClass::LABELS, |view, values| values.put_known(view.input.errors.last()))),
    (&SESSIONS, Series::Of(&[], |view, values| values.put(view.input.sessions))),
    (&RECONNECTS, Series::Of(&[], |view, values| values.put(view.input.reconnects))),
    (&CONNECTED_SECONDS, Series::Of(&[], |view, values| values.put(millis(view.input.connected_time(view.as_of))))),
    (&INCONSISTENT_EVENTS, Series::Of(&EventKind::STATE_NAMES, |view, values| values.put_all(view.input.inconsistent))),
    (&INFO, Series::Named),
];

fn millis(duration: Duration) -> Value {
    Value::Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
