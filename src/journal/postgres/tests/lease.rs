//! One replica at a time has the lease.

use super::{all, append, failure, journal, server};
use crate::event::Timestamp;
use crate::journal::postgres::PostgresJournal;
use crate::journal::postgres::cluster::Cluster;
use crate::journal::sqlite::tests::{record, rules};
use crate::journal::{Checkpoint, Journal, JournalError, JournalErrorKind, Reader};

fn save_checkpoint(journal: &mut PostgresJournal, position: u64) -> Result<(), JournalError> {
    let checkpoint = Checkpoint { position, rules: rules(position), version: 1, state: "{}".into() };
    journal.save_checkpoint(&checkpoint, &mut std::iter::empty(), &mut std::iter::empty())
}

/// Nothing of what only the holder of the lease may do works, and nothing is changed.
fn assert_refused(journal: &mut PostgresJournal) {
    let before = (journal.checkpoint().unwrap(), journal.documents().unwrap(), all(journal).len());
    assert_eq!(failure(save_checkpoint(journal, 2)), JournalErrorKind::NotLeader);
    assert_eq!(failure(journal.save_documents(&[("a", Some("2"))])), JournalErrorKind::NotLeader);
    assert_eq!(failure(journal.expire(Timestamp::MAX, Timestamp::MAX, 9)), JournalErrorKind::NotLeader);
    assert_eq!((journal.checkpoint().unwrap(), journal.documents().unwrap(), all(journal).len()), before);
    // The transaction has ended.
    append(journal, &mut [record(9)]);
}

#[test]
fn lease_is_refused_while_another_has_it_and_taken_over_when_it_expires_or_is_released() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut first, mut second) = (journal(&server), journal(&server));
    append(&mut first, &mut [record(1), record(2)]);
    second.follow().unwrap();
    assert_refused(&mut first);
    assert!(first.renew_lease().unwrap());
    assert!(!second.renew_lease().unwrap());
    assert!(first.renew_lease().unwrap());
    save_checkpoint(&mut first, 1).unwrap();
    first.save_documents(&[("a", Some("1"))]).unwrap();
    assert_refused(&mut second);
    // Not released: only its holder can.
    second.release_lease().unwrap();
    assert!(!second.renew_lease().unwrap());
    let seconds = "SELECT round(extract(epoch FROM until - clock_timestamp())) FROM stream_live_exporter.lease";
    assert!(["14", "15"].contains(&cluster.psql(seconds).as_str()));
    cluster.psql("UPDATE stream_live_exporter.lease SET until = clock_timestamp()");
    assert_refused(&mut first);
    assert!(second.renew_lease().unwrap());
    assert!(!first.renew_lease().unwrap());
    second.release_lease().unwrap();
    assert!(first.renew_lease().unwrap());
    assert_eq!(first.expire(Timestamp::MAX, Timestamp::MAX, 9).unwrap(), 1);
}

#[test]
fn lease_from_a_time_at_which_the_clock_of_the_server_was_ahead_is_taken_over() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut first, mut second) = (journal(&server), journal(&server));
    assert!(first.renew_lease().unwrap());
    cluster.psql("UPDATE stream_live_exporter.lease SET until = until + interval '1 hour'");
    assert!(second.renew_lease().unwrap());
    assert!(!first.renew_lease().unwrap());
}

#[test]
fn checkpoint_never_goes_back() {
    let Some(cluster) = Cluster::start() else { return };
    let mut journal = journal(&server(&cluster, &cluster.url()));
    assert!(journal.renew_lease().unwrap());
    append(&mut journal, &mut [1, 2, 3].map(record));
    save_checkpoint(&mut journal, 3).unwrap();
    assert_eq!(failure(save_checkpoint(&mut journal, 2)), JournalErrorKind::Behind);
    assert_eq!(journal.checkpoint().unwrap().unwrap().position, 3);
    save_checkpoint(&mut journal, 3).unwrap();
}
