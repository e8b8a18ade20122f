//! Whatever the API does: a defined effect, and no wrong observation.

use std::time::Duration;

use serde_json::json;

use super::world::{World, account, at, input_id, settings};
use crate::cloudflare::ApiErrorKind::{
    self, ClientError, Invalid, Network, NoSubscription, NotFound, RateLimited, ServerError, Timeout, Unauthorized,
};
use crate::cloudflare::TaskName;
use crate::event::Observed;
use crate::simulate::cloudflare::{ClockSkew, Fault, StatusForm};

/// From here on all answers have the fault.
const BEGIN: u64 = 400;

/// Twelve inputs of which half are connected, and a fault for ten minutes. Then the API is well again.
fn after(fault: &Fault) -> World {
    let mut world = World::new(settings());
    world.add_inputs(0..12);
    (0..6).for_each(|number| world.happens(number, true, true));
    world.run_until(at(BEGIN));
    (0..5000).for_each(|_| world.api.inject("/accounts/", fault.clone()));
    world.run_until(at(BEGIN + 600));
    world
}

#[test]
fn every_fault_has_its_kind_a_limited_rate_and_no_effect_on_the_state() {
    let error = |status, code| Fault::Error { status, code };
    let redirect = Fault::Redirect("https://example.com/".to_owned());
    // The fault, its kind, and how many requests there may be in ten minutes.
    let cases: [(Fault, ApiErrorKind, [usize; 2]); 22] = [
        (error(401, 1000), Unauthorized, [9, 11]),
        (error(403, 10000), Unauthorized, [2, 6]),
        (error(403, 10002), NoSubscription, [2, 6]),
        (error(404, 7003), NotFound { code: Some(7003) }, [6, 20]),
        (Fault::ErrorPage(404), NotFound { code: None }, [6, 20]),
        (error(400, 6003), ClientError, [6, 20]),
        (Fault::RateLimited(None), RateLimited, [1, 3]),
        (Fault::RateLimited(Some(Duration::from_secs(60))), RateLimited, [6, 11]),
        (Fault::RateLimited(Some(Duration::from_secs(86_400))), RateLimited, [1, 1]),
        (error(500, 10001), ServerError, [6, 20]),
        (Fault::ErrorPage(502), ServerError, [6, 20]),
        (Fault::ErrorPage(530), ServerError, [6, 20]),
        (Fault::Slow(Duration::from_secs(20)), Timeout, [6, 20]),
        (redirect, Invalid, [6, 20]),
        (Fault::Huge, Invalid, [6, 20]),
        (Fault::Truncated, Network, [6, 20]),
        (Fault::NotJson, Invalid, [6, 20]),
        (Fault::NoEnvelope, Invalid, [6, 20]),
        (Fault::WrongResult(json!("connected")), Invalid, [6, 20]),
        (Fault::WrongResult(json!(["disconnected"])), Invalid, [6, 20]),
        (Fault::WrongResult(json!({ "uid": "x", "status": "disconnected" })), Invalid, [6, 20]),
        (Fault::WrongResult(json!(null)), Invalid, [6, 20]),
    ];
    for (fault, kind, [least, most]) in cases {
        let mut world = after(&fault);
        let requests = world.asked(at(BEGIN)).len();
        assert!((least..=most).contains(&requests), "{fault:?}: {requests} requests");
        let facts = world.engine.facts();
        let error = facts.tasks.values().find_map(|task| task.error.clone()).unwrap_or_else(|| panic!("{fault:?}"));
        assert_eq!(error.kind, kind, "{fault:?}");
        assert!(facts.last_success(TaskName::Status) < Some(at(BEGIN + 5)), "{fault:?}");
        assert_eq!(world.observed, [], "{fault:?}");
        assert!((0..12).all(|number| world.input(number).is_some()), "{fault:?}");
        assert!((0..6).all(|number| world.evidence(number).unwrap().connected), "{fault:?}");

        // A notification was lost meanwhile. The API is well again, and the state is repaired.
        world.api.clear_faults();
        let now = world.now;
        world.happens(3, false, false);
        if fault == Fault::RateLimited(Some(Duration::from_secs(86_400))) {
            let longest_pause = world.now.plus(Duration::from_secs(3000));
            world.run_until(longest_pause);
        }
        world.run_until_it(|world| !world.observed.is_empty());
        let settled = world.now.plus(Duration::from_secs(400));
        world.run_until(settled);
        assert_eq!(world.found(12).len(), 1, "{fault:?}");
        assert_eq!(world.evidence(3).map(|evidence| evidence.connected), Some(false), "{fault:?}");
        assert!(world.observed[0].0.at >= now);
        let facts = world.engine.facts();
        assert!(facts.tasks.values().all(|task| task.error.is_none() && task.failures == 0), "{fault:?}");
    }
}

#[test]
fn fault_of_one_task_does_not_stop_the_others() {
    let mut world = World::new(settings());
    world.add_inputs(0..12);
    (0..6).for_each(|number| world.happens(number, true, true));
    world.run_until(at(BEGIN));
    (0..5000).for_each(|_| world.api.inject("live_inputs?", Fault::Error { status: 403, code: 10000 }));
    world.happens(2, false, false);
    world.run_until(at(BEGIN + 600));
    assert_eq!(world.found(12).len(), 1);
    let error = |name| world.engine.facts().tasks[&name].error.as_ref().map(|error| error.kind);
    assert_eq!((error(TaskName::Inventory), error(TaskName::Status)), (Some(Unauthorized), None));
}

#[test]
fn status_without_evidence_leaves_everything_as_it_is() {
    let silent = [
        StatusForm::Null,
        StatusForm::Absent,
        StatusForm::Number,
        StatusForm::Text("reconnecting"),
        StatusForm::Text("something new"),
        StatusForm::Text(""),
    ];
    for form in silent {
        let mut world = World::new(settings());
        world.add_inputs(0..4);
        (0..4).for_each(|number| world.api.account(account()).input(input_id(number)).unwrap().status = form);
        world.happens(0, true, true);
        world.run_until(at(500));
        world.happens(0, false, false);
        world.happens(1, true, false);
        world.run_until(at(2000));
        assert_eq!(world.observed, [], "{form:?}");
    }
}

#[test]
fn clock_skew_moves_no_observation_by_more_than_the_tolerance() {
    for seconds in [3, 60, 3600, 86_400] {
        let skew = Duration::from_secs(seconds);
        for skew in [ClockSkew::Ahead(skew), ClockSkew::Behind(skew)] {
            for form in StatusForm::EVIDENCE {
                let mut world = World::new(settings());
                world.api.clock_skew = skew;
                world.add_inputs(0..5);
                (0..5).for_each(|number| {
                    world.api.account(account()).input(input_id(number)).unwrap().status = form;
                });
                (0..3).for_each(|number| world.happens(number, true, true));
                world.run_until(at(300));
                assert_eq!(world.observed, [], "{skew:?} {form:?}");
                world.happens(0, false, false);
                world.run_until(at(400));
                let [(0, Observed::Disconnected, found_at)] = world.found(5)[..] else {
                    panic!("{skew:?} {form:?}: {:?}", world.observed)
                };
                let latest = if form == StatusForm::Object { 306 } else { 345 };
                assert!((295..=latest).contains(&found_at), "{skew:?} {form:?}: {found_at}");
            }
        }
    }
}

#[test]
fn input_that_fails_alone_does_not_stop_the_sweep() {
    let mut world = World::new(settings());
    world.add_inputs(0..10);
    (0..10).for_each(|number| world.happens(number, true, true));
    (0..5000).for_each(|_| world.api.inject(input_id(4).to_string(), Fault::ErrorPage(500)));
    world.run_until(at(BEGIN));
    world.happens(5, false, false);
    world.run_until(at(BEGIN + 120));
    assert_eq!(world.found(10).len(), 1);
    assert_eq!(world.engine.facts().oldest_status, None);
}
