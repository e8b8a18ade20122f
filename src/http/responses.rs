//! Answers of both listeners.

use actix_web::web::Payload;
use actix_web::{HttpResponse, HttpResponseBuilder, guard};

use super::close_after_reply::CloseAfterReply;

/// It answers, so it is alive.
pub(super) async fn healthy() -> HttpResponse {
    text(HttpResponse::Ok(), "healthy")
}

/// Health checks ask with either.
pub(super) fn readable() -> impl guard::Guard {
    guard::Any(guard::Get()).or(guard::Head())
}

pub(super) async fn unknown(payload: Payload) -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/plain; charset=utf-8")
        .body(CloseAfterReply::new("not found\n", payload))
}

pub(super) fn text(mut response: HttpResponseBuilder, line: &str) -> HttpResponse {
    response.content_type("text/plain; charset=utf-8").body(format!("{line}\n"))
}
