//! The clock was set back.

use super::{Effect, Input};
use crate::event::{Record, Rules};

impl Input {
    /// Keeps what the latest scrape showed, and continues at the time of the record.
    pub(in crate::live) fn set_clock_back(&mut self, record: &Record, rules: &Rules) -> Effect {
        let effect = self.begin(record, rules);
        self.shown_until = self.shown_until.min(Some(record.recorded_at));
        self.recorded_at = self.recorded_at.min(Some(record.recorded_at));
        effect
    }
}
