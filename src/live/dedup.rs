//! Deduplication of events.
//!
//! Each input remembers the identities of its newest events, by event time. If the memory is full, an event
//! older than all of them may be a repeat, and is ignored as too old.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::event::{ErrorClass, ErrorCode, Event, EventKind};

/// Number of events that an input remembers.
///
/// Cloudflare repeats a notification within minutes, if at all. An input that flaps every ten seconds
/// fills this memory in more than five hours.
pub(super) const MAX_SEEN_EVENTS: usize = 4096;

/// The identity of an event: event time, kind and error code, ordered by time first. The envelope is not part of
/// it, because two notification policies send one event in two envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    updated_at: Nanos,
    what: u32,
}

/// Nanoseconds as two halves, the upper first, so that an identity takes 12 bytes instead of 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Nanos(i32, u32);

impl From<i64> for Nanos {
    fn from(nanos: i64) -> Self {
        let [a, b, c, d, rest @ ..] = nanos.to_be_bytes();
        Self(i32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(rest))
    }
}

impl From<Nanos> for i64 {
    fn from(Nanos(upper, lower): Nanos) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (upper.to_be_bytes(), lower.to_be_bytes());
        Self::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Identity {
    pub(super) fn of(event: &Event) -> Self {
        let what = match &event.kind {
            EventKind::Connected => 0,
            EventKind::Disconnected => 1,
            EventKind::Errored(detail) => error_hash(&detail.code),
        };
        Self { updated_at: event.updated_at.as_nanos().into(), what }
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

/// The identities of one input's newest events, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenEvents(Vec<Identity>);

impl SeenEvents {
    /// No events.
    pub(super) const EMPTY: &'static Self = &Self(Vec::new());

    const ENCODED_SIZE: usize = 12;

    /// Looks an event up in this memory and `added` together, as if they were one memory.
    pub(super) fn lookup(&self, added: &Self, identity: &Identity) -> Lookup {
        let surplus = (self.0.len() + added.0.len()).checked_sub(MAX_SEEN_EVENTS);
        if surplus.is_some_and(|surplus| self.merged(added).nth(surplus).is_some_and(|oldest| identity < oldest)) {
            Lookup::TooOld
        } else if self.search(identity).is_ok() || added.search(identity).is_ok() {
            Lookup::Seen
        } else {
            Lookup::New
        }
    }

    /// Both memories in ascending order.
    fn merged<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Identity> {
        let (mut these, mut others) = (self.0.iter().peekable(), other.0.iter().peekable());
        std::iter::from_fn(move || match (these.peek(), others.peek()) {
            (Some(this), Some(other)) if other < this => others.next(),
            (Some(_), _) => these.next(),
            (None, _) => others.next(),
        })
    }

    /// Adds an event; a full memory drops the oldest one.
    pub(super) fn remember(&mut self, identity: Identity) {
        let Err(position) = self.search(&identity) else { return };
        if self.0.len() < MAX_SEEN_EVENTS {
            if self.0.len() == self.0.capacity() {
                // Grow by half: doubling would leave a third of this memory unused.
                self.0.reserve_exact((self.0.len() / 2 + 4).min(MAX_SEEN_EVENTS - self.0.len()));
            }
            self.0.insert(position, identity);
        } else if position > 0 {
            self.0[..position].rotate_left(1);
            self.0[position - 1] = identity;
        }
    }

    /// Adds all of `added`.
    pub(super) fn extend(&mut self, added: &Self) {
        added.0.iter().for_each(|identity| self.remember(*identity));
    }

    /// Whether this event is remembered.
    pub fn contains(&self, event: &Event) -> bool {
        self.search(&Identity::of(event)).is_ok()
    }

    /// The position of an identity, or where to insert it. Most identities are the newest, so looking there first
    /// saves a sixth of the time of a replay.
    fn search(&self, identity: &Identity) -> Result<usize, usize> {
        match self.0.last() {
            Some(newest) if newest >= identity => self.0.binary_search(identity),
            _ => Err(self.0.len()),
        }
    }

    /// Size of the encoded form, in bytes.
    pub fn encoded_size(&self) -> usize {
        self.0.len() * Self::ENCODED_SIZE
    }

    /// Encodes for the checkpoint: for each event eight bytes of time and four of the rest, little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let parts =
            self.0.iter().map(|identity| (i64::from(identity.updated_at).to_le_bytes(), identity.what.to_le_bytes()));
        parts.flat_map(|(time, what)| time.into_iter().chain(what)).collect()
    }

    /// Decodes the output of [`SeenEvents::encode`]; `None` if it is not well-formed.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let (chunks, rest) = encoded.as_chunks::<{ Self::ENCODED_SIZE }>();
        let identity = |[time @ .., a, b, c, d]: &[u8; Self::ENCODED_SIZE]| Identity {
            updated_at: i64::from_le_bytes(*time).into(),
            what: u32::from_le_bytes([*a, *b, *c, *d]),
        };
        // Up to schema version 2, a memory had a few more events.
        let newest = &chunks[chunks.len().saturating_sub(MAX_SEEN_EVENTS)..];
        let is_well_formed = rest.is_empty() && chunks.iter().map(identity).is_sorted();
        is_well_formed.then(|| Self(newest.iter().map(identity).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(nanos: usize) -> Identity {
        Identity { updated_at: (nanos as i64).into(), what: 0 }
    }

    #[test]
    fn memory_grows_by_half_up_to_its_bound() {
        let mut seen = SeenEvents::default();
        let mut capacities = Vec::new();
        for nanos in 0..MAX_SEEN_EVENTS + 9 {
            seen.remember(identity(nanos));
            if capacities.last() != Some(&seen.0.capacity()) {
                capacities.push(seen.0.capacity());
            }
        }
        assert_eq!(capacities[..5], [4, 10, 19, 32, 52]);
        assert_eq!(capacities.last(), Some(&MAX_SEEN_EVENTS));
        let full = seen.clone();
        seen.remember(identity(0));
        assert_eq!(seen, full, "an event older than a full memory is not added");
        seen.remember(Identity { what: 7, ..identity(12) });
        assert_eq!((seen.0[0], seen.0.len()), (identity(10), MAX_SEEN_EVENTS));
        assert!(seen.0.is_sorted());
    }

    #[test]
    fn lookup_with_additions_equals_lookup_after_adding_them() {
        for old in [0, 3, MAX_SEEN_EVENTS - 2, MAX_SEEN_EVENTS] {
            let (mut seen, mut added) = (SeenEvents::default(), SeenEvents::default());
            (0..old).for_each(|nanos| seen.remember(identity(2 * nanos)));
            for nanos in [1, 5, 2 * old + 1, 2 * old + 4] {
                added.remember(identity(nanos));
                let mut both = seen.clone();
                both.extend(&added);
                for nanos in (0..12).chain(2 * old..2 * old + 9) {
                    let found = seen.lookup(&added, &identity(nanos));
                    assert_eq!(found, both.lookup(SeenEvents::EMPTY, &identity(nanos)), "{old} {nanos}");
                }
            }
        }
    }
}
