//! The types that all stages share: input ids, times, notifications, events and records. Their values are always
//! valid.
//!
//! [`crate::accept`] parses notifications into these types, so that later stages need no checks. A [`Record`] is an
//! entry of the journal. This module does no I/O, reads no clock and imports no other module of the crate.

/// Defines an enum with a label for each variant.
macro_rules! labelled {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All variants.
            pub const ALL: [Self; Self::LABELS.len()] = [$(Self::$variant),*];
            /// All labels, in the order of the variants.
            pub const LABELS: [&'static str; [$($label),*].len()] = [$($label),*];

            /// Its name in metrics, the journal, the API and the log.
            pub fn label(self) -> &'static str {
                Self::LABELS[self as usize]
            }

            /// The variant with this label.
            pub fn from_label(label: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|variant| variant.label() == label)
            }
        }
    };
}

mod error_code;
mod exception;
mod id;
mod record;
mod session;
mod timestamp;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use error_code::{ErrorClass, ErrorCode};
pub use exception::{InvalidEnd, ScheduleException};
pub use id::{AccountId, InputId, InvalidAccountId, InvalidInputId, InvalidPolicyId, PolicyId};
pub use record::{Corrected, Correction, InvalidReason, Note, Observation, Observed, Record, RecordKind, Rules};
pub use session::{SessionChange, SessionState};
pub use timestamp::{InvalidTimestamp, Timestamp};

/// The content of an authenticated delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// An event of a live input.
    Event(Event),
    /// Cloudflare's "Save and Test" message.
    Test,
    /// Not used, but answered 2xx.
    Ignored(IgnoredReason),
    /// The body is not a JSON object. It is kept and answered 400.
    NotJson,
}

/// An event of a live input, as reported by Cloudflare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The live input.
    pub input_id: InputId,
    /// What happened.
    pub kind: EventKind,
    /// Event time: `data.updated_at`.
    pub updated_at: Timestamp,
    /// When Cloudflare created the notification: the envelope's `ts`, in whole seconds. Some have none.
    pub sent_at: Option<Timestamp>,
    /// When the listener had read the notification, or when it was read from Cloudflare's notification history.
    pub received_at: Timestamp,
    /// Where it comes from. Two policies send the same event, so this does not identify it.
    pub origin: Origin,
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// How it arrived.
    pub source: EventSource,
    /// The account, if the envelope has its id.
    pub account_id: Option<AccountId>,
    /// The notification policy, if the envelope has its id.
    pub policy_id: Option<PolicyId>,
}

labelled! {
    /// How an event arrived: the member `source` of an exported event.
    #[derive(Default)]
    EventSource {
        /// By a notification.
        #[default]
        Webhook = "webhook",
        /// From Cloudflare's notification history, after the exporter was down.
        History = "history",
    }
}

impl Event {
    /// Whether it is a connect or a disconnect.
    pub fn is_change(&self) -> bool {
        !matches!(self.kind, EventKind::Errored(_))
    }

    /// How long it took until it was sent, and from then until it was received; `None` if its time of sending is not known,
    /// or it was not delivered.
    pub fn delays(&self) -> Option<Delays> {
        let sent_at = self.sent_at.filter(|_| self.origin.source == EventSource::Webhook)?;
        let source = sent_at.since(self.updated_at).unwrap_or_default();
        Some(Delays { source, delivery: self.received_at.since(sent_at) })
    }
}

/// Where the time from an event to its receipt was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// Inside Cloudflare; zero if it was sent before the event.
    pub source: Duration,
    /// On the way; `None` if it was received before it was sent: one of the clocks is wrong.
    pub delivery: Option<Duration>,
}

/// The kind of an event: `data.event_type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// `live_input.connected`: an encoder started sending.
    Connected,
    /// `live_input.disconnected`: the encoder stopped sending.
    Disconnected,
    /// `live_input.errored`: Cloudflare cannot process the stream. The connection state does not change.
    Errored(Box<ErrorDetail>),
}

impl EventKind {
    /// All values of [`EventKind::name`], in the order of [`EventKind::index`].
    pub const NAMES: [&'static str; 3] = ["connected", "disconnected", "errored"];

    /// The names of the kinds that change the connection state.
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

/// Details of an error. Each of them may be missing.
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

labelled! {
    /// Why a well-formed notification is not used: the label `reason` of
    /// `stream_live_exporter_notifications_ignored_total`.
    IgnoredReason {
        /// A notification of another product: `alert_type` is not `stream_live_notifications`.
        AlertType = "alert_type",
        /// `event_type` is missing or unknown.
        EventType = "event_type",
        /// `input_id` is missing or not 32 hexadecimal digits.
        InputId = "input_id",
        /// There is no `data` object, and it is not a test.
        NoData = "no_data",
        /// `updated_at` is missing, not RFC 3339, or before 1970.
        UpdatedAt = "updated_at",
        /// The event is more than five minutes ahead of the local clock.
        Future = "future",
        /// The event is older than the input's deduplication memory, and may be a repetition.
        TooOld = "too_old",
        /// A notification of Cloudflare Stream's *video* webhook.
        VideoWebhook = "video_webhook",
        /// The input is new, and the maximum number of inputs is reached.
        TooManyInputs = "too_many_inputs",
    }
}
