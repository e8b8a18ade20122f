//! The recorder: one thread owns the journal and the fold.
//!
//! ```text
//! Handle::record ─▶ bounded queue ─▶ batch ─▶ begin, apply, append, commit ─▶ publish ─▶ answer ─▶ log
//! ```
//!
//! `run_loop.rs` shows the order of every batch. A delivery that is answered [`Outcome::Recorded`] is durable, and no
//! [`View`](crate::live::View) shows an event before that. If a batch cannot be made durable, its changes are dropped,
//! all of its senders get an error, and [`Readiness`] fails until the journal is writable again. If a sync fails, the
//! thread ends with that error, because only a new start can determine what is on disk.
//!
//! Between batches the thread runs housekeeping: it advances the checkpoint, deletes records after their retention and
//! forgets silent inputs. [`Handle::finish`] makes it record the queue, write a last checkpoint and end.

mod handle;
mod memory;
mod thread;
mod start;
mod run_loop;
mod batch;
mod written;
mod limits;
mod correction;
mod history;
mod api_facts;
mod documents;
mod downtime;
mod housekeeping;
mod full_disk;
mod timers;
mod checkpoint;
mod checkpoint_codec;
mod dirty_inputs;
mod rules_history;
mod restore;
mod following;
mod share;
mod shared;
mod retention_clock;
mod recent;
mod held_views;
mod state_reader;
mod disk_activity;
mod readiness;
mod kept_bodies;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use correction::{CorrectionOutcome, correct_stopped, except_stopped};
pub use disk_activity::{DiskActivity, DiskOperation};
pub use documents::restore as restore_documents;
pub use handle::{Handle, Queue, QueueUsage};
pub use held_views::Hold;
pub use history::HistoryOutcome;
pub use kept_bodies::KeptBodies;
pub use memory::{Overloaded, Reservation};
pub use readiness::Readiness;
pub use recent::RecentDelivery;
pub use restore::{Restored, restore};
pub use state_reader::StateReader;
pub use thread::{Running, prepare, start, start_spooling, start_with};

pub use crate::journal::{JournalError, KeptBody, KeptBodySummary};

use crate::event::{AccountId, IgnoredReason, InputId, Notification, Rules, Timestamp};
use crate::live::LastSeen;
use crate::schedule::Configured;

/// An authenticated delivery.
#[derive(Debug)]
pub struct Delivery {
    /// When its body had been read.
    pub received_at: Timestamp,
    /// Its sender, behind trusted proxies, for people.
    pub peer: Option<IpAddr>,
    /// The configured name of the secret that it came with.
    pub secret: Arc<str>,
    /// Its content.
    pub notification: Notification,
    /// Its body, which is kept if the notification is ignored or is not JSON.
    pub body: Bytes,
    /// The number of the kept body that was read again as this delivery. It is deleted once it is of use.
    pub kept: Option<u64>,
    /// Its part of the memory for notifications.
    pub reservation: Reservation,
}

/// The outcome of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is a new event, and durable.
    Recorded,
    /// The event is known already.
    Duplicate,
    /// "Save and Test".
    Test,
    /// Understood and not used.
    Ignored(IgnoredReason),
    /// Not JSON: the body is kept, and the listener rejects the request.
    NotJson,
}

impl Outcome {
    /// The names of the outcomes that are answered 2xx.
    pub const NAMES: [&'static str; 4] = ["recorded", "duplicate", "test", "ignored"];

    /// The value of the label `outcome`, and of the member of that name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Duplicate => "duplicate",
            Self::Test => "test",
            Self::Ignored(_) => "ignored",
            Self::NotJson => "rejected",
        }
    }

    /// Whether the notification was used, so that its body need not be kept.
    pub fn is_of_use(self) -> bool {
        match self {
            Self::Recorded | Self::Duplicate | Self::Test => true,
            Self::Ignored(_) | Self::NotJson => false,
        }
    }

    /// Why the delivery was ignored, if it was.
    pub fn ignored(self) -> Option<IgnoredReason> {
        match self {
            Self::Ignored(reason) => Some(reason),
            Self::Recorded | Self::Duplicate | Self::Test | Self::NotJson => None,
        }
    }
}

/// The recorder's settings that a reload can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The rules of the fold. They are in force once their record is durable.
    pub rules: Rules,
    /// How long records are kept.
    pub retention: Duration,
    /// A disconnected input that is silent for this long is forgotten; zero means never.
    pub forget_after: Duration,
    /// Names and expectations of the configured inputs.
    pub configured: BTreeMap<InputId, Configured>,
    /// Names of the configured Cloudflare accounts; empty for one without a name.
    pub accounts: BTreeMap<AccountId, Arc<str>>,
    /// Names of the valid secrets. The last use of other secrets is dropped.
    pub secrets: BTreeSet<String>,
}

impl Limits {
    fn drop_other_secrets(&self, last_seen: &mut LastSeen) {
        last_seen.by_secret.retain(|name, _| self.secrets.contains(name));
    }
}

#[cfg(test)]
mod tests;
