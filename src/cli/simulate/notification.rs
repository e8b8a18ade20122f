//! A fact in the envelope in which Cloudflare would send it.
//!
//! The shape is that of captured notifications: compact JSON with a trailing newline, `updated_at`
//! with nine fraction digits, `ts` in whole seconds, and the prose of `text` that nobody should read.

use serde::Serialize;

use super::fact::{Details, Fact, Happening};
use crate::event::{InputId, Timestamp};

const ACCOUNT_ID: &str = "51e0c1a7e51e0c1a7e51e0c1a7e51e0c";
const NOTIFICATION_NAME: &str = "Stream Live Input";

/// The notification policies of the simulated account. All match every input, so each may send the
/// same fact in an envelope of its own.
pub(super) static POLICIES: [Policy; 3] = [
    Policy { id: "0da2b59ef118439d8097bdfb215203c9", name: "Stream live" },
    Policy { id: "6d1f4c0b8a5e4f7792d3e1c05b9a4486", name: "Stream live, standby" },
    Policy { id: "b47e9d25c3f14a0e8c6a7f50d9132be8", name: "Everything that happens" },
];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Policy {
    id: &'static str,
    name: &'static str,
}

/// A fact on its way from one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notification {
    pub(super) fact: Fact,
    pub(super) policy: &'static Policy,
    pub(super) correlation_id: u128,
    /// When Cloudflare made the notification; sent as whole seconds.
    pub(super) sent_at: Timestamp,
}

impl Notification {
    /// The body of the request.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = serde_json::to_vec(&self.envelope()).expect("an envelope has nothing but texts and numbers");
        body.push(b'\n');
        body
    }

    fn envelope(&self) -> Envelope {
        let event_type = format!("live_input.{}", self.fact.happening.name());
        let updated_at = format!("{:.9}", self.fact.updated_at);
        Envelope {
            name: self.policy.name,
            text: text(&self.fact, &event_type, &updated_at),
            data: Data {
                notification_name: NOTIFICATION_NAME,
                input_id: self.fact.input_id,
                event_type,
                updated_at,
                live_input_errored: details(&self.fact).map(Errored::from),
            },
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

fn text(fact: &Fact, event_type: &str, updated_at: &str) -> String {
    let mut text = format!(
        "Notification type: {NOTIFICATION_NAME}\nInput ID: {}\nEvent type: {event_type}\nUpdated at: {updated_at}",
        fact.input_id,
    );
    if let Some(Details { code, message, video_codec, audio_codec }) = details(fact) {
        text += &format!(
            "\nError Code: {code}\nError Message: {message}\nVideo Codec: {video_codec}\nAudio Codec: {audio_codec}"
        );
    }
    text
}

fn details(fact: &Fact) -> Option<&'static Details> {
    match fact.happening {
        Happening::Errored(complaint) => complaint.details.as_ref(),
        Happening::Connected | Happening::Disconnected => None,
    }
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
    live_input_errored: Option<Errored>,
}

#[derive(Serialize)]
struct Errored {
    error: CodeAndMessage,
    video_codec: &'static str,
    audio_codec: &'static str,
}

#[derive(Serialize)]
struct CodeAndMessage {
    code: &'static str,
    message: &'static str,
}

impl From<&Details> for Errored {
    fn from(details: &Details) -> Self {
        Self {
            error: CodeAndMessage { code: details.code, message: details.message },
            video_codec: details.video_codec,
            audio_codec: details.audio_codec,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fact::COMPLAINTS;
    use super::*;

    fn body(happening: Happening) -> String {
        let fact = Fact {
            input_id: "2c28dd2cc444cb77578c4840b51e43a8".parse().unwrap(),
            happening,
            updated_at: "2026-11-20T18:00:02.5Z".parse().unwrap(),
        };
        let sent_at = "2026-11-20T18:00:05Z".parse().unwrap();
        let notification = Notification { fact, policy: &POLICIES[0], correlation_id: 0xea0f, sent_at };
        String::from_utf8(notification.body()).unwrap()
    }

    #[test]
    fn is_compact_and_ends_in_a_newline() {
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
        assert_eq!(body(Happening::Connected), expected);
    }

    #[test]
    fn an_error_has_its_details_inside_data() {
        let body: serde_json::Value = serde_json::from_str(&body(Happening::Errored(&COMPLAINTS[2]))).unwrap();
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
    fn an_error_may_come_without_details() {
        let body = body(Happening::Errored(&COMPLAINTS[7]));
        assert!(body.contains("live_input.errored"), "{body}");
        assert!(!body.contains("live_input_errored"), "{body}");
    }
}
