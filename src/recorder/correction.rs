//! Corrections of inputs and exceptions to schedules by an operator, of a running and of a stopped daemon.

use std::thread;
use std::time::Duration;

use crate::clock;
use crate::event::{
    Corrected, Correction, IgnoredReason, InputId, Record, RecordKind, Rules, ScheduleException, Timestamp,
};
use crate::journal::{BatchId, Journal, JournalError, JournalErrorKind, PostgresJournal, SqliteJournal};
use crate::live::{Fold, Verdict, apply};

use super::handle::CorrectionAnswer;
use super::run_loop::Recorder;
use super::{Restored, documents, restore};

/// Number of attempts to write to a shared journal that is away, and the pause between them.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// The outcome of a correction, or of an exception to a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorrectionOutcome {
    /// It changed the input, and is durable.
    Recorded,
    /// The input is in that state already, or has this exception. Nothing was recorded.
    Unchanged,
    /// The input is not known. Nothing was recorded.
    UnknownInput,
    /// There are as many exceptions as there may be inputs. Nothing was recorded.
    TooMany,
}

impl From<Verdict> for CorrectionOutcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Recorded(_) => Self::Recorded,
            Verdict::Ignored(IgnoredReason::TooManyInputs) => Self::TooMany,
            Verdict::Duplicate | Verdict::Ignored(_) => Self::Unchanged,
            Verdict::UnknownInput => Self::UnknownInput,
        }
    }
}

impl Recorder {
    pub(super) fn correct(&mut self, correction: Correction, answer: CorrectionAnswer) {
        self.set_clock_back();
        let name = self.input_name(&correction.input_id);
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

    pub(super) fn except(&mut self, exception: ScheduleException, answer: CorrectionAnswer) {
        self.set_clock_back();
        let name = self.input_name(&exception.input_id);
        let verdicts = self.record_changes(std::iter::once(RecordKind::Exception(exception.clone())));
        let outcome = verdicts.and_then(|verdicts| verdicts.first().copied()).map(CorrectionOutcome::from);
        // The client may have disconnected; the exception stays recorded.
        let _ = answer.send(outcome);
        if outcome == Some(CorrectionOutcome::Recorded) {
            let ScheduleException { input_id, expected, until, user, reason, .. } = exception;
            if let Some(expected) = expected {
                tracing::info!(%input_id, name, expected, %until, user, reason, "schedule exception recorded");
            } else {
                tracing::info!(%input_id, name, user, reason, "schedule exception cleared");
            }
        }
    }

    fn input_name(&self, input_id: &InputId) -> Option<String> {
        Some(self.fold.state().name(input_id).to_owned()).filter(|name| !name.is_empty())
    }
}

/// Corrects an input in the journal of a stopped daemon. `initial_rules` are in force if the journal has no rules.
///
/// # Errors
///
/// The part of the journal that cannot be read or written. Nothing was recorded.
pub fn correct_stopped(
    journal: &mut dyn Journal,
    initial_rules: &Rules,
    correction: Correction,
) -> Result<CorrectionOutcome, JournalError> {
    record_stopped(journal, initial_rules, RecordKind::Correction(correction))
}

/// Records an exception to a schedule in the journal of a stopped daemon, like [`correct_stopped`].
///
/// # Errors
///
/// The part of the journal that cannot be read or written. Nothing was recorded.
pub fn except_stopped(
    journal: &mut dyn Journal,
    initial_rules: &Rules,
    exception: ScheduleException,
) -> Result<CorrectionOutcome, JournalError> {
    record_stopped(journal, initial_rules, RecordKind::Exception(exception))
}

fn record_stopped(
    journal: &mut dyn Journal,
    initial_rules: &Rules,
    kind: RecordKind,
) -> Result<CorrectionOutcome, JournalError> {
    let Restored { mut fold, recorded_until, .. } = restore(journal, initial_rules)?;
    // An input that only an inventory has is known, too.
    documents::restore(journal, &mut fold, clock::now())?;
    journal.local().map_or(Ok(()), SqliteJournal::recover_wal)?;
    let id = BatchId::random();
    for _ in 1..ATTEMPTS {
        match record_after_tail(journal, id, &mut fold, recorded_until, kind.clone()) {
            Err(error) if error.kind() == JournalErrorKind::Away => {}
            done => return done,
        }
        thread::sleep(PAUSE);
        journal.shared().map(PostgresJournal::poll_connection);
    }
    record_after_tail(journal, id, &mut fold, recorded_until, kind)
}

/// Records this after everything that others appended meanwhile.
fn record_after_tail(
    journal: &mut dyn Journal,
    id: BatchId,
    fold: &mut Fold,
    recorded_until: Timestamp,
    kind: RecordKind,
) -> Result<CorrectionOutcome, JournalError> {
    let mut append = journal.begin(id)?;
    let mut record = Record::new(kind);
    if let Some(tail) = append.tail() {
        fold.adopt(apply(fold, &tail.records).0);
        record.recorded_at = tail.recorded_until.max(tail.now.unwrap_or_else(clock::now));
        record.shown_until = tail.shown_until;
        if tail.has_batch {
            return append.commit().map(|()| CorrectionOutcome::Recorded);
        }
    } else {
        record.recorded_at = recorded_until.max(clock::now());
        // The latest scrape may have been after the last record.
        record.shown_until = record.recorded_at;
    }
    let mut records = [record];
    let (_, verdicts) = apply(fold, &records);
    let outcome = verdicts.first().copied().map_or(CorrectionOutcome::Unchanged, CorrectionOutcome::from);
    if outcome == CorrectionOutcome::Recorded {
        append.records(&mut records.iter_mut())?;
        append.commit()?;
    }
    Ok(outcome)
}
