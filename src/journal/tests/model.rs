//! Any sequence of operations leaves the content that a model has.

use std::collections::BTreeMap;

use super::{World, all, append, save_checkpoint};
use crate::event::{InputId, Record, Timestamp};
use crate::journal::sqlite::tests::{at, record, rules};
use crate::journal::{Checkpoint, InputRow, Journal};

const OPERATIONS: usize = 150;

/// Expected content of the journal.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    records: Vec<Record>,
    last_position: u64,
    checkpoint: Option<Checkpoint>,
    inputs: BTreeMap<InputId, InputRow>,
}

impl Model {
    fn of(journal: &dyn Journal) -> Self {
        let mut inputs = BTreeMap::new();
        let mut visit = |input_id, row| {
            inputs.insert(input_id, row);
            Ok(())
        };
        journal.input_rows(&mut visit).unwrap();
        let (records, last_position) = (all(journal), journal.last_position());
        Self { records, last_position, checkpoint: journal.checkpoint().unwrap(), inputs }
    }

    fn append(&mut self, journal: &mut dyn Journal, count: u64) {
        let positions = self.last_position + 1..=self.last_position + count;
        append(journal, &mut positions.clone().map(record).collect::<Vec<_>>()).unwrap();
        self.records.extend(positions.map(|position| Record { position, ..record(position) }));
        self.last_position += count;
    }

    fn save_checkpoint(&mut self, journal: &mut dyn Journal, inputs: impl Iterator<Item = u8>) {
        let position = self.last_position;
        let state = format!("{{\"{position}\": \"it's\"}}");
        let checkpoint = Checkpoint { position, rules: rules(position / 3), version: 1, state };
        let row = |number: u8| {
            let (state, seen) = (position.to_string(), position.to_le_bytes().to_vec());
            let row = InputRow { position, version: 1, state, seen };
            (InputId::from_bytes([number / 2; 16]), number.is_multiple_of(2).then_some(row))
        };
        let rows: Vec<_> = inputs.map(row).collect();
        save_checkpoint(journal, &checkpoint, rows.clone()).unwrap();
        self.checkpoint = Some(checkpoint);
        for (input_id, row) in rows {
            match row {
                Some(row) => _ = self.inputs.insert(input_id, row),
                None => _ = self.inputs.remove(&input_id),
            }
        }
    }

    fn expire(&mut self, journal: &mut dyn Journal, horizon: Timestamp, limit: u64) {
        let position = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position);
        let first = self.records.first().map_or(0, |record| record.position);
        let before = self.records.len();
        self.records.retain(|record| {
            record.position > position || record.position >= first + limit || record.recorded_at >= horizon
        });
        let expired = journal.expire(horizon, Timestamp::MAX, limit).unwrap();
        assert_eq!(expired, (before - self.records.len()) as u64);
    }
}

pub(super) fn journal_equals_the_model(world: &dyn World) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut journal, mut model) = (world.open(), Model::default());
    for _ in 0..OPERATIONS {
        match random.u8(..8) {
            0..4 => model.append(&mut *journal, random.u64(..6)),
            4 => {
                let inputs: Vec<_> = (0..random.usize(..6)).map(|_| random.u8(..10)).collect();
                model.save_checkpoint(&mut *journal, inputs.into_iter());
            }
            5 | 6 => model.expire(&mut *journal, at(random.u64(..model.last_position + 2)), random.u64(1..20)),
            _ => journal = world.reopen(journal),
        }
        assert_eq!(Model::of(&*journal), model);
        let events = model.records.iter().filter(|record| record.event().is_some());
        assert_eq!(journal.events(), events.count() as u64);
    }
}
