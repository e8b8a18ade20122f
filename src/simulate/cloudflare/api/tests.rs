use serde_json::Value;

use super::super::{Counts, Listing, Pages, STREAM_KEY, StatusForm, Transfer};
use super::*;
use crate::event::InputId;
use crate::simulate::{Fact, FactKind};

const ACCOUNT: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

fn input(number: u8) -> InputId {
    InputId::from_bytes([number; 16])
}

fn fact(number: u8, kind: FactKind, seconds: i64) -> Fact {
    Fact { input_id: input(number), kind, updated_at: at(seconds) }
}

/// An API with these inputs.
fn api(inputs: u8) -> Api {
    let mut api = Api::new(7);
    for number in 1..=inputs {
        let account = api.account(ACCOUNT.parse().unwrap());
        account.add_input(input(number), format!("Input {number}"), at(-i64::from(number)));
    }
    api
}

fn account(api: &mut Api) -> &mut Account {
    api.account(ACCOUNT.parse().unwrap())
}

/// The response to a GET request below the account, with a token.
fn get(api: &mut Api, path: &str, seconds: i64) -> MockResponse {
    let path = path.replace("{account}", ACCOUNT);
    let request = MockRequest { method: "GET", path: &path, authorization: Some("Bearer any"), body: b"" };
    api.respond(&request, at(seconds))
}

fn body(response: &MockResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

fn result(api: &mut Api, path: &str, seconds: i64) -> Value {
    let response = get(api, path, seconds);
    assert_eq!(response.status, 200, "{path}");
    body(&response)["result"].take()
}

/// Status and error code of the response.
fn refusal(response: &MockResponse) -> (u16, u64) {
    (response.status, body(response)["errors"][0]["code"].as_u64().unwrap())
}

const LIST: &str = "/accounts/{account}/stream/live_inputs";

fn single(number: u8) -> String {
    format!("{LIST}/{}", input(number))
}

#[test]
fn status_follows_the_facts_in_every_form() {
    let mut api = api(1);
    for fact in
        [fact(1, FactKind::Disconnected, 100), fact(1, FactKind::Connected, 0), fact(1, FactKind::Connected, 130)]
    {
        account(&mut api).learn(&fact);
    }
    let mut word = |form, pointer: &str, seconds| {
        account(&mut api).input(input(1)).unwrap().status = form;
        result(&mut api, &single(1), seconds).pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    };
    for (form, pointer) in [
        (StatusForm::Word, "/status"),
        (StatusForm::Object, "/status/current/state"),
        (StatusForm::ObjectWithoutTime, "/status/current/state"),
        (StatusForm::State, "/status/state"),
    ] {
        assert_eq!(word(form, pointer, 99).as_deref(), Some("connected"));
        assert_eq!(word(form, pointer, 131).as_deref(), Some("reconnected"));
        let down = word(form, pointer, 100).unwrap();
        assert!(
            ["client_disconnect", "disconnected", "ttl_exceeded"].contains(&down.as_str())
                || down.starts_with("failed_to_")
        );
    }
    assert_eq!(
        word(StatusForm::Object, "/status/current/statusEnteredAt", 99).as_deref(),
        Some("2027-01-15T08:00:00.000000Z")
    );
    assert_eq!(word(StatusForm::ObjectWithoutTime, "/status/current/statusEnteredAt", 99), None);
    assert_eq!(word(StatusForm::Text("strange"), "/status", 99).as_deref(), Some("strange"));
    for form in [StatusForm::Null, StatusForm::Absent, StatusForm::Number] {
        assert_eq!(word(form, "/status", 99), None);
    }
}

#[test]
fn stream_keys_are_marked_and_only_in_single_inputs() {
    let mut api = api(2);
    let list = result(&mut api, LIST, 0);
    assert!(!list.to_string().contains(STREAM_KEY));
    let single = result(&mut api, &single(1), 0);
    let keys = ["rtmps/streamKey", "rtmpsPlayback/streamKey", "srt/passphrase", "srtPlayback/passphrase", "webRTC/url"];
    for key in keys {
        assert!(single.pointer(&format!("/{key}")).unwrap().as_str().unwrap().contains(STREAM_KEY), "{key}");
    }
}

#[test]
fn list_has_both_shapes_and_its_counts_and_pages() {
    let mut api = api(5);
    let mut list = |listing: Listing, query: &str| {
        account(&mut api).listing = listing;
        let result = result(&mut api, &format!("{LIST}{query}"), 0);
        let inputs = if listing.array { &result } else { &result["liveInputs"] };
        let names: Vec<_> = inputs.as_array().unwrap().iter().map(|input| input["meta"]["name"].to_string()).collect();
        (names.len(), names[0].clone(), result["range"].as_u64(), result["total"].as_u64())
    };
    let newest = "\"Input 1\"".to_owned();
    let all = Listing::default();
    assert_eq!(list(all, ""), (5, newest.clone(), Some(5), None));
    assert_eq!(list(all, "?include_counts=true"), (5, newest.clone(), Some(5), Some(5)));
    assert_eq!(list(Listing { array: true, ..all }, "?include_counts=true"), (5, newest.clone(), None, None));
    let three = Listing { pages: Pages::Newest(3), range: Counts::Remaining, ..all };
    assert_eq!(list(three, "?page=2"), (3, newest, Some(2), None));
    let numbered = Listing { pages: Pages::Numbered, range: Counts::Absent, ..all };
    assert_eq!(list(numbered, "?page=2&per_page=3"), (2, "\"Input 4\"".to_owned(), None, None));
}

#[test]
fn deleted_and_foreign_inputs_get_404_with_code_10003() {
    let mut api = api(1);
    assert!(account(&mut api).delete_input(input(1)));
    assert_eq!(refusal(&get(&mut api, &single(1), 0)), (404, 10003));
    assert_eq!(refusal(&get(&mut api, &single(9), 0)), (404, 10003));
    account(&mut api).subscribed = false;
    assert_eq!(refusal(&get(&mut api, LIST, 0)), (403, 10002));
    let other = LIST.replace("{account}", &"b".repeat(32));
    assert_eq!(refusal(&get(&mut api, &other, 0)), (403, 10000));
    assert_eq!(refusal(&get(&mut api, "/accounts/x/stream/live_inputs", 0)), (404, 7003));
}

#[test]
fn token_decides_which_requests_are_answered() {
    let mut api = api(1);
    let id = ACCOUNT.parse().unwrap();
    let reads = [Permission::StreamRead];
    api.tokens = vec![
        Token::new("reader", reads),
        Token::new("owned", reads).owned_by(id),
        Token::new("foreign", reads).owned_by("b".repeat(32).parse().unwrap()),
        Token::new("none", []),
        Token { status: "disabled", ..Token::new("disabled", reads) },
    ];
    let (user, owned) = ("/user/tokens/verify".to_owned(), format!("/accounts/{ACCOUNT}/tokens/verify"));
    let list = LIST.replace("{account}", ACCOUNT);
    let mut status = |token: &str, path: &str| {
        let authorization = format!("Bearer {token}");
        let request = MockRequest { method: "GET", path, authorization: Some(&authorization), body: b"" };
        api.respond(&request, at(0)).status
    };
    for (token, of_list, of_user, of_account) in [
        ("reader", 200, 200, 401),
        ("owned", 200, 401, 200),
        ("foreign", 403, 401, 401),
        ("none", 403, 200, 401),
        ("disabled", 401, 200, 401),
        ("unknown", 401, 401, 401),
        ("", 400, 400, 400),
    ] {
        let statuses = (status(token, &list), status(token, &user), status(token, &owned));
        assert_eq!(statuses, (of_list, of_user, of_account), "{token}");
    }
}

#[test]
fn token_with_the_permission_reads_its_permissions() {
    let mut api = api(1);
    let expires_on = Some(at(3600));
    api.tokens = vec![
        Token::new("reader", [Permission::StreamRead]),
        Token { expires_on, ..Token::new("open", [Permission::NotificationsEdit, Permission::TokensRead]) },
    ];
    let mut details = |token: &str, id: u8| {
        let (authorization, path) = (format!("Bearer {token}"), format!("/user/tokens/{id:032x}"));
        let request = MockRequest { method: "GET", path: &path, authorization: Some(&authorization), body: b"" };
        let response = api.respond(&request, at(0));
        (response.status, body(&response)["result"].take())
    };
    assert_eq!([details("reader", 1).0, details("open", 1).0, details("none", 2).0], [403; 3]);
    let (status, details) = details("open", 2);
    let groups = details["policies"][0]["permission_groups"].as_array().unwrap();
    let names: Vec<_> = groups.iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert_eq!((status, names), (200, vec!["Notifications Write", "API Tokens Read"]));
    assert_eq!(details["expires_on"], "2027-01-15T09:00:00Z");
}

#[test]
fn fault_applies_to_one_request_with_its_path() {
    let mut api = api(4);
    let path = single(1);
    let mut faulty = |fault| {
        api.inject("/live_inputs/", fault);
        assert_eq!(get(&mut api, LIST, 0).status, 200);
        let response = get(&mut api, &path, 0);
        assert_eq!(get(&mut api, &path, 0).status, 200);
        response
    };
    assert_eq!(refusal(&faulty(Fault::Error { status: 404, code: 10003 })), (404, 10003));
    assert_eq!(faulty(Fault::ErrorPage(502)).status, 502);
    let wait = Some(Duration::from_millis(1500));
    assert_eq!(faulty(Fault::RateLimited(wait)).header("retry-after"), Some("2"));
    assert_eq!(faulty(Fault::Truncated).transfer, Transfer::Truncated);
    assert!(faulty(Fault::Huge).body.len() > 32 << 20);
    assert!(serde_json::from_slice::<Value>(&faulty(Fault::NotJson).body).is_err());
    assert_eq!(faulty(Fault::Redirect("http://other/".to_owned())).header("location"), Some("http://other/"));
    api.inject("", Fault::PartialList);
    assert_eq!(result(&mut api, LIST, 0)["liveInputs"].as_array().unwrap().len(), 2);
}

#[test]
fn clock_skew_moves_the_date_and_the_times_of_the_status() {
    let mut api = api(1);
    account(&mut api).learn(&fact(1, FactKind::Connected, 0));
    account(&mut api).input(input(1)).unwrap().status = StatusForm::Object;
    api.clock_skew = ClockSkew::Behind(Duration::from_secs(3600));
    let response = get(&mut api, &single(1), 10);
    assert_eq!(response.header("date"), Some("Fri, 15 Jan 2027 07:00:10 GMT"));
    assert_eq!(body(&response)["result"]["status"]["current"]["statusEnteredAt"], "2027-01-15T07:00:00.000000Z");
}

/// The answer to a query with these variables.
fn query(api: &mut Api, text: &str, variables: &Value) -> Value {
    let body = json!({ "query": text, "variables": variables }).to_string();
    let authorization = Some("Bearer any");
    let request = MockRequest { method: "POST", path: "/client/v4/graphql", authorization, body: body.as_bytes() };
    let response = api.respond(&request, at(3600));
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).unwrap()
}

const QUALITY: &str = "query Quality($account: string!, $from: Time!, $until: Time!) {
    viewer { accounts(filter: { accountTag: $account }) {
        rows: liveInputEventsAdaptiveGroups(
            filter: { datetime_geq: $from, datetime_lt: $until }, limit: 100
        ) { dimensions { datetimeMinute inputId } avg { gopDuration } max { bitRate } }
    } }
}";

fn variables(from: &str) -> Value {
    json!({ "account": ACCOUNT, "from": from, "until": "2027-01-15T08:10:00Z" })
}

#[test]
fn query_has_a_row_for_each_minute_of_a_connection() {
    let mut api = api(2);
    account(&mut api).learn(&fact(1, FactKind::Connected, 90));
    account(&mut api).learn(&fact(1, FactKind::Disconnected, 200));
    let answer = query(&mut api, QUALITY, &variables("2027-01-15T08:00:00Z"));
    let rows = answer["data"]["viewer"]["accounts"][0]["rows"].as_array().unwrap();
    let minutes: Vec<_> = rows.iter().map(|row| row["dimensions"]["datetimeMinute"].as_str().unwrap()).collect();
    assert_eq!(minutes, ["2027-01-15T08:01:00Z", "2027-01-15T08:02:00Z", "2027-01-15T08:03:00Z"]);
    assert_eq!(rows[0]["dimensions"]["inputId"], input(1).to_string());
    assert_eq!(
        (&rows[0]["avg"], &rows[0]["max"]),
        (&json!({ "gopDuration": 2.0 }), &json!({ "bitRate": 4_950_000.0 }))
    );
}

#[test]
fn refused_queries_have_errors_and_no_data() {
    let mut api = api(1);
    let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
    let mut refused = |text: &str, variables: Value| {
        let answer = query(&mut api, text, &variables);
        assert_eq!(answer["data"], Value::Null);
        code(&answer)
    };
    assert_eq!(refused(QUALITY, variables("2026-01-15T08:00:00Z")), "quota");
    assert_eq!(refused(QUALITY, json!({ "account": "b".repeat(32) })), "authz");
    assert_eq!(refused(&QUALITY.replace("bitRate", "bitrate"), variables("2027-01-15T08:00:00Z")), "validation");
    assert_eq!(refused("{ viewer", json!({})), "parser");
}
