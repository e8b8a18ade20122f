//! Compares the spool with a model: after any sequence of operations and crashes, it has the expected content.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 12;

#[derive(Debug, Clone)]
enum Operation {
    /// Adds this many records and bodies.
    Append {
        tried: bool,
        records: u64,
        bodies: u64,
    },
    /// Fails to add this many records, because of a write error.
    Refuse(u64),
    /// Reads the oldest batch.
    Oldest,
    /// Reads and removes it.
    Remove,
    CheckpointWal,
    Reopen,
    /// The process is killed.
    Kill,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (any::<bool>(), 0u64..6, 0u64..3)
            .prop_map(|(tried, records, bodies)| Operation::Append { tried, records, bodies }),
        1 => (1u64..3).prop_map(Operation::Refuse),
        2 => Just(Operation::Oldest),
        3 => Just(Operation::Remove),
        1 => Just(Operation::CheckpointWal),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Kill),
    ]
}

/// A batch of the model.
#[derive(Debug, Clone, Default)]
struct ModelBatch {
    /// `None` until it is tried.
    id: Option<BatchId>,
    records: Vec<Record>,
    bodies: Vec<Unrecognized>,
}

/// Expected content of the spool.
#[derive(Debug, Default)]
struct Model {
    batches: VecDeque<ModelBatch>,
    /// Bodies that are not part of a batch.
    bodies: Vec<Unrecognized>,
    last_seen: Option<String>,
}

impl Model {
    fn records(&self) -> Vec<Record> {
        self.batches.iter().flat_map(|batch| batch.records.clone()).collect()
    }

    fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.bodies.is_empty() && self.last_seen.is_none()
    }

    fn append(&mut self, tried: Option<BatchId>, records: Vec<Record>, mut bodies: Vec<Unrecognized>, seen: &str) {
        self.last_seen = Some(seen.to_owned());
        if records.is_empty() {
            self.bodies.append(&mut bodies);
            return;
        }
        match self.batches.back_mut().filter(|newest| newest.id.is_none() && tried.is_none()) {
            Some(newest) => newest.records.extend(records),
            None => self.batches.push_back(ModelBatch { id: tried, records, bodies: Vec::new() }),
        }
        let of_batch = tried.and(self.batches.back_mut()).map_or(&mut self.bodies, |batch| &mut batch.bodies);
        of_batch.append(&mut bodies);
    }

    /// Compares the oldest batch, which may get its id now.
    fn check_oldest(&mut self, oldest: Option<&SpooledBatch>) {
        assert_eq!(oldest.is_none(), self.is_empty());
        let Some(oldest) = oldest else { return };
        if self.batches.is_empty() {
            self.batches.push_back(ModelBatch::default());
        }
        let Model { batches, bodies, last_seen } = self;
        let expected = &mut batches[0];
        if expected.id.is_none() {
            expected.bodies.append(bodies);
        }
        assert_eq!(oldest.id, *expected.id.get_or_insert(oldest.id));
        assert_eq!(
            (&oldest.records, &oldest.unrecognized, &oldest.last_seen),
            (&expected.records, &expected.bodies, &*last_seen)
        );
    }

    fn remove_oldest(&mut self) {
        self.batches.pop_front();
        self.last_seen = None;
    }
}

struct World {
    folder: tempfile::TempDir,
    spool: Option<Spool>,
    model: Model,
    /// Number of records and bodies so far.
    made: u64,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = Some(Spool::open(folder.path(), LIMIT).unwrap());
        Self { folder, spool, model: Model::default(), made: 0 }
    }

    fn spool(&mut self) -> &mut Spool {
        self.spool.as_mut().unwrap()
    }

    fn perform(&mut self, operation: &Operation) {
        match operation {
            Operation::Append { tried, records, bodies } => self.append(*tried, *records, *bodies),
            Operation::Refuse(count) => {
                let query_only =
                    |spool: &Spool, on| spool.database.connection.pragma_update(None, "query_only", on).unwrap();
                query_only(self.spool(), true);
                self.spool().append(None, &records(0..*count), &[body(1, 1)], "refused").unwrap_err();
                query_only(self.spool(), false);
            }
            Operation::Oldest => {
                let oldest = self.spool().oldest().unwrap();
                self.model.check_oldest(oldest.as_ref());
            }
            Operation::Remove => {
                let oldest = self.spool().oldest().unwrap();
                self.model.check_oldest(oldest.as_ref());
                if let Some(oldest) = oldest {
                    self.spool().remove(&oldest).unwrap();
                    self.model.remove_oldest();
                }
            }
            Operation::CheckpointWal => self.spool().database.transfer_wal().unwrap(),
            Operation::Reopen => {
                self.spool.take().unwrap().close().unwrap();
                self.spool = Some(Spool::open(self.folder.path(), LIMIT).unwrap());
            }
            Operation::Kill => self.kill(),
        }
    }

    fn append(&mut self, tried: bool, count: u64, bodies: u64) {
        let made = self.made;
        self.made += count.max(bodies);
        let tried = tried.then(BatchId::random);
        let bodies: Vec<_> = (made..made + bodies).map(|number| body(number, 5)).collect();
        let (records, last_seen) = (records(made..made + count), made.to_string());
        let appended = self.spool().append(tried, &records, &bodies, &last_seen);
        let fits = count == 0 || self.model.records().len() as u64 + count <= LIMIT;
        assert_eq!(appended.is_ok(), fits, "{appended:?}");
        if fits {
            self.model.append(tried, records, bodies, &last_seen);
        }
    }

    /// Opens the files as they are while the process has them open.
    fn kill(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        for file in [SPOOL_FILE, "spool.db-wal"] {
            fs::copy(self.folder.path().join(file), folder.path().join(file)).unwrap();
        }
        self.spool = Some(Spool::open(folder.path(), LIMIT).unwrap());
        self.folder = folder;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn spool_equals_the_model(operations in proptest::collection::vec(operation(), 1..30)) {
        let mut world = World::new();
        for operation in operations {
            world.perform(&operation);
            let World { spool, model, .. } = &world;
            let spool = spool.as_ref().unwrap();
            prop_assert_eq!(all(spool), model.records(), "after {:?}", operation);
            prop_assert_eq!((spool.len(), spool.is_empty()), (model.records().len() as u64, model.is_empty()));
        }
    }
}
