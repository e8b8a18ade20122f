//! Deduplication of events.
//!
//! Each input remembers the identities of its newest events by event time: errors, and connects and disconnects that
//! are older than its list of changes. Both have a limit of their own, so errors do not displace changes. If a memory
//! is full, an event older than all of it may be a repeat, and is ignored as too old.

use std::cmp::Ordering;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::changes::{Change, Packed};
use crate::event::{ErrorClass, ErrorCode, Event, EventKind, Timestamp};

/// Maximum number of errors, and of changes, that an input remembers.
///
/// Cloudflare repeats a notification within minutes, if at all. An input that flaps every ten seconds
/// fills this memory in more than five hours.
pub(super) const MAX_SEEN_EVENTS: usize = 4096;

/// The limit of an input is never reduced below this number.
const MIN_SEEN_EVENTS: usize = 32;

/// Maximum number of events that all inputs together remember: 64 MiB, with the capacity that is reserved for growth.
const MAX_TOTAL: usize = (64 << 20) / SeenEvents::ENCODED_SIZE * 4 / 5;

/// The identity of an event: event time, kind and error code, changes before errors. The envelope is not part of
/// it, because two notification policies send one event in two envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    updated_at: Packed,
    what: u32,
}

impl Ord for Identity {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.is_error(), self.updated_at, self.what).cmp(&(other.is_error(), other.updated_at, other.what))
    }
}

impl PartialOrd for Identity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Identity {
    pub(super) fn of(event: &Event) -> Self {
        let what = match &event.kind {
            EventKind::Connected => 0,
            EventKind::Disconnected => 1,
            EventKind::Errored(detail) => error_hash(&detail.code),
        };
        Self { updated_at: event.updated_at.into(), what }
    }

    pub(super) fn of_change(change: &Change) -> Self {
        Self { updated_at: change.at().into(), what: u32::from(!change.connected) }
    }

    fn is_error(&self) -> bool {
        self.what > 1
    }
}

/// The first four bytes of the code's SHA-256, never 0 or 1.
fn error_hash(code: &ErrorCode) -> u32 {
    /// Hashes of the documented codes, computed once: an event needs a sixth fewer instructions.
    static DOCUMENTED: LazyLock<[u32; 7]> = LazyLock::new(|| ErrorClass::LABELS.map(hash));
    let class = code.class();
    if class == ErrorClass::Other { hash(code.as_str()) } else { DOCUMENTED[class.index()] }
}

fn hash(code: &str) -> u32 {
    let digest = Sha256::digest(code);
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]).max(2)
}

/// Result of a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    New,
    Seen,
    TooOld,
}

/// The limits of all memories together. Those of the inputs that remember most are reduced first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeenLimits {
    /// Maximum number of errors, and of changes, that an input remembers.
    pub(super) per_input: usize,
    /// Number of events that all inputs together remember.
    pub(super) total: usize,
}

impl Default for SeenLimits {
    fn default() -> Self {
        Self { per_input: MAX_SEEN_EVENTS, total: 0 }
    }
}

impl SeenLimits {
    /// Reduces the limit per input until the total is within its limit. `count` returns the total with a limit.
    pub(super) fn reduce(&mut self, count: impl Fn(usize) -> usize) {
        while self.total > MAX_TOTAL && self.per_input > MIN_SEEN_EVENTS {
            self.per_input /= 2;
            self.total = count(self.per_input);
        }
    }

    /// Subtracts events of a forgotten input, and raises the limit per input when there is much space again.
    pub(super) fn release(&mut self, events: usize) {
        self.total = self.total.saturating_sub(events);
        if self.total < MAX_TOTAL / 4 {
            self.per_input = (self.per_input * 2).min(MAX_SEEN_EVENTS);
        }
    }
}

/// The identities of one input's newest events, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenEvents(Vec<Identity>);

impl SeenEvents {
    /// No events.
    pub(super) const EMPTY: &'static Self = &Self(Vec::new());

    const ENCODED_SIZE: usize = 12;

    /// Looks an event up in this memory and `added` together, as if they were one memory with this limit.
    pub(super) fn lookup(&self, added: &Self, identity: &Identity, limit: usize) -> Lookup {
        let (these, others) = (self.like(identity), added.like(identity));
        let surplus = (these.len() + others.len()).checked_sub(limit);
        if surplus.is_some_and(|surplus| merged(these, others).nth(surplus).is_some_and(|oldest| identity < oldest)) {
            Lookup::TooOld
        } else if these.binary_search(identity).is_ok() || others.binary_search(identity).is_ok() {
            Lookup::Seen
        } else {
            Lookup::New
        }
    }

    /// The errors, or the changes.
    fn like(&self, identity: &Identity) -> &[Identity] {
        let (changes, errors) = self.0.split_at(self.first_error());
        if identity.is_error() { errors } else { changes }
    }

    fn first_error(&self) -> usize {
        self.0.partition_point(|identity| !identity.is_error())
    }

    /// Adds an event; a full memory drops the oldest one.
    pub(super) fn remember(&mut self, identity: Identity, limit: usize) {
        let Err(position) = self.0.binary_search(&identity) else { return };
        if self.like(&identity).len() < limit {
            if self.0.len() == self.0.capacity() {
                // Grow by a quarter: doubling would leave a third of this memory unused.
                self.0.reserve_exact(self.0.len() / 4 + 4);
            }
            self.0.insert(position, identity);
            return;
        }
        let oldest = if identity.is_error() { self.first_error() } else { 0 };
        if position > oldest {
            self.0[oldest..position].rotate_left(1);
            self.0[position - 1] = identity;
        }
    }

    /// Adds all of `added`.
    pub(super) fn extend(&mut self, added: &Self, limit: usize) {
        added.0.iter().for_each(|identity| self.remember(*identity, limit));
    }

    /// Number of events in this memory and `added` together with this limit.
    pub(super) fn count(&self, added: &Self, limit: usize) -> usize {
        let (changes, more_changes) = (self.first_error(), added.first_error());
        let errors = self.0.len() - changes + added.0.len() - more_changes;
        (changes + more_changes).min(limit) + errors.min(limit)
    }

    /// Drops the oldest events above this limit.
    pub(super) fn trim(&mut self, limit: usize) {
        let changes = self.first_error();
        let surplus_errors = (self.0.len() - changes).saturating_sub(limit);
        self.0.drain(changes..changes + surplus_errors);
        self.0.drain(..changes.saturating_sub(limit));
        self.0.shrink_to_fit();
    }

    /// Number of events.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this event is remembered.
    pub fn contains(&self, event: &Event) -> bool {
        self.0.binary_search(&Identity::of(event)).is_ok()
    }

    /// Size of the encoded form, in bytes.
    pub fn encoded_size(&self) -> usize {
        self.len() * Self::ENCODED_SIZE
    }

    /// Encodes for the checkpoint: for each event eight bytes of time and four of the rest, little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let parts = self.0.iter().map(|identity| {
            (Timestamp::from(identity.updated_at).as_nanos().to_le_bytes(), identity.what.to_le_bytes())
        });
        parts.flat_map(|(time, what)| time.into_iter().chain(what)).collect()
    }

    /// Decodes the output of [`SeenEvents::encode`], in any order; `None` if it is not well-formed.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let (chunks, rest) = encoded.as_chunks::<{ Self::ENCODED_SIZE }>();
        let identity = |[time @ .., a, b, c, d]: &[u8; Self::ENCODED_SIZE]| Identity {
            updated_at: Timestamp::from_nanos(i64::from_le_bytes(*time)).into(),
            what: u32::from_le_bytes([*a, *b, *c, *d]),
        };
        let mut seen = Self(chunks.iter().map(identity).collect());
        // Up to schema version 2, the order was by time alone, and a memory had a few more events.
        seen.0.sort_unstable();
        seen.trim(MAX_SEEN_EVENTS);
        rest.is_empty().then_some(seen)
    }
}

/// Both in ascending order.
fn merged<'a>(these: &'a [Identity], others: &'a [Identity]) -> impl Iterator<Item = &'a Identity> {
    let (mut these, mut others) = (these.iter().peekable(), others.iter().peekable());
    std::iter::from_fn(move || match (these.peek(), others.peek()) {
        (Some(this), Some(other)) if other < this => others.next(),
        (Some(_), _) => these.next(),
        (None, _) => others.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(nanos: usize) -> Identity {
        Identity { updated_at: Timestamp::from_nanos(nanos as i64).into(), what: 2 }
    }

    fn change(nanos: usize) -> Identity {
        Identity { what: 1, ..error(nanos) }
    }

    fn remembered(identities: impl IntoIterator<Item = Identity>, limit: usize) -> SeenEvents {
        let mut seen = SeenEvents::default();
        identities.into_iter().for_each(|identity| seen.remember(identity, limit));
        seen
    }

    #[test]
    fn full_memory_keeps_its_newest_errors_and_its_newest_changes() {
        let mut seen = remembered((0..9).flat_map(|nanos| [change(nanos), error(nanos)]), 4);
        assert_eq!(seen.0, [5, 6, 7, 8].map(change).into_iter().chain([5, 6, 7, 8].map(error)).collect::<Vec<_>>());
        seen.remember(error(4), 4);
        assert_eq!(seen.0[4..], [5, 6, 7, 8].map(error), "an event older than a full memory is not added");
        seen.remember(Identity { what: 7, ..error(6) }, 4);
        assert_eq!(seen.0[4..], [error(6), Identity { what: 7, ..error(6) }, error(7), error(8)]);
        assert_eq!((seen.count(SeenEvents::EMPTY, 4), seen.count(&seen, 3)), (8, 6));
        seen.trim(1);
        assert_eq!(seen.0, [change(8), error(8)]);
    }

    #[test]
    fn lookup_with_additions_equals_lookup_after_adding_them() {
        for old in [0, 3, 7, 9] {
            for kind in [error, change] {
                let seen = remembered((0..old).map(|nanos| kind(2 * nanos)), 9);
                let mut added = SeenEvents::default();
                for nanos in [1, 5, 2 * old + 1, 2 * old + 4] {
                    added.remember(kind(nanos), 9);
                    let mut both = seen.clone();
                    both.extend(&added, 9);
                    assert_eq!(both.0.len(), seen.count(&added, 9));
                    for nanos in (0..12).chain(2 * old..2 * old + 9) {
                        let found = seen.lookup(&added, &kind(nanos), 9);
                        assert_eq!(found, both.lookup(SeenEvents::EMPTY, &kind(nanos), 9), "{old} {nanos}");
                    }
                }
            }
        }
    }

    #[test]
    fn limit_per_input_is_reduced_until_the_total_fits_and_raised_when_there_is_space() {
        let mut limits = SeenLimits { total: MAX_TOTAL + 1, ..SeenLimits::default() };
        limits.reduce(|limit| limit * (MAX_TOTAL / 500));
        assert_eq!((limits.per_input, limits.total <= MAX_TOTAL), (256, true));
        limits.release(limits.total / 2);
        assert_eq!(limits.per_input, 256);
        limits.release(limits.total);
        assert_eq!(limits.per_input, 512);
        limits = SeenLimits { total: MAX_TOTAL + 1, ..SeenLimits::default() };
        limits.reduce(|_| MAX_TOTAL + 1);
        assert_eq!(limits.per_input, MIN_SEEN_EVENTS);
    }
}
