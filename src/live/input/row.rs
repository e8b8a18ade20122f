//! Version 1 of the checkpoint's format of an input. It has derived values, as in the first release.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConnectionState, Evidence, Input, nanos};
use crate::event::{ErrorCode, Timestamp};
use crate::live::Errors;

#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    known_since: Option<Timestamp>,
    evidence: Option<Evidence>,
    events: [u64; 3],
    last_event: [Option<Timestamp>; 3],
    errors: [u64; 7],
    last_error: [Option<Timestamp>; 7],
    last_other_code: ErrorCode,
    sessions: u64,
    reconnects: u64,
    inconsistent: [u64; 2],
    session: Option<Session>,
    banked: Duration,
    shown: Duration,
}

#[derive(Serialize, Deserialize)]
struct Session {
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl From<Input> for Row {
    fn from(input: Input) -> Self {
        let evidence = input.evidence();
        let ended_at = evidence.filter(|evidence| !evidence.connected).map(|evidence| evidence.since);
        Self {
            known_since: input.known_since,
            evidence,
            events: input.events(),
            last_event: input.last_event(),
            errors: input.errors.counts(),
            last_error: input.errors.last(),
            last_other_code: input.errors.last_other_code(),
            sessions: input.sessions,
            reconnects: input.reconnects,
            inconsistent: input.inconsistent,
            session: input.session.map(|started_at| Session { started_at, ended_at }),
            banked: Duration::from_nanos(input.closed),
            shown: Duration::from_nanos(input.shown),
        }
    }
}

impl From<Row> for Input {
    fn from(row: Row) -> Self {
        let [connected, disconnected, _] = row.events;
        let [last_connected, last_disconnected, _] = row.last_event;
        Self {
            known_since: row.known_since,
            changes: [connected, disconnected],
            last_change: [last_connected, last_disconnected],
            connection: row
                .evidence
                .map(|Evidence { since, unseen_until, .. }| ConnectionState { since, unseen_until }),
            errors: Errors::restored(row.errors, row.last_error, row.last_other_code),
            sessions: row.sessions,
            reconnects: row.reconnects,
            inconsistent: row.inconsistent,
            session: row.session.map(|session| session.started_at),
            closed: nanos(row.banked),
            shown: nanos(row.shown),
        }
    }
}
