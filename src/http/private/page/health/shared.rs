//! The lines of the health section about a shared journal.

use super::item::{Item, Level};
use crate::http::private::page::runbook::JOURNAL_AWAY;
use crate::live::SharedStatus;

/// The journal, and the spool of this replica.
pub(super) fn items(shared: &SharedStatus) -> [Item; 2] {
    [journal(shared), spool(shared)]
}

fn journal(shared: &SharedStatus) -> Item {
    let SharedStatus { position, applied_position, connected, away_since, lease_holder, .. } = *shared;
    let item = Item::new("shared", "Shared journal");
    let item = match away_since.filter(|_| !connected) {
        Some(since) => item.text("away since ").time(since).text("; "),
        None => item,
    };
    let item = item.text("record ").number(&applied_position).text(" of ").number(&position).text(" applied; ");
    let item =
        item.text(if lease_holder { "this replica holds the lease" } else { "another replica may hold the lease" });
    let advice = "Restore PostgreSQL or the network to it; the log has the error. Notifications wait in the spool.";
    item.when(!connected, Level::Bad, advice, Some(JOURNAL_AWAY))
}

fn spool(shared: &SharedStatus) -> Item {
    let SharedStatus { spooled_records: waiting, spool_limit_records: limit, .. } = *shared;
    let advice = "Restore PostgreSQL or the network to it. If that takes longer, raise storage.spool_max and restart.";
    let (filling, full) = (Some("StreamLiveExporterSpoolFilling"), Some("StreamLiveExporterSpoolFull"));
    Item::new("spool", "Spool")
        .number(&waiting)
        .text(format!(" of {limit} records"))
        .when(limit > 0 && waiting >= limit.div_ceil(2), Level::Warn, advice, filling)
        .when(limit > 0 && waiting >= limit, Level::Bad, advice, full)
}
