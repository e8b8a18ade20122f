//! The health of our destination.

use serde_json::{Value, json};

use super::world::{World, at, settings};
use crate::cloudflare::{Answer, Next, RateLimit, Response, Settings, TaskName};
use crate::event::Timestamp;
use std::time::Duration;

const URL: &str = "https://live.example.com/webhook";
const SUCCESS: &str = "2026-11-20T18:00:00Z";
const FAILURE: &str = "2026-11-20T17:00:00Z";

fn ok(result: &Value) -> Answer {
    let body = json!({ "success": true, "errors": [], "messages": [], "result": result }).to_string().into_bytes();
    Ok(Response { status: 200, limit: RateLimit::default(), date: None, body })
}

fn refused(status: u16) -> Answer {
    let body = br#"{"success": false, "errors": [{"code": 1, "message": "No"}]}"#.to_vec();
    Ok(Response { status, limit: RateLimit::default(), date: None, body })
}

/// A world that has asked for destinations, policies and silences, with these answers.
fn checked(answers: [Answer; 3]) -> World {
    let webhook_url = Some(URL.to_owned());
    let destination = Some(Duration::from_secs(300));
    let mut world = World::new(Settings { webhook_url, destination, inventory: None, reconcile: false, ..settings() });
    let [destinations, policies, silences] = answers;
    while world.now < at(60) {
        let view = world.view();
        match world.engine.next(world.now, &view) {
            Next::Wait(until) => world.now = until,
            Next::Request(request) => {
                world.sent.push((world.now, request.clone()));
                let object = request.path.rsplit("/v3/").next().unwrap();
                let answer = match object {
                    "destinations/webhooks" => &destinations,
                    "policies" => &policies,
                    "silences" => &silences,
                    other => panic!("{other}"),
                };
                assert_eq!(world.engine.answered(answer, world.now, &view), []);
            }
        }
    }
    world
}

fn destinations() -> Value {
    json!([
        { "id": "d0", "url": "https://other.example.com/", "last_success": null, "last_failure": SUCCESS },
        { "id": "d1", "url": URL, "last_success": SUCCESS, "last_failure": FAILURE },
    ])
}

fn policy(id: &str, filters: &Value) -> Value {
    json!({
        "id": id,
        "enabled": true,
        "alert_type": "stream_live_notifications",
        "mechanisms": { "webhooks": [{ "id": "d0" }, { "id": "d1" }] },
        "filters": filters,
    })
}

#[test]
fn policy_delivers_if_it_is_enabled_feeds_us_with_all_events_and_is_not_silenced() {
    let with = |change: Value| {
        let mut policy = policy("p1", &json!({}));
        policy.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!([policy])
    };
    let all = ["live_input.connected", "live_input.disconnected", "live_input.errored"];
    let some_input = json!({ "input_id": ["2c28dd2cc444cb77578c4840b51e43a8"] });
    let silence =
        |policy: &str, until: &str| json!([{ "policy_id": policy, "start_time": SUCCESS, "end_time": until }]);
    let none = json!([]);
    for (policies, silences, delivering) in [
        (with(json!({})), none.clone(), true),
        (with(json!({ "filters": null })), json!(null), true),
        (with(json!({ "filters": { "event_type": all } })), none.clone(), true),
        (with(json!({ "filters": { "event_type": all[..2] } })), none.clone(), false),
        (with(json!({ "filters": some_input })), none.clone(), true),
        (with(json!({ "enabled": false })), none.clone(), false),
        (with(json!({ "alert_type": "billing_usage_alert" })), none.clone(), false),
        (with(json!({ "mechanisms": { "webhooks": [{ "id": "d0" }] } })), none.clone(), false),
        (with(json!({ "mechanisms": {} })), none.clone(), false),
        (with(json!({})), silence("p1", "2030-01-01T00:00:00Z"), false),
        (with(json!({})), silence("p2", "2030-01-01T00:00:00Z"), true),
        (with(json!({})), silence("p1", "2026-11-20T19:00:00Z"), true),
        (
            json!(
                [policy("p1", &json!({ "event_type": all[..2] })), policy("p2", &json!({ "event_type": all[2..] })),]
            ),
            none.clone(),
            true,
        ),
        (
            json!([policy("p1", &json!({ "event_type": all[..2] })), policy("p2", &some_input)]),
            silence("p2", "2030-01-01T00:00:00Z"),
            false,
        ),
        (json!([]), none.clone(), false),
    ] {
        let world = checked([ok(&destinations()), ok(&policies), ok(&silences)]);
        let facts = world.engine.facts();
        assert_eq!(facts.policy_delivering, Some(delivering), "{policies} {silences}");
        let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        assert_eq!((facts.destination_last_success, facts.destination_last_failure), (time(SUCCESS), time(FAILURE)));
        assert!(facts.last_success(TaskName::Destination).is_some());
        assert!(world.sent.len() <= 3, "{:?}", world.sent);
    }
}

#[test]
fn without_our_destination_nothing_is_delivered() {
    for (destinations, delivering) in [
        (json!([]), false),
        (json!(null), false),
        (json!([{ "id": "d1", "url": "https://live.example.com/webhook2" }]), false),
        (json!([{ "id": "d1", "url": "https://live.example.com/webhook/", "last_success": "never" }]), true),
    ] {
        let world = checked([ok(&destinations), ok(&json!([policy("p1", &json!({}))])), ok(&json!([]))]);
        let facts = world.engine.facts();
        assert_eq!(facts.policy_delivering, Some(delivering), "{destinations}");
        assert_eq!((facts.destination_last_success, facts.destination_last_failure), (None, None));
    }
}

#[test]
fn answer_that_is_missing_leaves_delivery_unknown() {
    let policies = || ok(&json!([policy("p1", &json!({}))]));
    for (answers, delivering) in [
        ([refused(403), policies(), ok(&json!([]))], None),
        ([ok(&json!({})), policies(), ok(&json!([]))], None),
        ([ok(&destinations()), refused(500), ok(&json!([]))], None),
        ([ok(&destinations()), policies(), refused(403)], None),
        // An account without silences.
        ([ok(&destinations()), policies(), refused(404)], Some(true)),
    ] {
        let world = checked(answers.clone());
        assert_eq!(world.engine.facts().policy_delivering, delivering, "{answers:?}");
    }
}
