//! The newest deliveries: what became of each, why, and what to do.

use std::time::Duration;

use askama::Template;

use super::fragment::Fragment;
use super::snapshot::Snapshot;
use super::time::Time;
use crate::event::{Event, EventSource, InputId};
use crate::http::advice;
use crate::http::private::deliveries::Recent;
use crate::http::unused_deliveries::Rejected;
use crate::live::View;
use crate::recorder::{Outcome, RecentDelivery};

/// The reason of a rejected delivery whose body is kept.
const NOT_JSON: &str = "not_json";

#[derive(Template)]
#[template(path = "deliveries.html", config = "src/http/private/page/askama.toml")]
struct Deliveries<'a> {
    rows: Vec<Row<'a>>,
}

/// A delivery. What is not known is empty.
#[derive(Debug, Default)]
struct Row<'a> {
    at: Option<Time>,
    outcome: &'static str,
    class: &'static str,
    reason: &'static str,
    detail: &'static str,
    /// The status with which it was rejected.
    status: Option<u16>,
    advice: &'static str,
    /// The body is in the journal.
    is_kept: bool,
    peer: String,
    event: &'static str,
    input: Option<(InputId, &'a str)>,
    /// Inside Cloudflare, and on the way.
    delays: Option<(String, String)>,
}

/// The deliveries of a snapshot.
pub(super) fn fragment(snapshot: &Snapshot) -> Fragment {
    let view = snapshot.view.as_ref();
    let rows = snapshot.deliveries.iter().map(|delivery| match delivery {
        Recent::Accepted(delivery) => accepted(delivery, view),
        Recent::Rejected(rejected) => self::rejected(rejected),
    });
    Fragment::new("deliveries", &Deliveries { rows: rows.collect() })
}

fn accepted<'a>(delivery: &RecentDelivery, view: Option<&'a View>) -> Row<'a> {
    let event = delivery.event.as_ref();
    let is_history = event.is_some_and(|event| event.origin.source == EventSource::History);
    let name = |event: &Event| view.map_or("", |view| view.gauge_state().name(&event.input_id));
    Row {
        at: Some(Time(delivery.received_at)),
        outcome: delivery.outcome.name(),
        class: match delivery.outcome {
            Outcome::Recorded | Outcome::Test => "ok",
            Outcome::Duplicate => "muted",
            Outcome::Ignored(_) | Outcome::NotJson => "warn",
        },
        reason: delivery.reason().unwrap_or(if is_history { EventSource::History.label() } else { "" }),
        advice: delivery.outcome.ignored().map(advice::after_ignoring).unwrap_or_default(),
        is_kept: delivery.outcome.ignored().is_some() && event.is_none(),
        peer: delivery.peer.map(|peer| peer.to_string()).unwrap_or_default(),
        event: event.map(|event| event.kind.name()).unwrap_or_default(),
        input: event.map(|event| (event.input_id, name(event))),
        delays: event.and_then(Event::delays).map(|delays| {
            let delivery = delays.delivery.map_or_else(|| "clock skew".to_owned(), seconds);
            (seconds(delays.source), delivery)
        }),
        ..Row::default()
    }
}

fn rejected(rejected: &Rejected) -> Row<'static> {
    let Rejected { received_at, status, reason, detail, peer, advice, .. } = *rejected;
    Row {
        at: Some(Time(received_at)),
        outcome: "rejected",
        class: "bad",
        reason,
        detail: detail.unwrap_or_default(),
        status: Some(status),
        advice,
        is_kept: reason == NOT_JSON,
        peer: peer.map(|peer| peer.to_string()).unwrap_or_default(),
        ..Row::default()
    }
}

/// A delay, for people.
fn seconds(delay: Duration) -> String {
    format!("{:.1} s", delay.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{EventKind, IgnoredReason, Origin, Timestamp};

    fn event(received_at: Timestamp) -> Event {
        Event {
            input_id: InputId::from_bytes([0xab; 16]),
            kind: EventKind::Disconnected,
            updated_at: Timestamp::from_seconds(100),
            sent_at: Some(Timestamp::from_seconds(102)),
            received_at,
            origin: Origin::default(),
        }
    }

    fn received(outcome: Outcome, event: Option<Event>) -> Recent {
        let received_at = event.as_ref().map_or(Timestamp::EPOCH, |event| event.received_at);
        let peer = Some("198.51.100.7".parse().unwrap());
        Recent::Accepted(Arc::new(RecentDelivery { received_at, peer, outcome, note: None, event }))
    }

    fn html(delivery: Recent) -> String {
        fragment(&Snapshot { deliveries: vec![delivery], ..Snapshot::default() }).to_string()
    }

    #[test]
    fn event_is_shown_with_its_input_peer_and_delays() {
        let html = html(received(Outcome::Recorded, Some(event(Timestamp::from_seconds(105)))));
        let link = format!("href=\"./inputs/{}\"", "ab".repeat(16));
        for part in [&*link, "recorded", "disconnected", "198.51.100.7", ">2.0 s<", ">3.0 s<", "1970-01-01T00:01:45Z"] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(!html.contains("./unrecognized\">Its"), "{html}");
    }

    #[test]
    fn unused_delivery_is_shown_with_its_reason_and_what_to_do() {
        let ignored = html(received(Outcome::Ignored(IgnoredReason::InputId), None));
        assert!(ignored.contains("input_id") && ignored.contains("./unrecognized\">Its"), "{ignored}");
        assert!(ignored.contains(advice::after_ignoring(IgnoredReason::InputId)), "{ignored}");
        // An event that is not used is understood, and its body is not kept.
        let too_old = html(received(Outcome::Ignored(IgnoredReason::TooOld), Some(event(Timestamp::EPOCH))));
        assert!(too_old.contains("too_old") && !too_old.contains("./unrecognized\">Its"), "{too_old}");
        let (received_at, peer, size) = (Timestamp::EPOCH, Some("2001:db8::1".parse().unwrap()), None);
        let (reason, detail, status, advice) = ("secret", Some("wrong"), 401, "compare <them>");
        let rejected = html(Recent::Rejected(Rejected { received_at, status, reason, detail, peer, size, advice }));
        for part in ["rejected", "401", "secret", "wrong", "2001:db8::1", "compare &#60;them&#62;"] {
            assert!(rejected.contains(part), "{part} is not in {rejected}");
        }
    }
}
