//! Links to the runbooks.

/// Where the sections about the alerts are.
const RUNBOOKS: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/runbooks.md");

/// The alert of a shared journal that is away.
pub(super) const JOURNAL_AWAY: &str = "StreamLiveExporterJournalAway";

/// The section about an alert.
pub(super) fn section(alert: &str) -> String {
    format!("{RUNBOOKS}#{}", alert.to_lowercase())
}
