use serde_json::from_value;

use super::*;
use crate::cloudflare::model::EVENT_TYPES;

const URL: &str = "https://live.example.com/webhook";
const CHAPEL: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const YARD: &str = "eb222fcca08eeb1ae84c981ebe8aeeb6";

fn account() -> AccountId {
    "0123456789abcdef0123456789abcdef".parse().unwrap()
}

fn wanted(inputs: &[&str]) -> Wanted {
    let inputs = inputs.iter().map(|input| input.parse().unwrap()).collect();
    Wanted { name: "exporter".to_owned(), url: URL.to_owned(), inputs }
}

fn existing(destinations: Value, policies: Value) -> Existing {
    Existing { destinations: from_value(destinations).unwrap(), policies: from_value(policies).unwrap() }
}

fn ours() -> Value {
    json!([{"id": "d1", "name": "exporter", "url": URL, "last_success": "2026-11-20T18:00:00Z", "last_failure": null}])
}

/// A policy about live inputs that delivers to `d1`, with these members instead.
fn policy(members: Value) -> Value {
    let mut policy = json!({
        "id": "p1", "name": "Live", "enabled": true, "alert_type": ALERT_TYPE,
        "mechanisms": {"webhooks": [{"id": "d1"}]}, "filters": {},
    });
    let Value::Object(members) = members else { panic!("not an object: {members}") };
    policy.as_object_mut().unwrap().extend(members);
    policy
}

/// Method, last part of the path and body of each request.
fn requests(steps: &[Step]) -> Vec<(Method, String, Value)> {
    let id: ObjectId = from_value(json!("d1")).unwrap();
    let requests = steps.iter().map(|step| step.request(account(), "s3cret", Some(&id)));
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    requests.map(|request| (request.method, last(&request.path), request.body.unwrap_or_default())).collect()
}

#[test]
fn empty_account_gets_a_destination_with_the_secret_and_a_policy_for_everything() {
    let steps = plan(&existing(json!([]), json!([])), &wanted(&[]));
    assert_eq!(
        requests(&steps),
        [
            (Method::Post, "webhooks".into(), json!({"name": "exporter", "url": URL, "secret": "s3cret"})),
            (
                Method::Post,
                "policies".into(),
                json!({
                    "name": "exporter", "enabled": true, "alert_type": ALERT_TYPE,
                    "mechanisms": {"webhooks": [{"id": "d1"}]}, "filters": {},
                })
            ),
        ]
    );
}

#[test]
fn nothing_is_planned_if_a_policy_delivers_what_is_wanted() {
    for (policies, inputs) in [
        (json!([policy(json!({}))]), &[][..]),
        (json!([policy(json!({"filters": null}))]), &[]),
        (json!([policy(json!({"filters": {"event_type": EVENT_TYPES, "input_id": []}}))]), &[]),
        (json!([policy(json!({"filters": {"input_id": [YARD, CHAPEL]}}))]), &[CHAPEL, YARD]),
        (json!([policy(json!({"enabled": false})), policy(json!({"id": "p2"}))]), &[]),
        (
            json!([policy(json!({"mechanisms": {"email": [{"id": "a@b"}], "webhooks": [{"id": "x"}, {"id": "d1"}]}}))]),
            &[],
        ),
    ] {
        assert_eq!(plan(&existing(ours(), policies.clone()), &wanted(inputs)), [], "{policies}");
    }
}

#[test]
fn policy_that_does_not_deliver_what_is_wanted_is_changed_and_keeps_its_other_receivers() {
    for (members, inputs, filters) in [
        (json!({"enabled": false}), &[][..], json!({})),
        (json!({"filters": {"event_type": EVENT_TYPES[..2]}}), &[], json!({})),
        (json!({"filters": {"input_id": [CHAPEL]}}), &[], json!({})),
        (json!({}), &[CHAPEL], json!({"input_id": [CHAPEL]})),
        (json!({"filters": {"input_id": [CHAPEL]}}), &[CHAPEL, YARD], json!({"input_id": [CHAPEL, YARD]})),
        (json!({"name": "exporter", "mechanisms": {"webhooks": [{"id": "other"}]}}), &[], json!({})),
    ] {
        let mut policy = policy(members.clone());
        policy["mechanisms"]["email"] = json!([{"id": "a@b"}]);
        policy["mechanisms"]["pagerduty"] = json!([]);
        let steps = plan(&existing(ours(), json!([policy])), &wanted(inputs));
        let requests = requests(&steps);
        let [(Method::Put, id, body)] = &requests[..] else { panic!("{requests:?}") };
        assert_eq!((id.as_str(), &body["enabled"], &body["filters"]), ("p1", &json!(true), &filters), "{members}");
        assert_eq!(body["mechanisms"]["email"], json!([{"id": "a@b"}]));
        assert!(body["mechanisms"].get("pagerduty").is_none());
        assert!(from_value::<PolicyBody>(body.clone()).unwrap().feeds(&from_value(json!("d1")).unwrap()), "{body}");
    }
}

#[test]
fn own_policy_is_created_beside_several_others_and_other_kinds_are_not_touched() {
    let half = |id: &str, input: &str| policy(json!({"id": id, "filters": {"input_id": [input]}}));
    for policies in [
        json!([half("p1", CHAPEL), half("p2", YARD)]),
        json!([policy(json!({"alert_type": "billing_usage_alert", "name": "exporter"}))]),
        json!([policy(json!({"mechanisms": {"webhooks": [{"id": "d2"}]}}))]),
    ] {
        let steps = plan(&existing(ours(), policies.clone()), &wanted(&[]));
        assert!(matches!(&steps[..], [Step::CreatePolicy(_)]), "{policies}: {steps:?}");
    }
}

#[test]
fn destination_with_another_url_or_a_failing_one_gets_url_and_secret() {
    let failing = json!({"last_success": "2026-11-20T18:00:00Z", "last_failure": "2026-11-20T18:00:01Z"});
    for change in [json!({"url": "https://old.example.com/webhook"}), failing] {
        let mut destinations = ours();
        destinations[0].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let steps = plan(&existing(destinations, json!([policy(json!({}))])), &wanted(&[]));
        let body = json!({"name": "exporter", "url": URL, "secret": "s3cret"});
        assert_eq!(requests(&steps), [(Method::Put, "d1".into(), body)], "{change}");
    }
}

#[test]
fn destination_is_found_by_its_url_under_another_name_and_prefers_its_own_name() {
    let destination = |id: &str, name: &str, url: &str| json!({"id": id, "name": name, "url": url});
    for (destinations, found) in [
        (json!([destination("a", "mine", URL)]), Some("a")),
        (json!([destination("a", "mine", URL), destination("b", "exporter", URL)]), Some("b")),
        (json!([destination("b", "exporter", "https://old/"), destination("a", "mine", URL)]), Some("a")),
        (json!([destination("b", "exporter", "https://old/"), destination("c", "x", "https://y/")]), Some("b")),
        (json!([destination("c", "x", "https://y/")]), None),
    ] {
        let existing = existing(destinations.clone(), json!([]));
        let found_id = existing.destination(&wanted(&[])).map(|destination| destination.id.as_str());
        assert_eq!(found_id, found, "{destinations}");
    }
}

#[test]
fn removal_deletes_policies_without_other_receivers_and_then_the_destination() {
    let policies = json!([
        policy(json!({"id": "only"})),
        policy(json!({"id": "shared", "mechanisms": {"email": [{"id": "a@b"}], "webhooks": [{"id": "d1"}]}})),
        policy(json!({"id": "other", "mechanisms": {"webhooks": [{"id": "d2"}]}})),
        policy(json!({"id": "billing", "alert_type": "billing_usage_alert"})),
    ]);
    let requests = requests(&removal(&existing(ours(), policies), &wanted(&[])));
    let order: Vec<_> = requests.iter().map(|(method, id, _)| (*method, id.as_str())).collect();
    assert_eq!(
        order,
        [(Method::Delete, "only"), (Method::Put, "shared"), (Method::Put, "billing"), (Method::Delete, "d1")]
    );
    assert_eq!(requests[1].2["mechanisms"], json!({"email": [{"id": "a@b"}]}));
    assert_eq!(removal(&existing(json!([]), json!([])), &wanted(&[])), []);
    let mut others = ours();
    others[0]["name"] = json!("made by hand");
    assert_eq!(removal(&existing(others, json!([policy(json!({}))])), &wanted(&[])), []);
}
