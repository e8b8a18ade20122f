//! Notifications as Cloudflare sends them.

use serde_json::{Value, json};
use stream_live_exporter::event::Timestamp;

use super::actions::Meaning;
use super::inputs::Input;

/// What Cloudflare posts about an event.
pub fn event(input: Input, meaning: Meaning, updated_at: Timestamp, sent_at: Timestamp) -> Vec<u8> {
    let event_type = format!("live_input.{}", meaning.event());
    let mut data = json!({
        "notification_name": "Stream Live Input",
        "input_id": input.id(),
        "event_type": event_type,
        "updated_at": updated_at.to_string(),
    });
    if let Meaning::Errs(code) = meaning {
        data["live_input_errored"] = errored(code);
    }
    let text = format!(
        "Notification type: Stream Live Input\nInput ID: {}\nEvent type: {event_type}\nUpdated at: {updated_at}",
        input.id()
    );
    envelope("stream_live_notifications", &text, &data, sent_at)
}

/// What "Save and Test" sends.
pub fn save_and_test() -> Vec<u8> {
    let text = "Hello World! This is a test message sent from https://cloudflare.com. \
                If you can see this, your webhook is configured correctly.";
    json!({ "text": text }).to_string().into()
}

/// A notification of another product, whose policy has the wrong destination.
pub fn other_product(sent_at: Timestamp) -> Vec<u8> {
    envelope("dos_attack_l4", "A DDoS attack", &json!({ "severity": "INFO" }), sent_at)
}

/// The same facts with a comma too many, as people paste them from Cloudflare's documentation.
pub fn with_trailing_comma(body: &[u8]) -> Vec<u8> {
    let object = body.strip_suffix(b"}").expect("a notification is an object");
    [object, b",}"].concat()
}

fn envelope(alert_type: &str, text: &str, data: &Value, sent_at: Timestamp) -> Vec<u8> {
    let envelope = json!({
        "name": "Live inputs",
        "text": text,
        "data": data,
        "ts": sent_at.as_millis() / 1000,
        "alert_type": alert_type,
        "alert_event": "ALERT_STATE_EVENT_START",
    });
    envelope.to_string().into()
}

fn errored(code: &str) -> Value {
    let message = match code {
        "ERR_GOP_OUT_OF_RANGE" => "Input GOP size or keyframe interval is out of range.",
        "ERR_STORAGE_QUOTA_EXHAUSTED" => "Account storage quota has been exceeded.",
        _ => "The active broadcast cannot be processed.",
    };
    // An error without a code has no `error` at all.
    let error = if code.is_empty() { Value::Null } else { json!({ "code": code, "message": message }) };
    json!({ "error": error, "video_codec": "", "audio_codec": "" })
}
