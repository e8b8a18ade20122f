//! Compares the journal with a model: after any sequence of operations and power failures, it has the expected content.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Operations and failures.
#[derive(Debug, Clone)]
enum Operation {
    /// Appends this many records in one batch.
    Append(u64),
    /// Fails to append this many records, because of a write error.
    Refuse(u64),
    /// Saves a checkpoint with rows of these inputs, and deletes rows of those.
    Checkpoint { changed: Vec<u8>, deleted: Vec<u8> },
    /// Deletes records from before this second.
    Expire(u64),
    /// SQLite transfers its WAL to the database.
    CheckpointWal,
    /// Closes and opens the journal.
    Reopen,
    /// The power fails.
    Crash,
    /// The power fails while this many records are written, after a part of the bytes.
    CrashInAppend { count: u64, part: prop::sample::Index },
}

fn operation() -> impl Strategy<Value = Operation> {
    let inputs = || proptest::collection::vec(0u8..5, 0..4);
    prop_oneof![
        4 => (0u64..6).prop_map(Operation::Append),
        1 => (1u64..4).prop_map(Operation::Refuse),
        2 => (inputs(), inputs()).prop_map(|(changed, deleted)| Operation::Checkpoint { changed, deleted }),
        2 => (0u64..40).prop_map(Operation::Expire),
        1 => Just(Operation::CheckpointWal),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Crash),
        2 => (1u64..6, any::<prop::sample::Index>())
            .prop_map(|(count, part)| Operation::CrashInAppend { count, part }),
    ]
}

/// Expected content of the journal.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    records: Vec<Record>,
    last_position: u64,
    checkpoint: Option<Checkpoint>,
    inputs: BTreeMap<InputId, InputRow>,
}

impl Model {
    fn of(journal: &SqliteJournal) -> Self {
        let mut inputs = BTreeMap::new();
        let visited = journal.input_rows(|input_id, row| {
            inputs.insert(input_id, row);
            Ok(())
        });
        visited.unwrap();
        Self {
            records: all(journal),
            last_position: journal.last_position(),
            checkpoint: journal.checkpoint().unwrap(),
            inputs,
        }
    }

    fn append(&mut self, count: u64) {
        let positions = self.last_position + 1..=self.last_position + count;
        self.records.extend(positions.map(|position| Record { position, ..record(position) }));
        self.last_position += count;
    }

    fn expire(&mut self, horizon: Timestamp, limit: u64) -> u64 {
        let position = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position);
        let first = self.records.first().map_or(0, |record| record.position);
        let before = self.records.len();
        self.records.retain(|record| {
            record.position > position || record.position >= first + limit || record.recorded_at >= horizon
        });
        (before - self.records.len()) as u64
    }
}

/// A journal in its folder, and its expected content.
struct World {
    folder: tempfile::TempDir,
    journal: Option<SqliteJournal>,
    model: Model,
}

/// The files of the database and its WAL.
type Files = [Vec<u8>; 2];

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Some(SqliteJournal::open(folder.path()).unwrap());
        Self { folder, journal, model: Model::default() }
    }

    fn journal(&mut self) -> &mut SqliteJournal {
        self.journal.as_mut().unwrap()
    }

    fn append(&mut self, count: u64) -> Result<(), JournalError> {
        let next = self.model.last_position + 1;
        self.journal().append(&mut (next..next + count).map(record).collect::<Vec<_>>())
    }

    fn files(&self) -> Files {
        ["", "-wal"].map(|suffix| fs::read(self.folder.path().join(format!("{DATABASE_FILE}{suffix}"))).unwrap())
    }

    /// Opens a journal from these files, which a crash left.
    fn open_from(&mut self, [database, log]: &Files) {
        drop(self.journal.take());
        self.folder = tempfile::tempdir().unwrap();
        fs::write(self.folder.path().join(DATABASE_FILE), database).unwrap();
        fs::write(self.folder.path().join(format!("{DATABASE_FILE}-wal")), log).unwrap();
        self.journal = Some(SqliteJournal::open(self.folder.path()).unwrap());
    }

    fn perform(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(count) => {
                self.append(*count).unwrap();
                self.model.append(*count);
            }
            Operation::Refuse(count) => {
                self.journal().database.connection.pragma_update(None, "query_only", true).unwrap();
                self.append(*count).unwrap_err();
                self.journal().database.connection.pragma_update(None, "query_only", false).unwrap();
            }
            Operation::Checkpoint { changed, deleted } => self.checkpoint(changed, deleted),
            Operation::Expire(horizon) => {
                let expired = self.journal().expire(at(*horizon), Timestamp::from_nanos(i64::MAX), 10).unwrap();
                assert_eq!(expired, self.model.expire(at(*horizon), 10));
            }
            Operation::CheckpointWal => {
                self.journal()
                    .database
                    .connection
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                    .unwrap();
            }
            Operation::Reopen => {
                drop(self.journal.take());
                self.journal = Some(SqliteJournal::open(self.folder.path()).unwrap());
            }
            Operation::Crash => {
                let files = self.files();
                self.open_from(&files);
            }
            Operation::CrashInAppend { count, part } => self.crash_in_append(*count, *part),
        }
    }

    fn checkpoint(&mut self, changed: &[u8], deleted: &[u8]) {
        let position = self.model.last_position;
        let state = format!("{{\"{position}\": \"it's\"}}");
        let checkpoint = Checkpoint { position, rules: rules(position / 3), version: 1, state };
        let rows = changed.iter().map(|number| {
            let input_id = InputId::from_bytes([*number; 16]);
            let (state, seen) = (position.to_string(), position.to_le_bytes().to_vec());
            (input_id, InputRow { position, version: 1, state, seen })
        });
        let deleted: Vec<InputId> = deleted.iter().map(|number| InputId::from_bytes([*number; 16])).collect();
        let deletions = deleted.iter().map(|input_id| (*input_id, None));
        self.journal()
            .save_checkpoint(&checkpoint, deletions.chain(rows.clone().map(|(input_id, row)| (input_id, Some(row)))))
            .unwrap();
        self.model.checkpoint = Some(checkpoint);
        self.model.inputs.retain(|input_id, _| !deleted.contains(input_id));
        self.model.inputs.extend(rows);
    }

    /// Only a part of an append's writes reaches the disk. The batch must then be there completely or not at all.
    fn crash_in_append(&mut self, count: u64, part: prop::sample::Index) {
        let [database, old_log] = self.files();
        self.append(count).unwrap();
        let [written_database, log] = self.files();
        assert_eq!(database, written_database, "an append is written to the WAL");
        let length = part.index(log.len() + 1);
        // In a restarted WAL, older frames follow the new ones.
        let torn = [&log[..length], old_log.get(length..).unwrap_or_default()].concat();
        self.open_from(&[database, torn]);
        if self.journal().last_position() != self.model.last_position || length == log.len() {
            self.model.append(count);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn journal_equals_the_model(operations in proptest::collection::vec(operation(), 1..30)) {
        let mut world = World::new();
        for operation in operations {
            world.perform(&operation);
            let World { journal, model, .. } = &world;
            let journal = journal.as_ref().unwrap();
            prop_assert_eq!(&Model::of(journal), model, "after {:?}", operation);
            let events = || model.records.iter().filter(|record| record.event().is_some());
            prop_assert_eq!(journal.events(), events().count() as u64);
            let newest: Vec<_> = events().rev().take(3).cloned().collect();
            prop_assert_eq!(journal.newest_events(3).unwrap(), newest);
        }
        prop_assert_eq!(world.journal().integrity_problems().unwrap(), Vec::<String>::new());
    }
}
