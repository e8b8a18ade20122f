//! Bodies and the results of parsing them.

mod allocations;
mod leniency;
mod properties;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::*;

const RECEIVED_AT: i64 = 1_795_300_000;

/// The result of parsing a body, as one line.
fn describe(body: &[u8]) -> String {
    let reading = match read(body, Timestamp::from_seconds(RECEIVED_AT)) {
        Ok(reading) => reading,
        Err(NotJson { line, column }) => return format!("not JSON: line {line}, column {column}"),
    };
    let leniently = if reading.lenient { " leniently" } else { "" };
    match reading.notification {
        Notification::Test => format!("test{leniently}"),
        Notification::Ignored(reason) => format!("ignored {}{leniently}", reason.label()),
        Notification::NotJson => unreachable!("reading returns an error instead"),
        Notification::Event(Event { input_id, kind, updated_at, sent_at, .. }) => {
            let code = match &kind {
                EventKind::Errored(detail) => format!(" {:?}", detail.code.as_str()),
                EventKind::Connected | EventKind::Disconnected => String::new(),
            };
            let sent_at = sent_at.map_or(-1, |at| at.as_millis() / 1000);
            format!("{}{code} {input_id} {updated_at} {sent_at}{leniently}", kind.name())
        }
    }
}

fn check(body: &str, expected: &str) {
    assert_eq!(describe(body.as_bytes()), expected, "{body}");
}

const INPUT: &str = "2c28dd2cc444cb77578c4840b51e43a8";

#[test]
fn every_fixture_has_its_expected_outcome() {
    let expected = [
        ("connected", "connected 2c28dd2cc444cb77578c4840b51e43a8 2026-11-20T18:00:02.104233871Z 1795197605"),
        ("disconnected", "disconnected 2c28dd2cc444cb77578c4840b51e43a8 2026-11-20T20:31:40.000000001Z 1795206711"),
        ("docs-disconnected", "disconnected eb222fcca08eeb1ae84c981ebe8aeeb6 2022-01-13T11:43:41.85571791Z -1"),
        (
            "docs-errored-trailing-comma",
            r#"errored "ERR_GOP_OUT_OF_RANGE" eb222fcca08eeb1ae84c981ebe8aeeb6 2024-07-09T18:07:51.077371662Z -1 leniently"#,
        ),
        (
            "errored-at-top-level",
            r#"errored "ERR_UNSUPPORTED_AUDIO_CODEC" 2c28dd2cc444cb77578c4840b51e43a8 2026-11-20T18:07:00Z 1795198023"#,
        ),
        (
            "errored-unhealthy",
            r#"errored "ERR_UNHEALTHY" 2c28dd2cc444cb77578c4840b51e43a8 2026-11-20T18:05:00.5Z 1795197903"#,
        ),
        (
            "errored-unknown-code",
            r#"errored "ERR_SOMETHING_NEW" 2c28dd2cc444cb77578c4840b51e43a8 2026-11-20T18:06:00Z 1795197963"#,
        ),
        ("errored-without-details", r#"errored "" 2c28dd2cc444cb77578c4840b51e43a8 2026-11-20T18:08:00Z 1795198083"#),
        ("other-alert-type", "ignored alert_type"),
        ("policy-test-fake-input", "ignored input_id"),
        ("save-and-test-correctly", "test"),
        ("save-and-test-properly", "test"),
        ("unknown-event-type", "ignored event_type"),
        ("video-webhook-by-mistake", "ignored video_webhook"),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/notifications");
    for (name, outcome) in expected {
        let body = fs::read(folder.join(format!("{name}.json"))).unwrap();
        assert_eq!(describe(&body), outcome, "{name}");
    }
    let present: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(present, expected.map(|(name, _)| name.to_owned()).into(), "a fixture without an expected outcome");
}

#[test]
fn non_object_is_rejected_with_its_position() {
    check("", "not JSON: line 1, column 0");
    check("[]", "not JSON: line 1, column 0");
    check("\"text\"", "not JSON: line 1, column 6");
    check("{\"text\": \"a\"} {}", "not JSON: line 1, column 15");
    check("{\n  \"ts\": nope}", "not JSON: line 2, column 10");
    check("{'text': 'a'}", "not JSON: line 1, column 2");
    assert_eq!(describe(b"\xff"), "not JSON: line 1, column 1");
    assert_eq!(describe(b"{\0\"\0t\0\"\0:\x001\0}\0"), "not JSON: line 1, column 2");
    assert_eq!(describe(b"\xff\xfe{\0\"\0"), "not JSON: line 1, column 2");
}

#[test]
fn deep_nesting_is_rejected_without_recursion() {
    check(&format!("{{\"data\": {}", "[".repeat(60_000)), "not JSON: line 1, column 60009");
}

#[test]
fn members_of_any_type_are_accepted() {
    check("{}", "ignored no_data");
    check(r#"{"text": 5}"#, "ignored no_data");
    check(r#"{"text": "Hello", "data": null}"#, "ignored no_data");
    check(r#"{"text": "Hello", "data": []}"#, "ignored no_data");
    for data in ["[1, 2, 3]", r#"[[{"a": [{}]}]]"#, "true", "1", "-1", "1.5", r#""text""#, r#""\n""#] {
        check(&format!(r#"{{"data": {data}}}"#), "ignored no_data");
    }
    check(r#"{"data": {}}"#, "ignored event_type");
    check(r#"{"data": {"event_type": 1}}"#, "ignored event_type");
    check(r#"{"alert_type": 7, "data": {"event_type": "live_input.connected"}}"#, "ignored input_id");
    check(r#"{"uid": "u", "readyToStream": false}"#, "ignored video_webhook");
}

#[test]
fn test_has_only_a_text_or_the_text_of_cloudflare() {
    const SENTENCE: &str = "Hello World! This is a test message sent from https://cloudflare.com. If you can see this, \
                            your webhook is configured";
    for body in [
        json!({"text": "Hello"}),
        json!({"text": SENTENCE, "data": {}}),
        json!({"text": ""}),
        json!({"text": SENTENCE}),
        json!({"text": SENTENCE, "name": "destination", "ts": 1}),
        json!({"text": SENTENCE, "data": null}),
        json!({"text": SENTENCE, "alert_type": "stream_live_notifications", "uid": "u"}),
    ] {
        check(&body.to_string(), "test");
    }
    for body in [
        json!({"text": "Hello", "data": null}),
        json!({"text": "Hello", "data": [{"input_id": INPUT, "event_type": "live_input.connected"}]}),
        json!({"text": "Hello", "data": connected("2026-11-20T18:00:00Z")}),
        json!({"text": "Hello", "input_id": INPUT}),
        json!({"text": "Hello", "event_type": "live_input.connected"}),
        json!({"text": "Hello", "updated_at": "2026-11-20T18:00:00Z"}),
        json!({
            "text": "Hello", "input_id": INPUT, "event_type": "live_input.connected", "updated_at": "2026-11-20T18:00:00Z",
        }),
        json!({"text": "Hello", "live_input": {"input_id": INPUT}}),
        json!({"text": "Hello", "live_input_errored": {}}),
        json!({"text": "Hello", "Data": {}}),
        json!({"text": "Hello", "alert_type": 7}),
        json!({"text": "Hello", "alert_type": "stream_live_notifications"}),
        json!({"text": "Hello", "ts": 1}),
        json!({"text": "Hello", "uid": "u"}),
        json!({"text": "Hello", "readyToStream": true}),
        json!({"text": "Hello", "": null}),
        json!({"text": null}),
        json!({"text": [SENTENCE]}),
        json!({"message": SENTENCE}),
    ] {
        check(&body.to_string(), "ignored no_data");
    }
    // The event counts, not the text.
    let mut event: Value = serde_json::from_str(&connected("2026-11-20T18:00:00Z")).unwrap();
    event["text"] = SENTENCE.into();
    check(&event.to_string(), &format!("connected {INPUT} 2026-11-20T18:00:00Z -1"));
}

fn connected(updated_at: &str) -> String {
    json!({"data": {"input_id": INPUT, "event_type": "live_input.connected", "updated_at": updated_at}}).to_string()
}

#[test]
fn event_time_must_be_between_2020_and_the_receipt() {
    check(&connected("soon"), "ignored updated_at");
    for too_early in ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2019-12-31T23:59:59.999999999Z"] {
        check(&connected(too_early), "ignored updated_at");
    }
    check(&connected("2020-01-01T00:00:00Z"), &format!("connected {INPUT} 2020-01-01T00:00:00Z -1"));
    check(&connected("9999-01-01T00:00:00Z"), "ignored future");
    let latest = Timestamp::from_seconds(RECEIVED_AT + 300);
    check(&connected(&latest.to_string()), &format!("connected {INPUT} {latest} -1"));
    check(&connected(&latest.plus(Duration::from_nanos(1)).to_string()), "ignored future");
}

#[test]
fn implausible_time_of_sending_counts_as_absent() {
    let sent = |ts: Value| {
        let data =
            json!({"input_id": INPUT, "event_type": "live_input.connected", "updated_at": "2026-11-20T18:00:00Z"});
        json!({ "ts": ts, "data": data }).to_string()
    };
    let connected = |sent_at: i64| format!("connected {INPUT} 2026-11-20T18:00:00Z {sent_at}");
    check(&sent(1_795_197_605.into()), &connected(1_795_197_605));
    for ts in [
        json!(0),
        json!(-1),
        json!(1_795_197_605_000_i64),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1.8e300),
        json!("1795197605"),
        json!(null),
    ] {
        check(&sent(ts), &connected(-1));
    }
}

#[test]
fn last_of_repeated_members_counts_and_keys_may_be_escaped() {
    check(
        &format!(
            r#"{{"ts": "x", "ts": 1795197605, "d\u0061ta": {{"input_id": "{INPUT}", "event_type": "live_input.connected", "event_type": "live_input.disconnected", "updated_at": "2026-11-20T18:00:00Z"}}}}"#
        ),
        &format!("disconnected {INPUT} 2026-11-20T18:00:00Z 1795197605"),
    );
}

#[test]
fn long_text_is_truncated() {
    let long = "ü".repeat(5000);
    let errored = json!({"error": {"code": long, "message": long}, "video_codec": "hevc", "audio_codec": ""});
    let data = json!({"input_id": INPUT, "event_type": "live_input.errored", "updated_at": "2026-11-20T18:00:00Z"});
    let body = json!({"data": data, "live_input_errored": errored}).to_string();
    let notification = read(body.as_bytes(), Timestamp::from_seconds(RECEIVED_AT)).unwrap().notification;
    let Notification::Event(Event { kind: EventKind::Errored(detail), .. }) = notification else {
        panic!("not an error: {notification:?}");
    };
    let kept = "ü".repeat(MAX_TEXT_LENGTH);
    assert_eq!(detail.code.as_str(), kept);
    assert_eq!(detail.message.as_deref(), Some(kept.as_str()));
    assert_eq!((detail.video_codec.as_deref(), detail.audio_codec), (Some("hevc"), None));
}

#[test]
fn comments_and_trailing_commas_are_read_leniently() {
    check("{\"text\": \"Hello\", /* pasted */ }", "test leniently");
}

/// An error with this code and message, as bytes.
fn errored(code: &[u8], message: &[u8]) -> Vec<u8> {
    let head = format!(
        r#"{{"data": {{"input_id": "{INPUT}", "event_type": "live_input.errored", "updated_at": "2026-11-20T18:00:00Z", "live_input_errored": {{"error": {{"code": ""#
    );
    [head.as_bytes(), code, br#"", "message": ""#, message, br#""}}}}"#].concat()
}

fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(to_bytes).collect()
}

#[test]
fn byte_order_marks_are_skipped_and_invalid_bytes_are_replaced() {
    let strict = errored(b"ERR_UNHEALTHY", "für".as_bytes());
    let text = std::str::from_utf8(&strict).unwrap();
    let prefixed = |prefix: &[u8]| [prefix, &strict[..]].concat();
    let event = format!("errored \"ERR_UNHEALTHY\" {INPUT} 2026-11-20T18:00:00Z -1");
    assert_eq!(describe(&strict), event);
    for (what, body) in [
        ("a mark", prefixed(b"\xef\xbb\xbf")),
        ("two marks", prefixed(b"\xef\xbb\xbf\xef\xbb\xbf")),
        ("a mark before a space", prefixed(b"\xef\xbb\xbf\r\n")),
        ("a mark and a trailing comma", format!("\u{feff}{}", text.replace("}}}}", "}}},}")).into_bytes()),
        ("UTF-16, little endian", utf_16(text, u16::to_le_bytes)),
        ("UTF-16, big endian", utf_16(text, u16::to_be_bytes)),
        ("Latin-1", errored(b"ERR_UNHEALTHY", b"f\xfcr")),
        ("a character that is cut off", errored(b"ERR_UNHEALTHY", b"\xf0\x9f\x98")),
        ("half a surrogate pair in UTF-8", errored(b"ERR_UNHEALTHY", b"\xed\xa0\xbd")),
        ("Latin-1 and a trailing comma", [&errored(b"ERR_UNHEALTHY", b"f\xfcr")[..strict.len() - 2], b",}"].concat()),
        ("a raw line end", errored(b"ERR_UNHEALTHY", b"one\ntwo")),
        ("Latin-1 in an unused member", [&b"{\"name\": \"\xfc\", "[..], &strict[1..]].concat()),
    ] {
        assert_eq!(describe(&body), format!("{event} leniently"), "{what}");
    }
    assert_eq!(
        describe(&errored(b"ERR_UNHEALTHY", br"\ud83d")),
        event,
        "half an escaped surrogate pair is strict JSON"
    );
    assert_eq!(describe(&errored(b"ERR_\xfc", b"")), event.replace("UNHEALTHY", "\u{fffd}") + " leniently");
    assert_eq!(message(&errored(b"", b"f\xfcr")), "f\u{fffd}r");
    assert!(message(&errored(b"", br"cut off: \ud83d")).starts_with("cut off: \u{fffd}"));
}

/// The message of an error.
fn message(body: &[u8]) -> String {
    let notification = read(body, Timestamp::from_seconds(RECEIVED_AT)).unwrap().notification;
    let Notification::Event(Event { kind: EventKind::Errored(detail), .. }) = notification else {
        panic!("not an error: {notification:?}");
    };
    detail.message.unwrap().into()
}
