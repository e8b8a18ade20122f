//! Why a request was refused.

use thiserror::Error;

/// A refused request. The message is what the sender reads; it repeats nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The secret is missing or none of ours. Both read the same.
    #[error("unauthorized")]
    Secret,
    /// The same, once more than its sender may try.
    #[error("too many attempts")]
    TooManyFailures,
    /// Not a `POST`.
    #[error("method not allowed: notifications are sent with POST")]
    Method,
    /// The body is compressed; Cloudflare's never are.
    #[error("unsupported content encoding: send the notification uncompressed")]
    Encoding,
    /// The body broke off, or its chunks are none.
    #[error("the body broke off, or is not chunked as it says")]
    BrokenOff,
    /// The body is larger than allowed.
    #[error("body larger than {limit} bytes")]
    TooLarge {
        /// The configured limit.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    Timeout,
    /// The body is not a JSON object; says where reading it ended.
    #[error("not a JSON object: line {line}, column {column}")]
    NotJson {
        /// The line, counted from 1.
        line: usize,
        /// How many bytes of the line were read.
        column: usize,
    },
    /// The queue to the recorder is full.
    #[error("overloaded, try again")]
    Overloaded,
    /// The notification could not be made durable.
    #[error("could not be recorded, try again")]
    Journal,
}

impl Rejection {
    /// Every value of [`Rejection::reason`], in the order in which requests are checked.
    pub const REASONS: [&'static str; 8] =
        ["secret", "method", "encoding", "too_large", "timeout", "not_json", "overloaded", "journal"];

    /// The value of the label `reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Secret | Self::TooManyFailures => "secret",
            Self::Method => "method",
            Self::Encoding => "encoding",
            Self::TooLarge { .. } => "too_large",
            Self::Timeout | Self::BrokenOff => "timeout",
            Self::NotJson { .. } => "not_json",
            Self::Overloaded => "overloaded",
            Self::Journal => "journal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_has_its_reason() {
        let rejections = [
            Rejection::Secret,
            Rejection::Method,
            Rejection::Encoding,
            Rejection::TooLarge { limit: 1 },
            Rejection::Timeout,
            Rejection::NotJson { line: 1, column: 1 },
            Rejection::Overloaded,
            Rejection::Journal,
        ];
        assert_eq!(rejections.map(|rejection| rejection.reason()), Rejection::REASONS);
        assert_eq!(Rejection::TooManyFailures.reason(), Rejection::Secret.reason());
    }
}
