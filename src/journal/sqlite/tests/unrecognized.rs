//! Kept bodies that were not understood.

use super::*;
use crate::journal::Unrecognized;
use crate::journal::content::{MAX_BODIES, MAX_BYTES};

fn keep(journal: &mut SqliteJournal, bodies: &[Vec<u8>]) {
    let unrecognized = |(number, body): (u64, &Vec<u8>)| Unrecognized {
        received_at: at(number),
        reason: "no_data".into(),
        body: body.clone(),
    };
    let bodies: Vec<_> = (0..).zip(bodies).map(unrecognized).collect();
    let mut append = journal.begin().unwrap();
    append.unrecognized(&bodies).unwrap();
    append.commit().unwrap();
}

fn kept(journal: &SqliteJournal) -> Vec<Vec<u8>> {
    journal.unrecognized().unwrap().into_iter().map(|kept| kept.body).collect()
}

#[test]
fn newest_bodies_are_kept_up_to_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    let bodies: Vec<_> = (0..MAX_BODIES + 5).map(|number| number.to_string().into_bytes()).collect();
    let (first, rest) = bodies.split_at(bodies.len() - 6);
    keep(&mut journal, first);
    assert_eq!(kept(&journal), first);
    rest.iter().for_each(|body| keep(&mut journal, std::slice::from_ref(body)));
    assert_eq!(kept(&journal), bodies[5..]);
}

#[test]
fn newest_bodies_are_kept_up_to_their_size_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    let body = |fill: u8, size: u64| vec![fill; usize::try_from(size).unwrap()];
    let bodies: Vec<_> = (1..=4).map(|fill| body(fill, MAX_BYTES / 4)).collect();
    keep(&mut journal, &bodies);
    assert_eq!(kept(&journal), bodies, "exactly the limit");
    let small = body(9, 1);
    keep(&mut journal, std::slice::from_ref(&small));
    assert_eq!(kept(&journal), [&bodies[1..], &[small]].concat());
    keep(&mut journal, &[body(7, MAX_BYTES + 1)]);
    assert_eq!(kept(&journal), Vec::<Vec<u8>>::new(), "one body above the limit");
}

#[test]
fn deleted_bodies_are_those_with_the_given_numbers_and_numbers_are_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    let bodies: Vec<_> = (1..=3).map(|fill| vec![fill]).collect();
    keep(&mut journal, &bodies);
    let numbers: Vec<_> = journal.unrecognized().unwrap().iter().map(|kept| kept.number).collect();
    let mut append = journal.begin().unwrap();
    append.forget_unrecognized(&[numbers[0], numbers[2], 99]).unwrap();
    append.commit().unwrap();
    assert_eq!(kept(&journal), [[2]]);
    keep(&mut journal, &[vec![4]]);
    assert!(journal.unrecognized().unwrap()[1].number > numbers[2]);
}
