//! Memory of the notifications that are being read.

use super::event;
use crate::connection::{Connection, request};
use crate::daemon::{Daemon, eventually};

/// The largest accepted body.
const BODY: usize = 64 << 10;
/// All of these bodies together take the memory for notifications.
const BODIES: usize = 256;
/// Opens a connection from one of several addresses: one peer has fewer connections than this test needs.
fn open(daemon: &Daemon, number: usize) -> Connection {
    let source = format!("127.0.0.{}", 2 + number / 100).parse().unwrap();
    Connection::open_from(source, daemon.public_address()).unwrap()
}

fn overloaded(daemon: &Daemon) -> f64 {
    daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="overloaded"}"#).unwrap()
}

#[test]
fn bodies_that_are_being_read_take_memory_by_their_declared_size() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let head = format!("POST /webhook | cf-webhook-auth: {} | content-length: {BODY}", daemon.secret());
    let mut waiting: Vec<_> = (0..BODIES).map(|number| open(&daemon, number)).collect();
    waiting.iter_mut().for_each(|connection| connection.send(&request(&head, b"{")).unwrap());
    eventually("the memory is full", || daemon.post(&event(1)).status == 503);
    assert!(overloaded(&daemon) > 0.0);
    drop(waiting);
    eventually("the memory is released", || daemon.post(&event(1)).status == 200);
}
