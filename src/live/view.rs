//! The state together with the time of a read.

use super::State;
use crate::event::Timestamp;

/// A consistent state and the time that it is shown for.
#[derive(Debug, Clone)]
pub struct View {
    /// The state of all inputs.
    pub state: State,
    /// The time up to which current connections are counted.
    pub as_of: Timestamp,
    /// The wall clock, which schedules follow. `as_of` is later if the clock has gone back, because counters never fall.
    pub wall_clock: Timestamp,
    /// Number of events in the journal.
    pub journal_events: u64,
    /// Size of the journal on disk, in bytes.
    pub journal_size_bytes: u64,
    /// Number of inputs that were restored from the journal at start.
    pub restored_inputs: usize,
}
