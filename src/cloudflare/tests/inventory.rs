//! The list of inputs, and what proves a deletion.

use super::world::{World, account, at, input_id, settings};
use crate::event::{Observed, Timestamp};
use crate::live::Verdict;
use crate::simulate::cloudflare::{Counts, Fault, Listing, Pages};

/// A world with these inputs, all of them listed once.
fn listed(inputs: u32) -> World {
    let mut world = World::new(settings());
    world.add_inputs(0..inputs);
    world.run_until(at(100));
    world
}

fn names(world: &World, numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| world.fold.state().name(&input_id(number)).to_owned()).collect()
}

#[test]
fn listed_inputs_are_known_with_name_and_whether_they_are_enabled() {
    for array in [false, true] {
        let mut world = World::new(settings());
        world.api.account(account()).listing = Listing { array, ..Listing::default() };
        world.add_inputs(0..2);
        world.api.account(account()).input(input_id(1)).unwrap().enabled = false;
        world.run_until(at(60));
        assert_eq!(names(&world, 0..3), ["Input 0", "Input 1", ""]);
        let enabled = |number| world.fold.state().listed(&input_id(number)).unwrap().1.enabled;
        assert_eq!((enabled(0), enabled(1)), (Some(true), Some(false)));
        assert_eq!(world.evidence(0), None);
    }
}

#[test]
fn input_that_is_enabled_by_its_own_answer_is_so_in_the_next_list() {
    let mut world = World::new(settings());
    world.add_inputs(0..1);
    let list = serde_json::json!({ "liveInputs": [{ "uid": input_id(0), "meta": null }] });
    for _ in 0..2 {
        world.api.inject("live_inputs?", Fault::WrongResult(list.clone()));
    }
    let enabled = |world: &World| world.fold.state().listed(&input_id(0)).unwrap().1.enabled;
    world.run_until(at(100));
    assert_eq!(enabled(&world), None);
    world.run_until(at(400));
    assert_eq!(enabled(&world), Some(true));
}

#[test]
fn input_is_deleted_after_two_complete_lists_and_the_answer_that_it_does_not_exist() {
    let mut world = listed(3);
    world.happens(1, true, true);
    world.api.account(account()).delete_input(input_id(1));
    world.run_until(at(590));
    assert!(world.input(1).is_some(), "one list is not enough");
    world.run_until(at(640));
    assert_eq!(
        world.found(3).iter().map(|(number, found, _)| (*number, *found)).collect::<Vec<_>>(),
        [(1, Observed::Deleted)]
    );
    assert_eq!(world.observed[0].1, Verdict::Recorded(None));
    assert!(world.input(1).is_none());
    assert!(world.fold.state().listed(&input_id(1)).is_none());
    world.run_until(at(3000));
    assert_eq!(world.observed.len(), 1);
}

#[test]
fn input_that_never_spoke_is_deleted_too() {
    let mut world = listed(2);
    world.api.account(account()).delete_input(input_id(1));
    world.run_until(at(800));
    assert_eq!(world.observed.len(), 1);
    assert!(world.input(1).is_none());
}

#[test]
fn deletion_is_found_after_a_restart() {
    let mut world = listed(2);
    world.api.account(account()).delete_input(input_id(1));
    world.engine = crate::cloudflare::Engine::new(settings(), world.now, 9);
    world.run_until(at(800));
    assert_eq!(world.observed.len(), 1);
}

#[test]
fn deletion_that_an_event_prevented_is_observed_again() {
    let mut world = listed(2);
    world.api.account(account()).delete_input(input_id(1));
    world.run_until_it(|world| !world.observed.is_empty());
    // A notification that was on its way brings the input back.
    world.now = world.now.plus(std::time::Duration::from_secs(1));
    let now = world.now;
    world.arrives(1, false, now);
    assert!(world.input(1).is_some());
    world.run_until(at(1500));
    assert_eq!(world.observed.len(), 2);
    assert!(world.input(1).is_none());
}

#[test]
fn anything_less_deletes_nothing() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 9] = [
        ("an input that only a partial list contained", |world| {
            world.add_inputs(20..40);
            world.happens(30, true, true);
            world.api.inject("live_inputs?", Fault::PartialList);
            world.run_until(at(500));
            for number in 20..40 {
                assert!(world.api.account(account()).delete_input(input_id(number)));
            }
        }),
        ("an input that no list contained", |world| {
            world.happens(9, true, true);
            world.api.account(account()).delete_input(input_id(9));
        }),
        ("an input that exists", |world| {
            let list = serde_json::json!({ "liveInputs": [] });
            (0..20).for_each(|_| world.api.inject("live_inputs?", Fault::WrongResult(list.clone())));
        }),
        ("lists that are cut, with a total", |world| {
            world.api.account(account()).delete_input(input_id(1));
            world.add_inputs(20..24);
            world.api.account(account()).listing =
                Listing { array: false, range: Counts::Absent, pages: Pages::Newest(3) };
        }),
        ("lists that are cut, with a number of those that follow", |world| {
            world.api.account(account()).delete_input(input_id(1));
            world.add_inputs(20..24);
            world.api.account(account()).listing =
                Listing { array: false, range: Counts::Remaining, pages: Pages::Newest(3) };
        }),
        ("half of the lists", |world| {
            world.api.account(account()).delete_input(input_id(1));
            (0..20).for_each(|_| world.api.inject("live_inputs?", Fault::PartialList));
        }),
        ("lists that fail in between", |world| {
            world.api.account(account()).delete_input(input_id(1));
            let wrong = serde_json::json!({ "liveInputs": 7 });
            for _ in 0..20 {
                world.api.inject("live_inputs?", Fault::WrongResult(wrong.clone()));
            }
        }),
        ("another 404", |world| {
            world.api.account(account()).delete_input(input_id(1));
            for _ in 0..9000 {
                world.api.inject("live_inputs/", Fault::Error { status: 404, code: 7003 });
            }
        }),
        ("the code with another status", |world| {
            world.api.account(account()).delete_input(input_id(1));
            for _ in 0..9000 {
                world.api.inject("live_inputs/", Fault::Error { status: 400, code: 10003 });
            }
        }),
    ];
    for (name, change) in cases {
        let mut world = listed(3);
        change(&mut world);
        world.run_until(at(3000));
        assert_eq!(world.observed, [], "{name}");
        assert!((0..3).all(|number| world.input(number).is_some()), "{name}");
    }
}

#[test]
fn partial_list_makes_its_inputs_known_and_keeps_all_others() {
    let mut world = listed(4);
    world.add_inputs(4..8);
    world.api.inject("live_inputs?", Fault::PartialList);
    world.run_until(at(390));
    let known = |range: std::ops::Range<u32>| range.filter(|number| world.input(*number).is_some()).count();
    assert_eq!((known(0..4), known(4..8) > 0), (4, true));
}

#[test]
fn list_of_another_account_deletes_nothing() {
    let mut world = listed(3);
    world.happens(0, true, true);
    let mistyped = "0123456789abcdef0123456789abcde0".parse().unwrap();
    world.api.account(mistyped);
    world.engine.reconfigure(crate::cloudflare::Settings { account_id: mistyped, ..settings() });
    world.run_until(at(3000));
    assert_eq!(world.observed, []);
    assert!(
        world
            .engine
            .facts()
            .tasks
            .values()
            .all(|task| task.last_success > Some(at(2000)) || task.last_success.is_none())
    );
}

#[test]
fn inputs_are_listed_once_per_interval() {
    let mut world = listed(1);
    let lists = |world: &World| {
        world
            .sent
            .iter()
            .filter(|(_, it)| it.path.contains("live_inputs?"))
            .map(|(time, _)| *time)
            .collect::<Vec<Timestamp>>()
    };
    world.run_until(at(1000));
    assert_eq!(lists(&world).len(), 4);
}
