//! Journals of older schema versions are migrated without a change of any metric.
//!
//! `tests/fixtures/journals` has databases that releases with schema versions 1 to 3 left behind when they were killed,
//! as SQL, and the metrics of those releases after their next start. Of version 2 there are two: one in which rows are
//! ahead of the checkpoint that was being written, and one in which the checkpoint names forgotten inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::daemon::{Daemon, run};
use crate::journal::database;

/// Each with the number of its records that are no events.
const JOURNALS: [(&str, usize); 4] =
    [("version-1", 0), ("version-2-rows-ahead", 0), ("version-2-forgotten", 0), ("version-3", 3)];

/// A folder with this journal.
fn journal(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    database(folder.path()).execute_batch(&fixture(&format!("{name}.sql"))).unwrap();
    folder
}

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals").join(name)).unwrap()
}

/// The metrics that a restart must not change, without those that are 0.
fn expected(name: &str) -> BTreeMap<String, f64> {
    let metrics = fixture(&format!("{name}.metrics"));
    let samples = metrics.lines().map(|line| line.rsplit_once(' ').expect("a sample has a value"));
    samples.map(|(series, value)| (series.to_owned(), value.parse().expect("a value is a number"))).collect()
}

/// The same families of a daemon on the data folder `storage`.
fn exposed(folder: &Path, storage: &str, expected: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    // The secret of the release that wrote the journal.
    fs::write(folder.join(storage).join("webhook-secret"), "0123456789abcdef").unwrap();
    let daemon = Daemon::start_with(folder, [format!("--storage.path={storage}")]);
    let mut metrics = daemon.metrics();
    assert!(daemon.stop().success());
    let families: BTreeSet<_> = expected.keys().map(|series| family(series)).collect();
    metrics.retain(|series, value| families.contains(family(series)) && *value != 0.0);
    metrics
}

fn family(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
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
    for (name, others_before) in JOURNALS {
        let (folder, expected) = (journal(name), expected(name));
        let (events, others) = exported(folder.path());
        assert_eq!((events.is_empty(), others), (false, others_before), "{name}");
        for start in ["first start", "second start"] {
            assert_eq!(exposed(folder.path(), "data", &expected), expected, "{name}, {start}");
        }
        // The rules are recorded once.
        assert_eq!(exported(folder.path()), (events, others_before.max(1)), "{name}");
    }
}

#[test]
fn journal_of_an_older_version_is_salvaged_with_its_checkpoint() {
    for (name, _) in JOURNALS {
        let (folder, expected) = (journal(name), expected(name));
        let salvaged = run(folder.path(), &["journal", "salvage", "new"]);
        assert_eq!((salvaged.code, salvaged.stderr.as_str()), (Some(0), ""));
        assert_eq!(exposed(folder.path(), "new", &expected), expected, "{name}");
    }
}
