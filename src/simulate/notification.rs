//! The request body in which Cloudflare sends an event.
//!
//! The format is that of captured notifications: compact JSON with a trailing newline, `updated_at` with
//! nine fraction digits, `ts` in whole seconds, and a `text` that repeats the data.

use serde::Serialize;

use super::fact::{ErrorDetails, Fact};
use crate::event::{InputId, Timestamp};

/// The simulated account.
pub const ACCOUNT_ID: &str = "51e0c1a7e51e0c1a7e51e0c1a7e51e0c";
const NOTIFICATION_NAME: &str = "Stream Live Input";

/// The notification policies of the simulated account. Every policy matches every input, so that each can
/// send the same event in its own envelope.
pub static POLICIES: [Policy; 3] = [
    Policy { id: "0da2b59ef118439d8097bdfb215203c9", name: "Stream live" },
    Policy { id: "6d1f4c0b8a5e4f7792d3e1c05b9a4486", name: "Stream live, standby" },
    Policy { id: "b47e9d25c3f14a0e8c6a7f50d9132be8", name: "Everything that happens" },
];

/// A notification policy of the account.
#[derive(Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its identifier.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
}

/// An event as one policy sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The event.
    pub fact: Fact,
    /// The policy that sends it.
    pub policy: &'static Policy,
    /// `alert_correlation_id`.
    pub correlation_id: u128,
    /// When Cloudflare created the notification; sent in whole seconds.
    pub sent_at: Timestamp,
}

impl Notification {
    /// The body of the request.
    pub fn body(&self) -> Vec<u8> {
        let mut body = serde_json::to_vec(&self.envelope()).expect("an envelope contains only strings and numbers");
        body.push(b'\n');
        body
    }

    fn envelope(&self) -> Envelope {
        let Fact { input_id, kind, updated_at } = self.fact;
        let event_type = format!("live_input.{}", kind.name());
        let updated_at = format!("{updated_at:.9}");
        let live_input_errored = kind.error_details();
        Envelope {
            name: self.policy.name,
            text: text(input_id, &event_type, &updated_at, live_input_errored),
            data: Data { notification_name: NOTIFICATION_NAME, input_id, event_type, updated_at, live_input_errored },
            ts: self.sent_at.as_millis() / 1000,
            account_id: ACCOUNT_ID,
            policy_id: self.policy.id,
            policy_name: self.policy.name,
            alert_type: "stream_live_notifications",
            alert_correlation_id: format!("{:032x}", self.correlation_id),
            alert_event: "ALERT_STATE_EVENT_START",
        }
    }
}

fn text(input_id: InputId, event_type: &str, updated_at: &str, details: Option<&ErrorDetails>) -> String {
    let mut text = format!(
        "Notification type: {NOTIFICATION_NAME}\nInput ID: {input_id}\nEvent type: {event_type}\nUpdated at: {updated_at}"
    );
    if let Some(ErrorDetails { error, video_codec, audio_codec }) = details {
        text += &format!(
            "\nError Code: {}\nError Message: {}\nVideo Codec: {video_codec}\nAudio Codec: {audio_codec}",
            error.code, error.message
        );
    }
    text
}

#[derive(Serialize)]
struct Envelope {
    name: &'static str,
    text: String,
    data: Data,
    ts: i64,
    account_id: &'static str,
    policy_id: &'static str,
    policy_name: &'static str,
    alert_type: &'static str,
    alert_correlation_id: String,
    alert_event: &'static str,
}

#[derive(Serialize)]
struct Data {
    notification_name: &'static str,
    input_id: InputId,
    event_type: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_input_errored: Option<&'static ErrorDetails>,
}

#[cfg(test)]
mod tests {
    use super::super::fact::{ERRORS, FactKind};
    use super::*;

    fn body(kind: FactKind) -> String {
        let fact = Fact {
            input_id: "2c28dd2cc444cb77578c4840b51e43a8".parse().unwrap(),
            kind,
            updated_at: "2026-11-20T18:00:02.5Z".parse().unwrap(),
        };
        let sent_at = "2026-11-20T18:00:05Z".parse().unwrap();
        let notification = Notification { fact, policy: &POLICIES[0], correlation_id: 0xea0f, sent_at };
        String::from_utf8(notification.body()).unwrap()
    }

    #[test]
    fn body_is_compact_and_ends_in_a_newline() {
        let expected = concat!(
            r#"{"name":"Stream live","text":"Notification type: Stream Live Input\n"#,
            r"Input ID: 2c28dd2cc444cb77578c4840b51e43a8\nEvent type: live_input.connected\n",
            r#"Updated at: 2026-11-20T18:00:02.500000000Z","data":{"notification_name":"Stream Live Input","#,
            r#""input_id":"2c28dd2cc444cb77578c4840b51e43a8","event_type":"live_input.connected","#,
            r#""updated_at":"2026-11-20T18:00:02.500000000Z"},"ts":1795197605,"#,
            r#""account_id":"51e0c1a7e51e0c1a7e51e0c1a7e51e0c","policy_id":"0da2b59ef118439d8097bdfb215203c9","#,
            r#""policy_name":"Stream live","alert_type":"stream_live_notifications","#,
            r#""alert_correlation_id":"0000000000000000000000000000ea0f","alert_event":"ALERT_STATE_EVENT_START"}"#,
            "\n",
        );
        assert_eq!(body(FactKind::Connected), expected);
    }

    #[test]
    fn error_details_are_inside_data() {
        let body: serde_json::Value = serde_json::from_str(&body(FactKind::Errored(&ERRORS[2]))).unwrap();
        assert_eq!(
            body["data"]["live_input_errored"],
            serde_json::json!({
                "error": { "code": "ERR_UNSUPPORTED_AUDIO_CODEC", "message": "Audio codec is unsupported." },
                "video_codec": "h264",
                "audio_codec": "opus",
            }),
        );
        assert!(body["text"].as_str().unwrap().ends_with("\nVideo Codec: h264\nAudio Codec: opus"));
    }

    #[test]
    fn error_without_details_has_no_live_input_errored() {
        let body = body(FactKind::Errored(&ERRORS[7]));
        assert!(body.contains("live_input.errored"), "{body}");
        assert!(!body.contains("live_input_errored"), "{body}");
    }
}
