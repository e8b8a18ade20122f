//! The rules in force at each position.

use std::sync::Arc;

use crate::event::Rules;

/// Rules by the position from which they are in force: the checkpoint's rules and all later ones.
#[derive(Debug)]
pub(super) struct RulesHistory(Vec<(u64, Arc<Rules>)>);

impl RulesHistory {
    /// These are in force at the checkpoint.
    pub(super) fn new(rules: Arc<Rules>) -> Self {
        Self(vec![(0, rules)])
    }

    /// Adds later rules, with the position of their record.
    pub(super) fn push(&mut self, position: u64, rules: Arc<Rules>) {
        self.0.push((position, rules));
    }

    /// The rules in force at this position.
    pub(super) fn at(&self, position: u64) -> &Rules {
        let later = self.0.partition_point(|(from, _)| *from <= position);
        &self.0[later.saturating_sub(1)].1
    }

    /// Drops the rules before those at this position.
    pub(super) fn drop_before(&mut self, position: u64) {
        let later = self.0.partition_point(|(from, _)| *from <= position);
        self.0.drain(..later.saturating_sub(1));
    }
}
