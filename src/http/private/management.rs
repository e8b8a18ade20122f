//! `/-/ready` and `/-/reload`.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::timeout;

use super::Private;
use crate::http::responses::text;

/// How long a request waits for a reload, which reads files.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Readiness: whether notifications can be recorded. If not, the response names the failing check.
pub(super) async fn ready(private: Data<Private>) -> HttpResponse {
    match private.state_reader.readiness().failing() {
        None => text(StatusCode::OK, "ready"),
        Some(check) => text(StatusCode::SERVICE_UNAVAILABLE, &check),
    }
}

/// `POST /-/reload`. Requests that a browser sends from pages of other origins are rejected.
pub(super) async fn reload(request: HttpRequest, private: Data<Private>) -> HttpResponse {
    if is_cross_origin(request.headers()) {
        return text(StatusCode::FORBIDDEN, "cross-origin requests may not reload the configuration");
    }
    let Some(reloaded) = (private.reload)() else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the daemon is starting, or several reloads are waiting; try again",
        );
    };
    let failed = |problems: &str| {
        let message = format!("reload failed: the previous configuration stays in force\n{problems}");
        text(StatusCode::INTERNAL_SERVER_ERROR, &message)
    };
    match timeout(RELOAD_TIMEOUT, reloaded).await {
        Ok(Ok(Ok(()))) => text(StatusCode::OK, "reloaded"),
        Ok(Ok(Err(problems))) => failed(&problems),
        Ok(Err(_)) => failed("the reload was aborted"),
        Err(_) => {
            text(StatusCode::SERVICE_UNAVAILABLE, "the configuration is still being read; the log will have the result")
        }
    }
}

/// Whether a browser says that the request comes from a page of another origin. Other programs do not send these headers.
pub(super) fn is_cross_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return !["same-origin", "none"].contains(&site);
    }
    // Older browsers, and any browser for a site without TLS, send only `Origin`.
    let authority = |origin: &'_ str| origin.split_once("://").map(|(_, authority)| authority.to_owned());
    text(header::ORIGIN).is_some_and(|origin| authority(origin).as_deref() != text(header::HOST))
}
