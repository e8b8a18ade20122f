//! A damaged journal, or one with a newer schema: the start is refused, files are unchanged, salvage works.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{counted_events, event, journaled, start_with_events};
use crate::daemon::{Daemon, command, ran, run};
use crate::journal::database;

const ADVICE: &str = "stream-live-exporter: `stream-live-exporter journal salvage FOLDER` makes a new journal of all \
                      that can be read, and leaves this one as it is: see docs/journal.md\n";

/// A change of the bytes of a database.
type Damage = fn(&mut Vec<u8>);

/// A folder with this number of events, after a clean stop.
fn recorded(events: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert!(start_with_events(folder.path(), events).stop().success());
    folder
}

/// The bytes of the database and the WAL, without the shared memory file.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder.join("data")).unwrap().map(|file| file.unwrap().path());
    let files =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "db" || extension == "db-wal"));
    let files = files.map(|path| (path.display().to_string(), fs::read(path).unwrap()));
    // An empty WAL equals none.
    files.filter(|(_, bytes)| !bytes.is_empty()).collect()
}

/// Checks that the start and `journal verify` fail and change no file. Returns their error messages.
fn refused(folder: &Path) -> (String, String) {
    let before = files(folder);
    let start = ran(&mut command(folder));
    assert_eq!(start.code, Some(1), "{}", start.stderr);
    assert!(files(folder) == before, "the start changed the files: {}", start.stderr);
    let verified = run(folder, &["journal", "verify"]);
    assert_eq!((verified.code, verified.stdout.as_str()), (Some(1), ""));
    assert!(files(folder) == before, "the check changed the files");
    // JSON lines are the log.
    let errors = start.stderr.lines().filter(|line| !line.starts_with('{'));
    (errors.map(|line| format!("{line}\n")).collect(), verified.stderr)
}

#[test]
fn damaged_journal_is_refused_with_advice_and_not_changed() {
    let damages: [(&str, Damage); 6] = [
        ("overwritten in the middle", |bytes| {
            let middle = bytes.len() / 2 / 4096 * 4096;
            bytes[middle..middle + 4096].fill(0x55);
        }),
        ("first page of events", |bytes| bytes[4096..8192].fill(0)),
        ("truncated", |bytes| bytes.truncate(bytes.len() / 2)),
        ("truncated within a page", |bytes| bytes.truncate(6000)),
        ("no database", |bytes| bytes[..100].fill(b'x')),
        ("text", |bytes| *bytes = b"not a database at all".repeat(500)),
    ];
    for (name, damage) in damages {
        let folder = recorded(60);
        let database = folder.path().join("data/journal.db");
        let mut bytes = fs::read(&database).unwrap();
        damage(&mut bytes);
        fs::write(&database, bytes).unwrap();
        let (start, verified) = refused(folder.path());
        for message in [start, verified] {
            assert!(message.starts_with("stream-live-exporter: data/journal.db: "), "{name}: {message}");
            assert!(message.ends_with(ADVICE), "{name}: {message}");
        }
    }
}

#[test]
fn invalid_content_in_valid_pages_is_refused_and_not_changed() {
    for (damage, problem) in [
        ("UPDATE events SET event = 'exploded' WHERE seq = 30", "event 30 is damaged: the event is none that is known"),
        ("UPDATE checkpoint SET state = '{}'", "the checkpoint is damaged: its state cannot be read"),
        ("UPDATE deliveries SET state = ''", "the row of deliveries is damaged: its state cannot be read"),
        (
            "UPDATE inputs SET state = '{}'",
            "input 2c28dd2cc444cb77578c4840b51e43a8 is damaged: its state cannot be read",
        ),
    ] {
        let folder = recorded(31);
        database(folder.path()).execute_batch(damage).unwrap();
        let message = format!("stream-live-exporter: data/journal.db: {problem}\n{ADVICE}");
        assert_eq!(refused(folder.path()), (message.clone(), message));
        // Salvage keeps everything that is valid and derives the rest from the events.
        let salvaged = run(folder.path(), &["journal", "salvage", "new"]);
        assert_eq!((salvaged.code, salvaged.stderr.as_str()), (Some(0), ""));
        let kept = if problem.starts_with("event") { 30 } else { 31 };
        assert_eq!(journaled(folder.path(), "new").len(), kept, "{problem}");
    }
}

#[test]
fn empty_database_with_a_wal_is_refused_and_the_wal_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    start_with_events(folder.path(), 1).kill();
    fs::write(folder.path().join("data/journal.db"), b"").unwrap();
    let before = files(folder.path());
    let start = ran(&mut command(folder.path()));
    let problem = "data/journal.db: is damaged: it is missing or empty, but its write-ahead log is not";
    assert_eq!((start.code, start.stderr), (Some(1), format!("stream-live-exporter: {problem}\n{ADVICE}")));
    assert!(files(folder.path()) == before, "the start changed the files");
    assert_eq!(run(folder.path(), &["journal", "salvage", "new"]).code, Some(0));
    assert_eq!(journaled(folder.path(), "new").len(), 1);
}

#[test]
fn newer_schema_version_is_refused_and_the_wal_is_not_changed() {
    let folder = recorded(3);
    let database = database(folder.path());
    // As if the newer version was killed: part of the journal is in the WAL.
    let keep = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    database.set_db_config(keep, true).unwrap();
    database.pragma_update(None, "user_version", 3).unwrap();
    drop(database);
    assert_eq!(files(folder.path()).len(), 2);
    let message = "stream-live-exporter: data/journal.db: has schema version 3, but this version knows only 2; \
                use a newer stream-live-exporter\n";
    assert_eq!(refused(folder.path()), (message.to_owned(), message.to_owned()));
    let salvaged = run(folder.path(), &["journal", "salvage", "new"]);
    assert_eq!((salvaged.code, salvaged.stderr.as_str()), (Some(1), message));
    assert!(!folder.path().join("new").exists());
}

#[test]
fn salvage_reports_lost_events_and_the_daemon_starts_on_the_result() {
    let folder = recorded(120);
    let database = folder.path().join("data/journal.db");
    let mut bytes = fs::read(&database).unwrap();
    // Leaf pages of the table of events; the second one is in the middle of the events.
    let has_events = |page: &[u8]| page[0] == 0x0d && page.windows(9).filter(|text| text == b"connected").count() > 9;
    let pages: Vec<usize> = (1..bytes.len() / 4096).filter(|page| has_events(&bytes[page * 4096..][..4096])).collect();
    let damaged = pages[1];
    bytes[damaged * 4096..][..4096].fill(0);
    fs::write(&database, bytes).unwrap();

    let salvaged = run(folder.path(), &["journal", "salvage", "new"]);
    assert_eq!((salvaged.code, salvaged.stderr.as_str()), (Some(0), ""));
    let kept = journaled(folder.path(), "new").len();
    assert!((40..120).contains(&kept), "{kept}");
    let lost = 120 - kept;
    let details = salvaged.stdout.strip_prefix(&format!("new/journal.db: {kept} events kept, {lost} lost: "));
    let (range, rest) =
        details.and_then(|details| details.split_once("; ")).unwrap_or_else(|| panic!("{}", salvaged.stdout));
    let (first, last) = range.split_once(" to ").unwrap();
    assert_eq!(last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1, lost);
    assert_eq!(rest, "the checkpoint is kept\n");

    fs::copy(folder.path().join("data/webhook-secret"), folder.path().join("new/webhook-secret")).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--storage.path=new"]);
    // The checkpoint preserves the counters.
    assert_eq!(counted_events(&daemon), [60.0, 60.0]);
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(kept as f64));
    let secret = fs::read_to_string(folder.path().join("data/webhook-secret")).unwrap();
    assert_eq!(daemon.post_with(secret.trim(), &event(120)).body, r#"{"outcome":"duplicate"}"#);
    assert_eq!(daemon.post_with(secret.trim(), &event(121)).body, r#"{"outcome":"recorded"}"#);
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "new").len(), kept + 1);
}

#[test]
fn salvage_refuses_a_journal_in_use_and_an_existing_target() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let in_use = run(folder.path(), &["journal", "salvage", "new"]);
    assert_eq!(in_use.code, Some(1));
    assert!(in_use.stderr.contains("data: in use by another stream-live-exporter"), "{}", in_use.stderr);
    assert!(daemon.stop().success());
    let exists = run(folder.path(), &["journal", "salvage", "data"]);
    assert_eq!(exists.stderr, "stream-live-exporter: data: cannot be used as data folder: File exists (os error 17)\n");
    let nothing = run(folder.path(), &["--storage.path=none", "journal", "salvage", "new"]);
    assert_eq!((nothing.code, folder.path().join("new").exists()), (Some(1), false), "{}", nothing.stderr);
    assert!(!folder.path().join("none").exists());
}
