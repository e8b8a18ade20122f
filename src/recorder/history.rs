//! What became of events that were read from Cloudflare's notification history.

use std::collections::BTreeMap;

use crate::live::Verdict;

/// What became of events of the notification history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryOutcome {
    /// Number of events that are recorded now.
    pub new: u64,
    /// Number of events that were known already.
    pub known: u64,
    /// Numbers of events that cannot be used, by reason.
    pub unusable: BTreeMap<&'static str, u64>,
}

impl HistoryOutcome {
    /// Number of all events.
    pub fn all(&self) -> u64 {
        self.new + self.known + self.unusable.values().sum::<u64>()
    }

    /// Adds that of other events.
    pub fn add(&mut self, other: &Self) {
        self.new += other.new;
        self.known += other.known;
        for (reason, count) in &other.unusable {
            *self.unusable.entry(reason).or_default() += count;
        }
    }

    pub(super) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Recorded(_) => self.new += 1,
            Verdict::Duplicate | Verdict::UnknownInput => self.known += 1,
            Verdict::Ignored(reason) => *self.unusable.entry(reason.label()).or_default() += 1,
        }
    }
}
