//! The errors of one live input.

use crate::event::{ErrorClass, ErrorCode, Timestamp};

/// Errored events by class. Only classes that occurred take memory, because most inputs have none or one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Errors(Option<Box<Occurred>>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Occurred {
    /// Ascending by [`ErrorClass::index`].
    counted: Box<[Counted]>,
    /// The newest code that is counted as [`ErrorClass::Other`].
    last_other_code: ErrorCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    class: ErrorClass,
    /// Saturates: at one error a second, after 136 years. A `u64` would take half as much memory again.
    count: u32,
    /// Event time of the newest error.
    last: Timestamp,
}

impl Errors {
    /// Number of errors, by [`ErrorClass::index`].
    pub fn counts(&self) -> [u64; 7] {
        self.by_class(|counted| counted.count.into())
    }

    /// Event time of the newest error, by [`ErrorClass::index`].
    pub fn last(&self) -> [Option<Timestamp>; 7] {
        self.by_class(|counted| Some(counted.last))
    }

    /// Number of errors of all classes.
    pub fn total(&self) -> u64 {
        self.counted().iter().map(|counted| u64::from(counted.count)).sum()
    }

    /// Event time of the newest error.
    pub fn newest_at(&self) -> Option<Timestamp> {
        self.counted().iter().map(|counted| counted.last).max()
    }

    /// The newest error: its event time, and its code as Cloudflare sent it.
    pub fn newest(&self) -> Option<(Timestamp, ErrorCode)> {
        let newest = self.counted().iter().max_by_key(|counted| (counted.last, counted.class.index()))?;
        let code = if newest.class == ErrorClass::Other { self.last_other_code() } else { newest.class.label().into() };
        Some((newest.last, code))
    }

    /// The newest code that is counted as [`ErrorClass::Other`].
    pub(super) fn last_other_code(&self) -> ErrorCode {
        self.0.as_ref().map(|occurred| occurred.last_other_code.clone()).unwrap_or_default()
    }

    /// Counts an error.
    pub(super) fn count(&mut self, code: &ErrorCode, updated_at: Timestamp) {
        self.0.get_or_insert_default().count(code, updated_at);
    }

    fn counted(&self) -> &[Counted] {
        self.0.as_ref().map_or(&[], |occurred| &occurred.counted)
    }

    /// Restores counts, by [`ErrorClass::index`].
    pub(super) fn restored(counts: [u64; 7], last: [Option<Timestamp>; 7], last_other_code: ErrorCode) -> Self {
        let mut counted = Vec::with_capacity(last.iter().flatten().count());
        for (class, (count, last)) in ErrorClass::ALL.into_iter().zip(counts.into_iter().zip(last)) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            counted.extend(last.map(|last| Counted { class, count, last }));
        }
        Self((!counted.is_empty()).then(|| Box::new(Occurred { counted: counted.into(), last_other_code })))
    }

    fn by_class<T: Copy + Default>(&self, value: impl Fn(&Counted) -> T) -> [T; 7] {
        let mut values = [T::default(); 7];
        for counted in self.counted() {
            values[counted.class.index()] = value(counted);
        }
        values
    }
}

impl Occurred {
    fn count(&mut self, code: &ErrorCode, updated_at: Timestamp) {
        let class = code.class();
        let counted = self.counted.binary_search_by_key(&class.index(), |counted| counted.class.index());
        if class == ErrorClass::Other {
            let last = counted.ok().map(|position| (self.counted[position].last, self.last_other_code.as_str()));
            if Some((updated_at, code.as_str())) >= last {
                self.last_other_code = code.clone();
            }
        }
        match counted {
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
    }
}
