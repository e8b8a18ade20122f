//! Several processes append to one journal.

use std::thread;

use super::{all, append, failure, journal, server};
use crate::event::Record;
use crate::journal::postgres::PostgresJournal;
use crate::journal::postgres::cluster::Cluster;
use crate::journal::postgres::tail::MAX_TAIL;
use crate::journal::sqlite::tests::{at, record};
use crate::journal::{BatchId, Journal, JournalErrorKind, Reader, Unrecognized};

#[test]
fn writers_that_take_turns_have_the_same_records_in_the_same_order() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let write = |mut journal: PostgresJournal, first: u64| {
        let mut applied = Vec::new();
        for number in (first..300).step_by(3) {
            let mut records: Vec<_> = (0..number % 4).map(|more| record(number + more)).collect();
            // If others came first, the second attempt locks the head.
            for attempt in 0..2 {
                let mut append = journal.begin_without_tail(BatchId::random()).unwrap();
                applied.extend(append.tail().unwrap().records);
                append.records(&mut records.iter_mut()).unwrap();
                match append.commit() {
                    Err(error) if error.kind() == JournalErrorKind::Behind && attempt == 0 => {}
                    committed => {
                        committed.unwrap();
                        break;
                    }
                }
            }
            applied.extend(records);
        }
        applied.extend(journal.follow().unwrap().records);
        (journal, applied)
    };
    let journals: Vec<_> = (0..3).map(|first| (journal(&server), first)).collect();
    let mut written = thread::scope(|scope| {
        let threads: Vec<_> =
            journals.into_iter().map(|(journal, first)| scope.spawn(move || write(journal, first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for (journal, applied) in &mut written {
        applied.extend(journal.follow().unwrap().records);
        assert_eq!(journal.follow().unwrap().records, []);
    }
    let expected = all(&written[0].0);
    assert!(expected.iter().map(|record| record.position).eq(1..=expected.len() as u64));
    let appended: u64 = (0..300).map(|number| number % 4).sum();
    assert_eq!(expected.len() as u64, appended);
    for (journal, applied) in &written {
        assert!(applied == &expected);
        let events = expected.iter().filter(|record| record.event().is_some()).count() as u64;
        assert_eq!((journal.last_position(), journal.events()), (appended, events));
    }
}

#[test]
fn batch_that_was_committed_is_found_and_not_appended_again() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut first, mut second) = (journal(&server), journal(&server));
    let id = BatchId::random();
    let mut append = first.begin(id).unwrap();
    assert!(!append.tail().unwrap().has_batch);
    append.records(&mut [record(1), record(2)].iter_mut()).unwrap();
    append.commit().unwrap();
    // The same process, and one that has not seen the records.
    for (journal, tail) in [(&mut first, 0), (&mut second, 2)] {
        let mut append = journal.begin(id).unwrap();
        let seen = append.tail().unwrap();
        assert_eq!((seen.has_batch, seen.records.len()), (true, tail));
        let before = cluster.psql("SELECT xmin FROM stream_live_exporter.head");
        append.records(&mut [record(1), record(2)].iter_mut()).unwrap();
        append.commit().unwrap();
        assert_ne!(cluster.psql("SELECT xmin FROM stream_live_exporter.head"), before, "the commit writes");
        assert_eq!((all(&*journal).len(), journal.last_position()), (2, 2));
    }
}

#[test]
fn scrape_shows_the_state_at_its_position_and_times_increase() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut first, mut second) = (journal(&server), journal(&server));
    append(&mut first, &mut [record(1), record(2)]);
    let shown = [second.scrape().unwrap(), first.scrape().unwrap(), second.scrape().unwrap()];
    assert_eq!(shown.each_ref().map(|shown| shown.tail.records.len()), [2, 0, 0]);
    assert!(shown.is_sorted_by(|earlier, later| earlier.time < later.time), "{shown:?}");
    // A clock that was ahead.
    let ahead = shown[2].time.plus(std::time::Duration::from_secs(1000));
    cluster.psql(&format!("UPDATE stream_live_exporter.head SET time = {}", ahead.as_nanos()));
    assert_eq!(first.scrape().unwrap().time.as_nanos(), ahead.as_nanos() + 1000);
    let mut begun = second.begin(BatchId::random()).unwrap();
    assert_eq!(begun.tail().unwrap().shown_until.as_nanos(), ahead.as_nanos() + 1000);
}

#[test]
fn replica_that_is_far_behind_follows_in_parts_first() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut first, mut second) = (journal(&server), journal(&server));
    let mut records: Vec<Record> = (0..=MAX_TAIL).map(record).collect();
    let middle = records.len() / 2;
    append(&mut first, &mut records[..middle]);
    append(&mut first, &mut records[middle..]);
    assert_eq!(failure(second.begin(BatchId::random())), JournalErrorKind::Behind);
    assert_eq!(failure(second.scrape()), JournalErrorKind::Behind);
    assert_eq!(second.last_position(), 0);
    let parts = [second.follow().unwrap(), second.follow().unwrap(), second.follow().unwrap()];
    assert_eq!(parts.each_ref().map(|part| part.records.len() as u64), [MAX_TAIL, 1, 0]);
    assert_eq!(second.head(), MAX_TAIL + 1);
    append(&mut second, &mut [record(1)]);
    // The other one has not read that record, and is not behind by too much.
    assert_eq!(first.scrape().unwrap().tail.records.len(), 1);
}

#[test]
fn journal_that_lost_what_a_replica_has_is_noticed() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let lose = |journal: &mut PostgresJournal| {
        assert_eq!(failure(journal.follow()), JournalErrorKind::TailLost);
        assert_eq!(failure(journal.scrape()), JournalErrorKind::TailLost);
        assert_eq!(failure(journal.begin(BatchId::random())), JournalErrorKind::TailLost);
        // It is restored from the checkpoint.
        journal.replay(0, &mut drop).unwrap();
        assert_eq!(journal.follow().unwrap().records, []);
    };
    let (mut first, mut second) = (journal(&server), journal(&server));
    append(&mut first, &mut [record(1)]);
    let kept = cluster.psql("SELECT batch_id FROM stream_live_exporter.head");
    let fail_over = || {
        cluster.psql(&format!(
            "SET search_path = stream_live_exporter; DELETE FROM records WHERE position > 1; \
             DELETE FROM batches WHERE position > 1; UPDATE head SET position = 1, batch_id = '{kept}'"
        ));
    };
    append(&mut first, &mut [record(2)]);
    second.follow().unwrap();
    fail_over();
    lose(&mut first);
    // Others append in the place of what was lost: fewer, as many, and more.
    append(&mut first, &mut [record(3)]);
    lose(&mut second);
    append(&mut first, &mut [record(4)]);
    second.follow().unwrap();
    fail_over();
    first.replay(0, &mut drop).unwrap();
    append(&mut first, &mut [4, 5, 6].map(record));
    lose(&mut second);
    // Records that expired before this replica read them.
    append(&mut first, &mut [7, 8].map(record));
    cluster.psql("DELETE FROM stream_live_exporter.records WHERE position < 6");
    lose(&mut second);
    assert_eq!(second.last_position(), 6);
}

#[test]
fn record_of_a_newer_version_stops_reads_and_is_no_damage() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut first, mut second) = (journal(&server), journal(&server));
    append(&mut first, &mut [1, 2, 3, 4].map(record));
    for (position, change, kind) in [
        (1, "kind = 'exploded'", JournalErrorKind::UnknownRecord),
        (1, "note = 'odd'", JournalErrorKind::UnknownRecord),
        (4, "data = replace(data, '\"version\":1', '\"version\":2')", JournalErrorKind::UnknownRecord),
        (1, "updated_at = NULL", JournalErrorKind::Damaged),
        (2, "input_id = '2'", JournalErrorKind::Damaged),
        (4, "data = NULL", JournalErrorKind::Damaged),
        (2, "recorded_at = -1", JournalErrorKind::Damaged),
    ] {
        cluster.psql(&format!(
            "SET search_path = stream_live_exporter; CREATE TABLE before AS SELECT * FROM records; \
             UPDATE records SET {change} WHERE position = {position}"
        ));
        assert_eq!(failure(second.follow()), kind, "{change}");
        assert_eq!(failure(second.scrape()), kind, "{change}");
        assert_eq!(failure(second.begin(BatchId::random())), kind, "{change}");
        let mut visited = 0;
        let error = second.replay(0, &mut |_| visited += 1).unwrap_err();
        assert_eq!((error.kind(), visited), (kind, position - 1), "{change}");
        assert!(error.to_string().contains(&format!("record {position}")), "{error}");
        cluster.psql(
            "SET search_path = stream_live_exporter; TRUNCATE records; INSERT INTO records SELECT * FROM before; \
             DROP TABLE before",
        );
    }
    assert_eq!(second.follow().unwrap().records.len(), 4);
}

#[test]
fn documents_of_the_leader_are_changes_for_the_others() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut first, mut second) = (journal(&server), journal(&server));
    assert!(first.renew_lease().unwrap());
    first.documents().unwrap();
    second.documents().unwrap();
    first.save_documents(&[("a", Some("1"))]).unwrap();
    assert!(!first.follow().unwrap().documents_changed);
    assert!(second.follow().unwrap().documents_changed);
    assert!(second.follow().unwrap().documents_changed, "they were not read yet");
    assert_eq!(second.documents().unwrap()["a"], "1");
    assert!(!second.follow().unwrap().documents_changed);
}

#[test]
fn batch_without_tail_is_not_written_if_another_batch_a_scrape_or_a_test_came_first() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    let (mut first, mut second) = (journal(&server), journal(&server));
    second.follow().unwrap();
    let begin = |journal: &mut PostgresJournal, number: u64| {
        let mut append = journal.begin_without_tail(BatchId::random()).unwrap();
        let tail = append.tail().unwrap();
        append.records(&mut [record(number)].iter_mut()).unwrap();
        (tail, append.commit().map_err(|error| error.kind()))
    };
    for by in ["batch", "scrape", "test"] {
        let (tail, committed) = begin(&mut second, 1);
        assert_eq!((tail.records.len(), tail.now, committed), (0, None, Ok(())));
        first.follow().unwrap();
        let before = first.last_position();
        let others = match by {
            "batch" => {
                append(&mut first, &mut [record(2)]);
                1
            }
            "scrape" => first.scrape().unwrap().tail.records.len(),
            _ => {
                let mut append = first.begin_without_tail(BatchId::random()).unwrap();
                append.last_seen("by the first").unwrap();
                append.commit().unwrap();
                0
            }
        };
        let (tail, committed) = begin(&mut second, 3);
        assert_eq!((tail.records.len(), committed), (0, Err(JournalErrorKind::Behind)));
        // The next attempt reads.
        let (tail, committed) = begin(&mut second, 3);
        assert_eq!((tail.records.len(), committed), (others, Ok(())));
        assert!(tail.now.is_some());
        assert_eq!(second.last_position(), before + 1 + others as u64);
        assert_eq!(tail.last_seen.as_deref(), (by == "test").then_some("by the first"));
    }
    first.follow().unwrap();
    assert_eq!((first.last_position(), first.events()), (second.last_position(), second.events()));
    assert_eq!(all(&first).len(), 7);
}

#[test]
fn batch_without_tail_works_with_any_default_of_transactions() {
    let Some(cluster) = Cluster::start() else { return };
    let server = server(&cluster, &cluster.url());
    for default in ["default_transaction_isolation = 'repeatable read'", "default_transaction_read_only = on"] {
        cluster.psql(&format!("ALTER ROLE exporter SET {default}"));
        let mut journal = journal(&server);
        journal.follow().unwrap();
        let mut commit = || {
            let mut append = journal.begin_without_tail(BatchId::random()).unwrap();
            append.tail();
            append.records(&mut [record(1)].iter_mut()).unwrap();
            append.commit().map_err(|error| error.kind())
        };
        let first = commit();
        assert_eq!(first, if default.contains("read_only") { Err(JournalErrorKind::Behind) } else { Ok(()) });
        assert_eq!(commit(), Ok(()));
        cluster.psql("ALTER ROLE exporter RESET ALL");
    }
}

#[test]
fn batch_without_tail_keeps_bodies_only_with_the_lock() {
    let Some(cluster) = Cluster::start() else { return };
    let mut journal = journal(&server(&cluster, &cluster.url()));
    append(&mut journal, &mut [record(1)]);
    let body = Unrecognized { received_at: at(1), reason: "no_data".into(), body: b"{}".into() };
    let mut commit = || {
        let mut append = journal.begin_without_tail(BatchId::random()).unwrap();
        append.tail();
        append.unrecognized(std::slice::from_ref(&body)).unwrap();
        append.commit().map_err(|error| error.kind())
    };
    assert_eq!(commit(), Err(JournalErrorKind::Behind));
    assert_eq!(commit(), Ok(()));
    assert_eq!(cluster.psql("SELECT count(*) FROM stream_live_exporter.unrecognized"), "1");
}

#[test]
fn size_and_durability_are_measured() {
    let Some(cluster) = Cluster::start() else { return };
    let mut journal = journal(&server(&cluster, &cluster.url()));
    assert_eq!(journal.synchronous_commit(), Some(true));
    let before = journal.size_bytes();
    let mut records: Vec<_> = (0..1000).map(record).collect();
    append(&mut journal, &mut records);
    assert_eq!(journal.size_bytes(), before);
    journal.measure().unwrap();
    assert!(journal.size_bytes() > before.max(100_000), "{} bytes", journal.size_bytes());
}
