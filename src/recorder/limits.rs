//! Limits and clocks that are in force.

use std::sync::Arc;

use super::Limits;
use super::batch::Batch;
use super::run_loop::Recorder;
use crate::clock::TOLERANCE;
use crate::event::{RecordKind, Timestamp};

impl Recorder {
    /// Takes over new limits.
    pub(super) fn adopt(&mut self, limits: Limits) {
        self.adopt_names(&limits);
        if (limits.retention, limits.forget_after) != (self.limits.retention, self.limits.forget_after) {
            self.timers.request_expiry();
        }
        self.limits = limits;
        self.set_clock_back();
        self.change_rules();
        self.restore_overlay();
        self.publish_state();
        self.publish_spool();
    }

    /// Takes over what is not part of the fold.
    pub(super) fn adopt_names(&mut self, limits: &Limits) {
        self.fold.set_configured(limits.configured.clone());
        self.fold.set_accounts(limits.accounts.clone());
        let mut last_seen = self.fold.state().last_seen().as_ref().clone();
        limits.drop_other_secrets(&mut last_seen);
        self.fold.set_last_seen(last_seen);
    }

    /// The newest time that was recorded or shown, if the clock is behind it by so much that it must have been wrong
    /// then.
    pub(super) fn time_ahead_of_clock(&self) -> Option<Timestamp> {
        if !self.leads() {
            return None;
        }
        let newest = self.recorded_until.max(self.state_reader.published.shown_until());
        (newest > self.shared_now().plus(TOLERANCE)).then_some(newest)
    }

    /// Continues at the time of the clock, if that was set back. Counters keep what was shown.
    pub(super) fn set_clock_back(&mut self) {
        let Some(newest) = self.time_ahead_of_clock() else { return };
        let mut last_seen = self.fold.state().last_seen().as_ref().clone();
        last_seen.set_clock_back(self.shared_now());
        if self.record(Batch::of(std::iter::once(RecordKind::ClockSetBack), last_seen.into())).is_some() {
            tracing::warn!(%newest, now = %self.recorded_until, "system clock was set back; counters keep what was shown");
        }
    }

    /// Makes the configured rules durable, if they differ from those in force.
    pub(super) fn change_rules(&mut self) {
        let rules = &self.limits.rules;
        if self.rules_pending || rules != self.fold.state().rules() {
            let record = RecordKind::Rules(Arc::new(rules.clone()));
            self.rules_pending = self.record_changes(std::iter::once(record)).is_none();
        }
    }
}
