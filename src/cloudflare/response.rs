//! The response to a request, and what is wrong with it.

use std::time::Duration;

use thiserror::Error;

use crate::event::Timestamp;

/// A response, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// What the headers say about further requests.
    pub limit: RateLimit,
    /// The API's clock: the header `date`.
    pub date: Option<Timestamp>,
    /// The body.
    pub body: Vec<u8>,
}

/// What the headers of a response say about further requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimit {
    /// `retry-after`: how long to wait.
    pub retry_after: Option<Duration>,
    /// `Ratelimit`: number of requests that are left until `reset`.
    pub remaining: Option<u64>,
    /// `Ratelimit`: when the number of requests is restored.
    pub reset: Option<Duration>,
}

impl RateLimit {
    /// Reads the headers `retry-after` and `ratelimit`. What cannot be read counts as absent.
    pub(super) fn new(retry_after: Option<&str>, ratelimit: Option<&str>, date: Option<Timestamp>) -> Self {
        let retry_after = retry_after.and_then(|text| match text.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => Some(http_date(text)?.since(date?).unwrap_or_default()),
        });
        let tightest = ratelimit.and_then(|text| text.split(',').filter_map(quota).min());
        Self {
            retry_after,
            remaining: tightest.map(|(remaining, _)| remaining),
            reset: tightest.and_then(|(_, reset)| reset).map(Duration::from_secs),
        }
    }
}

/// The number of requests that are left, and the seconds until they are restored: `"default";r=50;t=30`.
fn quota(item: &str) -> Option<(u64, Option<u64>)> {
    let parameter = |name: &str| {
        let mut parameters = item.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        parameters.find(|(key, _)| key.trim() == name)?.1.trim().parse().ok()
    };
    Some((parameter("r")?, parameter("t")))
}

/// The time of a header: `Sun, 29 Nov 2026 18:00:00 GMT`.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(Timestamp::from_jiff)
}

/// There is no complete response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransportError {
    /// It did not arrive in time.
    #[error("no complete response in time")]
    Timeout,
    /// The connection failed, or the body ended early.
    #[error("{0}")]
    Network(String),
    /// The body is larger than any that is expected.
    #[error("the response is too large")]
    TooLarge,
}

/// A request has no usable result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ApiError {
    /// What to do about it.
    pub kind: ApiErrorKind,
    /// For people: what failed, and where. Contains neither the token nor the body.
    pub message: String,
}

/// The kinds of errors, by what to do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// The token is refused: status 401, or 403 with any code but 10002.
    Unauthorized,
    /// The account has no Stream subscription: status 403 with code 10002.
    NoSubscription,
    /// There is no such thing: status 404 with the code of the first error, if any. 10003 is that of a live input.
    NotFound {
        /// The API's error code.
        code: Option<u64>,
    },
    /// Another status from 400 to 499: a request that must not be repeated as it is.
    ClientError,
    /// Too many requests: status 429.
    RateLimited,
    /// A status from 500 on.
    ServerError,
    /// No complete response in time.
    Timeout,
    /// The connection failed, or the body ended early.
    Network,
    /// A redirect, a body that is too large, not JSON, or not of the expected form.
    Invalid,
}

impl ApiErrorKind {
    /// The values of the label `result` of `stream_live_exporter_cloudflare_requests_total`.
    pub const RESULTS: [&'static str; 7] =
        ["ok", "client_error", "rate_limited", "server_error", "timeout", "network", "invalid"];

    /// The value of the label `result`.
    pub fn result(self) -> &'static str {
        match self {
            Self::Unauthorized | Self::NoSubscription | Self::NotFound { .. } | Self::ClientError => "client_error",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::Invalid => "invalid",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_about_the_limit_are_read_and_unreadable_ones_count_as_absent() {
        let date = Some("2026-11-29T18:00:00Z".parse().unwrap());
        let seconds = Duration::from_secs;
        for (retry_after, ratelimit, expected) in [
            (None, None, (None, None, None)),
            (Some("120"), None, (Some(seconds(120)), None, None)),
            (Some("0"), None, (Some(seconds(0)), None, None)),
            (Some("Sun, 29 Nov 2026 18:01:30 GMT"), None, (Some(seconds(90)), None, None)),
            (Some("Sun, 29 Nov 2026 17:00:00 GMT"), None, (Some(seconds(0)), None, None)),
            (Some("soon"), None, (None, None, None)),
            (Some("-5"), None, (None, None, None)),
            (Some("1.5"), None, (None, None, None)),
            (Some("99999999999999999999999"), None, (None, None, None)),
            (None, Some("\"default\";r=50;t=30"), (None, Some(50), Some(seconds(30)))),
            (None, Some("default; r=0 ; t=300"), (None, Some(0), Some(seconds(300)))),
            (None, Some("\"a\";r=90;t=1, \"b\";r=2;t=60"), (None, Some(2), Some(seconds(60)))),
            (None, Some("\"default\";r=7"), (None, Some(7), None)),
            (None, Some("\"default\";q=100;w=60"), (None, None, None)),
            (None, Some("limit=100, remaining=50"), (None, None, None)),
            (None, Some(""), (None, None, None)),
        ] {
            let read = RateLimit::new(retry_after, ratelimit, date);
            let read = (read.retry_after, read.remaining, read.reset);
            assert_eq!(read, expected, "{retry_after:?} {ratelimit:?}");
        }
    }
}
