//! What the API and the pages say about an input.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::event::{ErrorClass, ErrorCode, EventKind, InputId, ScheduleException, Timestamp};
use crate::live::{Evidence, ExceptionEntry, Input, View};

/// A live input at the time of a view. Members are as in `GET /api/v1/inputs`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct InputSummary<'a> {
    pub(super) id: InputId,
    pub(super) name: &'a str,
    /// The configured name of its account, otherwise the id; empty if neither is known.
    pub(super) account: Cow<'a, str>,
    /// Whether it may be streamed to, if Cloudflare's API said so.
    pub(super) enabled: Option<bool>,
    #[serde(serialize_with = "label")]
    pub(super) state: InputState,
    /// By the wall clock.
    pub(super) expected: bool,
    /// When `expected` changes next; `None` if never.
    #[serde(serialize_with = "rfc3339")]
    pub(super) expected_change_at: Option<Timestamp>,
    /// The exception to its schedule that is in force.
    pub(super) exception: Option<ExceptionSummary<'a>>,
    /// Event time of the first change since the state is this one.
    #[serde(serialize_with = "rfc3339")]
    pub(super) since: Option<Timestamp>,
    pub(super) connected_seconds: f64,
    pub(super) sessions: u64,
    pub(super) reconnects: u64,
    pub(super) events: BTreeMap<&'static str, u64>,
    /// Those above 0.
    pub(super) errors: BTreeMap<&'static str, u64>,
    #[serde(serialize_with = "rfc3339")]
    pub(super) last_event_at: Option<Timestamp>,
    pub(super) last_error: Option<LastError>,
}

/// An exception to the schedule of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct ExceptionSummary<'a> {
    pub(super) expected: bool,
    #[serde(serialize_with = "rfc3339_of")]
    pub(super) until: Timestamp,
    /// Who decided it; `None` without authentication.
    pub(super) user: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

/// The connection state of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputState {
    Connected,
    Disconnected,
    /// It has neither connected nor disconnected yet.
    Unknown,
}

/// The newest error of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LastError {
    /// As Cloudflare sent it; `None` if there was none.
    #[serde(serialize_with = "code")]
    pub(super) code: Option<ErrorCode>,
    #[serde(serialize_with = "rfc3339_of")]
    pub(super) at: Timestamp,
}

impl InputState {
    pub(super) fn of(evidence: Option<Evidence>) -> Self {
        match evidence.map(|evidence| evidence.connected) {
            Some(true) => Self::Connected,
            Some(false) => Self::Disconnected,
            None => Self::Unknown,
        }
    }

    /// Its name in the API.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Unknown => "unknown",
        }
    }
}

impl<'a> ExceptionSummary<'a> {
    pub(super) fn of(entry: &'a ExceptionEntry) -> Self {
        let ExceptionEntry { exception, user, reason } = entry;
        let (user, reason) = (user.as_deref(), reason.as_deref());
        Self { expected: exception.expected, until: exception.until, user, reason }
    }

    /// `None` if the decision is to end one.
    pub(super) fn of_decision(decided: &'a ScheduleException) -> Option<Self> {
        let ScheduleException { expected, until, user, reason, .. } = decided;
        Some(Self { expected: (*expected)?, until: *until, user: user.as_deref(), reason: reason.as_deref() })
    }
}

impl<'a> InputSummary<'a> {
    /// The summary of a known input of the state that gauges show.
    pub(super) fn of(id: InputId, input: &'a Input, view: &'a View) -> Self {
        let View { as_of, wall_clock, .. } = view;
        let (state, counted) = (view.gauge_state(), view.counted(&id, input));
        let nonzero = |(label, count): (&'static str, u64)| (count > 0).then_some((label, count));
        let evidence = view.evidence(&id, input);
        let plan = state.plan(&id);
        let counters = counted.counters(*as_of, view.state.rules());
        let errors = ErrorClass::LABELS.into_iter().zip(counted.errors.counts());
        Self {
            id,
            name: state.name(&id),
            account: state.account(&id, input),
            enabled: state.listed(&id).and_then(|(_, listed)| listed.enabled),
            expected: plan.at(*wall_clock),
            expected_change_at: plan.next_change(*wall_clock).map(|change| change.at),
            exception: state.exception(&id, *wall_clock).map(ExceptionSummary::of),
            state: InputState::of(evidence),
            since: evidence.map(|evidence| evidence.since),
            connected_seconds: counters.connected_time.as_secs_f64(),
            sessions: counters.sessions,
            reconnects: counters.reconnects,
            events: EventKind::NAMES.into_iter().zip(counted.events()).collect(),
            errors: errors.filter_map(nonzero).collect(),
            last_event_at: input.newest_event(),
            last_error: input
                .errors
                .newest()
                .map(|(at, code)| LastError { code: Some(code).filter(|code| !code.as_str().is_empty()), at }),
        }
    }
}

fn label<S: Serializer>(state: &InputState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.label())
}

fn code<S: Serializer>(code: &Option<ErrorCode>, serializer: S) -> Result<S::Ok, S::Error> {
    code.as_ref().map(ErrorCode::as_str).serialize(serializer)
}

fn rfc3339<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

fn rfc3339_of<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}
