//! Has this fact been told before?
//!
//! Every input remembers the identities of its newest events. The newest connect, the newest disconnect and
//! the newest error of each class its state tells itself ([`Input::tells`]); the others, which those have displaced, are
//! remembered here, by event time. What is older than all of a full memory cannot be told from a repeat.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::Input;
use crate::event::{ErrorClass, Event, EventKind, Timestamp};

/// How many identities an input remembers, beside those that its state tells.
///
/// Cloudflare repeats a notification within minutes, if at all; an input that flaps every ten
/// seconds makes so many events in more than five hours.
pub(super) const MAX_SEEN_EVENTS: usize = 4096;

/// What makes an event the same event: its time, its kind and its error code. Never the envelope,
/// because two policies send one fact in two envelopes. Ordered by time first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    updated_at: Nanos,
    what: u32,
}

/// Nanoseconds in two halves, the upper first: an identity then takes 12 bytes instead of 16, and there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        match &event.kind {
            EventKind::Connected => Self::of_change(true, event.updated_at),
            EventKind::Disconnected => Self::of_change(false, event.updated_at),
            EventKind::Errored(detail) => Self::of_error(detail.code.class(), detail.code.as_str(), event.updated_at),
        }
    }

    pub(super) fn of_change(connected: bool, updated_at: Timestamp) -> Self {
        Self { updated_at: updated_at.as_nanos().into(), what: u32::from(!connected) }
    }

    pub(super) fn of_error(class: ErrorClass, code: &str, updated_at: Timestamp) -> Self {
        let what = if class == ErrorClass::Other { hash(code) } else { DOCUMENTED[class.index()] };
        Self { updated_at: updated_at.as_nanos().into(), what }
    }
}

/// The hashes of the documented codes, by [`ErrorClass::index`]: kept, they save a fold a sixth of its instructions.
static DOCUMENTED: LazyLock<[u32; 7]> = LazyLock::new(|| ErrorClass::LABELS.map(hash));

fn hash(code: &str) -> u32 {
    let digest = Sha256::digest(code);
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]).max(2)
}

/// What the memory says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    New,
    Seen,
    TooOld,
}

/// The identities of one input's newest events, ascending, without those that its state tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenEvents(Vec<Identity>);

impl SeenEvents {
    const ENCODED_SIZE: usize = 12;

    pub(super) fn lookup(&self, identity: &Identity) -> Lookup {
        match self.search(identity) {
            Ok(_) => Lookup::Seen,
            Err(0) if self.0.len() >= MAX_SEEN_EVENTS => Lookup::TooOld,
            Err(_) => Lookup::New,
        }
    }

    pub(super) fn remember(&mut self, identity: Identity) {
        match self.search(&identity) {
            // It would be the first to go.
            Err(0) if self.0.len() >= MAX_SEEN_EVENTS => {}
            Err(position) if self.0.len() >= MAX_SEEN_EVENTS => {
                // Before it comes: or the room would be doubled for one.
                self.0.remove(0);
                self.0.insert(position - 1, identity);
            }
            Err(position) => {
                if self.0.len() == self.0.capacity() {
                    // Not doubled: that would leave a third of all this memory unused.
                    self.0.reserve_exact((self.0.len() / 2 + 4).min(MAX_SEEN_EVENTS - self.0.len()));
                }
                self.0.insert(position, identity);
            }
            Ok(_) => {}
        }
    }

    /// Where the identity is, or belongs. Most are the newest: looking there first saves a replay a
    /// sixth of its time.
    fn search(&self, identity: &Identity) -> Result<usize, usize> {
        match self.0.last() {
            Some(newest) if newest >= identity => self.0.binary_search(identity),
            _ => Err(self.0.len()),
        }
    }

    /// The size of what [`SeenEvents::encode`] writes of these, in bytes.
    pub fn encoded_size(&self) -> usize {
        self.0.len() * Self::ENCODED_SIZE
    }

    /// As the checkpoint keeps them, with those that the input's state tells: per identity eight bytes of time and four
    /// of the rest, little-endian.
    pub fn encode(&self, input: &Input) -> Vec<u8> {
        let mut identities: Vec<_> = self.0.iter().copied().chain(input.latest_events()).collect();
        identities.sort_unstable();
        let parts = identities
            .iter()
            .map(|identity| (i64::from(identity.updated_at).to_le_bytes(), identity.what.to_le_bytes()));
        parts.flat_map(|(time, what)| time.into_iter().chain(what)).collect()
    }

    /// Reads what [`SeenEvents::encode`] wrote; `None` when it is anything else.
    pub fn decode(encoded: &[u8], input: &Input) -> Option<Self> {
        let (chunks, rest) = encoded.as_chunks::<{ Self::ENCODED_SIZE }>();
        let identity = |[time @ .., a, b, c, d]: &[u8; Self::ENCODED_SIZE]| Identity {
            updated_at: i64::from_le_bytes(*time).into(),
            what: u32::from_le_bytes([*a, *b, *c, *d]),
        };
        let is_whole = rest.is_empty() && chunks.iter().map(identity).is_sorted();
        let told: Vec<_> = input.latest_events().collect();
        let mut others: Vec<_> = chunks.iter().map(identity).filter(|identity| !told.contains(identity)).collect();
        others.shrink_to_fit();
        is_whole.then_some(Self(others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_by_half_and_never_beyond_its_bound() {
        let mut identities = SeenEvents::default();
        let mut capacities = Vec::new();
        for nanos in 0..MAX_SEEN_EVENTS as i64 + 9 {
            identities.remember(Identity { updated_at: nanos.into(), what: 0 });
            if capacities.last() != Some(&identities.0.capacity()) {
                capacities.push(identities.0.capacity());
            }
        }
        assert_eq!(capacities[..5], [4, 10, 19, 32, 52]);
        assert_eq!(capacities.last(), Some(&MAX_SEEN_EVENTS));
        let full = identities.clone();
        identities.remember(Identity { updated_at: 0.into(), what: 0 });
        assert_eq!(identities, full, "what is older than all would be the first to go");
    }
}
