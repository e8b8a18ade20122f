//! A locked journal and a full queue: notifications get 503, and the daemon recovers by itself.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::connection::{Connection, webhook_request};
use crate::daemon::{Daemon, PATIENCE, command, fixture, notification};
use crate::journal::database;

#[test]
fn locked_journal_answers_503_and_not_ready_until_it_is_writable() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.get("/-/ready").status, 200);
    let blocker = database(folder.path());
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();

    let answer = daemon.post(&fixture("connected"));
    assert_eq!((answer.status, answer.body.as_str()), (503, r#"{"error":"could not be recorded, try again"}"#));
    let ready = daemon.get("/-/ready");
    assert!(ready.status == 503 && ready.body.starts_with("journal: "), "{ready:?}");
    assert_eq!(daemon.get("/-/healthy").status, 200);
    // The time of a test notification is recorded too, so a test also needs the journal.
    assert_eq!(daemon.post(&fixture("save-and-test-properly")).status, 503);
    assert_eq!(daemon.metric("stream_live_exporter_last_test_timestamp_seconds"), None);
    assert_eq!(daemon.metric("stream_live_exporter_journal_append_failures_total"), Some(2.0));
    assert_eq!(daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="journal"}"#), Some(2.0));
    assert_eq!(daemon.metric("stream_live_exporter_inputs"), Some(0.0));

    blocker.busy_timeout(Duration::from_secs(1)).unwrap();
    blocker.execute_batch("ROLLBACK").unwrap();
    daemon.wait_for("journal is writable again");
    assert_eq!(daemon.get("/-/ready").status, 200);
    assert_eq!(daemon.post(&fixture("connected")).body, r#"{"outcome":"recorded"}"#);
}

#[test]
fn full_queue_answers_503_and_keeps_every_queued_notification() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__QUEUE_SIZE", "1");
    let daemon = Daemon::spawn(command, folder.path());
    let blocker = database(folder.path());
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();

    let (answer_tx, answered) = channel();
    for second in 10..50 {
        let (answer_tx, address) = (answer_tx.clone(), daemon.public_address().to_owned());
        let body = notification(&"a".repeat(32), "errored", &format!("2026-11-20T18:00:{second}Z"));
        let request = webhook_request(daemon.secret(), &body);
        thread::spawn(move || {
            let mut connection = Connection::open(&address).unwrap();
            connection.send(&request).unwrap();
            answer_tx.send(connection.read_answer().unwrap())
        });
    }
    let overloaded = "503 Service Unavailable | content-length: 33 | content-type: application/json | retry-after: 5 | \
                      {\"error\":\"overloaded, try again\"}";
    // Queued requests wait for the journal; further ones are rejected immediately.
    let mut answers = Vec::new();
    while answers.last().is_none_or(|answer| answer != overloaded) {
        answers.push(answered.recv_timeout(PATIENCE).unwrap().to_string());
    }
    blocker.execute_batch("ROLLBACK").unwrap();
    answers.extend((answers.len()..40).map(|_| answered.recv_timeout(PATIENCE).unwrap().to_string()));
    let count = |of: &dyn Fn(&str) -> bool| answers.iter().filter(|answer| of(answer)).count();
    let recorded = count(&|answer| answer.ends_with("{\"outcome\":\"recorded\"}"));
    let refused = count(&|answer| answer == overloaded);
    // On a slow machine the batch that waits for the journal may have failed already.
    let failed = count(&|answer| answer.ends_with("{\"error\":\"could not be recorded, try again\"}"));
    assert_eq!((recorded + refused + failed, recorded + failed > 0), (40, true), "{answers:?}");
    if failed > 0 {
        daemon.wait_for("journal is writable again");
    }
    assert_eq!(daemon.post(&fixture("connected")).body, r#"{"outcome":"recorded"}"#);
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some((recorded + 1) as f64));
    let rejected = r#"stream_live_exporter_requests_rejected_total{reason="overloaded"}"#;
    assert_eq!(daemon.metric(rejected), Some(refused as f64));
}
