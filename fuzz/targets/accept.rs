//! Arbitrary bytes as the body of a notification: they are accepted or rejected without a panic, and the result equals
//! that of a second, slower parser.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stream_live_exporter::accept::{self, NotJson};
use stream_live_exporter::event::{Event, EventKind, Notification, Timestamp};

#[path = "../../src/accept/notification/tests/leniency.rs"]
#[expect(dead_code, reason = "the other target uses the rest")]
mod leniency;

const RECEIVED_AT: i64 = 1_795_300_000;
/// 2020-01-01T00:00:00Z. An earlier event is implausible.
const EARLIEST_EVENT: i64 = 1_577_836_800;
const MAX_TEXT_LENGTH: usize = 1000;
const TEST_MESSAGE: &str = "Hello World! This is a test message sent from https://cloudflare.com";

fuzz_target!(|body: &[u8]| {
    let received_at = Timestamp::from_seconds(RECEIVED_AT);
    let object = serde_json::from_slice::<Value>(body).ok().filter(Value::is_object);
    match accept::read(body, received_at) {
        Ok(reading) => {
            if let Notification::Event(event) = &reading.notification {
                check(event, received_at);
            }
            if reading.lenient {
                assert!(object.is_none(), "strict JSON was read leniently");
                let strict = accept::read(&leniency::strict(body), received_at)
                    .expect("a lenient body can be converted to strict JSON");
                assert_eq!(strict.notification, reading.notification);
            } else if let Some(object) = &object {
                assert_eq!(kind(&reading.notification), expected(object));
            }
        }
        Err(NotJson { line, column }) => {
            assert!(object.is_none(), "a JSON object was rejected");
            // An invalid byte is replaced by a character of three bytes.
            assert!(line <= body.iter().filter(|byte| **byte == b'\n').count() + 1 && column <= 3 * body.len());
        }
    }
});

/// Properties of every event.
fn check(event: &Event, received_at: Timestamp) {
    assert_eq!(event.input_id.to_string().parse(), Ok(event.input_id));
    assert_eq!(event.updated_at.to_string().parse(), Ok(event.updated_at));
    assert_eq!(event.received_at, received_at);
    assert!(event.updated_at <= received_at.plus(Duration::from_secs(300)));
    if let EventKind::Errored(detail) = &event.kind {
        let texts = [&detail.message, &detail.video_codec, &detail.audio_codec];
        for text in texts.into_iter().flatten() {
            assert!(!text.is_empty() && text.chars().count() <= MAX_TEXT_LENGTH);
        }
        assert!(detail.code.as_str().chars().count() <= MAX_TEXT_LENGTH);
    }
}

fn kind(notification: &Notification) -> &'static str {
    match notification {
        Notification::Event(event) => event.kind.name(),
        Notification::Test => "test",
        Notification::Ignored(reason) => reason.label(),
        Notification::NotJson => unreachable!("reading returns an error instead"),
    }
}

/// The expected kind, from the whole document.
fn expected(body: &Value) -> &'static str {
    let alert_type = body["alert_type"].as_str();
    let data = body.get("data");
    if body.get("uid").is_some() && body.get("readyToStream").is_some() {
        return "video_webhook";
    }
    if alert_type.is_some_and(|alert_type| alert_type != "stream_live_notifications") {
        return "alert_type";
    }
    let Some(data) = data.filter(|data| data.is_object()) else {
        let text = body["text"].as_str();
        let only_text = body.as_object().is_some_and(|members| members.len() == 1);
        let is_test = text.is_some_and(|text| only_text || text.starts_with(TEST_MESSAGE));
        return if is_test { "test" } else { "no_data" };
    };
    let event = match data["event_type"].as_str() {
        Some("live_input.connected") => "connected",
        Some("live_input.disconnected") => "disconnected",
        Some("live_input.errored") => "errored",
        _ => return "event_type",
    };
    let is_id = |id: &str| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !data["input_id"].as_str().is_some_and(is_id) {
        return "input_id";
    }
    match data["updated_at"].as_str().and_then(|instant| instant.parse::<Timestamp>().ok()) {
        None => "updated_at",
        Some(instant) if instant.as_nanos() < EARLIEST_EVENT * 1_000_000_000 => "updated_at",
        Some(instant) if instant.as_nanos() > (RECEIVED_AT + 300) * 1_000_000_000 => "future",
        Some(_) => event,
    }
}
