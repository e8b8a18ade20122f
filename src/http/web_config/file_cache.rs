//! Values made from files, which are made again, with a log line, when the files change.
//!
//! File contents are compared, not modification times, because two changes may have the same time.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub(super) struct FileCache<I, T> {
    /// The consequence if the files are invalid, for the log.
    consequence: &'static str,
    made: Mutex<Option<Made<I, T>>>,
}

#[derive(Debug)]
struct Made<I, T> {
    from: Result<I, String>,
    result: Result<Arc<T>, String>,
}

impl<I: PartialEq, T> FileCache<I, T> {
    pub(super) fn new(consequence: &'static str) -> Self {
        Self { consequence, made: Mutex::new(None) }
    }

    pub(super) fn current(
        &self,
        path: &Path,
        read: Result<I, String>,
        make: impl FnOnce(&I) -> Result<T, String>,
    ) -> Result<Arc<T>, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.from == read) {
            return made.result.clone();
        }
        let result = read.as_ref().map_err(Clone::clone).and_then(|input| make(input).map(Arc::new));
        if made.is_some() {
            match &result {
                Ok(_) => tracing::info!(file = %path.display(), "web configuration changed"),
                Err(problem) => tracing::error!(
                    file = %path.display(), problem, consequence = self.consequence, "web configuration cannot be used"
                ),
            }
        }
        *made = Some(Made { from: read, result: result.clone() });
        result
    }
}
