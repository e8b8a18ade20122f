//! Is it alive, and can it do its work?

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::Private;

/// It answers, so it is alive.
pub(super) async fn healthy() -> HttpResponse {
    text(HttpResponse::Ok(), "healthy")
}

/// Whether notifications can be recorded; if not, which check fails.
pub(super) async fn ready(private: Data<Private>) -> HttpResponse {
    match private.state_reader.readiness().failing() {
        None => text(HttpResponse::Ok(), "ready"),
        Some(check) => text(HttpResponse::ServiceUnavailable(), check),
    }
}

fn text(mut response: actix_web::HttpResponseBuilder, line: &str) -> HttpResponse {
    response.content_type("text/plain; charset=utf-8").body(format!("{line}\n"))
}
