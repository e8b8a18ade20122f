//! What an engine is to do.

use std::time::Duration;

use super::TaskName;
use crate::event::AccountId;

/// What an engine is to do for an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The account.
    pub account_id: AccountId,
    /// Whether no other account is configured. Inputs whose account is not known belong to it then.
    pub is_only_account: bool,
    /// The URL at which Cloudflare calls the webhook, to find our destination; `None` if it is not configured.
    pub webhook_url: Option<String>,
    /// The share of the API's request limit that may be used: more than 0, at most 1.
    pub request_share: f64,
    /// How often the live inputs are listed; `None`: never.
    pub inventory: Option<Duration>,
    /// Whether the status of inputs is compared with their state.
    pub reconcile: bool,
    /// Whether the notification history is read after a downtime.
    pub backfill: bool,
    /// How often the webhook destination is checked; `None`: never.
    pub destination: Option<Duration>,
    /// How often ingest quality is queried; `None`: never.
    pub quality: Option<Duration>,
}

impl Settings {
    /// Whether a task is switched on.
    pub fn has(&self, name: TaskName) -> bool {
        match name {
            TaskName::Inventory => self.inventory.is_some(),
            TaskName::Status => self.reconcile,
            // Without the URL, our destination cannot be distinguished from others.
            TaskName::Destination => self.destination.is_some() && self.webhook_url.is_some(),
            TaskName::History => self.backfill,
            TaskName::Quality => self.quality.is_some(),
        }
    }
}
