//! Events of live inputs, with the names and codes that Cloudflare uses.
//!
//! The strings repeat Cloudflare's documentation and do not come from [`crate::event`]: a wrong string
//! there would otherwise be wrong in the expectation too.

use serde::Serialize;

use crate::event::{InputId, Timestamp};

/// An event of one simulated input. Events of one input have different times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// The live input.
    pub input_id: InputId,
    /// What happened.
    pub kind: FactKind,
    /// Event time.
    pub updated_at: Timestamp,
}

/// What happened to a live input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactKind {
    /// `live_input.connected`
    Connected,
    /// `live_input.disconnected`
    Disconnected,
    /// `live_input.errored`
    Errored(&'static SimulatedError),
}

impl FactKind {
    /// Every value of [`FactKind::name`].
    pub const NAMES: [&'static str; 3] = ["connected", "disconnected", "errored"];

    /// The part of `event_type` after `live_input.`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Errored(_) => "errored",
        }
    }

    pub(super) fn error_details(self) -> Option<&'static ErrorDetails> {
        match self {
            Self::Errored(error) => error.details.as_ref(),
            Self::Connected | Self::Disconnected => None,
        }
    }

    /// An error with this code.
    ///
    /// # Panics
    ///
    /// If no entry of [`ERRORS`] has the code.
    pub fn error(code: &str) -> Self {
        let has_code =
            |error: &&SimulatedError| error.details.as_ref().is_some_and(|details| details.error.code == code);
        Self::Errored(ERRORS.iter().find(has_code).expect("the code is one of ERRORS"))
    }
}

/// An error and the label under which it is counted.
#[derive(Debug, PartialEq, Eq)]
pub struct SimulatedError {
    /// The expected value of the label `code`.
    pub label: &'static str,
    /// Absent in the older form of the notification.
    pub(super) details: Option<ErrorDetails>,
}

/// `live_input_errored` of a notification.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct ErrorDetails {
    pub(super) error: ErrorMessage,
    pub(super) video_codec: &'static str,
    pub(super) audio_codec: &'static str,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct ErrorMessage {
    pub(super) code: &'static str,
    pub(super) message: &'static str,
}

/// The six documented codes, an undocumented one, and an error without details.
///
/// Source: <https://developers.cloudflare.com/stream/stream-live/webhooks/>.
pub static ERRORS: [SimulatedError; 8] = [
    documented("ERR_GOP_OUT_OF_RANGE", "Input GOP size or keyframe interval is out of range.", "", ""),
    documented("ERR_UNSUPPORTED_VIDEO_CODEC", "Video codec is unsupported.", "hevc", "aac"),
    documented("ERR_UNSUPPORTED_AUDIO_CODEC", "Audio codec is unsupported.", "h264", "opus"),
    documented("ERR_STORAGE_QUOTA_EXHAUSTED", "The account's storage quota has been exceeded.", "", ""),
    documented("ERR_MISSING_SUBSCRIPTION", "Unauthorized to start a live stream.", "", ""),
    documented("ERR_UNHEALTHY", "The active broadcast cannot be processed.", "", ""),
    SimulatedError { label: "other", ..documented("ERR_SIMULATED", "A code that is not documented.", "", "") },
    SimulatedError { label: "other", details: None },
];

const fn documented(
    code: &'static str,
    message: &'static str,
    video_codec: &'static str,
    audio_codec: &'static str,
) -> SimulatedError {
    let details = ErrorDetails { error: ErrorMessage { code, message }, video_codec, audio_codec };
    SimulatedError { label: code, details: Some(details) }
}
