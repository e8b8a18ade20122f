//! What a replica knows of the journal that it shares with others.

use std::time::Duration;

use super::following::Following;
use crate::clock::{self, Stopwatch};
use crate::event::Timestamp;
use crate::journal::{JournalErrorKind, Spool, Tail};
use crate::live::{Fold, LastSeen};

/// A replica that is behind for longer is not ready.
const MAX_LAG: Duration = Duration::from_secs(10);

/// How often the lease is renewed, or another replica's is waited for.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);

/// How often records of other replicas are looked for. Batches and scrapes read them too.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// What only a shared journal needs.
pub(super) struct Shared {
    /// Batches that wait for the journal; `None` if they are refused instead.
    pub(super) spool: Option<Spool>,
    /// The state with the records of the spool; `None` while it is empty.
    pub(super) overlay: Option<Fold>,
    /// There is a state, which the journal may have lost a part of meanwhile.
    pub(super) has_state: bool,
    /// The state was restored, and nothing says that the journal lost a part of it.
    pub(super) restored: bool,
    /// Why the journal cannot be used; `None` while it can.
    pub(super) failing: Option<JournalErrorKind>,
    /// Since when it cannot be used.
    pub(super) failing_since: Option<Timestamp>,
    /// Other replicas changed documents.
    pub(super) documents_changed: bool,
    /// The clock of the database when the tail was last read, and since when.
    pub(super) clock: Option<(Timestamp, Stopwatch)>,
    /// This replica holds the lease.
    pub(super) leads: bool,
    /// Since the lease was last renewed, or that was tried; `None` if it has to be tried at once.
    pub(super) since_renewal: Option<Stopwatch>,
    /// Since the journal was measured.
    pub(super) since_measurement: Option<Stopwatch>,
    /// Since when the journal is ahead of this replica.
    pub(super) behind: Option<Stopwatch>,
    /// How often records that had been applied were lost.
    pub(super) reloads: u64,
}

impl Shared {
    /// Whether deliveries go to the spool: the journal cannot be used, or earlier ones wait in the spool.
    pub(super) fn spools(&self) -> bool {
        !self.is_usable() || self.has_spooled()
    }

    /// Whether deliveries wait in the spool.
    pub(super) fn has_spooled(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| !spool.is_empty())
    }

    /// Number of records in the spool.
    pub(super) fn spooled(&self) -> u64 {
        self.spool.as_ref().map_or(0, Spool::len)
    }

    /// Whether the journal can be used, as far as is known.
    pub(super) fn is_usable(&self) -> bool {
        self.restored && self.failing.is_none()
    }

    /// Whether this replica runs the tasks that only one may run.
    pub(super) fn leads(&self) -> bool {
        self.leads && self.is_usable()
    }

    /// The time until the lease must be renewed.
    pub(super) fn until_renewal(&self) -> Duration {
        let left = |since: &Stopwatch| RENEWAL_INTERVAL.saturating_sub(since.elapsed());
        self.since_renewal.as_ref().map_or(Duration::ZERO, left)
    }

    /// The time until the tail must be read.
    pub(super) fn until_follow(&self) -> Duration {
        self.clock.map_or(Duration::ZERO, |(_, since)| FOLLOW_INTERVAL.saturating_sub(since.elapsed()))
    }

    /// Why this replica is not ready for notifications, although it may accept them; `None` if it is.
    pub(super) fn not_ready(&self) -> Option<&'static str> {
        let is_full = self.spool.as_ref().is_none_or(|spool| spool.len() >= spool.limit());
        match self.failing {
            Some(JournalErrorKind::Away) if is_full => Some("the journal is away, and the spool is full"),
            Some(JournalErrorKind::Away) => None,
            Some(JournalErrorKind::UnknownRecord) => {
                Some("the journal has records of a kind that this version does not know; use the newer version")
            }
            Some(_) => Some("the journal cannot be used; the log has the error"),
            None if !self.restored => Some("the journal is being read"),
            None if self.behind.is_some_and(|since| since.elapsed() >= MAX_LAG) => {
                Some("this replica is behind the journal")
            }
            None => None,
        }
    }

    /// Applies what others appended. Returns when they last saw deliveries.
    pub(super) fn adopt(&mut self, tail: &Tail, following: &mut Following<'_>) -> Option<LastSeen> {
        if let Some(now) = tail.now {
            self.clock = Some((now, Stopwatch::start()));
        }
        self.documents_changed |= tail.documents_changed;
        following.apply(&tail.records);
        if let Some(overlay) = &mut self.overlay {
            drop(overlay.extend(&tail.records));
        }
        let last_seen = tail.last_seen.as_deref().map(serde_json::from_str::<LastSeen>);
        last_seen?.inspect_err(|error| tracing::warn!(%error, "times of the last deliveries cannot be read")).ok()
    }

    /// The time by the clock of the database, which all replicas share.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.map_or_else(clock::now, |(time, since)| time.plus(since.elapsed()))
    }
}
