//! Handlers and responses that both listeners use.

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::guard::{self, Guard};
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode, Version};
use actix_web::middleware::Next;

const TEXT: &str = "text/plain; charset=utf-8";

/// Liveness: the process answers.
pub(super) async fn healthy() -> HttpResponse {
    text(StatusCode::OK, "healthy")
}

pub(super) async fn not_found() -> HttpResponse {
    text(StatusCode::NOT_FOUND, "not found")
}

/// 405 with the methods that the resource has.
pub(super) async fn method_not_allowed(allowed: &'static str) -> HttpResponse {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("method not allowed (allowed: {allowed})"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Middleware that ends a response of unknown length by closing the connection if the request is HTTP/1.0, which has no
/// chunks.
pub(super) async fn end_body_by_closing_for_http_1_0<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let has_chunks = request.version() >= Version::HTTP_11;
    let mut response = next.call(request).await?;
    if !has_chunks && response.response().body().size() == BodySize::Stream {
        let head = response.response_mut().head_mut();
        head.no_chunking(true);
        head.set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// `HEAD` gets the headers of `GET`; the server leaves out the body.
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
