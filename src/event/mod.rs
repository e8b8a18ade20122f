//! The shared nouns: what a notification is about, in types that cannot be wrong.
//!
//! Everything that arrives is parsed into these at the edge ([`crate::accept`]); the stages behind
//! it check nothing again. Nothing here reads a clock or does I/O, and nothing of ours is imported.

mod error_code;
mod input_id;
mod timestamp;

use serde::{Deserialize, Serialize};

pub use error_code::{ErrorClass, ErrorCode};
pub use input_id::{InputId, InvalidInputId};
pub use timestamp::{InvalidTimestamp, Timestamp};

/// What an authenticated, well-formed delivery turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// A fact about a live input.
    Event(Event),
    /// Cloudflare's "Save and Test" ping.
    Test,
    /// Understood, answered 2xx, and not used.
    Ignored(IgnoredReason),
}

/// A fact that Cloudflare stated about one live input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The live input that the fact is about.
    pub input_id: InputId,
    /// What happened to it.
    pub kind: EventKind,
    /// Event time: `data.updated_at`, the instant at which it happened.
    pub updated_at: Timestamp,
    /// The envelope's `ts`, when Cloudflare made the notification. Whole seconds; absent on some.
    pub sent_at: Option<Timestamp>,
    /// When our listener had read the notification.
    pub received_at: Timestamp,
}

/// What happened to a live input: the `data.event_type` of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// `live_input.connected`: an encoder began to send.
    Connected,
    /// `live_input.disconnected`: it stopped.
    Disconnected,
    /// `live_input.errored`: Cloudflare could not use what it sends. Says nothing of the connection.
    Errored(Box<ErrorDetail>),
}

impl EventKind {
    /// Every name that [`EventKind::name`] gives, in the order of [`EventKind::index`].
    pub const NAMES: [&'static str; 3] = ["connected", "disconnected", "errored"];

    /// The names of those that say something about the connection.
    pub const STATE_NAMES: [&'static str; 2] = ["connected", "disconnected"];

    /// The value of the label `event`.
    pub fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// The position of this kind in arrays that hold one value per kind.
    pub fn index(&self) -> usize {
        match self {
            Self::Connected => 0,
            Self::Disconnected => 1,
            Self::Errored(_) => 2,
        }
    }
}

/// What Cloudflare said about an error; every part may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// `error.code`.
    pub code: ErrorCode,
    /// `error.message`, for people.
    pub message: Option<Box<str>>,
    /// The video codec that the encoder sends.
    pub video_codec: Option<Box<str>>,
    /// The audio codec that the encoder sends.
    pub audio_codec: Option<Box<str>>,
}

/// Why a well-formed notification was not used: the label `reason` of
/// `stream_live_exporter_notifications_ignored_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IgnoredReason {
    /// Another product's notification: `alert_type` is not `stream_live_notifications`.
    AlertType,
    /// An `event_type` that is missing or not known.
    EventType,
    /// An `input_id` that is missing or not 32 hexadecimal digits.
    InputId,
    /// Neither a test nor anything with a `data` object.
    NoData,
    /// An `updated_at` that is missing, not RFC 3339, or before 1970.
    UpdatedAt,
    /// An event more than five minutes ahead of our clock.
    Future,
    /// An event older than all that its input remembers: it may be a repeat.
    TooOld,
    /// The notification of Cloudflare Stream's *video* webhook.
    VideoWebhook,
    /// An input beyond the configured number of inputs.
    TooManyInputs,
}

impl IgnoredReason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::AlertType,
        Self::EventType,
        Self::InputId,
        Self::NoData,
        Self::UpdatedAt,
        Self::Future,
        Self::TooOld,
        Self::VideoWebhook,
        Self::TooManyInputs,
    ];

    /// The value of the label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Self::AlertType => "alert_type",
            Self::EventType => "event_type",
            Self::InputId => "input_id",
            Self::NoData => "no_data",
            Self::UpdatedAt => "updated_at",
            Self::Future => "future",
            Self::TooOld => "too_old",
            Self::VideoWebhook => "video_webhook",
            Self::TooManyInputs => "too_many_inputs",
        }
    }
}
