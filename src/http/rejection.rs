//! Why a webhook request is not recorded, and how each reason is answered and counted.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use thiserror::Error;

use crate::accept::NotJson;

/// A rejected request. The client receives the message, which repeats nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// 401: there is no valid secret. The response does not say why.
    #[error("unauthorized")]
    Unauthenticated(AuthFailure),
    /// 429 with `Retry-After`: the same, after too many of this client.
    #[error("too many attempts")]
    TooManyFailures(AuthFailure),
    /// 405 with `Allow`: not a `POST`.
    #[error("method not allowed: notifications are sent with POST")]
    Method,
    /// 415: the body is compressed. Cloudflare does not compress notifications.
    #[error("unsupported content encoding: send the notification uncompressed")]
    Encoding,
    /// 413: the body is larger than allowed, by `Content-Length` or while it is read.
    #[error("body larger than {0} bytes")]
    TooLarge(usize),
    /// 408: the body did not arrive in time.
    #[error("the body did not arrive in time")]
    Timeout,
    /// 400: the connection was closed within the body, or the chunked encoding is invalid.
    #[error("the body is incomplete or its chunked encoding is invalid")]
    BrokenOff,
    /// 400: the body is not a JSON object.
    #[error(transparent)]
    NotJson(#[from] NotJson),
    /// 503 with `Retry-After`: other notifications have the memory for bodies.
    #[error("overloaded, try again")]
    OutOfMemory,
    /// 503 with `Retry-After`: the recorder's queue is full.
    #[error("overloaded, try again")]
    Overloaded,
    /// 503 with `Retry-After`: the journal could not be written.
    #[error("could not be recorded, try again")]
    Journal,
    /// 503 with `Retry-After`: the shared journal is away, and the spool is full.
    #[error("could not be recorded, try again")]
    SpoolFull,
    /// 503 with `Retry-After`: the journal did not become durable in time. It may later.
    #[error("could not be recorded in time, try again")]
    NotInTime,
}

/// Why a request has no valid secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFailure {
    /// It has no header with a secret.
    Missing,
    /// The secret is not one of the valid ones.
    Wrong,
    /// It has the header more than once.
    Repeated,
    /// It is not a `POST` either, so it is no notification with a wrong secret, but a monitor or a browser.
    Method,
}

impl Rejection {
    /// The value of the metric's label `reason`.
    pub fn reason(&self) -> &'static str {
        self.answer().1
    }

    /// Distinguishes rejections with the same reason.
    pub(super) fn detail(&self) -> Option<&'static str> {
        match self {
            Self::Unauthenticated(failure) | Self::TooManyFailures(failure) => Some(match failure {
                AuthFailure::Missing => "missing",
                AuthFailure::Wrong => "wrong",
                AuthFailure::Repeated => "repeated",
                AuthFailure::Method => "unauthenticated",
            }),
            Self::BrokenOff => Some("incomplete"),
            Self::OutOfMemory => Some("memory"),
            Self::NotInTime => Some("not_in_time"),
            Self::Method
            | Self::Encoding
            | Self::TooLarge(_)
            | Self::Timeout
            | Self::NotJson(_)
            | Self::Overloaded
            | Self::Journal
            | Self::SpoolFull => None,
        }
    }

    /// The status of the response.
    pub(super) fn status(&self) -> StatusCode {
        self.answer().0
    }

    /// Status, value of the label `reason`, and the header that the status calls for.
    fn answer(&self) -> (StatusCode, &'static str, Option<(HeaderName, &'static str)>) {
        let retry_after = |seconds| Some((header::RETRY_AFTER, seconds));
        match self {
            Self::Unauthenticated(failure) => (StatusCode::UNAUTHORIZED, failure.reason(), None),
            Self::TooManyFailures(failure) => (StatusCode::TOO_MANY_REQUESTS, failure.reason(), retry_after("60")),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method", Some((header::ALLOW, "POST"))),
            Self::Encoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", None),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", None),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", None),
            Self::BrokenOff => (StatusCode::BAD_REQUEST, "timeout", None),
            Self::NotJson(_) => (StatusCode::BAD_REQUEST, "not_json", None),
            Self::OutOfMemory | Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", retry_after("5")),
            Self::Journal | Self::NotInTime => (StatusCode::SERVICE_UNAVAILABLE, "journal", retry_after("5")),
            Self::SpoolFull => (StatusCode::SERVICE_UNAVAILABLE, "spool", retry_after("5")),
        }
    }

    /// The response to the request.
    pub(super) fn response(&self) -> HttpResponse {
        let (status, _, header) = self.answer();
        let mut response = HttpResponse::build(status);
        response.content_type(header::ContentType::json());
        if let Some(header) = header {
            response.insert_header(header);
        }
        // Without the end of the body it is unknown where the next request begins.
        let body_was_read =
            matches!(self, Self::NotJson(_) | Self::Overloaded | Self::Journal | Self::SpoolFull | Self::NotInTime);
        if !body_was_read {
            response.force_close();
        }
        let text = serde_json::json!({ "error": self.to_string() }).to_string();
        response.body(text)
    }
}

impl AuthFailure {
    fn reason(self) -> &'static str {
        match self {
            Self::Missing | Self::Wrong | Self::Repeated => "secret",
            Self::Method => "method",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalogue::families;

    #[test]
    fn reasons_equal_those_of_the_metric_catalogue() {
        let rejections = [
            Rejection::Unauthenticated(AuthFailure::Missing),
            Rejection::Unauthenticated(AuthFailure::Repeated),
            Rejection::TooManyFailures(AuthFailure::Wrong),
            Rejection::TooManyFailures(AuthFailure::Method),
            Rejection::Method,
            Rejection::Encoding,
            Rejection::TooLarge(1),
            Rejection::Timeout,
            Rejection::BrokenOff,
            Rejection::NotJson(NotJson { line: 1, column: 1 }),
            Rejection::OutOfMemory,
            Rejection::Overloaded,
            Rejection::Journal,
            Rejection::NotInTime,
            Rejection::SpoolFull,
        ];
        let mut reasons = rejections.map(|rejection| rejection.reason()).to_vec();
        reasons.dedup();
        let name = "stream_live_exporter_requests_rejected_total";
        let family = families().find(|family| family.name == name).unwrap();
        assert_eq!(family.labels[0].closed_set(), Some(&reasons[..]));
    }
}
