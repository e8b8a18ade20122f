//! `/-/ready` and `/-/reload`.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use thiserror::Error;
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

/// Why the configuration was not reloaded. The client receives the message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum ReloadFailure {
    /// 503: it cannot begin.
    #[error("the daemon is starting, or several reloads are waiting; try again")]
    Busy,
    /// 503: it has not ended yet.
    #[error("the configuration is still being read; the log will have the result")]
    Late,
    /// 500: these are the problems, one per line.
    #[error("reload failed: the previous configuration stays in force\n{0}")]
    Problems(String),
}

impl ReloadFailure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Busy | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
            Self::Problems(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// `POST /-/reload`. Requests that a browser sends from pages of other origins are rejected.
pub(super) async fn reload(request: HttpRequest, private: Data<Private>) -> HttpResponse {
    if is_cross_origin(request.headers()) {
        return text(StatusCode::FORBIDDEN, "cross-origin requests may not reload the configuration");
    }
    match reload_now(&private).await {
        Ok(()) => text(StatusCode::OK, "reloaded"),
        Err(failure) => text(failure.status(), &failure.to_string()),
    }
}

/// Reloads the configuration and waits for the result.
pub(super) async fn reload_now(private: &Private) -> Result<(), ReloadFailure> {
    let reloaded = (private.reload)().ok_or(ReloadFailure::Busy)?;
    match timeout(RELOAD_TIMEOUT, reloaded).await {
        Ok(Ok(result)) => result.map_err(ReloadFailure::Problems),
        Ok(Err(_)) => Err(ReloadFailure::Problems("the reload was aborted".to_owned())),
        Err(_) => Err(ReloadFailure::Late),
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
