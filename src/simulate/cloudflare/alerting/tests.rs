use std::sync::mpsc;

use super::super::super::notification::{Notification, POLICIES};
use super::super::super::{Fact, FactKind};
use super::super::message::{enveloped, split};
use super::super::{BodyForm, MockResponse};
use super::*;
use crate::event::InputId;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

/// Status and result.
fn ask(alerting: &mut Alerting, method: &str, path: &str, body: &Value, test: &mut SaveAndTest) -> (u16, Value) {
    let (parts, query) = split(path);
    let body = body.to_string();
    let request = AlertingRequest { method, parts: &parts, query, body: body.as_bytes() };
    let MockResponse { status, body, .. } = enveloped(&alerting.reply(&request, test, at(100)));
    (status, serde_json::from_slice::<Value>(&body).unwrap()["result"].take())
}

fn answered() -> SaveAndTest {
    SaveAndTest::new(|_, _| true)
}

const WEBHOOKS: &str = "/destinations/webhooks";

#[test]
fn destination_is_created_only_if_its_test_is_answered() {
    let mut alerting = Alerting::new(1);
    let body = json!({ "name": "exporter", "url": "https://exporter/webhook", "secret": "s3cret" });
    let refuses = &mut SaveAndTest::new(|_, _| false);
    assert_eq!(ask(&mut alerting, "POST", WEBHOOKS, &body, refuses), (422, Value::Null));
    assert!(alerting.destinations.all().is_empty());
    let (status, created) = ask(&mut alerting, "POST", WEBHOOKS, &body, &mut answered());
    let path = format!("{WEBHOOKS}/{}", created["id"].as_str().unwrap());
    let (_, shown) = ask(&mut alerting, "GET", &path, &Value::Null, &mut answered());
    assert_eq!((status, &shown["id"], &shown["name"]), (200, &created["id"], &json!("exporter")));
    assert!(!shown.to_string().contains("s3cret"), "{shown}");
    assert!(shown["last_success"].is_string() && shown["last_failure"].is_null(), "{shown}");
}

#[test]
fn changed_destination_is_tested_with_the_new_secret_at_once() {
    let mut alerting = Alerting::new(1);
    let (tests, tested) = mpsc::channel();
    let test =
        &mut SaveAndTest::new(move |url, secret| tests.send((url.to_owned(), secret.map(str::to_owned))).is_ok());
    let mut body = json!({ "name": "exporter", "url": "https://a/", "secret": "old" });
    let (_, created) = ask(&mut alerting, "POST", WEBHOOKS, &body, test);
    let path = format!("{WEBHOOKS}/{}", created["id"].as_str().unwrap());
    body["secret"] = json!("new");
    assert_eq!(ask(&mut alerting, "PUT", &path, &body, test).0, 200);
    let renamed = json!({ "name": "renamed", "url": "https://b/" });
    assert_eq!(ask(&mut alerting, "PUT", &path, &renamed, test).0, 200);
    assert_eq!(ask(&mut alerting, "PUT", &path, &body, &mut SaveAndTest::new(|_, _| false)).0, 422);
    let test = |url: &str, secret: &str| (url.to_owned(), Some(secret.to_owned()));
    let tested: Vec<_> = tested.try_iter().collect();
    assert_eq!(tested, [test("https://a/", "old"), test("https://a/", "new"), test("https://b/", "new")]);
    assert_eq!(alerting.destinations.all()[0].name, "renamed");
}

#[test]
fn deleted_destination_leaves_its_policies() {
    let mut alerting = Alerting::new(1);
    let test = &mut answered();
    let (_, destination) = ask(&mut alerting, "POST", WEBHOOKS, &json!({ "name": "a", "url": "https://a/" }), test);
    let mut policy = json!({
        "name": "Stream live",
        "enabled": true,
        "alert_type": "stream_live_notifications",
        "mechanisms": { "webhooks": [{ "id": "none" }] },
    });
    assert_eq!(ask(&mut alerting, "POST", "/policies", &policy, test).0, 400);
    policy["mechanisms"]["webhooks"][0]["id"] = destination["id"].clone();
    let (_, created) = ask(&mut alerting, "POST", "/policies", &policy, test);
    let path = format!("/policies/{}", created["id"].as_str().unwrap());
    assert_eq!(ask(&mut alerting, "PUT", &path, &json!({ "enabled": false }), test).0, 200);
    let webhook = format!("{WEBHOOKS}/{}", destination["id"].as_str().unwrap());
    assert_eq!(ask(&mut alerting, "DELETE", &webhook, &Value::Null, test).0, 200);
    assert_eq!(ask(&mut alerting, "GET", &webhook, &Value::Null, test).0, 404);
    let (_, shown) = ask(&mut alerting, "GET", &path, &Value::Null, test);
    assert_eq!((&shown["mechanisms"], &shown["enabled"]), (&policy["mechanisms"], &json!(false)));
    assert_eq!(ask(&mut alerting, "DELETE", &path, &Value::Null, test).0, 200);
    assert_eq!(ask(&mut alerting, "GET", "/policies", &Value::Null, test).1, json!([]));
}

#[test]
fn silences_are_added_and_deleted() {
    let mut alerting = Alerting::new(1);
    let test = &mut answered();
    let silence =
        json!([{ "policy_id": "p", "start_time": "2027-01-15T08:00:00Z", "end_time": "2027-01-15T09:00:00Z" }]);
    assert_eq!(ask(&mut alerting, "POST", "/silences", &silence, test).0, 200);
    let (_, listed) = ask(&mut alerting, "GET", "/silences", &Value::Null, test);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["policy_id"]), (1, &json!("p")));
    let path = format!("/silences/{}", listed[0]["id"].as_str().unwrap());
    assert_eq!(ask(&mut alerting, "DELETE", &path, &Value::Null, test).0, 200);
    assert_eq!(ask(&mut alerting, "DELETE", &path, &Value::Null, test).0, 404);
}

#[test]
fn available_alerts_have_the_filters_of_live_inputs() {
    let mut alerting = Alerting::new(1);
    alerting.event_types.pop();
    let (_, alerts) = ask(&mut alerting, "GET", "/available_alerts", &Value::Null, &mut answered());
    let values = alerts["Stream"][0]["filter_options"][1]["AvailableValues"].as_array().unwrap();
    let ids: Vec<_> = values.iter().map(|value| value["ID"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

/// Twelve notifications, one every ten seconds.
fn history() -> Alerting {
    let mut alerting = Alerting::new(1);
    for number in 0..12 {
        let fact =
            Fact { input_id: InputId::from_bytes([1; 16]), kind: FactKind::Connected, updated_at: at(number * 10) };
        let (policy, correlation_id) = (&POLICIES[0], u128::from(number.unsigned_abs()));
        let notification = Notification { fact, policy, correlation_id, sent_at: at(number * 10) };
        alerting.history.add(notification, &"exporter".into());
    }
    alerting
}

#[test]
fn history_is_listed_in_pages_between_two_times() {
    let mut alerting = history();
    let mut numbers = |query: &str| {
        let (status, listed) = ask(&mut alerting, "GET", &format!("/history?{query}"), &Value::Null, &mut answered());
        let id = |entry: &Value| u64::from_str_radix(entry["id"].as_str().unwrap(), 16).unwrap();
        (status, listed.as_array().map(|entries| entries.iter().map(id).collect::<Vec<_>>()).unwrap_or_default())
    };
    assert_eq!(numbers("per_page=5"), (200, vec![11, 10, 9, 8, 7]));
    assert_eq!(numbers("per_page=5&page=3"), (200, vec![1, 0]));
    assert_eq!(numbers("since=2027-01-15T08:00:20Z&before=2027-01-15T08%3A00%3A50Z"), (200, vec![4, 3, 2]));
    for invalid in ["per_page=4", "per_page=1001", "page=0", "since=yesterday"] {
        assert_eq!(numbers(invalid).0, 400, "{invalid}");
    }
}

#[test]
fn body_of_the_history_has_every_form() {
    let mut alerting = history();
    let mut body = |form| {
        alerting.history.form = form;
        let (_, listed) = ask(&mut alerting, "GET", "/history", &Value::Null, &mut answered());
        listed[0]["alert_body"].clone()
    };
    let object = body(BodyForm::Object);
    assert_eq!(object["data"]["event_type"], "live_input.connected");
    assert_eq!(serde_json::from_str::<Value>(body(BodyForm::Text).as_str().unwrap()).unwrap(), object);
    assert_eq!((&body(BodyForm::DataOnly)["data"], &body(BodyForm::DataOnly)["ts"]), (&object["data"], &Value::Null));
    assert!(serde_json::from_str::<Value>(body(BodyForm::Prose).as_str().unwrap()).is_err());
}
