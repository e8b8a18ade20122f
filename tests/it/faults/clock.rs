//! The system clock jumps forwards and backwards while the daemon runs.

use std::fs;
use std::path::{Path, PathBuf};

use super::{INPUT, journaled};
use crate::daemon::{Daemon, command, notification};
use crate::tools::tool;

const CONNECTED_SECONDS: &str = "cloudflare_stream_live_input_connected_seconds_total";
/// Upper limit of the test duration in seconds; much shorter than the clock jumps.
const MAX_TEST_DURATION: f64 = 1800.0;

/// The library that intercepts clock calls; `None` if the test is skipped.
fn faketime() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    let libraries = libraries.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let default = libraries.into_iter().find(|library| library.is_file());
    tool("LIBFAKETIME", &default.unwrap_or_else(|| Path::new("/usr/lib/faketime/libfaketimeMT.so.1").to_owned()))
}

/// A daemon whose wall clock has the offset in the file `offset`. Its monotonic clock is not changed.
fn start(library: &Path, folder: &Path) -> Daemon {
    let mut command = command(folder);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", folder.join("offset"));
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    Daemon::spawn(command, folder)
}

fn set_offset(folder: &Path, offset: &str) {
    // Atomic, because the library reads the file on every clock call.
    fs::write(folder.join("offset.new"), format!("{offset}\n")).unwrap();
    fs::rename(folder.join("offset.new"), folder.join("offset")).unwrap();
}

/// A notification, sent now, of an event `seconds_ago` seconds in the past.
fn sent_now(event: &str, seconds_ago: i64) -> String {
    let body = notification(INPUT, event, &ago(seconds_ago));
    let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
    body["ts"] = jiff::Timestamp::now().as_second().into();
    body.to_string()
}

/// The wall clock of this machine minus `seconds`.
fn ago(seconds: i64) -> String {
    (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds)).to_string()
}

#[test]
fn clock_jumps_lose_no_event_and_decrease_no_counter() {
    let Some(library) = faketime() else { return };
    let folder = tempfile::tempdir().unwrap();
    set_offset(folder.path(), "+0s");
    let mut daemon = start(&library, folder.path());
    let series = format!("{CONNECTED_SECONDS}{{input_id=\"{INPUT}\"}}");
    let post = |daemon: &Daemon, event: &str, seconds_ago: i64| {
        let answer = daemon.post(&sent_now(event, seconds_ago));
        assert_eq!(answer.body, r#"{"outcome":"recorded"}"#);
    };
    post(&daemon, "connected", 100);
    let mut shown = daemon.metric(&series).unwrap();
    assert!((100.0..100.0 + MAX_TEST_DURATION).contains(&shown), "{shown}");

    // Two hours ahead: the running connection follows the wall clock.
    let mut scrape = |daemon: &Daemon| {
        let now = daemon.metric(&series).unwrap();
        assert!(now >= shown, "the counter fell from {shown} to {now}");
        shown = now;
        now
    };
    set_offset(folder.path(), "+7200s");
    assert!((7300.0..7300.0 + MAX_TEST_DURATION).contains(&scrape(&daemon)));
    post(&daemon, "errored", 50);
    // An hour behind: the counter keeps its value. An event from the future is ignored and counted, because its time
    // may be nonsense.
    set_offset(folder.path(), "-3600s");
    assert!((7300.0..7300.0 + MAX_TEST_DURATION).contains(&scrape(&daemon)));
    let answer = daemon.post(&sent_now("errored", 45));
    assert_eq!(answer.body, r#"{"outcome":"ignored"}"#);
    let ignored = r#"stream_live_exporter_notifications_ignored_total{reason="future"}"#;
    assert_eq!(daemon.metric(ignored), Some(1.0));
    // Four minutes behind: within the tolerated clock skew.
    set_offset(folder.path(), "-240s");
    post(&daemon, "errored", 40);
    assert!(daemon.metric("cloudflare_stream_live_notification_clock_skew_total") > Some(0.0));
    assert_eq!(daemon.get("/-/ready").status, 200);

    // A restart uses the system clock unchanged: the counter falls once, like a counter reset.
    assert!(daemon.stop().success());
    daemon = start(&library, folder.path());
    daemon.wait_for("system clock is behind the newest record of the journal");
    shown = daemon.metric(&series).unwrap();
    assert!(shown < 100.0 + MAX_TEST_DURATION, "{shown}");
    post(&daemon, "errored", 30);
    daemon.kill();
    set_offset(folder.path(), "+0s");
    daemon = start(&library, folder.path());
    assert!(daemon.metric(&series).unwrap() >= shown);
    post(&daemon, "disconnected", 0);
    assert!((100.0..100.0 + MAX_TEST_DURATION).contains(&daemon.metric(&series).unwrap()));
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "data").len(), 5);
}
