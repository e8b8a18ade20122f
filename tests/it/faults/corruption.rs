//! A damaged journal, or one with a newer schema: the start is refused, files are unchanged, salvage works.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regex_lite::Regex;

use super::{INPUT, counted_events, event, journaled, start_with_events};
use crate::daemon::{Daemon, Ran, command, path_in, ran, run};
use crate::journal::database;

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
fn refused(folder: &Path) -> [String; 2] {
    let before = files(folder);
    let start = ran(&mut command(folder));
    assert_eq!(start.code, Some(1), "{}", start.stderr);
    assert!(files(folder) == before, "the start changed the files: {}", start.stderr);
    let verified = run(folder, &["journal", "verify"]);
    assert_eq!((verified.code, verified.stdout.as_str()), (Some(1), ""));
    assert!(files(folder) == before, "the check changed the files");
    [as_printed(&start), verified.stderr]
}

/// The errors in the log of a start, in the form in which other commands print them.
fn as_printed(start: &Ran) -> String {
    start.logged_errors().iter().map(|error| format!("stream-live-exporter: {error}\n")).collect()
}

/// Checks that an error message names the database and `part` of it, and ends with the advice to use salvage.
fn check_message(message: &str, part: &str) {
    let (problem, advice) = message.trim_end().rsplit_once('\n').expect("a problem and the advice");
    assert!(
        problem.starts_with("stream-live-exporter: /")
            && problem.contains("/data/journal.db: ")
            && problem.contains(part),
        "{message}"
    );
    assert!(advice.contains("`stream-live-exporter journal salvage FOLDER`"), "{message}");
    assert!(advice.contains("docs/journal.md"), "{message}");
}

#[test]
fn damaged_journal_is_refused_with_advice_and_not_changed() {
    let damages: [Damage; 6] = [
        |bytes| {
            let middle = bytes.len() / 2 / 4096 * 4096;
            bytes[middle..middle + 4096].fill(0x55);
        },
        // The first page of the events.
        |bytes| bytes[4096..8192].fill(0),
        |bytes| bytes.truncate(bytes.len() / 2),
        // In the middle of a page.
        |bytes| bytes.truncate(6000),
        // The header.
        |bytes| bytes[..100].fill(b'x'),
        |bytes| *bytes = b"not a database at all".repeat(500),
    ];
    for damage in damages {
        let folder = recorded(60);
        let database = folder.path().join("data/journal.db");
        let mut bytes = fs::read(&database).unwrap();
        damage(&mut bytes);
        fs::write(&database, bytes).unwrap();
        refused(folder.path()).iter().for_each(|message| check_message(message, ""));
    }
}

#[test]
fn invalid_content_in_valid_pages_is_refused_and_not_changed() {
    for (damage, part, kept) in [
        ("UPDATE records SET kind = 'exploded' WHERE position = 30", "record 30 ", 30),
        ("UPDATE checkpoint SET state = '{}'", "checkpoint", 31),
        ("UPDATE last_seen SET state = ''", "deliveries", 31),
        ("UPDATE inputs SET state = '{}'", INPUT, 31),
    ] {
        let folder = recorded(31);
        database(folder.path()).execute_batch(damage).unwrap();
        refused(folder.path()).iter().for_each(|message| check_message(message, part));
        // Salvage keeps everything that is valid and derives the rest from the events.
        let salvaged = run(folder.path(), &["journal", "salvage", "new"]);
        assert_eq!((salvaged.code, salvaged.stderr.as_str()), (Some(0), ""));
        assert_eq!(journaled(folder.path(), "new").len(), kept, "{damage}");
    }
}

#[test]
fn empty_database_with_a_wal_is_refused_and_the_wal_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    start_with_events(folder.path(), 1).kill();
    fs::write(folder.path().join("data/journal.db"), b"").unwrap();
    let before = files(folder.path());
    let start = ran(&mut command(folder.path()));
    assert_eq!(start.code, Some(1));
    check_message(&as_printed(&start), "");
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
    let newer = database.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap() + 1;
    database.pragma_update(None, "user_version", newer).unwrap();
    drop(database);
    assert_eq!(files(folder.path()).len(), 2);
    let [start, verified] = refused(folder.path());
    let salvaged = run(folder.path(), &["journal", "salvage", "new"]);
    assert_eq!(salvaged.code, Some(1));
    for message in [start, verified, salvaged.stderr] {
        assert!(
            message.starts_with(&format!("stream-live-exporter: {}: ", path_in(folder.path(), "data/journal.db"))),
            "{message}"
        );
        assert!(message.contains(&format!("schema version {newer}")) && !message.contains("salvage"), "{message}");
    }
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
    let numbers = Regex::new(r"\d+").unwrap();
    let numbers: Vec<usize> =
        numbers.find_iter(&salvaged.stdout).map(|number| number.as_str().parse().unwrap()).collect();
    let [reported_kept, reported_lost, first, last] = numbers[..] else { panic!("{}", salvaged.stdout) };
    assert_eq!((reported_kept, reported_lost, last - first + 1), (kept, lost, lost), "{}", salvaged.stdout);

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
    assert!(in_use.stderr.contains("/data: in use"), "{}", in_use.stderr);
    assert!(daemon.stop().success());
    let exists = run(folder.path(), &["journal", "salvage", "data"]);
    assert_eq!(exists.code, Some(1));
    assert!(exists.stderr.contains("data: "), "{}", exists.stderr);
    assert!(exists.stderr.ends_with("(os error 17)\n"), "{}", exists.stderr);
    let nothing = run(folder.path(), &["--storage.path=none", "journal", "salvage", "new"]);
    assert_eq!((nothing.code, folder.path().join("new").exists()), (Some(1), false), "{}", nothing.stderr);
    assert!(!folder.path().join("none").exists());
}
