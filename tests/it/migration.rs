//! Journals of older schema versions are migrated without a change of any metric.
//!
//! `tests/fixtures/journals` has databases that releases with schema versions 1 and 2 left behind when they were killed,
//! as SQL, and the metrics of those releases after their next start. In version 2, the checkpoint was being written: rows
//! are ahead of its position, and it names inputs as forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::daemon::{Daemon, run};
use crate::journal::database;

/// A folder with the journal of this version.
fn journal(version: u8) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    database(folder.path()).execute_batch(&fixture(&format!("version-{version}.sql"))).unwrap();
    folder
}

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals").join(name)).unwrap()
}

/// The metrics that a restart must not change, without those that are 0.
fn expected(version: u8) -> BTreeMap<String, f64> {
    let metrics = fixture(&format!("version-{version}.metrics"));
    let samples = metrics.lines().map(|line| line.rsplit_once(' ').expect("a sample has a value"));
    samples.map(|(series, value)| (series.to_owned(), value.parse().expect("a value is a number"))).collect()
}

/// The same of a daemon on the data folder `storage`.
fn exposed(folder: &Path, storage: &str) -> BTreeMap<String, f64> {
    let daemon = Daemon::start_with(folder, [format!("--storage.path={storage}")]);
    let mut metrics = daemon.metrics();
    assert!(daemon.stop().success());
    let unrelated = ["connected_seconds", "_info", "_expected{", "_expected_change"];
    let of_exporter = [
        "stream_live_exporter_events_out_of_order_total",
        "stream_live_exporter_inputs",
        "stream_live_exporter_journal_events",
        "stream_live_exporter_last_notification_timestamp_seconds",
        "stream_live_exporter_secret_last_used_timestamp_seconds",
    ];
    metrics.retain(|series, value| {
        let name = series.split('{').next().unwrap_or_default();
        let is_kept = name.starts_with("cloudflare_stream_live_") || of_exporter.contains(&name);
        is_kept && *value != 0.0 && !unrelated.iter().any(|part| series.contains(part))
    });
    metrics
}

/// The exported events, which must be the same before and after the migration, and the number of other records.
fn exported(folder: &Path) -> (Vec<Value>, usize) {
    let verified = run(folder, &["journal", "verify"]);
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    let exported = run(folder, &["journal", "export"]);
    assert_eq!(exported.code, Some(0));
    let lines = exported.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON"));
    let (events, others): (Vec<Value>, Vec<Value>) = lines.partition(|line: &Value| line["record"] == "event");
    (events, others.len())
}

#[test]
fn migrated_journal_exposes_the_same_metrics_and_exports_the_same_events() {
    for version in [1, 2] {
        let folder = journal(version);
        let (events, others) = exported(folder.path());
        assert_eq!((events.is_empty(), others), (false, 0));
        for start in ["first start", "second start"] {
            let exposed = exposed(folder.path(), "data");
            for (series, value) in &expected(version) {
                assert_eq!(exposed.get(series), Some(value), "version {version}, {start}: {series}");
            }
            let unexpected: Vec<_> = exposed.keys().filter(|series| !expected(version).contains_key(*series)).collect();
            assert!(unexpected.is_empty(), "version {version}, {start}: {unexpected:?}");
        }
        assert_eq!(exported(folder.path()), (events, 1), "the rules are recorded once");
    }
}

#[test]
fn journal_of_an_older_version_is_salvaged_with_its_checkpoint() {
    for version in [1, 2] {
        let folder = journal(version);
        let salvaged = run(folder.path(), &["journal", "salvage", "new"]);
        assert_eq!((salvaged.code, salvaged.stderr.as_str()), (Some(0), ""));
        let (exposed, expected) = (exposed(folder.path(), "new"), expected(version));
        for (series, value) in &expected {
            assert_eq!(exposed.get(series), Some(value), "version {version}: {series}");
        }
    }
}
