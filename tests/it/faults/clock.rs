//! The system clock jumps forwards and backwards while the daemon runs, or while it is stopped.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::{INPUT, journaled};
use crate::daemon::{Daemon, command, eventually, notification};
use crate::journal::exported;
use crate::tools::tool;

const CONNECTED_SECONDS: &str = "cloudflare_stream_live_input_connected_seconds_total";
const OTHER: &str = "eb222fcca08eeb1ae84c981ebe8aeeb6";
/// Upper limit of the test duration in seconds; much shorter than the clock jumps.
const MAX_TEST_DURATION: f64 = 1800.0;
/// In seconds.
const DAY: i64 = 86_400;

/// The library that intercepts clock calls; `None` if the test is skipped.
pub fn faketime() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    let libraries = libraries.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let default = libraries.into_iter().find(|library| library.is_file());
    tool("LIBFAKETIME", &default.unwrap_or_else(|| Path::new("/usr/lib/faketime/libfaketimeMT.so.1").to_owned()))
}

/// A daemon whose wall clock has the offset in the file `offset`. Its other clocks are not changed.
fn start(library: &Path, folder: &Path, arguments: &[&str]) -> Daemon {
    let mut command = command(folder);
    command.args(arguments).env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", folder.join("offset"));
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    Daemon::spawn(command, folder)
}

fn set_offset(folder: &Path, seconds: i64) {
    // Atomic, because the library reads the file on every clock call.
    fs::write(folder.join("offset.new"), format!("{seconds:+}s\n")).unwrap();
    fs::rename(folder.join("offset.new"), folder.join("offset")).unwrap();
}

/// A notification, sent now, of an event `seconds_ago` seconds in the past.
fn sent_now(input_id: &str, event: &str, seconds_ago: i64) -> String {
    sent_now_of(input_id, event, &ago(seconds_ago))
}

/// A notification, sent now, of an event at this time.
fn sent_now_of(input_id: &str, event: &str, at: &str) -> String {
    let body = notification(input_id, event, at);
    let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
    body["ts"] = Timestamp::now().as_second().into();
    body.to_string()
}

/// The wall clock of this machine minus `seconds`.
fn ago(seconds: i64) -> String {
    before(Timestamp::now(), seconds)
}

fn before(time: Timestamp, seconds: i64) -> String {
    (time - SignedDuration::from_secs(seconds)).to_string()
}

fn post(daemon: &Daemon, input_id: &str, event: &str, seconds_ago: i64) {
    post_at(daemon, input_id, event, &ago(seconds_ago));
}

fn post_at(daemon: &Daemon, input_id: &str, event: &str, at: &str) {
    assert_eq!(daemon.post(&sent_now_of(input_id, event, at)).body, r#"{"outcome":"recorded"}"#, "{event}");
}

/// A session of [`OTHER`] that is exactly as long as these seconds say, however long the requests take.
fn post_session(daemon: &Daemon, seconds_ago: [i64; 2]) {
    let now = Timestamp::now();
    let [connected, disconnected] = seconds_ago.map(|seconds| before(now, seconds));
    post_at(daemon, OTHER, "connected", &connected);
    post_at(daemon, OTHER, "disconnected", &disconnected);
}

fn connected_seconds(daemon: &Daemon, input_id: &str) -> f64 {
    daemon.metric(&format!("{CONNECTED_SECONDS}{{input_id=\"{input_id}\"}}")).expect("the input is known")
}

fn assert_about(value: f64, expected: f64) {
    assert!((expected..expected + MAX_TEST_DURATION).contains(&value), "{value} instead of {expected}");
}

#[test]
fn clock_jumps_lose_no_event_and_decrease_no_counter() {
    let Some(library) = faketime() else { return };
    let folder = tempfile::tempdir().unwrap();
    set_offset(folder.path(), 0);
    let mut daemon = start(&library, folder.path(), &[]);
    post(&daemon, INPUT, "connected", 100);
    let mut shown = connected_seconds(&daemon, INPUT);
    assert_about(shown, 100.0);
    let mut scrape = |daemon: &Daemon| {
        let now = connected_seconds(daemon, INPUT);
        assert!(now >= shown, "the counter fell from {shown} to {now}");
        shown = now;
        now
    };

    // Two hours ahead: the running connection follows the clock once the jump has lasted.
    set_offset(folder.path(), 7200);
    assert_about(scrape(&daemon), 100.0);
    eventually("the jump is followed", || scrape(&daemon) >= 7300.0);
    post(&daemon, INPUT, "errored", 50);
    // An hour behind: the counter keeps its value.
    set_offset(folder.path(), -3600);
    assert_about(scrape(&daemon), 7300.0);
    post(&daemon, INPUT, "errored", 45);
    // An event from the future is ignored and counted, because its time may be nonsense.
    let ignored = r#"stream_live_exporter_notifications_ignored_total{reason="future"}"#;
    eventually("the jump is followed", || {
        daemon.post(&sent_now(INPUT, "errored", 45));
        daemon.metric(ignored) == Some(1.0)
    });
    assert_about(scrape(&daemon), 7300.0);
    // Four minutes behind: within the tolerated clock skew.
    set_offset(folder.path(), -240);
    eventually("the jump is followed", || daemon.post(&sent_now(INPUT, "errored", 40)).body.contains("recorded"));
    post(&daemon, INPUT, "errored", 35);
    assert!(daemon.metric("cloudflare_stream_live_notification_clock_skew_total") > Some(0.0));
    assert_eq!(daemon.get("/-/ready").status, 200);

    // Neither a stop nor a kill makes the counter fall.
    assert!(daemon.stop().success());
    daemon = start(&library, folder.path(), &[]);
    assert_about(scrape(&daemon), 7300.0);
    post(&daemon, INPUT, "errored", 30);
    daemon.kill();
    set_offset(folder.path(), 0);
    daemon = start(&library, folder.path(), &[]);
    assert_about(scrape(&daemon), 7300.0);
    post(&daemon, INPUT, "disconnected", 0);
    assert_about(scrape(&daemon), 7300.0);
    // Other inputs count by the right time.
    post_session(&daemon, [20, 5]);
    assert_eq!(connected_seconds(&daemon, OTHER).round(), 15.0);
    assert!(daemon.stop().success());
    journaled(folder.path(), "data");
}

/// A daemon with an input that is expected now, and not in a day.
fn site(library: &Path, folder: &Path) -> Daemon {
    let (from, until) = (ago(3600), ago(-3600));
    let input =
        format!("[[inputs]]\nid = \"{INPUT}\"\nname = \"Gala\"\nexpected = [{{ from = {from}, until = {until} }}]");
    fs::write(folder.join("site.toml"), input).unwrap();
    start(library, folder, &["--config.file=site.toml"])
}

#[test]
fn one_wrong_second_of_the_clock_leaves_no_trace() {
    let Some(library) = faketime() else { return };
    for offset in [DAY, 3650 * DAY, -DAY] {
        let folder = tempfile::tempdir().unwrap();
        set_offset(folder.path(), 0);
        let mut daemon = site(&library, folder.path());
        post(&daemon, INPUT, "connected", 100);
        let expected = |daemon: &Daemon| {
            let status: serde_json::Value = serde_json::from_str(&daemon.get("/api/v1/inputs").body).unwrap();
            let metric = format!("cloudflare_stream_live_input_expected{{input_id=\"{INPUT}\"}}");
            (daemon.metric(&metric), status["inputs"][0]["expected"].as_bool())
        };
        assert_eq!(expected(&daemon), (Some(1.0), Some(true)));

        set_offset(folder.path(), offset);
        assert_eq!(expected(&daemon), (Some(0.0), Some(false)), "schedules follow the wall clock");
        post(&daemon, INPUT, "errored", 50);
        assert_about(connected_seconds(&daemon, INPUT), 100.0);
        set_offset(folder.path(), 0);

        for restarted in [false, true] {
            if restarted {
                daemon.kill();
                daemon = site(&library, folder.path());
            }
            assert_eq!(expected(&daemon), (Some(1.0), Some(true)));
            assert_about(connected_seconds(&daemon, INPUT), 100.0);
            let age = |name: &str| Timestamp::now().as_second() as f64 - daemon.metric(name).unwrap();
            assert!(age("stream_live_exporter_last_notification_timestamp_seconds").abs() < MAX_TEST_DURATION);
        }
        let delays = "cloudflare_stream_live_notification_delivery_delay_seconds_sum";
        assert!(daemon.metric(delays) < Some(MAX_TEST_DURATION));
        // A new connection counts from its beginning.
        post(&daemon, OTHER, "connected", 20);
        assert_about(connected_seconds(&daemon, OTHER), 20.0);
        post(&daemon, OTHER, "disconnected", 5);
        assert!(daemon.stop().success());
        for line in exported(folder.path(), "data") {
            for key in ["recorded_at", "received_at"] {
                let at: Timestamp = line[key].as_str().unwrap().parse().unwrap();
                assert!(at <= Timestamp::now() && at > Timestamp::now() - SignedDuration::from_hours(1), "{line}");
            }
        }
    }
}

#[test]
fn orderly_end_keeps_what_was_shown_although_the_clock_goes_back() {
    let Some(library) = faketime() else { return };
    let folder = tempfile::tempdir().unwrap();
    set_offset(folder.path(), 0);
    let daemon = start(&library, folder.path(), &[]);
    post(&daemon, INPUT, "connected", 7200);
    assert!(daemon.stop().success());
    let mut shown = 0.0;
    // From the second start on, nothing changes but the time of the latest scrape.
    for offset in [0, -2, -4, -200, -290] {
        set_offset(folder.path(), offset);
        let daemon = start(&library, folder.path(), &[]);
        for _ in 0..3 {
            let now = connected_seconds(&daemon, INPUT);
            assert!(now >= shown && now >= 7200.0, "the counter fell from {shown} to {now}, {offset}");
            shown = now;
        }
        assert!(daemon.stop().success());
    }
    assert!(shown < 7200.0 + MAX_TEST_DURATION, "{shown}");
}

/// Changes `inputs.forget_after` by a reload. The daemon then searches for old records and silent inputs at once.
fn forget_after(daemon: &Daemon, folder: &Path, duration: &str) {
    fs::write(folder.join("site.toml"), format!("[inputs]\nforget_after = \"{duration}\"\n")).unwrap();
    daemon.signal("HUP");
    let expired = || daemon.log().iter().any(|line| line["task"] == "expiry");
    eventually("old records and silent inputs are searched", expired);
}

#[test]
fn start_with_a_wrong_clock_deletes_nothing_and_warns_once() {
    let Some(library) = faketime() else { return };
    for (years, warning) in [
        (1, "system clock is far ahead of the journal; retention is slowed down until it has caught up"),
        (-1, "system clock was set back; counters keep what was shown"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("site.toml"), "").unwrap();
        let start = || start(&library, folder.path(), &["--config.file=site.toml", "--log.level=debug"]);
        set_offset(folder.path(), 0);
        let daemon = start();
        post(&daemon, INPUT, "connected", 100);
        post_session(&daemon, [100, 50]);
        let shown = connected_seconds(&daemon, INPUT);
        assert!(daemon.stop().success());
        set_offset(folder.path(), years * 365 * DAY);
        // The second start has the times that the first one recorded.
        for round in 1..=2 {
            let daemon = start();
            assert!(connected_seconds(&daemon, INPUT) >= shown);
            post(&daemon, INPUT, "errored", 365 * DAY * i64::from(years < 0) + 10);
            if round == 2 {
                forget_after(&daemon, folder.path(), "1h");
            }
            assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(3.0 + f64::from(round)));
            assert_eq!(daemon.metric("stream_live_exporter_inputs"), Some(2.0));
            let warnings: Vec<_> = daemon.log().into_iter().filter(|line| line["level"] == "WARN").collect();
            let expected = usize::from(round == 1 || years > 0);
            assert_eq!(warnings.iter().filter(|line| line["msg"] == warning).count(), expected, "{warnings:?}");
            assert_eq!(warnings.len(), expected, "{warnings:?}");
            assert!(daemon.stop().success());
        }
        // The clock is right again.
        set_offset(folder.path(), 0);
        let daemon = start();
        assert!(connected_seconds(&daemon, INPUT) >= shown);
        post_session(&daemon, [20, 5]);
        assert_eq!(connected_seconds(&daemon, OTHER).round(), 65.0);
        assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(7.0));
        assert!(daemon.stop().success());
        journaled(folder.path(), "data");
    }
}

#[test]
fn old_event_of_a_forgotten_input_does_not_bring_it_back() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.toml"), "").unwrap();
    let start = || Daemon::start_with(folder.path(), ["--config.file=site.toml", "--log.level=debug"]);
    let daemon = start();
    let connected = sent_now(INPUT, "connected", 50);
    assert_eq!(daemon.post(&connected).body, r#"{"outcome":"recorded"}"#);
    post(&daemon, INPUT, "disconnected", 40);
    forget_after(&daemon, folder.path(), "30s");
    eventually("the input is forgotten", || daemon.metric("stream_live_exporter_inputs") == Some(0.0));
    let check = |daemon: &Daemon| {
        assert_eq!(daemon.post(&connected).body, r#"{"outcome":"ignored"}"#);
        let too_old = r#"stream_live_exporter_notifications_ignored_total{reason="too_old"}"#;
        assert_eq!(daemon.metric(too_old), Some(1.0));
        assert_eq!(daemon.metric("stream_live_exporter_inputs"), Some(0.0));
    };
    check(&daemon);
    daemon.kill();
    check(&start());
}
