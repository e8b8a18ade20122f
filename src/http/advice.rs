//! What to do about deliveries that are rejected or ignored, for the log.

use super::rejection::{AuthFailure, Rejection};
use crate::event::IgnoredReason;

/// What to do about a delivery to another path.
pub(super) const OTHER_PATH: &str = "the URL of the destination at Cloudflare must end with webhook.path";

/// What to do about a rejected delivery.
pub(super) fn after_rejection(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::Unauthenticated(failure) | Rejection::TooManyFailures(failure) => match failure {
            AuthFailure::Missing => {
                "there is no header cf-webhook-auth: enter the secret in the destination at Cloudflare; block the peer if \
                 it is not Cloudflare"
            }
            AuthFailure::Wrong => {
                "compare the secret of the destination at Cloudflare with the configured ones; block the peer if it is not \
                 Cloudflare"
            }
            AuthFailure::Repeated => "there are several headers cf-webhook-auth: a proxy must not add one",
            AuthFailure::Method => "it is not a notification: monitors use /-/healthy; block the peer if it is none",
        },
        Rejection::Method => "notifications are sent with POST; monitors use /-/healthy",
        Rejection::Encoding => "send notifications uncompressed, as Cloudflare does",
        Rejection::TooLarge(_) => "Cloudflare's notifications have about 0.6 kB; the limit is webhook.max_body_size",
        Rejection::Timeout => "check the network and the proxy; the limit is webhook.body_timeout",
        Rejection::BrokenOff => "check the proxy: the connection or the chunked encoding ended within the body",
        Rejection::NotJson(_) => "the body is kept: see stream-live-exporter journal unrecognized",
        Rejection::OutOfMemory => "check how long commits take, and whether the webhook is flooded with large bodies",
        Rejection::Overloaded => "the queue is full: check how long commits take, and whether the webhook is flooded",
        Rejection::SpoolFull => {
            "PostgreSQL is away and the spool is full: repair PostgreSQL, or raise storage.spool_max"
        }
        Rejection::Journal | Rejection::NotInTime => "/-/ready on the private listener has the reason",
    }
}

/// What to do about an ignored delivery.
pub(super) fn after_ignoring(reason: IgnoredReason) -> &'static str {
    match reason {
        IgnoredReason::AlertType => {
            "it is a notification of another product: remove this destination from its policy at Cloudflare"
        }
        IgnoredReason::EventType => {
            "this release does not know the event: upgrade, then run stream-live-exporter journal replay-unrecognized"
        }
        IgnoredReason::InputId => {
            "the Test button of a policy sends an invented id; otherwise see stream-live-exporter journal unrecognized"
        }
        IgnoredReason::NoData | IgnoredReason::UpdatedAt => {
            "the form is unknown: see stream-live-exporter journal unrecognized, and upgrade if there is a newer release"
        }
        IgnoredReason::Future => "check the clock of this host",
        IgnoredReason::TooOld => "it may repeat an event that is no longer remembered; usually nothing is lost",
        IgnoredReason::VideoWebhook => "remove this URL from the webhook of Stream's settings: it is for videos",
        IgnoredReason::TooManyInputs => "raise inputs.max, or set inputs.forget_after",
    }
}
