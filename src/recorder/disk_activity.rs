//! What the recorder does on the disk at the moment, so that a hanging disk is noticed while the recorder waits for it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{self, Stopwatch};
use crate::event::Timestamp;

/// An operation that takes longer is treated as hanging.
pub(super) const HANGING_AFTER: Duration = Duration::from_secs(3);

/// The operation of the recorder on the disk, if one is under way. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct DiskActivity(Arc<Mutex<Option<(DiskOperation, Stopwatch)>>>);

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
        self.set(Some((DiskOperation { name, since: clock::now() }, Stopwatch::start())));
        UnderWay(self.clone())
    }

    /// The operation that is under way.
    pub fn current(&self) -> Option<DiskOperation> {
        self.get().map(|(operation, _)| operation)
    }

    /// The operation that is under way, if it takes unusually long.
    pub fn hanging(&self) -> Option<DiskOperation> {
        self.get().filter(|(_, stopwatch)| stopwatch.elapsed() >= HANGING_AFTER).map(|(operation, _)| operation)
    }

    fn get(&self) -> Option<(DiskOperation, Stopwatch)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, operation: Option<(DiskOperation, Stopwatch)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = operation;
    }
}

impl fmt::Display for DiskOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} that began at {}", self.name, self.since)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
