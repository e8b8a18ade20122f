//! The engine's own rules: one request at a time, settings, clocks that jump.

use std::time::Duration;

use super::world::{World, account, at, input_id, settings};
use crate::cloudflare::{Endpoint, Next, Settings, TaskName};

#[test]
fn only_one_request_is_in_flight() {
    let mut world = World::new(settings());
    world.now = at(10);
    let view = world.view();
    assert!(matches!(world.engine.next(at(10), &view), Next::Request(_)));
    for seconds in [10, 20, 3000] {
        assert!(matches!(world.engine.next(at(seconds), &view), Next::Wait(_)));
    }
    // An answer without a request is ignored.
    let answer = Err(crate::cloudflare::TransportError::Timeout);
    assert_eq!(world.engine.answered(&answer, at(3000), &view), []);
    assert_eq!(world.engine.answered(&answer, at(3000), &view), []);
}

#[test]
fn rate_stays_within_the_share_of_the_limit() {
    for (share, inputs, limit) in [(0.25, 400, 300), (1.0, 1500, 1200), (0.01, 30, 12)] {
        let mut world = World::new(Settings { request_share: share, ..settings() });
        world.add_inputs(0..inputs);
        (0..inputs).for_each(|number| world.happens(number, true, true));
        world.run_until(at(1800));
        for window in 0..60 {
            let (from, to) = (at(window * 30), at(window * 30 + 300));
            let sent = world.sent.iter().filter(|(time, _)| (from..to).contains(time)).count();
            assert!(sent <= limit + 1, "{share}: {sent}");
        }
        let sent = world.sent.len();
        assert!(share > 0.5 || sent >= limit * 6 * 97 / 100, "{share}: {sent} of {}", limit * 6);
    }
}

#[test]
fn clock_that_jumps_neither_stalls_the_engine_nor_makes_it_hurry() {
    for jump in [-86_400_i64, 86_400] {
        let mut world = World::new(settings());
        world.add_inputs(0..20);
        world.happens(0, true, true);
        world.run_until(at(1000));
        let now = world.now.as_nanos() + jump * 1_000_000_000;
        world.now = crate::event::Timestamp::from_nanos(now);
        let before = world.sent.len();
        let end = world.now.plus(Duration::from_secs(600));
        world.run_until(end);
        let sent = world.sent.len() - before;
        assert!((100..=602).contains(&sent), "{jump}: {sent}");
        assert!(world.asked(at(0)).contains(&Endpoint::Inputs));
        assert_eq!(world.observed, [], "{jump}");
    }
}

#[test]
fn tasks_that_are_switched_off_are_not_known_about() {
    let mut world = World::new(settings());
    world.add_inputs(0..1);
    world.run_until(at(100));
    let facts = world.engine.facts();
    assert_eq!(facts.tasks.keys().copied().collect::<Vec<_>>(), [TaskName::Inventory, TaskName::Status]);
    assert!(facts.oldest_status.is_some() && facts.last_success(TaskName::Inventory).is_some());
    world.engine.reconfigure(Settings { reconcile: false, ..settings() });
    let facts = world.engine.facts();
    assert_eq!((facts.oldest_status, facts.last_success(TaskName::Status)), (None, None));
    assert!(facts.last_success(TaskName::Inventory).is_some());
}

#[test]
fn backfill_on_request_runs_although_the_task_is_off() {
    let mut world = World::new(Settings { inventory: None, reconcile: false, ..settings() });
    world.engine.backfill(at(0), at(10));
    world.now = at(10);
    for settings in [settings(), Settings { reconcile: false, inventory: None, ..settings() }] {
        world.engine.reconfigure(settings);
    }
    let view = world.view();
    let Next::Request(request) = world.engine.next(at(20), &view) else { panic!("there is no request") };
    assert_eq!(request.endpoint, Endpoint::History);
    assert!(world.engine.facts().tasks.contains_key(&TaskName::History));
}

#[test]
fn answer_of_the_account_before_is_ignored() {
    let mut world = World::new(settings());
    world.add_inputs(0..3);
    world.now = at(10);
    let view = world.view();
    let Next::Request(request) = world.engine.next(at(10), &view) else { panic!() };
    let answer_of_the_other = world.respond(&request);
    let other = "0123456789abcdef0123456789abcde0".parse().unwrap();
    world.engine.reconfigure(Settings { account_id: other, ..settings() });
    let Next::Request(request) = world.engine.next(at(12), &view) else { panic!("it waits for the other answer") };
    assert!(request.path.contains("abcde0"), "{}", request.path);
    let refused = Err(crate::cloudflare::TransportError::Timeout);
    assert_eq!(world.engine.answered(&refused, at(13), &view), []);
    assert_eq!(world.engine.answered(&answer_of_the_other, at(14), &view), []);
    assert_ne!(other, account());
    assert_eq!(world.asked_for(0), 0, "{}", input_id(0));
}
