//! What every journal does: the same cases for SQLite and PostgreSQL.

#![expect(clippy::print_stdout, reason = "a failure must name its case")]

mod cases;
mod model;
mod searches;

use super::postgres::cluster::Cluster;
use super::sqlite::tests::rules;
use super::{BatchId, Checkpoint, InputRow, Journal, JournalError, Reader, Server, SqliteJournal};
use crate::event::{InputId, Record};

/// A journal that can be opened again.
trait World {
    fn open(&self) -> Box<dyn Journal>;

    fn open_to_read(&self) -> Box<dyn Reader>;

    /// Ends the use of the journal, and opens it again.
    fn reopen(&self, mut journal: Box<dyn Journal>) -> Box<dyn Journal> {
        if let Some(shared) = journal.shared() {
            shared.release_lease().unwrap();
        }
        journal.close().unwrap();
        self.open()
    }
}

struct Sqlite(tempfile::TempDir);

impl World for Sqlite {
    fn open(&self) -> Box<dyn Journal> {
        Box::new(SqliteJournal::open(self.0.path()).unwrap())
    }

    fn open_to_read(&self) -> Box<dyn Reader> {
        Box::new(SqliteJournal::open_to_read(self.0.path()).unwrap())
    }
}

struct Postgres(Server);

impl World for Postgres {
    fn open(&self) -> Box<dyn Journal> {
        let mut journal = super::postgres::tests::journal(&self.0);
        assert!(journal.renew_lease().unwrap());
        Box::new(journal)
    }

    fn open_to_read(&self) -> Box<dyn Reader> {
        Box::new(super::PostgresReader::open(self.0.clone()).unwrap())
    }
}

type Case = fn(&dyn World);

const CASES: &[(&str, Case)] = &[
    ("records", cases::records_are_read_as_they_were_appended),
    ("texts", cases::texts_are_read_as_they_were_appended),
    ("rollback", cases::uncommitted_batch_is_rolled_back),
    ("last_seen", cases::last_seen_deliveries_are_durable_with_their_batch),
    ("documents", cases::documents_are_replaced_and_deleted),
    ("rows", cases::row_of_an_input_is_replaced_and_deleted),
    ("many_rows", cases::checkpoint_has_every_row),
    ("bodies", cases::newest_bodies_are_kept_up_to_their_number),
    ("body_sizes", cases::newest_bodies_are_kept_up_to_their_size_in_bytes),
    ("forgotten_bodies", cases::deleted_bodies_are_those_with_the_given_numbers_and_numbers_are_not_used_again),
    ("snapshot", cases::snapshot_stays_as_it_is),
    ("expiry", searches::record_from_a_wrong_clock_is_as_old_as_the_next_one),
    ("checkpoint", searches::records_after_the_checkpoint_do_not_expire),
    ("newest", searches::newest_events_and_records_of_an_input_are_found),
    ("times", searches::first_record_since_a_time_is_found),
    ("chunks", searches::replay_ends_at_the_record_that_was_newest_at_its_start),
    ("model", model::journal_equals_the_model),
];

#[test]
fn every_case_holds_in_sqlite() {
    for (name, case) in CASES {
        println!("{name}");
        case(&Sqlite(tempfile::tempdir().unwrap()));
    }
}

#[test]
fn every_case_holds_in_postgresql() {
    let Some(cluster) = Cluster::start() else { return };
    for (name, case) in CASES {
        println!("{name}");
        let (url, password) = (cluster.url().parse().unwrap(), Some(cluster.password_file()));
        case(&Postgres(Server::new(url, password, name.parse().unwrap())));
    }
}

fn append(journal: &mut dyn Journal, records: &mut [Record]) -> Result<(), JournalError> {
    let mut append = journal.begin(BatchId::random())?;
    // Without other writers, the tail has no records.
    assert!(append.tail().is_none_or(|tail| tail.records.is_empty()));
    append.records(&mut records.iter_mut())?;
    append.commit()
}

fn all<R: Reader + ?Sized>(journal: &R) -> Vec<Record> {
    let mut records = Vec::new();
    journal.replay(0, &mut |record| records.push(record)).unwrap();
    records
}

fn save_checkpoint(
    journal: &mut dyn Journal,
    checkpoint: &Checkpoint,
    rows: Vec<(InputId, Option<InputRow>)>,
) -> Result<(), JournalError> {
    journal.save_checkpoint(checkpoint, &mut rows.into_iter(), &mut std::iter::empty())
}

/// An empty checkpoint at this position.
fn checkpoint_at(position: u64) -> Checkpoint {
    Checkpoint { position, rules: rules(position), version: 1, state: "{}".into() }
}
