//! The JSON API.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use serde::{Deserialize, Serialize};

use super::Private;
use crate::event::{ErrorClass, ErrorDetail, Event, EventKind, IgnoredReason, InputId, Note};
use crate::http::responses::restoring;
use crate::live::{Input, View};
use crate::recorder::RecentDelivery;

#[derive(Serialize)]
struct Inputs<'a> {
    as_of: String,
    inputs: Vec<InputStatus<'a>>,
}

#[derive(Serialize)]
struct InputStatus<'a> {
    id: InputId,
    name: &'a str,
    state: &'static str,
    expected: bool,
    since: Option<String>,
    connected_seconds: f64,
    sessions: u64,
    reconnects: u64,
    events: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, u64>,
    last_event_at: Option<String>,
    last_error: Option<LastError>,
}

#[derive(Serialize)]
struct LastError {
    code: Option<String>,
    at: String,
}

/// `GET /api/v1/inputs`.
pub(super) async fn inputs(private: Data<Private>) -> HttpResponse {
    let Some(view) = private.state_reader.view() else { return restoring() };
    let inputs = view.state.inputs().iter().map(|(id, entry)| input_status(*id, &entry.input, &view)).collect();
    HttpResponse::Ok().json(Inputs { as_of: view.as_of.to_string(), inputs })
}

fn input_status<'a>(id: InputId, input: &Input, view: &'a View) -> InputStatus<'a> {
    let View { state, as_of, wall_clock, .. } = view;
    let nonzero = |(label, count): (&'static str, u64)| (count > 0).then_some((label, count));
    let evidence = input.evidence();
    let counters = input.counters(*as_of, state.rules());
    let errors = ErrorClass::LABELS.into_iter().zip(input.errors.counts());
    InputStatus {
        id,
        name: state.name(&id),
        expected: state.expected(&id, *wall_clock),
        state: match evidence.map(|evidence| evidence.connected) {
            Some(true) => "connected",
            Some(false) => "disconnected",
            None => "unknown",
        },
        since: evidence.map(|evidence| evidence.since.to_string()),
        connected_seconds: counters.connected_time.as_secs_f64(),
        sessions: counters.sessions,
        reconnects: counters.reconnects,
        events: EventKind::NAMES.into_iter().zip(input.events()).collect(),
        errors: errors.filter_map(nonzero).collect(),
        last_event_at: input.newest_event().map(|at| at.to_string()),
        last_error: input.errors.newest().map(|(at, code)| LastError {
            code: Some(code.as_str().to_owned()).filter(|code| !code.is_empty()),
            at: at.to_string(),
        }),
    }
}

/// The query of `GET /api/v1/events`.
#[derive(Deserialize)]
pub(super) struct Limit {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct DeliveryStatus {
    received_at: String,
    outcome: &'static str,
    /// Why it was ignored, or a remark such as that the event was late.
    reason: Option<&'static str>,
    #[serde(flatten)]
    event: Option<EventStatus>,
}

#[derive(Serialize)]
struct EventStatus {
    input_id: InputId,
    event: &'static str,
    updated_at: String,
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
}

/// `GET /api/v1/events`: the most recent deliveries, newest first.
pub(super) async fn events(private: Data<Private>, Query(Limit { limit }): Query<Limit>) -> HttpResponse {
    let Some(deliveries) = private.state_reader.recent_deliveries(limit.unwrap_or(100)) else { return restoring() };
    let events: Vec<_> = deliveries.iter().map(|delivery| delivery_status(delivery)).collect();
    HttpResponse::Ok().json(BTreeMap::from([("events", events)]))
}

fn delivery_status(delivery: &RecentDelivery) -> DeliveryStatus {
    DeliveryStatus {
        received_at: delivery.received_at.to_string(),
        outcome: delivery.outcome.name(),
        reason: delivery.outcome.ignored().map(IgnoredReason::label).or(delivery.note.map(Note::label)),
        event: delivery.event.as_ref().map(event_status),
    }
}

fn event_status(event: &Event) -> EventStatus {
    EventStatus {
        input_id: event.input_id,
        event: event.kind.name(),
        updated_at: event.updated_at.to_string(),
        sent_at: event.sent_at.map(|at| at.to_string()),
        error: match &event.kind {
            EventKind::Errored(detail) => Some(detail.as_ref().clone()),
            EventKind::Connected | EventKind::Disconnected => None,
        },
    }
}
