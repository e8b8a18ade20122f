//! What this process learns of the shared journal beside its records.

use crate::event::Timestamp;
use crate::journal::Tail;

/// How far the shared journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Position of the newest record; 0 before the first.
    pub position: u64,
    /// Number of changes of the documents so far.
    pub documents: u64,
}

/// What a scrape shows: the state after the tail, at this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The records that the state does not have yet. With them, it is exactly the state at the scrape's position.
    pub tail: Tail,
    /// The time of the scrape, later than that of every earlier scrape of any replica.
    pub time: Timestamp,
}

/// Whether the shared journal can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The next statement is sent to the server.
    Connected,
    /// There is no connection, and every statement fails at once. A task on the runtime connects again.
    Away,
}
