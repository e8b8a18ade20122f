//! What Cloudflare's API says, on its way into the state and the journal.

use std::sync::Arc;

use super::documents::{inventory_name, text};
use super::handle::{ApiFacts, HistoryAnswer};
use super::run_loop::Recorder;
use super::{HistoryOutcome, Outcome, RecentDelivery};
use crate::event::{Event, Observation, Observed, RecordKind};
use crate::journal::JournalError;
use crate::live::Verdict;

impl Recorder {
    /// Records that Cloudflare's API contradicts the state of an input.
    pub(super) fn observe(&mut self, observation: Observation) {
        self.set_clock_back();
        let verdicts = self.record_changes(std::iter::once(RecordKind::Observation(observation)));
        if verdicts.as_deref() != Some(&[Verdict::Recorded(None)]) {
            return;
        }
        let Observation { input_id, found, at, .. } = observation;
        let name = Some(self.fold.state().name(&input_id)).filter(|name| !name.is_empty());
        self.metrics.corrections.with_label_values(&["cloudflare", found.label()]).inc();
        if found == Observed::Deleted {
            self.metrics.inputs_forgotten.with_label_values(&["deleted"]).inc();
            tracing::info!(%input_id, name, "input forgotten: it was deleted at Cloudflare");
        } else {
            let to = found.label();
            tracing::warn!(%input_id, name, to, %at, "input corrected by Cloudflare's API: a notification was lost");
        }
    }

    /// Records events of the notification history.
    pub(super) fn record_history(&mut self, events: Vec<Event>, answer: HistoryAnswer) {
        self.set_clock_back();
        let verdicts = self.record_changes(events.iter().cloned().map(|event| RecordKind::Event(event, None)));
        let outcome = verdicts.map(|verdicts| {
            let mut outcome = HistoryOutcome::default();
            verdicts.iter().for_each(|verdict| outcome.count(*verdict));
            self.metrics.appends.inc_by(outcome.new);
            let recent = events.into_iter().zip(verdicts).filter_map(|(event, verdict)| recent(event, verdict));
            self.state_reader.published.add_recent(recent);
            outcome
        });
        // The reader of the history may have ended; the events stay recorded.
        let _ = answer.send(outcome);
    }

    /// Publishes what the API said, and saves what must survive a restart.
    pub(super) fn adopt_api_facts(&mut self, facts: ApiFacts) {
        let ApiFacts { inventories, quality, backfilled } = facts;
        let mut documents: Vec<(String, String)> = Vec::new();
        let accounts = &self.limits.accounts;
        for inventory in inventories.into_values().filter(|inventory| accounts.contains_key(&inventory.account_id)) {
            if self.fold.state().inventory(&inventory.account_id) != Some(&inventory) {
                documents.push((inventory_name(&inventory.account_id), text(&inventory)));
                self.fold.set_inventory(inventory);
            }
        }
        for (account_id, quality) in quality.into_iter().filter(|(account_id, _)| accounts.contains_key(account_id)) {
            self.fold.set_quality(account_id, quality);
        }
        let documents: Vec<_> = documents.iter().map(|(name, text)| (name.as_str(), Some(text.as_str()))).collect();
        let mut saved = if documents.is_empty() { Ok(()) } else { self.save_documents(&documents) };
        if backfilled && saved.is_ok() {
            saved = self.end_backfill();
        }
        if saved.is_err() {
            // The inventory is found again after a restart, and the history is read again.
            self.note_task(saved);
        }
        self.publish_state();
    }

    /// Saves documents. If that fails, they are as before.
    pub(super) fn save_documents(&mut self, documents: &[(&str, Option<&str>)]) -> Result<(), JournalError> {
        let _saving = self.disk_operation("documents");
        self.journal.save_documents(documents)
    }
}

/// A new event, for the API.
fn recent(event: Event, verdict: Verdict) -> Option<Arc<RecentDelivery>> {
    let Verdict::Recorded(note) = verdict else { return None };
    let (received_at, outcome) = (event.received_at, Outcome::Recorded);
    Some(Arc::new(RecentDelivery { received_at, peer: None, outcome, note, event: Some(event) }))
}
