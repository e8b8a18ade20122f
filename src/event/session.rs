//! Sessions, as tables have them.

use super::{InputId, Timestamp};

/// A session began, changed or ended, or a late record showed that there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionChange {
    /// The live input.
    pub input_id: InputId,
    /// When the session began. An input has at most one session that began then.
    pub started_at: Timestamp,
    /// The session; `None` if there is none.
    pub session: Option<SessionState>,
}

/// A session of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionState {
    /// When it ended; `None` while it goes on. A reconnect within the reconnect window continues it.
    pub ended_at: Option<Timestamp>,
    /// Connects that continued it.
    pub reconnects: u32,
}
