//! The clock was set back.

use std::collections::BTreeSet;

use super::{Draft, Verdict};
use crate::event::{InputId, Record};

impl Draft<'_> {
    /// Keeps what every input has shown up to now, so that views of earlier times do not show less.
    pub(super) fn set_clock_back(&mut self, record: &Record) -> Verdict {
        let rules = self.changes.rules.clone();
        let known = self.fold.state().inputs.keys().chain(self.changes.inputs.keys()).copied();
        for input_id in known.collect::<BTreeSet<InputId>>() {
            let before = self.before(&input_id);
            let known = self.input(&input_id, before).is_some_and(|input| input.known_since.is_some());
            if known && !self.fold.input_has(&input_id, record) {
                let effect = self.parts(input_id, before).input.set_clock_back(record, &rules);
                self.count(input_id, before, record, effect);
            }
        }
        self.changes.forgotten.set_clock_back(record.recorded_at);
        let ahead: Vec<_> = self.changes.exceptions.beginning_after(record.recorded_at).collect();
        for input_id in ahead.into_iter().filter(|input_id| !self.fold.input_has(input_id, record)) {
            self.changes.exceptions.begin_at(&input_id, record.recorded_at);
            self.changes.excepted.insert(input_id);
        }
        Verdict::Recorded(None)
    }
}
