//! Lost notifications are found.

use std::time::Duration;

use super::world::{World, account, at, input_id, settings};
use crate::clock::Stopwatch;
use crate::cloudflare::{Endpoint, Next, Settings};
use crate::event::{EventKind, Observed, Origin, RecordKind};
use crate::live::Verdict;
use crate::simulate::cloudflare::StatusForm;

/// A world in which all these inputs are connected, and have been for ten minutes.
fn connected(inputs: u32, form: StatusForm) -> World {
    let mut world = World::new(settings());
    world.add_inputs(0..inputs);
    for number in 0..inputs {
        world.api.account(account()).input(input_id(number)).unwrap().status = form;
        world.happens(number, true, true);
    }
    world.run_until(at(600));
    world
}

#[test]
fn lost_disconnect_is_repaired_within_one_sweep_and_fifteen_seconds() {
    for (inputs, limit) in [(1, 60), (30, 60), (300, 345)] {
        for form in StatusForm::EVIDENCE {
            let mut world = connected(inputs, form);
            world.happens(0, false, false);
            let lost_at = world.now;
            world.run_until_it(|world| !world.evidence(0).unwrap().connected);
            let took = world.now.since(lost_at).unwrap();
            assert!(took <= Duration::from_secs(limit), "{inputs} inputs, {form:?}: {took:?}");
            assert_eq!(world.observed.len(), 1);
            assert_eq!(world.observed[0].1, Verdict::Recorded(None));
            if form == StatusForm::Object {
                assert_eq!(world.observed[0].0.at, lost_at);
            }
        }
    }
}

#[test]
fn lost_connect_of_an_idle_input_is_repaired_while_others_are_live() {
    let mut world = connected(30, StatusForm::Object);
    world.add_inputs(30..60);
    world.api.account(account()).input(input_id(45)).unwrap().status = StatusForm::Object;
    world.run_until(at(1200));
    world.happens(45, true, false);
    world.run_until(at(1200 + 1200));
    assert_eq!(world.found(60), [(45, Observed::Connected, 1200)]);
}

#[test]
fn disagreement_needs_two_answers_and_no_notification_in_between() {
    // The notification is late: it arrives after the first answer.
    let mut world = connected(1, StatusForm::Object);
    world.happens(0, false, false);
    let lost_at = world.now;
    let asked = world.asked_for(0);
    world.run_until_it(|world| world.asked_for(0) > asked);
    world.arrives(0, false, lost_at);
    world.run_until(at(1500));
    assert_eq!(world.observed, []);

    // The API says the opposite only once.
    let mut world = connected(1, StatusForm::Object);
    let lie = serde_json::json!({ "uid": input_id(0), "status": "client_disconnect" });
    world.api.inject("live_inputs/", crate::simulate::cloudflare::Fault::WrongResult(lie));
    world.run_until(at(1500));
    assert_eq!(world.observed, []);
}

#[test]
fn disagreement_is_asked_for_again_after_fifteen_seconds_and_ahead_of_others() {
    let mut world = connected(300, StatusForm::Object);
    world.happens(7, false, false);
    let before = world.sent.len();
    world.run_until(at(1100));
    let asked: Vec<_> =
        world.sent[before..].iter().filter(|(_, it)| it.path.ends_with(&input_id(7).to_string())).collect();
    let gap = asked[1].0.since(asked[0].0).unwrap();
    assert!((Duration::from_secs(15)..Duration::from_secs(18)).contains(&gap), "{gap:?}");
}

#[test]
fn all_inputs_are_asked_and_the_oldest_answer_is_known_then() {
    let mut world = World::new(settings());
    world.add_inputs(0..50);
    world.happens(0, true, true);
    world.run_until(at(40));
    assert_eq!(world.engine.facts().oldest_status, None);
    world.run_until(at(200));
    let oldest = world.engine.facts().oldest_status.unwrap();
    assert!(oldest >= at(60), "{oldest}");
    assert!((0..50).all(|number| world.asked_for(number) >= 2));
    // One that is connected is asked more often than one that is not, but not all the time.
    assert!((5..=6).contains(&world.asked_for(0)), "{}", world.asked_for(0));
}

#[test]
fn account_is_asked_for_its_own_inputs() {
    let other = "fedcba9876543210fedcba9876543210".parse().unwrap();
    for (inventory, is_only_account, expected) in [
        (Some(Duration::from_secs(300)), true, [true, true, false, false]),
        (Some(Duration::from_secs(300)), false, [true, true, false, false]),
        (None, true, [false, true, false, true]),
        (None, false, [false, true, false, false]),
    ] {
        let mut world = World::new(Settings { inventory, is_only_account, ..settings() });
        // 0 is in the list, 1 has events of this account, 2 of another one, 3 of none.
        world.add_inputs(0..1);
        for (number, account_id) in [(1, Some(account())), (2, Some(other)), (3, None)] {
            let event = crate::event::Event {
                input_id: input_id(number),
                kind: EventKind::Connected,
                updated_at: at(0),
                sent_at: None,
                received_at: at(0),
                origin: Origin { account_id, ..Origin::default() },
            };
            world.record(RecordKind::Event(event, None));
        }
        world.run_until(at(120));
        let asked: Vec<_> = (0..4).map(|number| world.asked_for(number) > 0).collect();
        assert_eq!(asked, expected, "{inventory:?} {is_only_account}");
        let lists = world.asked(at(0)).contains(&Endpoint::Inputs);
        assert_eq!(lists, inventory.is_some());
    }
}

#[test]
fn nothing_is_asked_when_all_tasks_are_off() {
    let mut world = World::new(Settings { inventory: None, reconcile: false, ..settings() });
    world.happens(0, true, true);
    world.run_until(at(600));
    assert_eq!(world.sent, []);
    world.engine.reconfigure(settings());
    world.run_until(at(660));
    assert_ne!(world.sent, []);
}

/// Prints what a turn of the engine costs. Run with `--ignored --nocapture`, optimised.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn turn_with_ten_thousand_inputs() {
    let mut world = World::new(settings());
    world.add_inputs(0..10_000);
    for number in 0..1000 {
        world.happens(number, true, true);
    }
    world.run_until(at(60));
    let (mut turns, mut longest, mut total) = (0_u32, Duration::ZERO, Duration::ZERO);
    while world.now < at(660) {
        let view = world.view();
        let started = Stopwatch::start();
        let next = world.engine.next(world.now, &view);
        let mut took = started.elapsed();
        match next {
            Next::Wait(until) => world.now = until,
            Next::Request(request) => {
                let answer = world.respond(&request);
                let started = Stopwatch::start();
                world.engine.answered(&answer, world.now, &view);
                took += started.elapsed();
            }
        }
        turns += 1;
        total += took;
        longest = longest.max(took);
    }
    println!("{turns} turns in ten minutes: mean {:?}, longest {longest:?}, sum {total:?}", total / turns);
}
