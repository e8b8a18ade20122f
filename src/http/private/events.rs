//! `GET /api/v1/events`: the newest deliveries and what became of them, and new events of the notification history.

use actix_web::http::header::AcceptEncoding;
use actix_web::web::{Data, Header};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::Private;
use super::deliveries::{self, Recent};
use super::parameters::{InvalidParameter, Parameters};
use super::streaming::{Compressor, JSON, json_list};
use crate::event::{ErrorDetail, Event, EventKind, InputId};
use crate::http::connection;
use crate::http::responses::restoring;
use crate::http::unused_deliveries::Rejected;
use crate::recorder::RecentDelivery;

/// Default of the parameter `limit`, and its maximum.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

#[derive(Serialize)]
#[serde(untagged)]
enum DeliveryStatus {
    Accepted(AcceptedStatus),
    Rejected(RejectedStatus),
}

#[derive(Serialize)]
struct AcceptedStatus {
    received_at: String,
    outcome: &'static str,
    /// Not known of those from before the start.
    peer: Option<String>,
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
    /// Whether it was delivered, or read from Cloudflare's notification history.
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
}

/// A rejected delivery. It has nothing of the content, because anyone may have sent it.
#[derive(Serialize)]
struct RejectedStatus {
    received_at: String,
    outcome: &'static str,
    reason: &'static str,
    detail: Option<&'static str>,
    status: u16,
    peer: Option<String>,
    size: Option<u64>,
}

/// The newest deliveries, newest first. `limit` applies to the accepted ones, and to the rejected ones of each reason, so
/// that a flood of one kind does not hide the others.
pub(super) async fn events(
    request: HttpRequest,
    private: Data<Private>,
    compressor: Data<Compressor>,
    encodings: Option<Header<AcceptEncoding>>,
) -> HttpResponse {
    let limit = match limit(&request) {
        Ok(limit) => limit,
        Err(invalid) => return invalid.response(),
    };
    let hold = connection::hold(&private.state_reader);
    let Some(newest) = deliveries::newest(&private, limit, limit) else { return restoring() };
    let events = newest.into_iter().map(|delivery| match delivery {
        Recent::Accepted(delivery) => accepted_status(&delivery),
        Recent::Rejected(rejected) => rejected_status(&rejected),
    });
    compressor.respond(JSON, encodings.as_ref(), hold, json_list(r#"{"events":["#.into(), events))
}

fn limit(request: &HttpRequest) -> Result<usize, InvalidParameter> {
    let limit = Parameters::of(request, &["limit"])?.number("limit", 1..=MAX_LIMIT)?;
    Ok(limit.unwrap_or(DEFAULT_LIMIT))
}

fn accepted_status(delivery: &RecentDelivery) -> DeliveryStatus {
    DeliveryStatus::Accepted(AcceptedStatus {
        received_at: delivery.received_at.to_string(),
        outcome: delivery.outcome.name(),
        peer: delivery.peer.map(|peer| peer.to_string()),
        reason: delivery.reason(),
        event: delivery.event.as_ref().map(event_status),
    })
}

fn rejected_status(rejected: &Rejected) -> DeliveryStatus {
    let Rejected { received_at, status, reason, detail, peer, size, .. } = *rejected;
    let (received_at, peer) = (received_at.to_string(), peer.map(|peer| peer.to_string()));
    DeliveryStatus::Rejected(RejectedStatus { received_at, outcome: "rejected", reason, detail, status, peer, size })
}

fn event_status(event: &Event) -> EventStatus {
    EventStatus {
        input_id: event.input_id,
        event: event.kind.name(),
        updated_at: event.updated_at.to_string(),
        sent_at: event.sent_at.map(|at| at.to_string()),
        source: event.origin.source.label(),
        error: match &event.kind {
            EventKind::Errored(detail) => Some(detail.as_ref().clone()),
            EventKind::Connected | EventKind::Disconnected => None,
        },
    }
}
