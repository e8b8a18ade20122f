//! Whether notifications arrive, as far as one can know without them.

use serde_json::Value;

use crate::event::Timestamp;
use crate::http::private::page::time::Time;
use crate::http::unused_deliveries::Rejected;
use crate::live::State;

/// Why notifications do not arrive.
#[derive(Debug, PartialEq)]
pub(super) enum NotReceiving<'a> {
    /// Since the last accepted delivery, all were rejected.
    Rejected {
        /// Number of those that are remembered.
        count: usize,
        newest: Time,
        last_accepted: Option<Time>,
        /// Whether the newest one had a valid secret. Anyone can send a wrong one.
        is_authenticated: bool,
        cause: &'static str,
        advice: &'static str,
    },
    /// Cloudflare's newest delivery failed, according to its API.
    DestinationFailing { account: &'a str, last_failure: Time },
    /// The notification policy is missing, disabled, silenced or filtered, according to Cloudflare's API.
    PolicyNotDelivering { account: &'a str },
    /// No delivery was accepted yet.
    NothingReceived,
}

/// What is known about deliveries.
#[derive(Debug, PartialEq)]
pub(super) struct Reception<'a> {
    pub(super) problem: Option<NotReceiving<'a>>,
    /// Rejected requests without a secret since the last accepted delivery, and the newest one.
    pub(super) without_secret: Option<(usize, Timestamp)>,
}

impl<'a> Reception<'a> {
    /// `rejected` is newest first. `accounts` are the tasks that use Cloudflare's API, as the private API shows them.
    pub(super) fn of(state: &State, rejected: &[Rejected], accounts: &'a [Value]) -> Self {
        let last_accepted = state.last_seen().last;
        let has_received = last_accepted.is_some() || state.totals().counted_since.is_some();
        let since_then: Vec<_> =
            rejected.iter().filter(|rejected| Some(rejected.received_at) > last_accepted).collect();
        let (without_secret, with_secret): (Vec<&Rejected>, Vec<&Rejected>) =
            since_then.into_iter().partition(|rejected| is_from_anyone(rejected));
        // Until the first delivery, a destination without the secret is the likely cause.
        let missing = without_secret.iter().filter(|_| !has_received).find(|rejected| rejected.reason == "secret");
        let all_rejected = with_secret.first().or(missing).map(|newest| NotReceiving::Rejected {
            count: if with_secret.is_empty() { without_secret.len() } else { with_secret.len() },
            newest: Time(newest.received_at),
            last_accepted: last_accepted.map(Time),
            is_authenticated: newest.reason != "secret",
            cause: cause(newest),
            advice: newest.advice,
        });
        let problem = all_rejected
            .or_else(|| accounts.iter().find_map(|account| destination_failing(account, last_accepted)))
            .or_else(|| accounts.iter().find_map(policy_not_delivering))
            .or((!has_received).then_some(NotReceiving::NothingReceived));
        let newest = without_secret.first().map(|newest| newest.received_at);
        let without_secret = newest.filter(|_| has_received).map(|newest| (without_secret.len(), newest));
        Self { problem, without_secret }
    }
}

/// Whether anyone on the internet could have sent it. A request has passed the check of its secret otherwise, or has at
/// least one.
fn is_from_anyone(rejected: &Rejected) -> bool {
    matches!((rejected.reason, rejected.detail), ("secret", Some("missing")) | ("method", Some("unauthenticated")))
}

/// Why a delivery was rejected, as the end of a sentence.
fn cause(rejected: &Rejected) -> &'static str {
    match (rejected.reason, rejected.detail) {
        ("secret", Some("missing")) => "it had no secret",
        ("secret", Some("repeated")) => "it had several secrets",
        ("secret", _) => "its secret was wrong",
        ("path", _) => "it was sent to another path than webhook.path",
        ("method", _) => "it was not sent with POST",
        ("encoding", _) => "its body was compressed",
        ("too_large", _) => "its body was larger than webhook.max_body_size",
        ("timeout", _) => "its body did not arrive in time or completely",
        ("not_json", _) => "its body was not a JSON object",
        ("overloaded", _) => "the exporter was overloaded",
        ("journal", _) => "it could not be recorded in time",
        ("spool", _) => "the spool was full",
        (reason, _) => reason,
    }
}

/// A delivery that was accepted later proves that the destination works again: the API is asked every few minutes.
fn destination_failing(account: &Value, last_accepted: Option<Timestamp>) -> Option<NotReceiving<'_>> {
    let destination = &account["destination"];
    let time = |name: &str| destination[name].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let last_failure =
        time("last_failure").filter(|failure| Some(*failure) > time("last_success").max(last_accepted))?;
    Some(NotReceiving::DestinationFailing { account: name(account), last_failure: Time(last_failure) })
}

fn policy_not_delivering(account: &Value) -> Option<NotReceiving<'_>> {
    let stopped = account["destination"]["policy_delivering"] == false;
    stopped.then(|| NotReceiving::PolicyNotDelivering { account: name(account) })
}

/// The configured name of an account, otherwise its id.
fn name(account: &Value) -> &str {
    let text = |member: &str| account[member].as_str().filter(|text| !text.is_empty());
    text("name").or_else(|| text("account_id")).unwrap_or_default()
}
