//! The journal's documents: what survives a restart and is no record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{AccountId, Timestamp};
use crate::journal::{JournalError, Reader};
use crate::live::{Downtime, Fold, Inventory};

/// The name of the document that says when the daemon last ran.
pub(super) const RUNNING: &str = "running";

/// That document.
#[derive(Serialize, Deserialize)]
pub(super) struct RunningNote {
    /// The daemon ran at this time.
    pub(super) until: Timestamp,
    /// From when on the notification history has not been read.
    pub(super) backfill_from: Option<Timestamp>,
}

/// The beginning of the names of inventories.
const INVENTORY: &str = "inventory/";

/// The name of the document with the inventory of an account.
pub(super) fn inventory_name(account_id: &AccountId) -> String {
    format!("{INVENTORY}{account_id}")
}

/// Encodes a document.
pub(super) fn text(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("plain data serializes")
}

/// Restores the inventories. One that cannot be read is left out, because the API has it.
pub(super) fn restore_inventories(documents: &BTreeMap<String, String>, fold: &mut Fold) {
    let inventories = documents.iter().filter(|(name, _)| name.starts_with(INVENTORY));
    for inventory in inventories.filter_map(|(_, text)| serde_json::from_str::<Inventory>(text).ok()) {
        fold.set_inventory(inventory);
    }
}

/// Whether the notification history was read by a replica that ran after this time.
pub(super) fn is_backfilled(documents: &BTreeMap<String, String>, after: Timestamp) -> bool {
    let running: Option<RunningNote> = documents.get(RUNNING).and_then(|text| serde_json::from_str(text).ok());
    running.is_some_and(|running| running.until > after && running.backfill_from.is_none())
}

/// Restores the inventories, and returns the downtime that ends at `now`; `None` if the daemon has not run before.
///
/// Documents that cannot be read are left out. The API has the inventories, and without a note nothing is known about the
/// downtime.
///
/// # Errors
///
/// The journal cannot be read.
pub fn restore(journal: &dyn Reader, fold: &mut Fold, now: Timestamp) -> Result<Option<Downtime>, JournalError> {
    let documents = journal.documents()?;
    restore_inventories(&documents, fold);
    let running: Option<RunningNote> = documents.get(RUNNING).and_then(|text| serde_json::from_str(text).ok());
    Ok(running.map(|RunningNote { until: from, backfill_from }| Downtime {
        from,
        until: now.max(from),
        backfill_from: Some(backfill_from.unwrap_or(from)),
    }))
}
