//! What can happen to a live input, as Cloudflare would state it.
//!
//! The words are those of Cloudflare's documentation and captures, written down once more on
//! purpose: the simulator shares no knowledge of them with the stages that it puts to the test.

use crate::event::{InputId, Timestamp};

/// Something that happened to one simulated input. No two facts of an input share their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) input_id: InputId,
    pub(super) happening: Happening,
    /// Event time: when it happened.
    pub(super) updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    Connected,
    Disconnected,
    Errored(&'static Complaint),
}

impl Happening {
    /// Every name that [`Happening::name`] gives.
    pub(super) const NAMES: [&'static str; 3] = ["connected", "disconnected", "errored"];

    /// The word behind `live_input.` in `event_type`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Errored(_) => "errored",
        }
    }
}

/// One way in which `live_input.errored` may be reported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The value of the label `code` under which it must be counted.
    pub(super) label: &'static str,
    /// Absent on the old form, which says no more than that something is wrong.
    pub(super) details: Option<Details>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Details {
    pub(super) code: &'static str,
    pub(super) message: &'static str,
    pub(super) video_codec: &'static str,
    pub(super) audio_codec: &'static str,
}

/// The six documented codes, one that is not documented, and one error without details.
///
/// Source: <https://developers.cloudflare.com/stream/stream-live/webhooks/>.
pub(super) static COMPLAINTS: [Complaint; 8] = [
    documented("ERR_GOP_OUT_OF_RANGE", "Input GOP size or keyframe interval is out of range.", "", ""),
    documented("ERR_UNSUPPORTED_VIDEO_CODEC", "Video codec is unsupported.", "hevc", "aac"),
    documented("ERR_UNSUPPORTED_AUDIO_CODEC", "Audio codec is unsupported.", "h264", "opus"),
    documented("ERR_STORAGE_QUOTA_EXHAUSTED", "The account's storage quota has been exceeded.", "", ""),
    documented("ERR_MISSING_SUBSCRIPTION", "Unauthorized to start a live stream.", "", ""),
    documented("ERR_UNHEALTHY", "The active broadcast cannot be processed.", "", ""),
    Complaint {
        label: "other",
        details: Some(Details {
            code: "ERR_SIMULATED",
            message: "A code that nobody has documented.",
            video_codec: "",
            audio_codec: "",
        }),
    },
    Complaint { label: "other", details: None },
];

const fn documented(
    code: &'static str,
    message: &'static str,
    video_codec: &'static str,
    audio_codec: &'static str,
) -> Complaint {
    Complaint { label: code, details: Some(Details { code, message, video_codec, audio_codec }) }
}
