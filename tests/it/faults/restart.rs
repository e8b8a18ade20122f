//! Restarts: before the journal is restored there are no numbers, and afterwards they are the same.

use std::collections::BTreeMap;
use std::fs;

use jiff::{SignedDuration, Timestamp};

use super::{INPUT, command_through, event, start_with_events, strace, trace};
use crate::connection::{Connection, request};
use crate::daemon::{Daemon, eventually, notification};
use crate::journal::database;

/// A notification of an event this long before `now`.
fn before(now: Timestamp, event: &str, seconds: i64) -> String {
    notification(INPUT, event, &(now - SignedDuration::from_secs(seconds)).to_string())
}

/// The metrics about inputs and events, without those of the running connection.
fn counters(daemon: &Daemon) -> BTreeMap<String, f64> {
    let mut metrics = daemon.metrics();
    metrics.retain(|series, _| series.starts_with("cloudflare_") && !series.contains("connected_seconds"));
    metrics
}

#[test]
fn every_page_with_state_gets_503_until_the_journal_is_restored() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    start_with_events(folder.path(), 20).kill();
    // The recorder transfers the WAL before the state is shown. Every sync takes long enough for several requests.
    // With -D the daemon is the direct child, and strace a detached grandchild.
    let delay = trace(&["fsync,fdatasync:delay_enter=3s"]);
    let arguments: Vec<&str> =
        ["-D", "-f", "-o", "/dev/null"].into_iter().chain(delay.iter().map(String::as_str)).collect();
    let daemon = Daemon::spawn_unready(command_through(folder.path(), &strace, &arguments), folder.path());
    let pages = ["/metrics", "/api/v1/inputs", "/api/v1/events", "/"];
    let mut unanswered = 0;
    eventually("the journal is restored", || {
        let statuses = pages.map(|page| daemon.get(page).status);
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        unanswered += usize::from(statuses == [503; 4]);
        statuses == [200; 4]
    });
    assert!(unanswered > 0, "the daemon was asked before it was ready");
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(20.0));
}

#[test]
fn reload_while_another_program_holds_the_database_is_durable_before_it_counts() {
    for windows in [["60s", "1s"], ["1s", "60s"]] {
        let folder = tempfile::tempdir().unwrap();
        let configure = |window: &str| {
            let text = format!("[inputs]\nreconnect_window = \"{window}\"\n");
            fs::write(folder.path().join("site.toml"), text).unwrap();
        };
        let start = || Daemon::start_with(folder.path(), ["--config.file=site.toml"]);
        configure(windows[0]);
        let daemon = start();
        let now = Timestamp::now();
        for (event, seconds) in [("connected", 400), ("disconnected", 300), ("connected", 290)] {
            assert_eq!(daemon.post(&before(now, event, seconds)).status, 200);
        }
        let mut database = database(folder.path());
        let lock = database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        configure(windows[1]);
        assert_eq!(daemon.post_private("/-/reload").status, 200);
        // Held until the new rules could not be made durable.
        daemon.wait_for("journal cannot be written; notifications are refused until it can");
        drop(lock);
        for (event, seconds) in [("disconnected", 50), ("connected", 40)] {
            eventually("the journal can be written", || daemon.post(&before(now, event, seconds)).status == 200);
        }
        let before = counters(&daemon);
        daemon.kill();
        let daemon = start();
        let after = counters(&daemon);
        // The start makes the new rules durable, if the kill came before, and then the histograms have more.
        let fallen: Vec<_> = before.iter().filter(|(series, value)| after.get(*series) < Some(*value)).collect();
        assert!(fallen.is_empty(), "{windows:?}: {fallen:?}");
        for counter in ["sessions_total", "reconnects_total"] {
            let series = format!("cloudflare_stream_live_input_{counter}{{input_id=\"{INPUT}\"}}");
            assert_eq!(after[&series], before[&series], "{windows:?}: {series}");
        }
        assert!(daemon.stop().success());
    }
}

#[test]
fn events_before_the_first_scrape_count_by_their_own_time() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let now = Timestamp::now();
    assert_eq!(daemon.post(&before(now, "connected", 50)).status, 200);
    assert_eq!(daemon.get("/api/v1/inputs").status, 200);
    assert_eq!(daemon.get("/").status, 200);
    assert_eq!(daemon.get("/-/ready").status, 200);
    let mut connection = Connection::open(daemon.private_address()).unwrap();
    connection.send(&request("HEAD /metrics", b"")).unwrap();
    assert_eq!(connection.read_head().unwrap().status, "200 OK");
    assert_eq!(daemon.post(&before(now, "disconnected", 45)).status, 200);
    let series = format!("cloudflare_stream_live_input_connected_seconds_total{{input_id=\"{INPUT}\"}}");
    assert_eq!(daemon.metric(&series).map(f64::round), Some(5.0));
    assert_eq!(daemon.post(&event(1)).status, 200);
}
