//! One live input's state as samples.

use std::time::Duration;

use super::catalogue::Family;
use super::catalogue::inputs::{
    CONNECTED, CONNECTED_SECONDS, ERRORS, EVENTS, EXPECTED, INCONSISTENT_EVENTS, INFO, LAST_ERROR, LAST_EVENT,
    RECONNECTS, SESSIONS, STATE_TIMESTAMP,
};
use super::encode::{Encoder, Value};
use crate::event::{ErrorClass, EventKind, Timestamp};
use crate::live::Input;

/// A live input at the time of a scrape.
pub(super) struct InputView<'a> {
    pub(super) input_id: &'a str,
    pub(super) name: &'a str,
    pub(super) input: &'a Input,
    pub(super) expected: bool,
    pub(super) as_of: Timestamp,
    /// When counting began.
    pub(super) created: Timestamp,
}

type Write = fn(&mut Encoder, &InputView<'_>);

/// The families with a series per input, each with how an input's samples are written.
pub(super) const FAMILIES: [(&Family, Write); 12] = [
    (&CONNECTED, |encoder, view| {
        if let Some(evidence) = view.input.evidence {
            encoder.gauge(&CONNECTED, &[view.id()], Value::Integer(u64::from(evidence.connected)));
        }
    }),
    (&STATE_TIMESTAMP, |encoder, view| {
        if let Some(evidence) = view.input.evidence {
            encoder.gauge(&STATE_TIMESTAMP, &[view.id()], evidence.updated_at);
        }
    }),
    (&EXPECTED, |encoder, view| {
        encoder.gauge(&EXPECTED, &[view.id()], Value::Integer(u64::from(view.expected)));
    }),
    (&EVENTS, |encoder, view| {
        for (event, count) in EventKind::NAMES.into_iter().zip(view.input.events) {
            encoder.counter(&EVENTS, &[view.id(), ("event", event)], Value::Integer(count), view.created);
        }
    }),
    (&ERRORS, |encoder, view| {
        for (class, count) in ErrorClass::ALL.into_iter().zip(view.input.errors) {
            encoder.counter(&ERRORS, &[view.id(), ("code", class.label())], Value::Integer(count), view.created);
        }
    }),
    (&LAST_EVENT, |encoder, view| {
        for (event, last) in EventKind::NAMES.into_iter().zip(view.input.last_event) {
            if let Some(last) = last {
                encoder.gauge(&LAST_EVENT, &[view.id(), ("event", event)], last);
            }
        }
    }),
    (&LAST_ERROR, |encoder, view| {
        for (class, last) in ErrorClass::ALL.into_iter().zip(view.input.last_error) {
            if let Some(last) = last {
                encoder.gauge(&LAST_ERROR, &[view.id(), ("code", class.label())], last);
            }
        }
    }),
    (&SESSIONS, |encoder, view| {
        encoder.counter(&SESSIONS, &[view.id()], Value::Integer(view.input.sessions), view.created);
    }),
    (&RECONNECTS, |encoder, view| {
        encoder.counter(&RECONNECTS, &[view.id()], Value::Integer(view.input.reconnects), view.created);
    }),
    (&CONNECTED_SECONDS, |encoder, view| {
        let connected = millis(view.input.connected_time(view.as_of));
        encoder.counter(&CONNECTED_SECONDS, &[view.id()], connected, view.created);
    }),
    (&INCONSISTENT_EVENTS, |encoder, view| {
        for (event, count) in EventKind::NAMES.into_iter().zip(view.input.inconsistent) {
            encoder.counter(&INCONSISTENT_EVENTS, &[view.id(), ("event", event)], Value::Integer(count), view.created);
        }
    }),
    (&INFO, |encoder, view| {
        encoder.gauge(&INFO, &[view.id(), ("name", view.name)], Value::Integer(1));
    }),
];

impl<'a> InputView<'a> {
    fn id(&self) -> (&'static str, &'a str) {
        ("input_id", self.input_id)
    }
}

fn millis(duration: Duration) -> Value {
    Value::Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
