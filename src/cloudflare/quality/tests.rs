use super::*;
use crate::cloudflare::{RateLimit, Response, TransportError};

const ACCOUNT: &str = "f037e56e89293a057740de681ac9abbe";
const A: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const B: &str = "eb222fcca08eeb1ae84c981ebe8aeeb6";

fn now() -> Timestamp {
    "2026-11-20T19:00:42Z".parse().unwrap()
}

fn view() -> View {
    View { as_of: now(), wall_clock: now(), ..View::default() }
}

fn response(status: u16, body: &str) -> Answer {
    Ok(Response { status, limit: RateLimit::default(), date: None, body: body.into() })
}

fn groups(groups: &Value) -> Answer {
    let account = json!({ "liveInputEventsAdaptiveGroups": groups });
    response(200, &json!({ "data": { "viewer": { "accounts": [account] } }, "errors": null }).to_string())
}

fn refusal(message: &str) -> Answer {
    let error = json!({ "message": message, "path": null, "extensions": { "timestamp": "2026-11-20T19:00:42Z" } });
    response(200, &json!({ "data": null, "errors": [error] }).to_string())
}

fn group(minute: &str, input_id: &str, count: u64, avg: &Value, max: &Value) -> Value {
    let dimensions = json!({ "datetimeMinute": format!("2026-11-20T{minute}:00Z"), "inputId": input_id,
                             "eventCode": "segment" });
    json!({ "count": count, "dimensions": dimensions, "avg": avg, "max": max })
}

fn media(gop: f64, ratio: f64, bit_rate: f64) -> Value {
    json!({ "gopDuration": gop, "uploadDurationRatio": ratio, "bitRate": bit_rate })
}

/// Asks once, and returns the effects.
fn ask(task: &mut QualityTask, answer: &Answer, now: Timestamp) -> (Result<Progress, ApiError>, Vec<Effect>) {
    assert!(task.due(now, &view()).is_some());
    let request = task.request(now, &view()).unwrap();
    assert_eq!(task.due(now, &view()), None, "a request is in flight");
    let mut effects = Vec::new();
    (task.answered(&request, answer, now, &view(), &mut effects), effects)
}

fn settings(seconds: Option<u64>) -> Settings {
    Settings {
        account_id: ACCOUNT.parse().unwrap(),
        is_only_account: true,
        webhook_url: None,
        request_share: 0.25,
        inventory: None,
        reconcile: false,
        backfill: false,
        destination: None,
        quality: seconds.map(Duration::from_secs),
    }
}

fn new() -> QualityTask {
    QualityTask::new(&settings(Some(60)))
}

fn quality_of(answer: &Answer) -> BTreeMap<InputId, Quality> {
    let (progress, effects) = ask(&mut new(), answer, now());
    assert_eq!(progress, Ok(Progress::Completed));
    match effects.as_slice() {
        [Effect::Quality(account_id, quality)] => {
            assert_eq!(*account_id, ACCOUNT.parse().unwrap());
            quality.clone()
        }
        effects => panic!("{effects:?}"),
    }
}

fn statistics(avg: f64, max: f64) -> Statistics {
    Statistics { avg: Some(avg), max: Some(max) }
}

#[test]
fn query_is_for_complete_minutes() {
    let request = new().request(now(), &view()).unwrap();
    assert_eq!(
        (request.endpoint, request.method, request.path.as_str()),
        (Endpoint::Quality, Method::Post, "/graphql")
    );
    let variables = &request.body.unwrap()["variables"];
    assert_eq!(variables["account"], ACCOUNT);
    assert_eq!(variables["since"], "2026-11-20T18:50:00Z");
    assert_eq!(variables["until"], "2026-11-20T19:00:00Z");
    assert_eq!(variables["limit"], 10_000);
}

#[test]
fn each_input_has_the_quality_of_its_newest_minute() {
    let quality = quality_of(&groups(&json!([
        group("18:57", A, 5, &media(9.0, 9.0, 9.0), &media(9.0, 9.0, 9.0)),
        group("18:58", A, 30, &media(2.0, 0.5, 3e6), &media(4.0, 0.6, 5e6)),
        group("18:58", A, 10, &media(4.0, 0.9, 1e6), &media(6.0, 0.5, 4e6)),
        group("18:56", A, 5, &media(9.0, 9.0, 9.0), &media(9.0, 9.0, 9.0)),
        // Without media.
        group("18:59", A, 1, &media(0.0, 0.0, 0.0), &media(0.0, 0.0, 0.0)),
        group("18:59", A, 1, &json!({ "gopDuration": null }), &json!({})),
        group("18:51", B, 1, &media(2.0, 1.5, 1e6), &media(2.5, 2.0, 2e6)),
        group("18:59", "no id", 1, &media(2.0, 1.5, 1e6), &media(2.5, 2.0, 2e6)),
        { "dimensions": null },
    ])));
    assert_eq!(quality.len(), 2);
    let a = Quality {
        gop_duration: statistics(2.5, 6.0),
        upload_duration_ratio: statistics(0.6, 0.6),
        bitrate: statistics(2.5e6, 5e6),
    };
    assert_eq!(quality[&A.parse().unwrap()], a);
    assert_eq!(quality[&B.parse().unwrap()].upload_duration_ratio, statistics(1.5, 2.0));
}

#[test]
fn milliseconds_are_converted_and_missing_fields_are_absent() {
    let quality = quality_of(&groups(&json!([group(
        "18:58",
        A,
        1,
        &json!({ "gopDuration": 2000, "bitRateMinute": 7 }),
        &json!({ "gopDuration": 2500.5 })
    ),])));
    let quality = quality[&A.parse().unwrap()];
    assert_eq!(quality.gop_duration, statistics(2.0, 2.5005));
    assert_eq!(quality.upload_duration_ratio, Statistics::default());
    assert_eq!(quality.bitrate, Statistics { avg: Some(7.0), max: None });
}

#[test]
fn inputs_without_samples_have_no_quality() {
    assert_eq!(quality_of(&groups(&json!([]))), BTreeMap::new());
    assert_eq!(quality_of(&groups(&json!(null))), BTreeMap::new());
    let no_account = response(200, r#"{"data": {"viewer": {"accounts": []}}}"#);
    assert_eq!(quality_of(&no_account), BTreeMap::new());
}

#[test]
fn errors_have_their_kind_and_change_nothing() {
    let authz = json!({ "data": null, "errors": [{ "message": "m", "extensions": { "code": "authz" } }] });
    for (answer, kind) in [
        (refusal("unknown argument"), ApiErrorKind::Invalid),
        (refusal("not authorized for that account"), ApiErrorKind::Unauthorized),
        (response(200, &authz.to_string()), ApiErrorKind::Unauthorized),
        (refusal("rate limiter budget depleted, please try again after 2026"), ApiErrorKind::RateLimited),
        (response(200, r#"{"errors": [{}]}"#), ApiErrorKind::Invalid),
        (response(200, r#"{"errors": "text"}"#), ApiErrorKind::Invalid),
        (response(200, "{}"), ApiErrorKind::Invalid),
        (response(200, r#"{"data": {"viewer": null}}"#), ApiErrorKind::Invalid),
        (response(200, "<html>"), ApiErrorKind::Invalid),
        (response(401, "{}"), ApiErrorKind::Unauthorized),
        (response(429, "{}"), ApiErrorKind::RateLimited),
        (response(502, "{}"), ApiErrorKind::ServerError),
        (Err(TransportError::Timeout), ApiErrorKind::Timeout),
    ] {
        let mut task = new();
        let (progress, effects) = ask(&mut task, &answer, now());
        assert_eq!(progress.map_err(|error| error.kind), Err(kind), "{answer:?}");
        assert_eq!(effects, []);
    }
}

#[test]
fn unknown_names_of_the_bit_rate_are_left_out_one_after_the_other() {
    let mut task = new();
    let mut asked = Vec::new();
    for _ in 0..6 {
        let request = task.request(now(), &view()).unwrap();
        let query = request.body.as_ref().unwrap()["query"].to_string();
        asked.push([query.matches("bitRate ").count(), query.matches("bitRateMinute").count()]);
        let refusal = refusal("unknown field \"bitRate\"");
        assert!(task.answered(&request, &refusal, now(), &view(), &mut Vec::new()).is_err());
    }
    assert_eq!(asked, [[2, 0], [1, 0], [0, 1], [0, 0], [0, 0], [0, 0]]);
}

#[test]
fn quality_ends_when_it_cannot_be_asked_for_longer_than_the_window() {
    let mut task = new();
    let _ =
        ask(&mut task, &groups(&json!([group("18:58", A, 1, &media(2.0, 0.5, 1.0), &media(2.0, 0.5, 1.0))])), now());
    let soon = now().plus(WINDOW);
    assert_eq!(ask(&mut task, &refusal("m"), soon).1, []);
    let late = soon.plus(Duration::from_secs(1));
    assert_eq!(ask(&mut task, &refusal("m"), late).1, [Effect::Quality(ACCOUNT.parse().unwrap(), BTreeMap::new())]);
    assert_eq!(ask(&mut task, &refusal("m"), late.plus(WINDOW)).1, []);
}

#[test]
fn interval_is_kept_and_can_change() {
    let mut task = new();
    let _ = ask(&mut task, &groups(&json!([])), now());
    assert_eq!(task.due(now(), &view()).unwrap().at, now().plus(Duration::from_secs(60)));
    task.configure(&settings(None));
    assert_eq!(task.due(now(), &view()), None);
    task.configure(&settings(Some(5)));
    assert_eq!(task.due(now(), &view()).unwrap().at, now().plus(Duration::from_secs(5)));
}
