//! Everything that a page is rendered from, at one moment.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::health_facts::HealthFacts;
use crate::clock;
use crate::event::Timestamp;
use crate::http::configuration::Configuration;
use crate::http::private::Private;
use crate::http::private::deliveries::{self, Recent};
use crate::http::unused_deliveries::Rejected;
use crate::live::View;
use crate::timeline::Days;

/// Number of the newest accepted deliveries to show, and of the rejected ones of each cause.
const ACCEPTED: usize = 15;
const REJECTED_PER_CAUSE: usize = 3;

/// Everything that a page is rendered from.
#[derive(Default)]
pub(super) struct Snapshot {
    /// The state; `None` until it is restored.
    pub(super) view: Option<View>,
    /// The wall clock.
    pub(super) now: Timestamp,
    /// The newest deliveries, newest first.
    pub(super) deliveries: Vec<Recent>,
    /// The check of the readiness that fails.
    pub(super) failing: Option<Cow<'static, str>>,
    /// Since when it fails, if that is known.
    pub(super) failing_since: Option<Timestamp>,
    /// The newest rejected deliveries, newest first.
    pub(super) rejected: Vec<Rejected>,
    /// The tasks that use Cloudflare's API, as the private API shows them.
    pub(super) api_accounts: Vec<Value>,
    /// How the parts of the daemon are.
    pub(super) health: HealthFacts,
    /// The configuration in force.
    pub(super) configuration: Arc<Configuration>,
    /// The last day of all inputs, at least up to the view; `None` if it is still being read or cannot be read.
    pub(super) days: Option<Days>,
    /// Why the last day cannot be read.
    pub(super) days_problem: Option<Arc<str>>,
}

impl Snapshot {
    /// Takes all parts.
    pub(super) fn take(private: &Private) -> Self {
        let readiness = private.state_reader.readiness();
        Self {
            // The days are read after it, and are not older.
            view: private.state_reader.view(),
            now: clock::wall(),
            deliveries: deliveries::newest(private, ACCEPTED, REJECTED_PER_CAUSE).unwrap_or_default(),
            failing: readiness.failing(),
            failing_since: readiness.failing_since(),
            rejected: private.unused_deliveries.newest_rejected(usize::MAX),
            api_accounts: private.api_tasks.accounts(),
            health: HealthFacts::take(private),
            configuration: private.configuration.borrow().clone(),
            days: private.timelines.days(clock::now()),
            days_problem: private.timelines.problem(),
        }
    }
}
