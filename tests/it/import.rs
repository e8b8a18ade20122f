//! `journal init` and `journal import` with a shared journal.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::daemon::{Daemon, Ran, ended, eventually, notification, run};
use crate::postgres::Cluster;

pub const INPUT: &str = "2c28dd2cc444cb77578c4840b51e43a8";

/// Flags for the shared journal.
pub fn flags(cluster: &Cluster) -> [String; 3] {
    let password = cluster.password_file().display().to_string();
    [
        "--storage.path=replica".to_owned(),
        format!("--storage.url={}", cluster.url()),
        format!("--storage.password-file={password}"),
    ]
}

/// Runs a command on the shared journal.
pub fn shared(folder: &Path, cluster: &Cluster, arguments: &[&str]) -> Ran {
    let flags = flags(cluster);
    run(folder, &[flags.each_ref().map(String::as_str).as_slice(), arguments].concat())
}

/// Exit code 0, without a message.
#[track_caller]
pub fn done(ran: &Ran) {
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

/// Exit code 1, and these parts of the message.
#[track_caller]
fn refused(ran: &Ran, parts: &[&str]) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(parts.iter().all(|part| ran.stderr.contains(part)), "{parts:?}: {}", ran.stderr);
}

/// One value of the schema.
pub fn value(cluster: &Cluster, sql: &str) -> String {
    cluster.psql(&format!("SET search_path = stream_live_exporter; {sql}"))
}

/// A SQLite journal in `data` with events, corrections, an exception and a body that was not understood. Returns the
/// metrics of its daemon.
pub fn with_journal(folder: &Path) -> BTreeMap<String, f64> {
    let daemon = Daemon::start(folder);
    for (event, time) in [
        ("connected", "10:00:00"),
        ("disconnected", "10:20:00"),
        ("connected", "10:20:30"),
        ("disconnected", "11:00:00"),
        ("errored", "11:00:01"),
        ("connected", "12:00:00"),
    ] {
        assert_eq!(daemon.post(&notification(INPUT, event, &format!("2026-11-20T{time}Z"))).status, 200);
    }
    for number in 1..=40 {
        let body = notification(&format!("{number:032x}"), "connected", "2026-11-20T12:00:00Z");
        assert_eq!(daemon.post(&body).status, 200);
    }
    let corrected = run(folder, &["inputs", "set", INPUT, "disconnected", "--url", &daemon.private]);
    assert_eq!(corrected.code, Some(0), "{}", corrected.stderr);
    let expected = ["inputs", "expect", INPUT, "on", "--until", "2h", "--url", &daemon.private];
    assert_eq!(run(folder, &expected).code, Some(0));
    let unknown =
        notification(INPUT, "connected", "2026-11-20T12:00:00Z").replace("live_input.connected", "live_input.new");
    assert_eq!(daemon.post(&unknown).status, 200);
    let metrics = of_inputs(&daemon);
    assert!(daemon.stop().success());
    metrics
}

/// The metrics about inputs, except the time connected of connections that go on.
pub fn of_inputs(daemon: &Daemon) -> BTreeMap<String, f64> {
    let goes_on = |series: &str| series.contains("connected_seconds_total") && !series.contains(INPUT);
    let is_compared = |series: &str| series.starts_with("cloudflare_stream_live_") && !goes_on(series);
    daemon.metrics().into_iter().filter(|(series, _)| is_compared(series)).collect()
}

#[test]
fn init_creates_the_tables_once_and_no_data_folder() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    refused(&shared(folder.path(), &cluster, &["journal", "verify"]), &["localhost"]);
    done(&shared(folder.path(), &cluster, &["journal", "init"]));
    let batch = value(&cluster, "SELECT batch_id FROM head");
    assert_eq!(value(&cluster, "SELECT position FROM head"), "0");
    done(&shared(folder.path(), &cluster, &["journal", "init"]));
    assert_eq!(value(&cluster, "SELECT batch_id FROM head"), batch);
    assert!(!folder.path().join("replica").exists());
    // On a data folder it is the same.
    for _ in 0..2 {
        done(&run(folder.path(), &["journal", "init"]));
    }
    assert!(folder.path().join("data/journal.db").exists());
}

#[test]
fn import_brings_in_everything_once_and_leaves_the_source_unchanged() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    with_journal(folder.path());
    let before = fs::read(folder.path().join("data/journal.db")).unwrap();
    let import = || shared(folder.path(), &cluster, &["journal", "import", "data"]);

    done(&import());
    let source = crate::journal::database(folder.path());
    let of_source = |sql: &str| source.query_one(sql, [], |row| row.get::<_, i64>(0)).unwrap().to_string();
    for sql in [
        "SELECT count(*) FROM records",
        "SELECT max(position) FROM records",
        "SELECT sum(length(kind) + length(coalesce(data, '')) + length(coalesce(input_id, ''))) FROM records",
        "SELECT sum(shown_until % 1000000 + recorded_at % 1000000) FROM records",
        "SELECT count(*) FROM records WHERE received_at IS NOT NULL",
        "SELECT position FROM checkpoint",
        "SELECT sum(length(state)) FROM checkpoint",
        "SELECT sum(length(data)) FROM rules",
        "SELECT count(*) FROM inputs",
        "SELECT sum(length(state) + length(seen) + position) FROM inputs",
        "SELECT count(*) FROM unrecognized",
        "SELECT sum(length(body) + seq) FROM unrecognized",
        "SELECT sum(length(text)) FROM documents",
    ] {
        assert_eq!(value(&cluster, sql), of_source(sql), "{sql}");
    }
    let newest = of_source("SELECT max(position) FROM records");
    let events = of_source("SELECT count(*) FROM records WHERE received_at IS NOT NULL");
    assert_eq!(value(&cluster, "SELECT position, events FROM head"), format!("{newest}|{events}"));
    assert_eq!(value(&cluster, "SELECT count(*) FROM batches b JOIN head h ON b.id = h.batch_id"), "1");
    assert_eq!(value(&cluster, "SELECT (time >= recorded_until)::text FROM head"), "true");
    let sessions = format!("SELECT count(*), sum(reconnects) FROM input_sessions WHERE input_id = '{INPUT}'");
    assert_eq!(value(&cluster, &sessions), "2|1");
    assert_eq!(value(&cluster, "SELECT count(*) FROM input_sessions WHERE ended_at IS NULL"), "40");
    drop(source);

    refused(&import(), &["stream_live_exporter", "storage.schema"]);
    assert_eq!(value(&cluster, "SELECT position FROM head"), newest);
    assert_eq!(fs::read(folder.path().join("data/journal.db")).unwrap(), before);
}

#[test]
fn import_refuses_a_journal_in_use_a_damaged_one_and_none() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let import = |from: &str| shared(folder.path(), &cluster, &["journal", "import", from]);
    refused(&import("none"), &["none"]);
    assert!(!folder.path().join("none").exists());
    let daemon = Daemon::start(folder.path());
    refused(&import("data"), &["data"]);
    assert!(daemon.stop().success());
    refused(&run(folder.path(), &["journal", "import", "data"]), &["storage.url"]);
    crate::journal::database(folder.path()).execute("UPDATE records SET kind = 'exploded'", []).unwrap();
    refused(&import("data"), &["record 1"]);
    done(&shared(folder.path(), &cluster, &["journal", "init"]));
    assert_eq!(value(&cluster, "SELECT position FROM head"), "0");
}

/// A session that holds a lock on a table until it is dropped.
pub struct Locked(Child);

impl Locked {
    pub fn new(cluster: &Cluster, table: &str, mode: &str) -> Self {
        let mut psql = cluster.program("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--host=127.0.0.1"]);
        psql.args(["--username=postgres", "--dbname=journal", &format!("--port={}", cluster.port())]);
        let password = fs::read_to_string(cluster.file("superuser")).unwrap();
        psql.env("PGPASSWORD", password.trim()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = psql.spawn().unwrap();
        let sql = format!("BEGIN; LOCK TABLE stream_live_exporter.{table} IN {mode} MODE; SELECT 'locked';");
        writeln!(child.stdin.as_mut().unwrap(), "{sql}").unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "locked");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // At the end of its input, psql rolls back and ends.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Runs a command that waits for a lock, and sends it this signal then.
pub fn interrupted(folder: &Path, cluster: &Cluster, arguments: &[&str], signal: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder).args(flags(cluster)).args(arguments);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("it waits", || cluster.psql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1");
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    ended(child)
}

#[test]
fn interrupted_import_leaves_the_shared_journal_empty() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    with_journal(folder.path());
    done(&shared(folder.path(), &cluster, &["journal", "init"]));
    // Before the first record is in, and after the last one.
    for table in ["records", "documents"] {
        for signal in ["INT", "TERM", "KILL"] {
            let locked = Locked::new(&cluster, table, "SHARE");
            let ran = interrupted(folder.path(), &cluster, &["journal", "import", "data"], signal);
            assert_eq!(ran.code, (signal != "KILL").then_some(1), "{table} {signal}: {}", ran.stderr);
            drop(locked);
            eventually("its transaction ends", || {
                cluster.psql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0"
            });
            let found = "SELECT position, (SELECT count(*) FROM records), (SELECT count(*) FROM inputs) FROM head";
            assert_eq!(value(&cluster, found), "0|0|0", "{table} {signal}");
        }
    }
    done(&shared(folder.path(), &cluster, &["journal", "import", "data"]));
}
