//! The errors of one live input.

use super::dedup::Identity;
use crate::event::{ErrorClass, ErrorCode, Timestamp};

/// Errored events by class. Only what happened takes memory, because most inputs know one or two kinds of error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Errors {
    /// Ascending by [`ErrorClass::index`].
    counted: Box<[Counted]>,
    /// The newest code that is counted as [`ErrorClass::Other`], verbatim; `None` when that had none.
    last_other_code: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    class: ErrorClass,
    /// Up to 4,294,967,295: at one a second that takes 136 years, and larger counts would take half as much memory again.
    count: u32,
    /// Event time of the newest one.
    last: Timestamp,
}

impl Errors {
    /// How many there were, by [`ErrorClass::index`].
    pub fn counts(&self) -> [u64; 7] {
        self.by_class(|counted| counted.count.into())
    }

    /// Event time of the newest one, by [`ErrorClass::index`].
    pub fn last(&self) -> [Option<Timestamp>; 7] {
        self.by_class(|counted| Some(counted.last))
    }

    /// How many there were of all classes.
    pub fn total(&self) -> u64 {
        self.counted.iter().map(|counted| u64::from(counted.count)).sum()
    }

    /// Event time of the newest one of all.
    pub fn newest_at(&self) -> Option<Timestamp> {
        self.counted.iter().map(|counted| counted.last).max()
    }

    /// The newest one of all: its event time and its code as Cloudflare sent it.
    pub fn newest(&self) -> Option<(Timestamp, ErrorCode)> {
        let newest = self.counted.iter().max_by_key(|counted| (counted.last, counted.class.index()))?;
        Some((newest.last, self.last_code(newest.class).into()))
    }

    /// The newest code that is counted as [`ErrorClass::Other`].
    pub(super) fn last_other_code(&self) -> ErrorCode {
        self.last_other_code.clone().into()
    }

    /// Whether this is the newest of its class.
    pub(super) fn is_latest(&self, code: &ErrorCode, updated_at: Timestamp) -> bool {
        let class = code.class();
        let is_newest = |counted: &Counted| counted.class == class && counted.last == updated_at;
        self.counted.iter().any(is_newest) && self.last_code(class) == code.as_str()
    }

    /// The newest of each class.
    pub(super) fn latest_events(&self) -> impl Iterator<Item = Identity> {
        let identity = |&Counted { class, last, .. }: &_| Identity::of_error(class, self.last_code(class), last);
        self.counted.iter().map(identity)
    }

    /// Counts one. Returns that of its class which is not the newest any more: the one before, or this one.
    pub(super) fn count(&mut self, code: &ErrorCode, updated_at: Timestamp) -> Option<Identity> {
        let class = code.class();
        let known = self.counted.binary_search_by_key(&class.index(), |counted| counted.class.index());
        let last = known.ok().map(|position| (self.counted[position].last, self.last_code(class)));
        let this = Some((updated_at, code.as_str()));
        let is_newest = this >= last;
        let displaced = last.min(this).map(|(at, code)| Identity::of_error(class, code, at));
        match known {
            Ok(position) => {
                let counted = &mut self.counted[position];
                counted.count = counted.count.saturating_add(1);
                counted.last = counted.last.max(updated_at);
            }
            Err(position) => {
                let mut counted = std::mem::take(&mut self.counted).into_vec();
                counted.reserve_exact(1);
                counted.insert(position, Counted { class, count: 1, last: updated_at });
                self.counted = counted.into();
            }
        }
        if class == ErrorClass::Other && is_newest {
            self.last_other_code = code.clone().into();
        }
        displaced
    }

    /// The code of the newest one of a class that was counted, as Cloudflare sent it.
    fn last_code(&self, class: ErrorClass) -> &str {
        let is_other = class == ErrorClass::Other;
        if is_other { self.last_other_code.as_deref().unwrap_or_default() } else { class.label() }
    }

    /// What was counted before, each by [`ErrorClass::index`].
    pub(super) fn restored(counts: [u64; 7], last: [Option<Timestamp>; 7], last_other_code: ErrorCode) -> Self {
        let mut counted = Vec::with_capacity(last.iter().flatten().count());
        for (class, (count, last)) in ErrorClass::ALL.into_iter().zip(counts.into_iter().zip(last)) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            counted.extend(last.map(|last| Counted { class, count, last }));
        }
        Self { counted: counted.into(), last_other_code: last_other_code.into() }
    }

    fn by_class<T: Copy + Default>(&self, value: impl Fn(&Counted) -> T) -> [T; 7] {
        let mut values = [T::default(); 7];
        for counted in &self.counted {
            values[counted.class.index()] = value(counted);
        }
        values
    }
}
