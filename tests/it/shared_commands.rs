//! Commands that read or write a shared journal, beside a replica and without one.

use std::path::Path;

use serde_json::Value;

use crate::daemon::{Daemon, Ran, eventually, notification, path_in, run};
use crate::import::{INPUT, Locked, done, flags, interrupted, of_inputs, shared, value, with_journal};
use crate::postgres::Cluster;

/// A cluster and a folder with the imported journal of a daemon, and the metrics of that daemon.
fn imported() -> Option<(Cluster, tempfile::TempDir, std::collections::BTreeMap<String, f64>)> {
    let cluster = Cluster::start()?;
    let folder = tempfile::tempdir().unwrap();
    let metrics = with_journal(folder.path());
    done(&shared(folder.path(), &cluster, &["journal", "import", "data"]));
    Some((cluster, folder, metrics))
}

/// Starts a replica with the secret of the daemon.
fn replica(folder: &Path, cluster: &Cluster, arguments: &[&str]) -> Daemon {
    let secret = format!("--webhook.secret-file=default={}", path_in(folder, "data/webhook-secret"));
    let arguments = arguments.iter().map(|argument| (*argument).to_owned());
    Daemon::start_with(folder, flags(cluster).into_iter().chain([secret]).chain(arguments))
}

fn lines(ran: &Ran) -> Vec<Value> {
    done(ran);
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn replica_on_an_imported_journal_has_the_metrics_and_the_records_of_the_daemon() {
    let Some((cluster, folder, metrics)) = imported() else { return };
    let of_daemon = run(folder.path(), &["journal", "export"]).stdout;
    let records = lines(&shared(folder.path(), &cluster, &["journal", "export"]));
    let of_daemon: Vec<Value> = of_daemon.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records, of_daemon);
    assert_eq!(lines(&shared(folder.path(), &cluster, &["journal", "unrecognized"])).len(), 1);
    let replica = replica(folder.path(), &cluster, &[]);
    assert_eq!(of_inputs(&replica), metrics);
    // What the daemon has recorded is known, and new records follow it.
    let known = notification(INPUT, "connected", "2026-11-20T12:00:00Z");
    assert_eq!(replica.post(&known).body, r#"{"outcome":"duplicate"}"#);
    assert_eq!(replica.post(&notification(INPUT, "errored", "2026-11-20T13:00:00Z")).body, r#"{"outcome":"recorded"}"#);
    let exported = lines(&shared(folder.path(), &cluster, &["journal", "export"]));
    assert_eq!(exported.len(), records.len() + 1);
    done(&shared(folder.path(), &cluster, &["journal", "verify"]));
    assert!(replica.stop().success());
}

#[test]
fn backup_of_a_shared_journal_is_imported_again_with_the_same_content() {
    let Some((cluster, folder, _)) = imported() else { return };
    let running = replica(folder.path(), &cluster, &[]);
    assert_eq!(running.post(&notification(INPUT, "errored", "2026-11-20T13:00:00Z")).status, 200);
    let metrics = of_inputs(&running);
    done(&shared(folder.path(), &cluster, &["journal", "backup", "copy"]));
    // What happens after the backup is not in it.
    assert_eq!(running.post(&notification(INPUT, "errored", "2026-11-20T14:00:00Z")).status, 200);
    assert!(running.stop().success());
    done(&run(folder.path(), &["--storage.path=copy", "journal", "verify"]));

    let restored =
        |arguments: &[&str]| shared(folder.path(), &cluster, &[&["--storage.schema=restored"], arguments].concat());
    done(&restored(&["journal", "import", "copy"]));
    done(&restored(&["journal", "verify"]));
    let newest = value(&cluster, "SELECT position FROM restored.head");
    let counts = |schema: &str| {
        let count = |table: &str| format!("(SELECT count(*) FROM {schema}.{table})");
        let tables = ["checkpoint", "rules", "inputs", "documents"].map(count).join(", ");
        cluster.psql(&format!("SELECT {tables}, count(last_seen) FROM {schema}.head"))
    };
    assert_eq!(counts("restored"), counts("stream_live_exporter"));
    for table in ["records", "unrecognized", "documents", "input_sessions"] {
        let until = if table == "records" { format!("WHERE position <= {newest}") } else { String::new() };
        for (one, other) in [("restored", "stream_live_exporter"), ("stream_live_exporter", "restored")] {
            let sql = format!(
                "SELECT count(*) FROM (SELECT * FROM {one}.{table} {until} EXCEPT TABLE {other}.{table}) AS missing"
            );
            // The note of when a daemon last ran is newer.
            let allowed = if table == "documents" { 1 } else { 0 };
            assert!(cluster.psql(&sql).parse::<u64>().unwrap() <= allowed, "{table} of {one}");
        }
    }
    let replica = replica(folder.path(), &cluster, &["--storage.schema=restored"]);
    assert_eq!(of_inputs(&replica), metrics);
    assert_eq!(replica.post(&notification(INPUT, "errored", "2026-11-20T14:00:00Z")).body, r#"{"outcome":"recorded"}"#);
    assert!(replica.stop().success());
}

#[test]
fn interrupted_backup_of_a_shared_journal_leaves_nothing() {
    let Some((cluster, folder, _)) = imported() else { return };
    for signal in ["INT", "TERM"] {
        let locked = Locked::new(&cluster, "records", "ACCESS EXCLUSIVE");
        let ran = interrupted(folder.path(), &cluster, &["journal", "backup", "copy"], signal);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
        assert!(!folder.path().join("copy").exists(), "{signal}");
        drop(locked);
    }
    done(&shared(folder.path(), &cluster, &["journal", "backup", "copy"]));
}

#[test]
fn corrections_without_a_daemon_are_seen_by_a_replica_that_runs() {
    let Some((cluster, folder, _)) = imported() else { return };
    let connected = format!("cloudflare_stream_live_input_connected{{input_id=\"{INPUT}\"}}");
    let offline = |arguments: &[&str]| shared(folder.path(), &cluster, arguments);
    // Without any replica.
    done(&offline(&["inputs", "set", INPUT, "connected", "--offline", "--reason", "seen on air"]));
    let replica = replica(folder.path(), &cluster, &[]);
    assert_eq!(replica.metric(&connected), Some(1.0));
    done(&offline(&["inputs", "set", INPUT, "disconnected", "--offline"]));
    eventually("the replica follows", || replica.metric(&connected) == Some(0.0));
    let before = value(&cluster, "SELECT position FROM head");
    done(&offline(&["inputs", "set", INPUT, "disconnected", "--offline"]));
    assert_eq!(value(&cluster, "SELECT position FROM head"), before, "it changed nothing");
    done(&offline(&["inputs", "expect", INPUT, "--clear", "--offline"]));
    let list = offline(&["inputs", "list", "--json", "--offline"]);
    done(&list);
    let list: Value = serde_json::from_str(&list.stdout).unwrap();
    let input = list["inputs"].as_array().unwrap().iter().find(|input| input["id"] == INPUT).unwrap();
    assert_eq!((&input["state"], &input["exception"]), (&"disconnected".into(), &Value::Null));
    let unknown = offline(&["inputs", "set", &"f".repeat(32), "connected", "--offline"]);
    assert_eq!(unknown.code, Some(1));
    assert!(replica.stop().success());
    done(&offline(&["journal", "verify"]));
}

#[test]
fn bodies_of_a_shared_journal_are_read_again_beside_a_replica() {
    let Some((cluster, folder, _)) = imported() else { return };
    let replica = replica(folder.path(), &cluster, &[]);
    let input = "9".repeat(32);
    let body = notification(&input, "connected", "2026-11-20T15:00:00Z").replace('\'', "''");
    value(
        &cluster,
        &format!(
            "INSERT INTO unrecognized (received_at, reason, body) \
             VALUES (1795255200000000000, 'event_type', convert_to('{body}', 'UTF8'))"
        ),
    );
    done(&shared(folder.path(), &cluster, &["journal", "replay-unrecognized"]));
    assert_eq!(value(&cluster, "SELECT count(*) FROM unrecognized"), "1");
    let connected = format!("cloudflare_stream_live_input_connected{{input_id=\"{input}\"}}");
    eventually("the replica follows", || replica.metric(&connected) == Some(1.0));
    assert!(replica.stop().success());
    done(&shared(folder.path(), &cluster, &["journal", "verify"]));
}

#[test]
fn forecast_has_the_exceptions_of_a_shared_journal() {
    let Some((cluster, folder, _)) = imported() else { return };
    let secret = format!("--webhook.secret-file=default={}", path_in(folder.path(), "data/webhook-secret"));
    let listen = ["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"];
    let checked = shared(folder.path(), &cluster, &["check-config", &secret, listen[0], listen[1]]);
    done(&checked);
    assert_eq!(checked.stdout.matches(INPUT).count(), 1, "{}", checked.stdout);
}
