//! Tests with a real server.

mod away;
mod connecting;
mod lease;
mod preparing;
mod sharing;

use std::future::Future;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::cluster::Cluster;
use super::head::Connection;
use super::journal::PostgresJournal;
use super::server::Server;
use crate::event::Record;
use crate::journal::{BatchId, Journal, JournalError, JournalErrorKind, Reader};

const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster's server, with its password.
fn server(cluster: &Cluster, url: &str) -> Server {
    server_with(url, Some(cluster.password_file()))
}

fn server_with(url: &str, password_file: Option<PathBuf>) -> Server {
    Server::new(url.parse().unwrap(), password_file, "stream_live_exporter".parse().unwrap())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A process that has every record.
pub(in crate::journal) fn journal(server: &Server) -> PostgresJournal {
    waking(server).0
}

/// A journal that has a connection and every record, and what wakes its thread.
fn waking(server: &Server) -> (PostgresJournal, Receiver<()>) {
    let (mut journal, woken) = opened(server);
    // A busy machine may have missed the deadline.
    if journal.poll_connection() == Connection::Away {
        come_back(&mut journal, &woken);
    }
    journal.replay(0, &mut drop).unwrap();
    (journal, woken)
}

/// A journal that may be away, and what wakes its thread.
fn opened(server: &Server) -> (PostgresJournal, Receiver<()>) {
    let (wake, woken) = channel();
    let journal = PostgresJournal::open(server.clone(), "test", move || _ = wake.send(())).unwrap();
    (journal, woken)
}

fn come_back(journal: &mut PostgresJournal, woken: &Receiver<()>) {
    woken.recv_timeout(PATIENCE).unwrap();
    assert_eq!(journal.poll_connection(), Connection::Connected);
}

fn append(journal: &mut PostgresJournal, records: &mut [Record]) {
    let mut append = journal.begin(BatchId::random()).unwrap();
    append.tail();
    append.records(&mut records.iter_mut()).unwrap();
    append.commit().unwrap();
}

fn all(journal: &impl Reader) -> Vec<Record> {
    let mut records = Vec::new();
    journal.replay(0, &mut |record| records.push(record)).unwrap();
    records
}

fn failure<T>(result: Result<T, JournalError>) -> JournalErrorKind {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind(),
    }
}
