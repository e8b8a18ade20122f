//! What the recorder does at the moment, so that a hanging disk is noticed while the recorder waits for it, and a recorder
//! that makes no progress for another reason.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{self, Stopwatch};
use crate::event::Timestamp;

/// An operation that takes longer is treated as hanging.
pub(super) const HANGING_AFTER: Duration = Duration::from_secs(3);

/// A recorder that neither uses the disk nor reports progress for longer than it has announced is stuck. The longest
/// computations, with a million inputs, take less than a second.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// What the recorder does: an operation on the disk, or something else. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct DiskActivity(Arc<Mutex<Activity>>);

#[derive(Debug, Clone, Copy, Default)]
struct Activity {
    operation: Option<(DiskOperation, Stopwatch)>,
    /// The recorder computes during the operation.
    computing: bool,
    /// When the recorder last reported progress, and how long it may wait before it does so again. Unset before its loop
    /// runs and after its orderly end.
    progress: Option<(Stopwatch, Duration)>,
}

/// An operation on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskOperation {
    /// What is done.
    pub name: &'static str,
    /// When it began.
    pub since: Timestamp,
}

/// The operation is under way until this is dropped.
#[must_use = "dropping it ends the operation"]
pub struct UnderWay(DiskActivity);

impl DiskActivity {
    /// Begins an operation. It replaces one that is under way.
    pub fn begin(&self, name: &'static str) -> UnderWay {
        self.change(|activity| {
            activity.operation = Some((DiskOperation { name, since: clock::now() }, Stopwatch::start()));
        });
        UnderWay(self.clone())
    }

    /// The operation that is under way.
    pub fn current(&self) -> Option<DiskOperation> {
        self.get().operation.map(|(operation, _)| operation)
    }

    /// The operation that is under way, if it takes unusually long.
    pub fn hanging(&self) -> Option<DiskOperation> {
        let operation = self.get().operation;
        operation.filter(|(_, stopwatch)| stopwatch.elapsed() >= HANGING_AFTER).map(|(operation, _)| operation)
    }

    /// Whether the recorder makes no progress although it does not wait for the disk: it spins, is blocked or has died.
    pub fn is_recorder_stuck(&self) -> bool {
        self.get().is_stuck(STUCK_AFTER)
    }

    /// The recorder makes progress, and will do so again after waiting for up to this time.
    pub(super) fn progress(&self, wait: Duration) {
        self.change(|activity| activity.progress = Some((Stopwatch::start(), wait)));
    }

    /// The recorder ends.
    pub(super) fn end(&self) {
        self.change(|activity| activity.progress = None);
    }

    fn get(&self) -> Activity {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Activity)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Runs a computation, which is no part of an operation that is under way.
    fn compute<T>(&self, computation: impl FnOnce() -> T) -> T {
        self.change(|activity| activity.set_computing(true));
        let result = computation();
        self.change(|activity| activity.set_computing(false));
        result
    }
}

impl Activity {
    fn is_stuck(&self, limit: Duration) -> bool {
        let waits_for_disk = self.operation.is_some() && !self.computing;
        !waits_for_disk && self.progress.is_some_and(|(since, wait)| since.elapsed() > wait.saturating_add(limit))
    }

    fn set_computing(&mut self, computing: bool) {
        self.computing = computing;
        self.restart();
    }

    /// A change of what the recorder does is progress.
    fn restart(&mut self) {
        self.progress = self.progress.map(|_| (Stopwatch::start(), Duration::ZERO));
    }
}

impl UnderWay {
    /// Runs a computation, during which the operation does not use the disk.
    pub(super) fn compute<T>(&self, computation: impl FnOnce() -> T) -> T {
        self.0.compute(computation)
    }
}

impl fmt::Display for DiskOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} that began at {}", self.name, self.since)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|activity| {
            activity.operation = None;
            activity.restart();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorder_is_stuck_if_it_neither_uses_the_disk_nor_reports_progress_in_time() {
        let disk = DiskActivity::default();
        let is_stuck = || disk.get().is_stuck(Duration::ZERO);
        assert!(!is_stuck(), "before its loop");
        disk.progress(Duration::from_secs(60));
        assert!(!is_stuck(), "while it waits");
        disk.progress(Duration::ZERO);
        assert!(is_stuck());
        let under_way = disk.begin("append");
        assert!(!is_stuck(), "while it uses the disk");
        under_way.compute(|| assert!(is_stuck(), "while it computes"));
        assert!(!is_stuck(), "while it uses the disk again");
        drop(under_way);
        assert!(is_stuck(), "after the operation");
        assert!(!disk.get().is_stuck(Duration::from_secs(60)), "shortly after the operation");
        disk.end();
        assert!(!is_stuck(), "after its end");
    }
}
