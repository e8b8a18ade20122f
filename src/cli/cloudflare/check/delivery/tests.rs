use serde_json::{Value, from_value, json};

use super::*;
use crate::live::Listed;

const URL: &str = "https://live.example.com/webhook";
const CHAPEL: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const YARD: &str = "eb222fcca08eeb1ae84c981ebe8aeeb6";

fn policy(members: Value) -> Value {
    let mut policy = json!({
        "id": "p1", "name": "Live", "enabled": true, "alert_type": "stream_live_notifications",
        "mechanisms": {"webhooks": [{"id": "d1"}]}, "filters": {}, "created": "2026-01-01T00:00:00Z",
    });
    let Value::Object(members) = members else { panic!("not an object: {members}") };
    policy.as_object_mut().unwrap().extend(members);
    policy
}

/// Subject and level of each finding that is not ok.
fn wrong(destinations: Value, policies: Value, silences: Value) -> Vec<(&'static str, Level)> {
    let existing =
        Existing { destinations: from_value(destinations).unwrap(), policies: from_value(policies).unwrap() };
    let silences: Vec<Silence> = from_value(silences).unwrap();
    let inputs = [CHAPEL, YARD].map(|id| (id.parse().unwrap(), Listed { name: "".into(), enabled: None }));
    let delivery = Delivery {
        url: URL,
        existing: &existing,
        silences: &silences,
        inputs: Some(&List { inputs: inputs.into(), is_complete: true }),
        is_errored_known: None,
        now: "2026-11-20T18:00:00Z".parse().unwrap(),
    };
    let findings = delivery.findings();
    assert!(findings.iter().all(|finding| (finding.level == Level::Ok) == finding.fix.is_none()), "{findings:?}");
    let wrong = findings.into_iter().filter(|finding| finding.level != Level::Ok);
    wrong.map(|finding| (finding.subject, finding.level)).collect()
}

fn ours() -> Value {
    json!([{"id": "d1", "name": "exporter", "url": URL, "last_success": "2026-11-20T17:00:00Z"}])
}

#[test]
fn destination_must_exist_and_its_last_delivery_must_have_succeeded() {
    let all = json!([policy(json!({}))]);
    for (destinations, expected) in [
        (ours(), vec![]),
        (json!([]), vec![("destination", Level::Error)]),
        (json!([{"id": "d1", "name": "exporter", "url": "https://old/"}]), vec![("destination", Level::Error)]),
        (
            json!([{"id": "d1", "url": URL, "last_failure": "2026-11-20T17:00:00Z"}]),
            vec![("destination", Level::Error)],
        ),
        (json!([{"id": "d1", "url": URL}]), vec![]),
    ] {
        assert_eq!(wrong(destinations.clone(), all.clone(), json!([])), expected, "{destinations}");
    }
}

#[test]
fn policies_must_deliver_all_events_of_all_inputs() {
    let (error, warning) = (("policy", Level::Error), ("policy", Level::Warning));
    for (policies, expected) in [
        (json!([]), vec![error]),
        (json!([policy(json!({"alert_type": "billing_usage_alert"}))]), vec![error]),
        (json!([policy(json!({"mechanisms": {"webhooks": [{"id": "d2"}]}}))]), vec![error]),
        (json!([policy(json!({"enabled": false}))]), vec![error]),
        (json!([policy(json!({"enabled": false})), policy(json!({"id": "p2"}))]), vec![warning]),
        (json!([policy(json!({"filters": {"event_type": EVENT_TYPES[..2]}}))]), vec![error]),
        (json!([policy(json!({"filters": {"event_type": EVENT_TYPES}}))]), vec![]),
        (json!([policy(json!({"filters": {"input_id": [CHAPEL]}}))]), vec![warning]),
        (
            json!([
                policy(json!({"filters": {"input_id": [CHAPEL]}})),
                policy(json!({"id": "p2", "filters": {"input_id": [YARD]}}))
            ]),
            vec![],
        ),
        (json!([policy(json!({"created": "2024-07-22T00:00:00Z"}))]), vec![warning]),
        (json!([policy(json!({"created": "2024-07-22T00:00:00Z"})), policy(json!({"id": "p2"}))]), vec![]),
        (json!([policy(json!({"created": null}))]), vec![]),
    ] {
        assert_eq!(wrong(ours(), policies.clone(), json!([])), expected, "{policies}");
    }
}

#[test]
fn silence_of_a_policy_that_feeds_the_destination_is_reported() {
    let policies = json!([policy(json!({}))]);
    let silence = |policy: &str, start: &str, end: &str| json!([{"policy_id": policy, "start_time": format!("2026-11-{start}:00Z"), "end_time": format!("2026-11-{end}:00Z")}]);
    for (silences, expected) in [
        (json!([]), vec![]),
        (silence("p1", "20T17:00", "20T19:00"), vec![("silence", Level::Error)]),
        (silence("p1", "21T17:00", "21T19:00"), vec![("silence", Level::Warning)]),
        (silence("p1", "19T17:00", "19T19:00"), vec![]),
        (silence("p2", "20T17:00", "20T19:00"), vec![]),
    ] {
        assert_eq!(wrong(ours(), policies.clone(), silences.clone()), expected, "{silences}");
    }
}
