use serde_json::{Value, json};

use super::*;
use crate::event::{ErrorCode, EventKind, EventSource};

const NOW: &str = "2026-11-20T19:00:00Z";
const SENT: &str = "2026-11-20T18:00:07.5Z";
const INPUT: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const ACCOUNT: &str = "f037e56e89293a057740de681ac9abbe";
const OTHER_ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const POLICY: &str = "0da2b59ef118439d8097bdfb215203c9";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn read(entry: &Value) -> Result<Event, Unusable> {
    event(entry, ACCOUNT.parse().unwrap(), at(NOW))
}

fn entry(alert_body: Value) -> Value {
    let mut entry = json!({
        "id": "f174e90afafe4643bbbc4a0ed4fc8415", "name": "Live", "description": "d",
        "alert_type": "stream_live_notifications", "mechanism": "m", "mechanism_type": "webhook",
        "policy_id": POLICY, "sent": SENT,
    });
    entry["alert_body"] = alert_body;
    entry
}

fn data(event_type: &str) -> Value {
    json!({
        "notification_name": "Stream Live Input", "input_id": INPUT,
        "event_type": format!("live_input.{event_type}"), "updated_at": "2026-11-20T18:00:02.104233871Z",
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// The four forms of a body, in this order: object and text of the envelope, object and text of `data` only.
fn forms(data: &Value) -> [Value; 4] {
    let envelope = json!({ "name": "Live", "text": "t", "data": data, "ts": 1_795_197_605 });
    [envelope.clone(), json!(envelope.to_string()), data.clone(), json!(data.to_string())]
}

#[test]
fn event_in_each_form_of_the_body_is_read() {
    for (form, body) in forms(&data("connected")).into_iter().enumerate() {
        let event = read(&entry(body)).unwrap();
        assert_eq!(event.input_id, INPUT.parse().unwrap(), "{form}");
        assert_eq!(event.kind, EventKind::Connected, "{form}");
        assert_eq!(event.updated_at, at("2026-11-20T18:00:02.104233871Z"), "{form}");
        assert_eq!(event.received_at, at(NOW), "{form}");
        assert_eq!(event.origin.source, EventSource::History, "{form}");
        assert_eq!(event.origin.account_id, Some(ACCOUNT.parse().unwrap()), "{form}");
        assert_eq!(event.origin.policy_id, Some(POLICY.parse().unwrap()), "{form}");
        // The envelope's time of sending, otherwise the entry's.
        let sent_at = if form < 2 { "2026-11-20T18:00:05Z" } else { "2026-11-20T18:00:07Z" };
        assert_eq!(event.sent_at, Some(at(sent_at)), "{form}");
    }
}

#[test]
fn error_is_found_in_each_of_its_places() {
    let errored = json!({ "error": { "code": "ERR_GOP_OUT_OF_RANGE", "message": "m" }, "video_codec": "v" });
    let inside = with(data("errored"), "live_input_errored", errored.clone());
    let beside = with(json!({ "data": data("errored") }), "live_input_errored", errored);
    let mut bodies: Vec<Value> = forms(&inside).to_vec();
    bodies.extend([beside.clone(), json!(beside.to_string())]);
    for body in bodies {
        let EventKind::Errored(detail) = read(&entry(body.clone())).unwrap().kind else { panic!("{body}") };
        assert_eq!(detail.code, ErrorCode::from("ERR_GOP_OUT_OF_RANGE"), "{body}");
        assert_eq!(detail.message.as_deref(), Some("m"), "{body}");
        assert_eq!(detail.video_codec.as_deref(), Some("v"), "{body}");
    }
    for body in forms(&data("errored")) {
        let EventKind::Errored(detail) = read(&entry(body.clone())).unwrap().kind else { panic!("{body}") };
        assert_eq!(detail.code, ErrorCode::default(), "{body}");
    }
}

#[test]
fn notification_that_is_not_strict_json_is_read_leniently() {
    let fixture = include_str!("../../../tests/fixtures/notifications/docs-errored-trailing-comma.json");
    let event = read(&entry(json!(fixture))).unwrap();
    assert_eq!(event.kind.name(), "errored");
    assert_eq!(event.origin.account_id, Some(ACCOUNT.parse().unwrap()));
    assert_eq!(event.origin.policy_id, Some(POLICY.parse().unwrap()));
}

#[test]
fn ids_of_the_envelope_win_and_data_may_be_a_text() {
    let envelope = json!({ "data": data("disconnected").to_string(), "account_id": OTHER_ACCOUNT,
                           "policy_id": "11111111111111111111111111111111" });
    let event = read(&entry(envelope)).unwrap();
    assert_eq!(event.kind, EventKind::Disconnected);
    assert_eq!(event.origin.account_id, Some(OTHER_ACCOUNT.parse().unwrap()));
    assert_eq!(event.origin.policy_id, Some("11111111111111111111111111111111".parse().unwrap()));
}

#[test]
fn time_of_sending_is_absent_if_no_member_has_a_plausible_one() {
    for sent in [json!(null), json!("yesterday"), json!(7), json!("1999-01-01T00:00:00Z")] {
        let entry = with(entry(data("connected")), "sent", sent.clone());
        assert_eq!(read(&entry).unwrap().sent_at, None, "{sent}");
    }
}

#[test]
fn entry_without_all_that_an_event_needs_is_unusable() {
    let without = |name: &str| {
        let mut data = data("connected");
        data.as_object_mut().unwrap().remove(name);
        data
    };
    let updated_at = |text: &str| with(data("connected"), "updated_at", json!(text));
    let prose = format!("Input ID: {INPUT}\nEvent type: live_input.connected\nUpdated at: {SENT}");
    let ignored = Unusable::Ignored;
    for (body, reason) in [
        (json!(prose), Unusable::Prose),
        (json!(""), Unusable::Prose),
        (json!("7"), Unusable::Prose),
        (json!(data("connected").to_string()[1..]), Unusable::Prose),
        (json!([data("connected")]), Unusable::WithoutBody),
        (json!(null), Unusable::WithoutBody),
        (json!(7), Unusable::WithoutBody),
        (json!({}), ignored(IgnoredReason::NoData)),
        (json!({ "data": "prose" }), ignored(IgnoredReason::NoData)),
        (json!({ "text": prose }), Unusable::Test),
        (without("updated_at"), ignored(IgnoredReason::UpdatedAt)),
        (updated_at("2019-12-31T23:59:59Z"), ignored(IgnoredReason::UpdatedAt)),
        (updated_at("2026-11-20T19:05:01Z"), ignored(IgnoredReason::Future)),
        (without("input_id"), ignored(IgnoredReason::InputId)),
        (without("event_type"), ignored(IgnoredReason::NoData)),
        (data("exploded"), ignored(IgnoredReason::EventType)),
        (json!({ "alert_type": "billing_usage_alert", "data": data("connected") }), ignored(IgnoredReason::AlertType)),
    ] {
        assert_eq!(read(&entry(body.clone())), Err(reason), "{body}");
    }
}

#[test]
fn entry_of_another_product_is_skipped_whatever_its_body_is() {
    for body in forms(&data("connected")) {
        let entry = with(entry(body), "alert_type", json!("billing_usage_alert"));
        assert_eq!(read(&entry), Err(Unusable::Ignored(IgnoredReason::AlertType)));
    }
    for entry in [json!(null), json!("text"), json!([]), json!({})] {
        assert_eq!(read(&entry), Err(Unusable::WithoutBody), "{entry}");
    }
}

#[test]
fn entry_without_its_optional_members_is_read() {
    let event = read(&json!({ "alert_body": data("connected") })).unwrap();
    assert_eq!((event.sent_at, event.origin.policy_id), (None, None));
}
