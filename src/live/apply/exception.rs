//! An operator decided on an exception to a schedule.

use super::{Draft, Verdict};
use crate::event::{IgnoredReason, Record, ScheduleException};
use crate::live::ExceptionEntry;
use crate::schedule::Exception;

impl Draft<'_> {
    pub(super) fn except(&mut self, record: &Record, decided: &ScheduleException) -> Verdict {
        let input_id = decided.input_id;
        if self.fold.input_has(&input_id, record) {
            return Verdict::Duplicate;
        }
        let entry = entry(decided);
        if !record.is_appended()
            && let Err(verdict) = self.check_exception(decided, entry.as_ref())
        {
            return verdict;
        }
        match entry {
            Some(entry) => self.changes.exceptions.insert(input_id, entry),
            None => self.changes.exceptions.end(&input_id, decided.at),
        }
        self.changes.excepted.insert(input_id);
        Verdict::Recorded(None)
    }

    /// Checks an exception that is not in the journal. The error is the verdict for one that changes nothing or cannot be
    /// recorded.
    fn check_exception(&self, decided: &ScheduleException, entry: Option<&ExceptionEntry>) -> Result<(), Verdict> {
        let input_id = &decided.input_id;
        let newest = self.changes.exceptions.get(input_id);
        let current = newest.filter(|current| decided.at < current.exception.until);
        // An inventory is no record, so batches do not change what it has.
        let is_known =
            self.input(input_id, self.before(input_id)).is_some() || self.fold.state().listed(input_id).is_some();
        let is_full = self.changes.exceptions.len() >= self.changes.rules.max_inputs;
        match entry {
            // What an input that is no longer listed has left can be cleared.
            None if current.is_none() => Err(if is_known { Verdict::Duplicate } else { Verdict::UnknownInput }),
            None => Ok(()),
            Some(_) if !is_known => Err(Verdict::UnknownInput),
            Some(entry) if current.is_some_and(|current| current.repeats(entry)) => Err(Verdict::Duplicate),
            Some(_) if newest.is_none() && is_full => Err(Verdict::Ignored(IgnoredReason::TooManyInputs)),
            Some(_) => Ok(()),
        }
    }
}

/// The new exception; `None` if the decision is to end one.
fn entry(decided: &ScheduleException) -> Option<ExceptionEntry> {
    let ScheduleException { expected, until, at, user, reason, .. } = decided.clone();
    Some(ExceptionEntry { exception: Exception { expected: expected?, from: at, until }, user, reason })
}
