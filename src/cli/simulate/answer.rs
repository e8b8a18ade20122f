//! What became of a notification, as far as its sender can tell.

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
    /// It was sent, and no answer came: nobody knows whether it was recorded.
    Lost(String),
    /// It was not sent at all.
    Unreachable(String),
}

/// What the daemon says that it did with a notification that it accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Recorded,
    Duplicate,
    Test,
    Ignored,
    /// A 2xx that does not speak as the daemon does.
    #[serde(skip)]
    Unstated,
}

impl Answer {
    /// Reads a status and the body that came with it.
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

    /// Whether the fact is now known to the daemon.
    pub(super) fn acknowledges(&self) -> bool {
        matches!(self, Self::Accepted(Outcome::Recorded | Outcome::Duplicate | Outcome::Unstated))
    }

    /// Whether the daemon may have recorded the fact all the same. A gateway's 502 and 504 say that
    /// it was the gateway that got no answer.
    pub(super) fn is_uncertain(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Refused(502 | 504))
    }

    /// The cause and what to do about it, where it can be told.
    pub(super) fn explanation(&self, secret_file: &Path) -> Option<String> {
        let explanation = match self {
            Self::Accepted(Outcome::Unstated) => "not as stream-live-exporter answers: is the URL right?",
            Self::Accepted(Outcome::Ignored) => "stream_live_exporter_notifications_ignored_total has the reason",
            Self::Refused(401) => {
                return Some(format!("the secret in {} is not one that the daemon knows", secret_file.display()));
            }
            Self::Refused(404 | 405) => "the daemon receives no webhooks under this URL",
            Self::Refused(503) => "the daemon could not make it durable: its log says why",
            Self::Refused(300..=399) => "the URL points elsewhere, and Cloudflare follows no redirects",
            Self::Lost(_) => "the daemon may have recorded it all the same",
            Self::Unreachable(_) => "is the daemon running, and is the URL right?",
            Self::Accepted(Outcome::Recorded | Outcome::Duplicate | Outcome::Test) | Self::Refused(_) => return None,
        };
        Some(explanation.to_owned())
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        let cause = error.to_string();
        match never_left(&error) {
            true => Self::Unreachable(cause),
            false => Self::Lost(cause),
        }
    }
}

/// Whether nothing was sent, for certain.
fn never_left(error: &Error) -> bool {
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
            Self::Lost(cause) => write!(f, "without an answer ({cause})"),
            Self::Unreachable(cause) => write!(f, "not delivered ({cause})"),
        }
    }
}

impl Outcome {
    /// What the daemon may say.
    pub(super) const ALL: [Self; 4] = [Self::Recorded, Self::Duplicate, Self::Test, Self::Ignored];

    /// The daemon's word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Duplicate => "duplicate",
            Self::Test => "test",
            Self::Ignored => "ignored",
            Self::Unstated => "accepted without an outcome",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_outcome_of_what_was_accepted() {
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
    fn tells_what_was_recorded_from_what_may_have_been() {
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
    fn a_wrong_secret_is_called_one_by_its_file() {
        let explanation = Answer::Refused(401).explanation(Path::new("data/webhook-secret"));
        assert_eq!(explanation.as_deref(), Some("the secret in data/webhook-secret is not one that the daemon knows"));
    }
}
