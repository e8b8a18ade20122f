//! What other replicas did with the journal.

use std::sync::Arc;

use crate::event::{Record, RecordKind, Rules};
use crate::journal::{JournalError, Tail};
use crate::live::LastSeen;
use crate::recorder::RecentDelivery;
use crate::recorder::documents;
use crate::recorder::following::Following;
use crate::recorder::run_loop::Recorder;

impl Recorder {
    /// Applies what others appended, and publishes it.
    pub(super) fn adopt_tail(&mut self, tail: &Tail) {
        let Self { fold, dirty_inputs, rules_history, recorded_until, sessions, .. } = self;
        let sessions = sessions.as_mut();
        let mut following = Following { fold, dirty_inputs, rules_history, recorded_until, sessions };
        let Some(mut last_seen) = self.shared.as_mut().map(|shared| shared.adopt(tail, &mut following)) else { return };
        last_seen.iter_mut().for_each(|last_seen| self.limits.drop_other_secrets(last_seen));
        if let Some(last_seen) = last_seen.filter(|last_seen| *last_seen != **self.fold.state().last_seen()) {
            // Others have seen no delivery after the time to which one of them set the clock back.
            let is_set_back = tail.records.iter().any(|record| record.kind == RecordKind::ClockSetBack);
            let own = self.fold.state().last_seen().as_ref().clone();
            let mut merged = if is_set_back { LastSeen::default() } else { own };
            merged.merge(&last_seen);
            self.fold.set_last_seen(merged);
            self.publish_state();
        } else if !tail.records.is_empty() {
            self.publish_state();
        }
        self.show_tail(&tail.records);
    }

    /// Shows what others appended to people.
    pub(in crate::recorder) fn show_tail(&self, records: &[Record]) {
        let recent = records.iter().filter_map(|record| RecentDelivery::of(record.clone()));
        self.state_reader.published.add_recent(recent.map(Arc::new));
        let rules = records.iter().rev().find_map(|record| match &record.kind {
            RecordKind::Rules(rules) => Some(rules),
            RecordKind::Event(..)
            | RecordKind::Forgotten(_)
            | RecordKind::Correction(_)
            | RecordKind::Exception(_)
            | RecordKind::Observation(_)
            | RecordKind::ClockSetBack => None,
        });
        if let Some(rules) = rules.filter(|rules| ***rules != self.limits.rules) {
            let Rules { reconnect_window, reorder_window, max_inputs, configured } = rules.as_ref();
            let (reconnect_window, reorder_window) = (reconnect_window.as_secs_f64(), reorder_window.as_secs_f64());
            let configured = configured.len();
            tracing::warn!(
                reconnect_window,
                reorder_window,
                max_inputs,
                configured,
                "another replica changed the rules, and this one's configuration differs; give all replicas the same"
            );
        }
    }

    /// Reads documents that another replica changed.
    pub(super) fn reload_documents(&mut self) -> Result<(), JournalError> {
        let documents = self.journal.documents()?;
        documents::restore_inventories(&documents, &mut self.fold);
        // Those of accounts that are no longer configured stay in the journal.
        self.fold.set_accounts(self.limits.accounts.clone());
        if let Some(downtime) = &mut self.downtime
            && documents::is_backfilled(&documents, downtime.until)
        {
            downtime.backfill_from = None;
            self.state_reader.published.set_downtime(self.downtime);
        }
        if let Some(shared) = &mut self.shared {
            shared.documents_changed = false;
        }
        self.publish_state();
        Ok(())
    }
}
