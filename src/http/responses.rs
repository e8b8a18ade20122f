//! Handlers and responses that both listeners use.

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::body::{MessageBody, SizedStream};
use actix_web::guard::{self, Guard};
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use futures_util::stream::{self, StreamExt};

const TEXT: &str = "text/plain; charset=utf-8";

/// Liveness: the process answers.
pub(super) async fn healthy() -> HttpResponse {
    text(StatusCode::OK, "healthy")
}

pub(super) async fn not_found(payload: Payload) -> HttpResponse {
    unread(StatusCode::NOT_FOUND, "not found", payload)
}

/// Health checks use either method.
pub(super) fn get_or_head() -> impl Guard {
    guard::Any(guard::Get()).or(guard::Head())
}

pub(super) fn text(status: StatusCode, line: &str) -> HttpResponse {
    HttpResponse::build(status).content_type(TEXT).body(format!("{line}\n"))
}

/// 503: the journal is being read, so nothing is known yet.
pub(super) fn restoring() -> HttpResponse {
    text(StatusCode::SERVICE_UNAVAILABLE, "the journal is being restored; try again later")
}

/// The response to a request whose body was not read.
pub(super) fn unread(status: StatusCode, line: &str, payload: Payload) -> HttpResponse {
    HttpResponse::build(status).content_type(TEXT).body(close_after_reply(format!("{line}\n"), payload))
}

/// A response body that keeps the request's payload alive.
///
/// If the payload of a chunked request is dropped before its end, actix waits for the rest without a time limit.
/// If the payload still exists when the response has been sent, actix closes the connection instead.
pub(super) fn close_after_reply(text: String, payload: Payload) -> impl MessageBody + 'static {
    let size = text.len() as u64;
    let chunks = stream::iter([text]).map(move |text| {
        let _held = &payload;
        Ok::<_, Infallible>(text.into())
    });
    SizedStream::new(size, chunks)
}
