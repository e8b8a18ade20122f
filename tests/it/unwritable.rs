//! When the journal cannot be written: refuse, say so, and recover without help.

use std::time::Duration;

use crate::daemon::{Daemon, fixture};

#[test]
fn an_unwritable_journal_refuses_notifications_is_not_ready_and_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.get("/-/ready").status, 200);
    let blocker = rusqlite::Connection::open(folder.path().join("data/journal.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();

    let answer = daemon.post(&fixture("connected"));
    assert_eq!((answer.status, answer.body.as_str()), (503, r#"{"error":"could not be recorded, try again"}"#));
    let ready = daemon.get("/-/ready");
    assert_eq!((ready.status, ready.body.as_str()), (503, "journal: notifications cannot be made durable\n"));
    assert_eq!(daemon.get("/-/healthy").status, 200);
    // What needs no disk is answered, and proves nothing about the disk.
    assert_eq!(daemon.post(&fixture("save-and-test-properly")).status, 200);
    assert_eq!(daemon.get("/-/ready").status, 503);
    assert_eq!(daemon.metric("stream_live_exporter_journal_append_failures_total"), Some(1.0));
    assert_eq!(daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="journal"}"#), Some(1.0));
    assert_eq!(daemon.metric("stream_live_exporter_inputs"), Some(0.0));

    blocker.busy_timeout(Duration::from_secs(1)).unwrap();
    blocker.execute_batch("ROLLBACK").unwrap();
    daemon.wait_for("the journal can be written again");
    assert_eq!(daemon.get("/-/ready").status, 200);
    assert_eq!(daemon.post(&fixture("connected")).body, r#"{"outcome":"recorded"}"#);
}
