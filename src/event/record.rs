//! Records: everything that changes the state, in the order of the journal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::{AccountId, Event, InputId, ScheduleException, Timestamp};

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Position in the journal, from 1 and without gaps; 0 until the record is appended.
    pub position: u64,
    /// When it was made durable; never before the preceding record, unless the clock was set back.
    pub recorded_at: Timestamp,
    /// Time of the latest scrape before it was recorded. Counters must not fall below the values of that scrape.
    pub shown_until: Timestamp,
    /// The change.
    pub kind: RecordKind,
}

/// The kinds of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordKind {
    /// An event that Cloudflare reported, with its note at the time of recording.
    Event(Event, Option<Note>),
    /// An input was silent for `inputs.forget_after` and is forgotten.
    Forgotten(InputId),
    /// An operator corrected the state of an input.
    Correction(Correction),
    /// An operator decided on an exception to the schedule of an input.
    Exception(ScheduleException),
    /// Cloudflare's API said what no notification reported.
    Observation(Observation),
    /// Rules that are in force for all later records.
    Rules(Arc<Rules>),
    /// The clock was set back. Counters keep the values of the latest scrape, and later views may be of earlier times.
    ClockSetBack,
}

/// A decision of an operator about an input whose notification was lost or never sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// The live input.
    pub input_id: InputId,
    /// What it is corrected to.
    pub to: Corrected,
    /// When the operator decided it. `recorded_at` may be ahead of it, if the clock was ahead before.
    pub at: Timestamp,
    /// Who decided it; `None` without authentication.
    pub user: Option<Box<str>>,
    /// Why, for people.
    pub reason: Option<Box<str>>,
}

/// What Cloudflare's API said about an input, in contradiction to its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// The live input.
    pub input_id: InputId,
    /// What the API said.
    pub found: Observed,
    /// Since when, if the API said so; otherwise when it answered.
    pub at: Timestamp,
    /// Number of events of the input in the view that it contradicts. If the input has more events by the time it would
    /// be recorded, it is dropped: a notification arrived in the meantime.
    pub events: u64,
    /// The account that was asked.
    pub account_id: AccountId,
}

labelled! {
    /// What Cloudflare's API said about an input: the label `to` of `stream_live_exporter_corrections_total`.
    Observed {
        /// The input is connected.
        Connected = "connected",
        /// The input is disconnected.
        Disconnected = "disconnected",
        /// The input was deleted.
        Deleted = "deleted",
    }
}

/// The reason of a correction cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the reason must be one line of at most {MAX_REASON} characters")]
pub struct InvalidReason;

/// Longest reason of a correction, in characters.
const MAX_REASON: usize = 500;

impl Correction {
    /// Checks a reason. An empty one counts as none.
    ///
    /// # Errors
    ///
    /// It is too long or has control characters.
    pub fn reason(text: &str) -> Result<Option<Box<str>>, InvalidReason> {
        if text.chars().count() > MAX_REASON || text.contains(char::is_control) {
            return Err(InvalidReason);
        }
        Ok(Some(text).filter(|text| !text.is_empty()).map(Box::from))
    }
}

labelled! {
    /// What an input is corrected to: the label `to` of `stream_live_exporter_corrections_total`.
    Corrected {
        /// The input is connected.
        Connected = "connected",
        /// The input is disconnected.
        Disconnected = "disconnected",
        /// The input is forgotten. If it is configured, it is known again, without a state.
        Forgotten = "forgotten",
    }
}

labelled! {
    /// A note on an event that does not fit the state: the member `note` of an exported event.
    Note {
        /// It is too late to be put in order: it is counted and does not change the state.
        OutOfOrder = "out_of_order",
        /// It repeats the state before it: a notification in between is late or lost.
        Inconsistent = "inconsistent",
    }
}

/// Settings that the state depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// A connect within this time after a disconnect continues the session.
    pub reconnect_window: Duration,
    /// Events may arrive in any order within this time.
    pub reorder_window: Duration,
    /// Maximum number of inputs.
    pub max_inputs: usize,
    /// Configured inputs. They are known before their first event and are never removed.
    pub configured: BTreeSet<InputId>,
}

impl Record {
    /// A record without position and times.
    pub fn new(kind: RecordKind) -> Self {
        Self { position: 0, recorded_at: Timestamp::EPOCH, shown_until: Timestamp::EPOCH, kind }
    }

    /// Whether it is in the journal.
    pub fn is_appended(&self) -> bool {
        self.position > 0
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match &self.kind {
            RecordKind::Event(event, _) => Some(event),
            RecordKind::Forgotten(_)
            | RecordKind::Rules(_)
            | RecordKind::Correction(_)
            | RecordKind::Exception(_)
            | RecordKind::Observation(_)
            | RecordKind::ClockSetBack => None,
        }
    }
}
