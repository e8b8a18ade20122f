//! Smoke test: a notification becomes a metric, also after a restart.

use crate::daemon::{Daemon, fixture};

#[test]
fn notification_becomes_a_metric_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let connected = r#"cloudflare_stream_live_input_connected{input_id="2c28dd2cc444cb77578c4840b51e43a8"}"#;
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.metric(connected), None);
    let answer = daemon.post(&fixture("connected"));
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"outcome":"recorded"}"#));
    assert_eq!(daemon.metric(connected), Some(1.0));
    assert!(daemon.stop().success());
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.metric(connected), Some(1.0));
    assert_eq!(daemon.post(&fixture("connected")).body, r#"{"outcome":"duplicate"}"#);
}
