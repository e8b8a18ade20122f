//! The metrics about a journal that several replicas share. Without one they are not exposed.

use super::encode::Value;
use super::family::{COUNTER, Entry, Family, GAUGE};
use crate::live::SharedStatus;

/// Reads the value of a family.
type Read = fn(&SharedStatus) -> Value;

const NOT_SHARED: &str = "the journal is not shared (storage.url)";

/// A gauge with one series, only with a shared journal.
const SHARED: Family = Family { absent: NOT_SHARED, series: "at most 1", ..GAUGE };

pub(super) static FAMILIES: [Entry<Read>; 8] = [
    Family {
        name: "stream_live_exporter_journal_position",
        help: "Position of the newest record in the shared journal (the head), as this replica last saw it.",
        zero: "the journal is empty",
        query: "max by (job) (stream_live_exporter_journal_position)",
        ..SHARED
    }
    .with(|status| status.position.into()),
    Family {
        name: "stream_live_exporter_journal_applied_position",
        help: "Position in the shared journal up to which this replica shows the records. Replicas with equal positions \
               show equal live inputs.",
        zero: "no record is applied",
        query: "stream_live_exporter_journal_position - stream_live_exporter_journal_applied_position",
        ..SHARED
    }
    .with(|status| status.applied_position.into()),
    Family {
        name: "stream_live_exporter_journal_connected",
        help: "Whether the shared journal can be written (1) or is away (0).",
        zero: "the journal is away: notifications are written to the spool, and counters of live inputs do not change",
        query: "stream_live_exporter_journal_connected == 0",
        ..SHARED
    }
    .with(|status| status.connected.into()),
    Family {
        name: "stream_live_exporter_spooled_records",
        help: "Number of records in the spool, which wait for the shared journal.",
        zero: "the spool is empty",
        query: "stream_live_exporter_spooled_records / stream_live_exporter_spool_limit_records",
        ..SHARED
    }
    .with(|status| status.spooled_records.into()),
    Family {
        name: "stream_live_exporter_spool_limit_records",
        help: "Maximum number of records in the spool (storage.spool_max). While it is full, notifications are answered 503.",
        query: "stream_live_exporter_spooled_records >= stream_live_exporter_spool_limit_records",
        ..SHARED
    }
    .with(|status| status.spool_limit_records.into()),
    Family {
        name: "stream_live_exporter_journal_lease_holder",
        help: "Whether this replica holds the lease (1) or not (0). The lease holder does the housekeeping of the shared \
               journal and uses Cloudflare's API for all replicas.",
        zero: "another replica holds the lease, or none",
        query: "sum by (job) (stream_live_exporter_journal_lease_holder) != 1",
        ..SHARED
    }
    .with(|status| status.lease_holder.into()),
    Family {
        name: "stream_live_exporter_journal_synchronous_commit",
        help: "Whether PostgreSQL's settings synchronous_commit and fsync are both on (1) or not (0), as this replica last saw \
               them.",
        zero: "a crash of the server can lose what it confirmed: records if fsync is off, what other programs write if \
               synchronous_commit is off",
        query: "stream_live_exporter_journal_synchronous_commit == 0",
        ..SHARED
    }
    .with(|status| status.synchronous_commit.into()),
    Family {
        name: "stream_live_exporter_journal_reloads_total",
        help: "Number of times that this replica restored everything from the shared journal, because the journal lacked \
               records that the replica had applied: a failover has lost them.",
        absent: NOT_SHARED,
        series: "at most 1",
        query: "increase(stream_live_exporter_journal_reloads_total[1h]) > 0",
        ..COUNTER
    }
    .with(|status| status.reloads.into()),
];
