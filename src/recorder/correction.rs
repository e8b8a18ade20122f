//! Corrections of inputs by an operator, of a running and of a stopped daemon.

use crate::clock;
use crate::event::{Corrected, Correction, Record, RecordKind, Rules};
use crate::journal::{Journal, JournalError};
use crate::live::{Verdict, apply};

use super::handle::CorrectionAnswer;
use super::run_loop::Recorder;
use super::{Restored, restore};

/// The outcome of a correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorrectionOutcome {
    /// It changed the input, and is durable.
    Recorded,
    /// The input is in that state already. Nothing was recorded.
    Unchanged,
    /// The input is not known. Nothing was recorded.
    UnknownInput,
}

impl From<Verdict> for CorrectionOutcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Recorded(_) => Self::Recorded,
            Verdict::Duplicate | Verdict::Ignored(_) => Self::Unchanged,
            Verdict::UnknownInput => Self::UnknownInput,
        }
    }
}

impl Recorder {
    pub(super) fn correct(&mut self, correction: Correction, answer: CorrectionAnswer) {
        self.set_clock_back();
        let name = Some(self.fold.state().name(&correction.input_id).to_owned()).filter(|name| !name.is_empty());
        let verdicts = self.record_changes(std::iter::once(RecordKind::Correction(correction.clone())));
        let outcome = verdicts.and_then(|verdicts| verdicts.first().copied()).map(CorrectionOutcome::from);
        if outcome == Some(CorrectionOutcome::Recorded) {
            self.metrics.corrections.with_label_values(&["operator", correction.to.label()]).inc();
            if correction.to == Corrected::Forgotten {
                self.metrics.inputs_forgotten.with_label_values(&["operator"]).inc();
            }
        }
        // The client may have disconnected; the correction stays recorded.
        let _ = answer.send(outcome);
        if outcome == Some(CorrectionOutcome::Recorded) {
            let Correction { input_id, to, user, reason, .. } = correction;
            tracing::info!(%input_id, name, to = to.label(), user, reason, "input corrected");
        }
    }
}

/// Corrects an input in the journal of a stopped daemon. `initial_rules` are in force if the journal has no rules.
///
/// # Errors
///
/// The part of the journal that cannot be read or written. Nothing was recorded.
pub fn correct_stopped(
    journal: &mut Journal,
    initial_rules: &Rules,
    correction: Correction,
) -> Result<CorrectionOutcome, JournalError> {
    let Restored { fold, recorded_until, .. } = restore(journal, initial_rules)?;
    journal.recover_wal()?;
    let mut record = Record::new(RecordKind::Correction(correction));
    record.recorded_at = recorded_until.max(clock::now());
    // The latest scrape may have been after the last record.
    record.shown_until = record.recorded_at;
    let mut records = [record];
    let (_, verdicts) = apply(&fold, &records);
    let outcome = verdicts.first().copied().map_or(CorrectionOutcome::Unchanged, CorrectionOutcome::from);
    if outcome == CorrectionOutcome::Recorded {
        journal.append(&mut records)?;
    }
    Ok(outcome)
}
