//! Responses that are generated from a view while their clients read them.
//!
//! An input that changes while a view has it is copied, so a view holds everything that has changed since. With many
//! slow readers this would be the state several times. All that is held was copied after the oldest view: when that is
//! too much, the response of the oldest view ends.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// Maximum number of bytes that views hold besides the current state.
const MAX_HELD: u64 = 8 << 20;

/// Keeps a response among those that can be ended, until it is dropped.
pub type Hold = Arc<dyn Fn() + Send + Sync>;

/// The responses in progress, the oldest first, each with the number of bytes that had been copied before it.
#[derive(Debug, Default)]
pub(super) struct HeldViews(VecDeque<(u64, Weak<dyn Fn() + Send + Sync>)>);

impl HeldViews {
    /// Adds a response, whose view is taken now. `end` ends it.
    pub(super) fn add(&mut self, copied: u64, end: impl Fn() + Send + Sync + 'static) -> Hold {
        let hold: Hold = Arc::new(end);
        self.end_oldest(copied);
        self.0.push_back((copied, Arc::downgrade(&hold)));
        hold
    }

    /// Ends responses until the others hold no more than the limit. The count begins again when the journal is reloaded.
    pub(super) fn end_oldest(&mut self, copied: u64) {
        while let Some((before, end)) = self.0.front() {
            match end.upgrade() {
                Some(_) if copied.saturating_sub(*before) <= MAX_HELD => break,
                Some(end) => end(),
                None => {}
            }
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn oldest_response_ends_when_views_hold_too_much() {
        let (mut views, ended) = (HeldViews::default(), Arc::new(AtomicUsize::new(0)));
        let add = |views: &mut HeldViews, copied, bit: usize| {
            let ended = ended.clone();
            views.add(copied, move || _ = ended.fetch_or(bit, Ordering::Relaxed))
        };
        let first = add(&mut views, 5, 1);
        let _second = add(&mut views, 6, 2);
        let third = add(&mut views, 7, 4);
        views.end_oldest(5 + MAX_HELD);
        assert_eq!(ended.load(Ordering::Relaxed), 0);
        views.end_oldest(6 + MAX_HELD);
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        drop((first, third));
        views.end_oldest(9 + MAX_HELD);
        assert_eq!(ended.load(Ordering::Relaxed), 3, "a response that has ended is not ended again");
        assert!(views.0.is_empty());
    }
}
