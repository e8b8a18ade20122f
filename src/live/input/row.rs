//! The checkpoint's format of an input: version 2, and version 1 of earlier releases.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Input, Shown};
use crate::event::{AccountId, ErrorCode, Timestamp};
use crate::live::changes::{Change, Connection, Counts, Walk, nanos};
use crate::live::{Errors, ExceptionEntry};

#[derive(Serialize, Deserialize)]
struct Row {
    known_since: Option<Timestamp>,
    events: [u64; 2],
    last_event: [Option<Timestamp>; 2],
    errors: ErrorsRow,
    base: Option<Walk>,
    /// Time and flags of each change.
    list: Vec<(Timestamp, u8)>,
    now: Walk,
    recorded_at: Option<Timestamp>,
    shown_until: Option<Timestamp>,
    shown: Shown,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account_id: Option<AccountId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exception: Option<ExceptionEntry>,
}

#[derive(Serialize, Deserialize)]
struct ErrorsRow {
    errors: [u64; 7],
    last_error: [Option<Timestamp>; 7],
    last_other_code: ErrorCode,
}

/// Version 1, in which every change is part of the base.
#[derive(Deserialize)]
struct FirstRow {
    known_since: Option<Timestamp>,
    evidence: Option<FirstEvidence>,
    events: [u64; 3],
    last_event: [Option<Timestamp>; 3],
    #[serde(flatten)]
    errors: ErrorsRow,
    sessions: u32,
    reconnects: u32,
    inconsistent: [u32; 2],
    session: Option<FirstSession>,
    banked: Duration,
    shown: Duration,
}

#[derive(Deserialize)]
struct FirstEvidence {
    connected: bool,
    updated_at: Timestamp,
    since: Timestamp,
    unseen_until: Timestamp,
}

#[derive(Deserialize)]
struct FirstSession {
    started_at: Timestamp,
}

impl Input {
    /// Format version of [`Input::encode`].
    pub const VERSION: u32 = 2;

    /// Encodes for the checkpoint, as JSON, with the exception to the schedule of the input.
    pub fn encode(&self, exception: Option<&ExceptionEntry>) -> String {
        let row = Row {
            known_since: self.known_since,
            events: self.changes.map(u64::from),
            last_event: self.last_change,
            errors: ErrorsRow {
                errors: self.errors.counts(),
                last_error: self.errors.last(),
                last_other_code: self.errors.last_other_code(),
            },
            base: self.base.as_deref().copied(),
            list: self.list.iter().map(|change| (change.at(), change.flags())).collect(),
            now: self.now,
            recorded_at: self.recorded_at,
            shown_until: self.shown_until,
            shown: self.shown,
            account_id: self.account_id,
            exception: exception.cloned(),
        };
        serde_json::to_string(&row).expect("plain data serializes")
    }

    /// Decodes a row of this version or an earlier one.
    ///
    /// # Errors
    ///
    /// The text is not such a row.
    pub fn decode(version: u32, json: &str) -> serde_json::Result<(Self, Option<ExceptionEntry>)> {
        if version < Self::VERSION {
            serde_json::from_str(json).map(|row: FirstRow| (row.into_input(), None))
        } else {
            serde_json::from_str(json).map(Row::into_parts)
        }
    }
}

impl Row {
    fn into_parts(self) -> (Input, Option<ExceptionEntry>) {
        let input = Input {
            known_since: self.known_since,
            errors: self.errors.into_errors(),
            changes: self.events.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            last_change: self.last_event,
            base: self.base.map(Box::new),
            list: self.list.into_iter().map(|(at, flags)| Change::from_flags(at, flags)).collect(),
            now: self.now,
            recorded_at: self.recorded_at,
            shown_until: self.shown_until,
            shown: self.shown,
            account_id: self.account_id,
        };
        (input, self.exception)
    }
}

impl ErrorsRow {
    fn into_errors(self) -> Errors {
        Errors::restored(self.errors, self.last_error, self.last_other_code)
    }
}

impl FirstRow {
    fn into_input(self) -> Input {
        let [connected, disconnected, _] = self.events;
        let [last_connected, last_disconnected, _] = self.last_event;
        let counts = Counts { sessions: self.sessions, reconnects: self.reconnects, inconsistent: self.inconsistent };
        let connection = self.evidence.as_ref().map(|evidence| Connection {
            connected: evidence.connected,
            since: evidence.since,
            confirmed: true,
            // The totals have every reconnect delay, but not the newest session.
            counted: evidence.connected,
            reconnects: 0,
        });
        let base = Walk {
            connection,
            newest: self.evidence.as_ref().map(|evidence| evidence.updated_at),
            session: self.session.map(|session| session.started_at),
            closed: nanos(self.banked),
            counts,
        };
        Input {
            known_since: self.known_since,
            errors: self.errors.into_errors(),
            changes: [connected, disconnected].map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            last_change: [last_connected, last_disconnected],
            base: base.newest.is_some().then(|| Box::new(base)),
            list: Box::default(),
            now: base,
            recorded_at: None,
            shown_until: self.evidence.map(|evidence| evidence.unseen_until),
            shown: Shown { counts, connected: nanos(self.shown) },
            account_id: None,
        }
    }
}
