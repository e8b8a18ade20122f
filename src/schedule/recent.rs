//! The newest answer of a schedule. A scrape of many inputs asks each schedule for about the same time as the scrape
//! before, and to search windows for changes takes thousands of times longer than to look here.

use std::sync::{Mutex, PoisonError};

use super::Change;
use crate::event::Timestamp;

/// A time in which nothing changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steady {
    pub(super) from: Timestamp,
    pub(super) expected: bool,
    /// The change that ends it; `None` if it never ends.
    pub(super) next: Option<Change>,
}

/// The newest time that was asked for. It follows from the windows, so schedules are equal without it.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Option<Steady>>);

impl Recent {
    /// The steady time around this one, if it is the newest.
    pub(super) fn get(&self, time: Timestamp) -> Option<Steady> {
        let recent = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.filter(|steady| steady.from <= time && steady.next.is_none_or(|next| time < next.at))
    }

    pub(super) fn set(&self, steady: Steady) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(steady);
    }
}

impl Clone for Recent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Recent {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Recent {}
