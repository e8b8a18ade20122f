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
