//! The state together with the time of a read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Evidence, Input, InputEntry, State};
use crate::event::{Event, EventKind, InputId, Timestamp};

/// A consistent state and the time that it is shown for.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The state of all inputs.
    pub state: State,
    /// While a shared journal is away, or records wait for it: the newest state, with these records applied. Only gauges
    /// show it: other replicas do not have these records, and a counter must not fall when they are appended in another
    /// order.
    pub gauges: Option<State>,
    /// The time up to which current connections are counted.
    pub as_of: Timestamp,
    /// The wall clock, which schedules follow. `as_of` is later if the clock has gone back, because counters never fall.
    pub wall_clock: Timestamp,
    /// Number of events in the journal.
    pub journal_events: u64,
    /// Size of the journal on disk, in bytes.
    pub journal_size_bytes: u64,
    /// When the oldest event in the journal was received, as of the last measurement.
    pub oldest_event: Option<Timestamp>,
    /// When a batch last became durable; `None` if none did since the start.
    pub committed_at: Option<Timestamp>,
    /// Number of inputs that were restored from the journal at start.
    pub restored_inputs: usize,
    /// The last time during which the exporter did not run; `None` if it ran for the first time.
    pub downtime: Option<Downtime>,
    /// The newest change of each input that waits for a disk that hangs. Only gauges show them.
    pub pending: Arc<BTreeMap<InputId, PendingChange>>,
    /// The state of the shared journal; `None` if this process alone has the journal.
    pub shared: Option<SharedStatus>,
}

impl View {
    /// The state that gauges show.
    pub fn gauge_state(&self) -> &State {
        self.gauges.as_ref().unwrap_or(&self.state)
    }

    /// The input whose counters are shown, for an input of [`View::gauge_state`]. One that only the gauges have has none.
    pub fn counted<'a>(&'a self, input_id: &InputId, input: &'a Input) -> &'a Input {
        match &self.gauges {
            None => input,
            Some(_) => &self.state.known_input(input_id).unwrap_or(InputEntry::empty()).input,
        }
    }

    /// The evidence for the state of an input, with a change that waits for a disk that hangs.
    pub fn evidence(&self, input_id: &InputId, input: &Input) -> Option<Evidence> {
        input.evidence_with(self.pending.get(input_id).copied())
    }
}

/// A time during which the exporter did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downtime {
    /// When it last ran, at the latest a minute before it ended.
    pub from: Timestamp,
    /// When it started again.
    pub until: Timestamp,
    /// The notification history must be read from here on: the begin of this downtime, or of an earlier one that was not
    /// backfilled. `None` once it was read.
    pub backfill_from: Option<Timestamp>,
}

/// What a replica knows of the journal that it shares with others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedStatus {
    /// The head: the newest position of the journal, as last seen.
    pub position: u64,
    /// The position up to which this replica has applied the records.
    pub applied_position: u64,
    /// Whether the journal can be written.
    pub connected: bool,
    /// Since when the journal is away, if it is.
    pub away_since: Option<Timestamp>,
    /// Number of records in the spool.
    pub spooled_records: u64,
    /// Maximum number of records in the spool.
    pub spool_limit_records: u64,
    /// Whether this replica holds the lease.
    pub lease_holder: bool,
    /// Whether the server commits synchronously by default and syncs its disk, as last seen.
    pub synchronous_commit: bool,
    /// How often this replica restored everything, because the journal did not continue the records that it had applied.
    pub reloads: u64,
}

/// A connect or disconnect that is not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingChange {
    /// Whether the input is connected.
    pub connected: bool,
    /// Event time.
    pub updated_at: Timestamp,
}

impl PendingChange {
    /// The change that an event makes; `None` if it is an error.
    pub fn of(event: &Event) -> Option<Self> {
        event.is_change().then(|| Self { connected: event.kind == EventKind::Connected, updated_at: event.updated_at })
    }
}
