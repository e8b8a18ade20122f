//! The result of posting a notification.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use ureq::{Error, Timeout};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// 2xx.
    Accepted(Outcome),
    /// Any other status.
    Refused(u16),
    /// It was sent, but no response came. The daemon may have recorded it.
    Lost(String),
    /// It was not sent.
    Unreachable(String),
}

/// The `outcome` in the daemon's 2xx response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Recorded,
    Duplicate,
    Test,
    Ignored,
    /// A 2xx response that is not from the daemon.
    #[serde(skip)]
    Unstated,
}

impl Answer {
    pub(super) fn new(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Accepted {
            outcome: Outcome,
        }
        if !(200..300).contains(&status) {
            return Self::Refused(status);
        }
        Self::Accepted(serde_json::from_slice(body).map_or(Outcome::Unstated, |Accepted { outcome }| outcome))
    }

    pub(super) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    /// Whether the daemon has recorded the event, now or before.
    pub(super) fn acknowledges(&self) -> bool {
        matches!(self, Self::Accepted(Outcome::Recorded | Outcome::Duplicate | Outcome::Unstated))
    }

    /// Whether the daemon may have recorded the event. With 502 and 504 a gateway reports that it got no
    /// response.
    pub(super) fn is_uncertain(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Refused(502 | 504))
    }

    /// The likely cause, if there is one to name.
    pub(super) fn explanation(&self, secret_file: &Path) -> Option<String> {
        let explanation = match self {
            Self::Accepted(Outcome::Unstated) => "not a response of stream-live-exporter: check the URL",
            Self::Accepted(Outcome::Ignored) => "see the reasons in stream_live_exporter_notifications_ignored_total",
            Self::Refused(401) => {
                return Some(format!("the daemon does not accept the secret in {}", secret_file.display()));
            }
            Self::Refused(404 | 405) => "the webhook is not at this URL",
            Self::Refused(503) => "the daemon could not record it: see its log",
            Self::Refused(300..=399) => "Cloudflare does not follow redirects: use the final URL",
            Self::Lost(_) => "the daemon may have recorded it",
            Self::Unreachable(_) => "check that the daemon is running, and the URL",
            Self::Accepted(Outcome::Recorded | Outcome::Duplicate | Outcome::Test) | Self::Refused(_) => return None,
        };
        Some(explanation.to_owned())
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        let cause = error.to_string();
        match was_not_sent(&error) {
            true => Self::Unreachable(cause),
            false => Self::Lost(cause),
        }
    }
}

/// Whether the request was certainly not sent.
fn was_not_sent(error: &Error) -> bool {
    use ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    if let Error::Io(cause) = error {
        return matches!(cause.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable);
    }
    let unconnected = matches!(error, Error::HostNotFound | Error::ConnectionFailed);
    unconnected || matches!(error, Error::Timeout(Timeout::Resolve | Timeout::Connect))
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(outcome) => f.write_str(outcome.name()),
            Self::Refused(status) => write!(f, "refused with {status}"),
            Self::Lost(cause) => write!(f, "no response ({cause})"),
            Self::Unreachable(cause) => write!(f, "not sent ({cause})"),
        }
    }
}

impl Outcome {
    /// The outcomes that the daemon reports.
    pub(super) const ALL: [Self; 4] = [Self::Recorded, Self::Duplicate, Self::Test, Self::Ignored];

    /// The name in the response and in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Duplicate => "duplicate",
            Self::Test => "test",
            Self::Ignored => "ignored",
            Self::Unstated => "accepted, without an outcome",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_is_read_from_2xx_responses_only() {
        for (status, body, answer) in [
            (200, r#"{"outcome":"recorded"}"#, Answer::Accepted(Outcome::Recorded)),
            (200, r#"{"outcome":"ignored","reason":"too_old"}"#, Answer::Accepted(Outcome::Ignored)),
            (204, "", Answer::Accepted(Outcome::Unstated)),
            (200, r#"{"outcome":"unstated"}"#, Answer::Accepted(Outcome::Unstated)),
            (401, r#"{"error":"unknown secret"}"#, Answer::Refused(401)),
            (302, r#"{"outcome":"recorded"}"#, Answer::Refused(302)),
        ] {
            assert_eq!(Answer::new(status, body.as_bytes()), answer, "{status} {body}");
        }
    }

    #[test]
    fn acknowledged_and_uncertain_answers_differ() {
        let lost = Answer::from(Error::Timeout(Timeout::RecvResponse));
        let refused = Answer::from(Error::Io(ErrorKind::ConnectionRefused.into()));
        let cut_off = Answer::from(Error::Io(ErrorKind::UnexpectedEof.into()));
        let unconnected = Answer::from(Error::Timeout(Timeout::Connect));
        for (answer, acknowledges, uncertain) in [
            (Answer::Accepted(Outcome::Recorded), true, false),
            (Answer::Accepted(Outcome::Duplicate), true, false),
            (Answer::Accepted(Outcome::Ignored), false, false),
            (Answer::Refused(503), false, false),
            (Answer::Refused(504), false, true),
            (lost, false, true),
            (cut_off, false, true),
            (refused, false, false),
            (unconnected, false, false),
        ] {
            assert_eq!((answer.acknowledges(), answer.is_uncertain()), (acknowledges, uncertain), "{answer}");
        }
    }

    #[test]
    fn explanation_of_401_names_the_secret_file() {
        let explanation = Answer::Refused(401).explanation(Path::new("data/webhook-secret"));
        assert!(explanation.unwrap().contains("data/webhook-secret"));
    }
}
