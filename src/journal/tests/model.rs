//! The journal against a model: whatever is done to it, and whenever the power fails, it holds what
//! it was given.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What can happen to a journal.
#[derive(Debug, Clone)]
enum Operation {
    /// So many events are recorded together.
    Append(u64),
    /// They are not, because the disk refuses them.
    Refuse(u64),
    /// What the inputs amount to is kept, as rows of these inputs, and these are forgotten.
    Checkpoint { changed: Vec<u8>, forgotten: Vec<u8> },
    /// What was recorded before this second is deleted.
    Expire(u64),
    /// SQLite moves its write-ahead log into the database.
    WriteBack,
    /// A clean end, and a new beginning.
    Reopen,
    /// The power fails.
    Crash,
    /// The power fails while so many events are written, after a part of them.
    CrashInAppend { count: u64, part: prop::sample::Index },
}

fn operation() -> impl Strategy<Value = Operation> {
    let inputs = || proptest::collection::vec(0u8..5, 0..4);
    prop_oneof![
        4 => (0u64..6).prop_map(Operation::Append),
        1 => (1u64..4).prop_map(Operation::Refuse),
        2 => (inputs(), inputs()).prop_map(|(changed, forgotten)| Operation::Checkpoint { changed, forgotten }),
        2 => (0u64..40).prop_map(Operation::Expire),
        1 => Just(Operation::WriteBack),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Crash),
        2 => (1u64..6, any::<prop::sample::Index>())
            .prop_map(|(count, part)| Operation::CrashInAppend { count, part }),
    ]
}

/// What the journal should hold.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    entries: Vec<Entry>,
    last_seq: u64,
    checkpoint: Option<Checkpoint>,
    inputs: BTreeMap<InputId, InputRow>,
}

impl Model {
    fn of(journal: &Journal) -> Self {
        let mut inputs = BTreeMap::new();
        let visited = journal.checkpointed_inputs(|row| {
            inputs.insert(row.input_id, row);
            Ok(())
        });
        visited.unwrap();
        Self { entries: all(journal), last_seq: journal.last_seq(), checkpoint: journal.checkpoint().unwrap(), inputs }
    }

    fn append(&mut self, count: u64) {
        let seqs = self.last_seq + 1..=self.last_seq + count;
        self.entries.extend(seqs.map(|seq| Entry { seq, ..entry(seq) }));
        self.last_seq += count;
    }

    fn expire(&mut self, horizon: Timestamp, limit: u64) -> u64 {
        let position = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position);
        let first = self.entries.first().map_or(0, |entry| entry.seq);
        let before = self.entries.len();
        self.entries.retain(|entry| entry.seq > position || entry.seq >= first + limit || entry.recorded_at >= horizon);
        (before - self.entries.len()) as u64
    }
}

/// A journal in its folder, and what it should hold.
struct World {
    folder: tempfile::TempDir,
    journal: Option<Journal>,
    model: Model,
}

/// The database and its write-ahead log, as they lie on the disk.
type Files = [Vec<u8>; 2];

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Some(Journal::open(folder.path()).unwrap());
        Self { folder, journal, model: Model::default() }
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().unwrap()
    }

    fn append(&mut self, count: u64) -> Result<(), JournalError> {
        let next = self.model.last_seq + 1;
        self.journal().append(&mut (next..next + count).map(entry).collect::<Vec<_>>(), &[], None)
    }

    fn files(&self) -> Files {
        ["", "-wal"].map(|suffix| fs::read(self.folder.path().join(format!("{DATABASE_FILE}{suffix}"))).unwrap())
    }

    /// A new beginning from these files: the last process had no time to tidy up.
    fn begin_from(&mut self, [database, log]: &Files) {
        drop(self.journal.take());
        self.folder = tempfile::tempdir().unwrap();
        fs::write(self.folder.path().join(DATABASE_FILE), database).unwrap();
        fs::write(self.folder.path().join(format!("{DATABASE_FILE}-wal")), log).unwrap();
        self.journal = Some(Journal::open(self.folder.path()).unwrap());
    }

    fn perform(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(count) => {
                self.append(*count).unwrap();
                self.model.append(*count);
            }
            Operation::Refuse(count) => {
                self.journal().connection.pragma_update(None, "query_only", true).unwrap();
                self.append(*count).unwrap_err();
                self.journal().connection.pragma_update(None, "query_only", false).unwrap();
            }
            Operation::Checkpoint { changed, forgotten } => self.checkpoint(changed, forgotten),
            Operation::Expire(horizon) => {
                let expired = self.journal().expire(at(*horizon), 10).unwrap();
                assert_eq!(expired, self.model.expire(at(*horizon), 10));
            }
            Operation::WriteBack => {
                self.journal().connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            }
            Operation::Reopen => {
                drop(self.journal.take());
                self.journal = Some(Journal::open(self.folder.path()).unwrap());
            }
            Operation::Crash => {
                let files = self.files();
                self.begin_from(&files);
            }
            Operation::CrashInAppend { count, part } => self.crash_in_append(*count, *part),
        }
    }

    fn checkpoint(&mut self, changed: &[u8], forgotten: &[u8]) {
        let position = self.model.last_seq;
        let checkpoint = Checkpoint { position, state: format!("{{\"{position}\": \"it's\"}}") };
        let rows = changed.iter().map(|number| {
            let input_id = InputId::from_bytes([*number; 16]);
            InputRow { input_id, state: position.to_string(), identities: position.to_le_bytes().to_vec() }
        });
        let forgotten: Vec<InputId> = forgotten.iter().map(|number| InputId::from_bytes([*number; 16])).collect();
        self.journal().save_checkpoint(&checkpoint, rows.clone(), &forgotten).unwrap();
        self.model.checkpoint = Some(checkpoint);
        self.model.inputs.retain(|input_id, _| !forgotten.contains(input_id));
        self.model.inputs.extend(rows.map(|row| (row.input_id, row)));
    }

    /// A part of what the append writes has reached the disk: then all of it happened, or nothing.
    fn crash_in_append(&mut self, count: u64, part: prop::sample::Index) {
        let [database, old_log] = self.files();
        self.append(count).unwrap();
        let [written_database, log] = self.files();
        assert_eq!(database, written_database, "an append goes into the log");
        let length = part.index(log.len() + 1);
        // Where the log begins anew, older frames lie behind what is written.
        let torn = [&log[..length], old_log.get(length..).unwrap_or_default()].concat();
        self.begin_from(&[database, torn]);
        if self.journal().last_seq() != self.model.last_seq || length == log.len() {
            self.model.append(count);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn it_holds_what_the_model_holds(operations in proptest::collection::vec(operation(), 1..30)) {
        let mut world = World::new();
        for operation in operations {
            world.perform(&operation);
            let World { journal, model, .. } = &world;
            let journal = journal.as_ref().unwrap();
            prop_assert_eq!(&Model::of(journal), model, "after {:?}", operation);
            prop_assert_eq!(journal.events(), model.entries.len() as u64);
            let newest = model.entries.len().saturating_sub(3);
            prop_assert_eq!(&journal.newest(3).unwrap(), &model.entries[newest..]);
        }
        prop_assert_eq!(world.journal().integrity_problems().unwrap(), Vec::<String>::new());
    }
}
