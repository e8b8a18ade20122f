//! Expiry, and parts of the records.

use super::{World, all, append, checkpoint_at, save_checkpoint};
use crate::event::{InputId, Record};
use crate::journal::sqlite::tests::{at, record};

pub(super) fn record_from_a_wrong_clock_is_as_old_as_the_next_one(world: &dyn World) {
    let mut journal = world.open();
    // Everything expires, before the next times.
    let clear = |journal: &mut dyn crate::journal::Journal| {
        journal.expire(at(u64::from(u32::MAX)), at(0), 50).unwrap();
        assert_eq!(all(journal), []);
    };
    let mut expired = |times: &[u64]| {
        let mut records: Vec<Record> =
            times.iter().map(|time| Record { recorded_at: at(*time), ..record(*time) }).collect();
        append(&mut *journal, &mut records).unwrap();
        let newest = journal.last_position();
        save_checkpoint(&mut *journal, &checkpoint_at(newest), Vec::new()).unwrap();
        let expired = journal.expire(at(100), at(200), 50).unwrap();
        let kept = records.iter().skip(usize::try_from(expired).unwrap());
        assert!(all(&*journal).iter().eq(kept.clone()), "{times:?}");
        assert_eq!(journal.events(), kept.filter(|record| record.event().is_some()).count() as u64);
        clear(&mut *journal);
        expired
    };
    assert_eq!(expired(&[1, 99, 100, 150]), 2);
    // 1000 is after now.
    assert_eq!(expired(&[1, 1000, 1001, 99, 150]), 4);
    assert_eq!(expired(&[1000, 99, 100]), 2);
    assert_eq!(expired(&[1, 1000, 150]), 1);
    assert_eq!(expired(&[1000, 1001]), 0);
    // A record is not deleted before an older one.
    assert_eq!(expired(&[1, 150, 2, 3]), 1);
    assert_eq!(expired(&(1..90).collect::<Vec<_>>()), 50);
}

pub(super) fn records_after_the_checkpoint_do_not_expire(world: &dyn World) {
    let mut journal = world.open();
    append(&mut *journal, &mut [1, 2, 3, 4].map(record)).unwrap();
    assert_eq!(journal.expire(at(9), at(9), 50).unwrap(), 0);
    save_checkpoint(&mut *journal, &checkpoint_at(3), Vec::new()).unwrap();
    assert_eq!(journal.expire(at(9), at(9), 2).unwrap(), 2);
    assert_eq!(journal.expire(at(9), at(9), 50).unwrap(), 1);
    assert_eq!(journal.expire(at(9), at(9), 50).unwrap(), 0);
    let mut journal = world.reopen(journal);
    assert_eq!((journal.oldest_position().unwrap(), journal.last_position(), journal.events()), (4, 4, 0));
    append(&mut *journal, &mut [record(5)]).unwrap();
    assert_eq!(journal.last_position(), 5);
}

pub(super) fn newest_events_and_records_of_an_input_are_found(world: &dyn World) {
    let mut journal = world.open();
    assert_eq!((journal.newest_events(5).unwrap(), journal.oldest_event_at().unwrap()), (vec![], None));
    assert_eq!((journal.oldest_position().unwrap(), journal.newest_position().unwrap()), (0, 0));
    let mut records: Vec<_> = (3..40).map(record).collect();
    append(&mut *journal, &mut records).unwrap();
    let events: Vec<_> = records.iter().filter(|record| record.event().is_some()).cloned().collect();
    let newest: Vec<_> = events.iter().rev().take(5).cloned().collect();
    assert_eq!(journal.newest_events(5).unwrap(), newest);
    assert_eq!(journal.newest_events(1000).unwrap().len(), events.len());
    assert_eq!(journal.oldest_event_at().unwrap(), events[0].event().map(|event| event.received_at));
    assert_eq!((journal.oldest_position().unwrap(), journal.newest_position().unwrap()), (1, 37));
    let input_id = events[1].event().unwrap().input_id;
    append(&mut *journal, &mut [events[1].clone(), record(50), events[1].clone()]).unwrap();
    let of = |after, until, limit| {
        let records = journal.newest_of(&input_id, after, until, limit).unwrap();
        records.into_iter().map(|record| record.position).collect::<Vec<_>>()
    };
    let first = events[1].position;
    assert_eq!(of(0, 1000, 9), [40, 38, first]);
    assert_eq!(of(0, 1000, 2), [40, 38]);
    assert_eq!(of(first, 39, 9), [38]);
    assert_eq!(journal.newest_of(&InputId::from_bytes([9; 16]), 0, 99, 9).unwrap(), []);
}

pub(super) fn first_record_since_a_time_is_found(world: &dyn World) {
    let mut journal = world.open();
    assert_eq!((journal.first_since(at(1)).unwrap(), journal.first_from(1).unwrap()), (None, None));
    append(&mut *journal, &mut [10, 20, 20, 30].map(record)).unwrap();
    for (time, expected) in [(0, Some(1)), (10, Some(1)), (11, Some(2)), (20, Some(2)), (30, Some(4)), (31, None)] {
        let found = journal.first_since(at(time)).unwrap();
        assert_eq!(found.map(|(position, _)| position), expected, "{time}");
    }
    assert_eq!(journal.first_from(4).unwrap(), Some((4, at(30))));
    assert_eq!(journal.first_from(5).unwrap(), None);
}

pub(super) fn replay_ends_at_the_record_that_was_newest_at_its_start(world: &dyn World) {
    const COUNT: u64 = 10_001;
    let mut journal = world.open();
    append(&mut *journal, &mut (1..=COUNT).map(record).collect::<Vec<_>>()).unwrap();
    let reader = world.open_to_read();
    let mut positions = Vec::new();
    reader
        .replay(0, &mut |read| {
            positions.push(read.position);
            if read.position % 2500 == 0 {
                append(&mut *journal, &mut [record(1)]).unwrap();
            }
        })
        .unwrap();
    assert!(positions.into_iter().eq(1..=COUNT));
    assert_eq!(journal.last_position(), COUNT + 4);
}
