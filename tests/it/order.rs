//! Notifications that arrive in another order than the events, and what a restart makes of them.

use crate::daemon::{Daemon, notification};

const INPUT: &str = "00000000000000000000000000000007";

/// Event and time, `HH:MM:SS` of one day.
type Sent = (&'static str, &'static str);

/// The metrics of the input that depend on order: connected, sessions, reconnects, inconsistent connects and disconnects,
/// connected seconds; and the number of finished sessions and of reconnect delays.
fn metrics(daemon: &Daemon) -> [Option<f64>; 8] {
    let of_input = |name: &str, labels: &str| {
        daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{INPUT}\"{labels}}}"))
    };
    let count = |name: &str| daemon.metric(&format!("cloudflare_stream_live_input_{name}_seconds_count"));
    [
        of_input("connected", ""),
        of_input("sessions_total", ""),
        of_input("reconnects_total", ""),
        of_input("inconsistent_events_total", ",event=\"connected\""),
        of_input("inconsistent_events_total", ",event=\"disconnected\""),
        of_input("connected_seconds_total", ""),
        count("session_duration"),
        count("reconnect_delay"),
    ]
}

/// Ends the last session. The repeat settles everything before it, and is not settled itself.
const END: [Sent; 2] = [("disconnected", "12:10:00"), ("disconnected", "23:00:00")];

/// Posts these events and the end, and compares the metrics, also after a kill.
fn check(sent: &[Sent], expected: [f64; 8]) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for (event, time) in sent.iter().chain(&END) {
        let body = notification(INPUT, event, &format!("2026-11-20T{time}Z"));
        assert_eq!(daemon.post(&body).body, r#"{"outcome":"recorded"}"#, "{event} {time}");
    }
    let replayed = folder.path();
    daemon.kill();
    let daemon = Daemon::start(replayed);
    assert_eq!(metrics(&daemon), expected.map(Some), "{sent:?} after a kill");
    assert!(daemon.stop().success());
    let daemon = Daemon::start(replayed);
    assert_eq!(metrics(&daemon), expected.map(Some), "{sent:?} after a restart");
}

#[test]
fn reversed_pairs_count_as_reconnects_and_not_as_losses() {
    let sent = [
        ("connected", "12:00:00"),
        ("connected", "12:01:44"),
        ("disconnected", "12:01:40"),
        ("connected", "12:03:24"),
        ("disconnected", "12:03:20"),
    ];
    check(&sent, [0.0, 1.0, 2.0, 0.0, 0.0, 592.0, 1.0, 2.0]);
}

#[test]
fn late_disconnect_between_two_connects_ends_the_first_session() {
    let sent = [("connected", "11:26:40"), ("connected", "11:55:00"), ("disconnected", "11:35:00")];
    check(&sent, [0.0, 2.0, 0.0, 0.0, 0.0, 1400.0, 2.0, 1.0]);
}

#[test]
fn reconnect_within_one_second_leaves_the_input_connected_until_it_disconnects() {
    let sent = [("connected", "11:58:20"), ("connected", "12:00:00"), ("disconnected", "12:00:00")];
    check(&sent, [0.0, 1.0, 1.0, 0.0, 0.0, 700.0, 1.0, 1.0]);
}

#[test]
fn repeated_states_are_losses() {
    let sent = [("disconnected", "12:05:00"), ("connected", "12:00:00"), ("connected", "12:04:00")];
    check(&sent, [0.0, 1.0, 0.0, 1.0, 1.0, 300.0, 1.0, 0.0]);
}
