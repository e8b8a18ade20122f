//! Deliveries that were rejected or ignored: a warning for each reason and peer, and the newest rejected ones for the
//! API.
//!
//! Anyone on the internet can cause rejections. Therefore memory and log lines are bounded, each reason has a share of
//! its own, and within a reason a peer that sends much displaces its own entries first. Nothing of a request is kept
//! besides its size and the address of its sender.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tracing::field::display;

use super::advice;
use super::peer::network;
use super::rejection::Rejection;
use crate::clock::Stopwatch;
use crate::event::{IgnoredReason, Timestamp};

/// Number of rejected deliveries to remember for each reason and detail.
const KEPT_PER_CAUSE: usize = 20;
/// Interval between warnings with the same cause and peer.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// Number of warnings with the same cause in an interval.
const WARNINGS_PER_CAUSE: u32 = 20;
/// Number of peers of each cause for which suppressed warnings are counted.
const PEERS_PER_CAUSE: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// Reason and detail.
type Cause = (&'static str, Option<&'static str>);

/// Rejected and ignored deliveries.
#[derive(Debug)]
pub struct UnusedDeliveries {
    started: Stopwatch,
    warnings: Mutex<Warnings>,
    newest: Mutex<Newest>,
}

/// What is known of a request without its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    /// The client's address, behind trusted proxies.
    pub(super) peer: Option<IpAddr>,
    /// The size of the body: as received, else as declared.
    pub(super) size: Option<u64>,
}

/// A rejected delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) received_at: Timestamp,
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) detail: Option<&'static str>,
    pub(super) peer: Option<IpAddr>,
    pub(super) size: Option<u64>,
    /// What to do about it.
    pub(super) advice: &'static str,
}

impl Default for UnusedDeliveries {
    fn default() -> Self {
        Self { started: Stopwatch::start(), warnings: Mutex::default(), newest: Mutex::default() }
    }
}

impl UnusedDeliveries {
    /// Remembers a rejected delivery, and logs a warning if one is due.
    pub(super) fn note_rejected(&self, rejection: &Rejection, sender: &Sender, received_at: Timestamp) {
        let (reason, detail, status) = (rejection.reason(), rejection.detail(), rejection.status().as_u16());
        let &Sender { peer, size } = sender;
        let advice = advice::after_rejection(rejection);
        let rejected = Rejected { received_at, status, reason, detail, peer, size, advice };
        self.note(rejected, &rejection.to_string());
    }

    /// The same for a request to another path that has a secret, as after a change of `webhook.path`. It is not counted
    /// in the metric of rejected requests to the webhook.
    pub(super) fn note_other_path(&self, sender: &Sender, received_at: Timestamp) {
        let &Sender { peer, size } = sender;
        let advice = advice::OTHER_PATH;
        let rejected = Rejected { received_at, status: 404, reason: "path", detail: None, peer, size, advice };
        self.note(rejected, "not found");
    }

    fn note(&self, rejected: Rejected, problem: &str) {
        lock(&self.newest).push(rejected);
        let Rejected { status, reason, detail, peer, size, advice, .. } = rejected;
        if let Some(suppressed) = self.due_warning((reason, detail), peer) {
            let peer = peer.map(display);
            tracing::warn!(reason, detail, peer, size, status, suppressed, problem, advice, "delivery rejected");
        }
    }

    /// Logs a warning about an ignored delivery if one is due.
    pub(super) fn note_ignored(&self, reason: IgnoredReason, sender: &Sender) {
        let &Sender { peer, size } = sender;
        if let Some(suppressed) = self.due_warning((reason.label(), None), peer) {
            let (reason, peer, advice) = (reason.label(), peer.map(display), advice::after_ignoring(reason));
            tracing::warn!(reason, peer, size, suppressed, advice, "delivery ignored");
        }
    }

    /// The newest rejected deliveries, newest first, up to `limit` for each reason and detail.
    pub(super) fn newest_rejected(&self, limit: usize) -> Vec<Rejected> {
        lock(&self.newest).list(limit)
    }

    /// Number of suppressed warnings if a warning is due, else `None`.
    fn due_warning(&self, cause: Cause, peer: Option<IpAddr>) -> Option<u64> {
        // The lock is released before the line is written.
        lock(&self.warnings).due(self.started.elapsed(), cause, peer.map(network))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The newest rejected deliveries by cause, with their sequence numbers.
#[derive(Debug, Default)]
struct Newest {
    by_cause: BTreeMap<Cause, VecDeque<(u64, Rejected)>>,
    count: u64,
}

impl Newest {
    fn push(&mut self, rejected: Rejected) {
        self.count += 1;
        let kept = self.by_cause.entry((rejected.reason, rejected.detail)).or_default();
        kept.push_back((self.count, rejected));
        if kept.len() > KEPT_PER_CAUSE {
            let peer = |index: usize| kept[index].1.peer.map(network);
            let of_same_peer = |index: &usize| (0..kept.len()).filter(|other| peer(*other) == peer(*index)).count();
            // The oldest entry of the peer that has the most: of equal elements, the last one is the maximum.
            if let Some(surplus) = (0..kept.len()).rev().max_by_key(of_same_peer) {
                kept.remove(surplus);
            }
        }
    }

    fn list(&self, limit: usize) -> Vec<Rejected> {
        let mut newest: Vec<_> = self.by_cause.values().flat_map(|kept| kept.iter().rev().take(limit)).collect();
        newest.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        newest.into_iter().map(|(_, rejected)| *rejected).collect()
    }
}

/// When warnings were logged, by cause.
#[derive(Debug, Default)]
struct Warnings(BTreeMap<Cause, OfCause>);

#[derive(Debug)]
struct OfCause {
    by_peer: LruCache<Option<IpAddr>, OfPeer>,
    /// Start of the current interval, and the number of warnings in it.
    interval: (Duration, u32),
}

#[derive(Debug, Default)]
struct OfPeer {
    warned_at: Option<Duration>,
    suppressed: u64,
}

impl Warnings {
    /// If a warning is due, the number of warnings of this cause and peer that were suppressed since the one before.
    fn due(&mut self, now: Duration, cause: Cause, peer: Option<IpAddr>) -> Option<u64> {
        let of_cause = self
            .0
            .entry(cause)
            .or_insert_with(|| OfCause { by_peer: LruCache::new(PEERS_PER_CAUSE), interval: (now, 0) });
        let is_over = |since: Duration| now.saturating_sub(since) >= WARNING_INTERVAL;
        if is_over(of_cause.interval.0) {
            of_cause.interval = (now, 0);
        }
        let of_peer = of_cause.by_peer.get_or_insert_mut(peer, OfPeer::default);
        if of_cause.interval.1 >= WARNINGS_PER_CAUSE || !of_peer.warned_at.is_none_or(is_over) {
            of_peer.suppressed += 1;
            return None;
        }
        of_cause.interval.1 += 1;
        of_peer.warned_at = Some(now);
        Some(std::mem::take(&mut of_peer.suppressed))
    }
}

#[cfg(test)]
mod tests;
