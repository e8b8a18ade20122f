//! The sessions of an input.

use std::time::Duration;

use super::Input;
use crate::event::Timestamp;
use crate::live::changes::Session;

impl Input {
    /// The sessions that later records can change, ascending: those of the listed changes, and the newest.
    pub(in crate::live) fn sessions(&self, window: Duration) -> Vec<Session> {
        let mut sessions = Vec::new();
        let walk = self.walk(window, |finding| sessions.extend(finding.session()));
        sessions.extend(walk.newest_session());
        sessions
    }

    /// The newest session, after the input was forgotten at this time.
    pub(in crate::live) fn session_until(&self, forgotten_at: Timestamp) -> Option<Session> {
        let session = self.now.newest_session()?;
        Some(Session { ended: session.ended.or(self.now.newest.max(Some(forgotten_at))), ..session })
    }
}
