//! Actions of the status page: confirmation, token, who may do them, and what they change.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rusqlite::params;
use serde_json::{Value, json};

use crate::connection::{Connection, RawAnswer, request};
use crate::corrections::{CHAPEL, MAIN, connect, connected, corrections};
use crate::daemon::{Daemon, fixture, run};
use crate::journal::{database, exported};
use crate::web_config::user;

const HOST: &str = "localhost:10419";
const AS_FORM: &str = " | content-type: application/x-www-form-urlencoded";

/// Sends `GET /path | name: value` with this `Host`.
fn send(daemon: &Daemon, host: &str, head: &str, body: &str) -> RawAnswer {
    let length = if body.is_empty() { String::new() } else { format!(" | content-length: {}", body.len()) };
    let head = String::from_utf8(request(&format!("{head}{length}"), b"")).unwrap();
    let bytes = head.replace("stream.example.com", host) + body;
    let mut connection = Connection::open(daemon.private_address()).unwrap();
    connection.send(bytes.as_bytes()).unwrap();
    connection.read_answer().unwrap()
}

/// The token of a confirmation page.
fn token_from(daemon: &Daemon, action: &str, headers: &str) -> String {
    let page = send(daemon, HOST, &format!("GET /actions/{action}{headers}"), "");
    assert_eq!(page.status, "200 OK", "{}", page.text());
    let after = page.text().split_once("name=\"token\" value=\"").expect("the page has a token").1;
    after.split_once('"').unwrap().0.to_owned()
}

fn token(daemon: &Daemon, action: &str) -> String {
    token_from(daemon, action, "")
}

fn submit(daemon: &Daemon, action: &str, headers: &str, body: &str) -> RawAnswer {
    send(daemon, HOST, &format!("POST /actions/{action}{AS_FORM}{headers}"), body)
}

fn status(answer: &RawAnswer) -> u16 {
    answer.status.split(' ').next().unwrap().parse().unwrap()
}

/// Confirms an action. Returns where it leads to.
fn confirm(daemon: &Daemon, action: &str, fields: &str) -> String {
    let answer = submit(daemon, action, "", &format!("token={}&{fields}", token(daemon, action)));
    assert_eq!(answer.status, "303 See Other", "{}", answer.text());
    answer.header("location").to_owned()
}

fn basic(user: &str) -> String {
    format!(" | authorization: Basic {}", BASE64_STANDARD.encode(format!("{user}:right")))
}

#[test]
fn confirmed_correction_is_recorded_with_its_reason_and_leads_to_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    for (action, to, done, page) in [
        ("set-disconnected", "disconnected", "recorded", format!("../inputs/{MAIN}")),
        ("set-disconnected", "disconnected", "unchanged", format!("../inputs/{MAIN}")),
        ("set-connected", "connected", "recorded", format!("../inputs/{MAIN}")),
        ("forget", "forgotten", "recorded", "../".to_owned()),
    ] {
        let location = confirm(&daemon, &format!("{action}?input={MAIN}"), &format!("reason=ticket+%231+to+{to}"));
        assert_eq!(location, format!("{page}?done={done}"), "{action}");
    }
    let facts = |line: &Value| ["to", "user", "reason"].map(|field| line[field].clone());
    let of = |to: &str| [json!(to), Value::Null, json!(format!("ticket #1 to {to}"))];
    let recorded: Vec<_> = corrections(folder.path()).iter().map(facts).collect();
    assert_eq!(recorded, [of("disconnected"), of("connected"), of("forgotten")]);
    assert_eq!(connected(&daemon, MAIN), None);
    for page in ["/?done=recorded", "/unrecognized?done=recorded"] {
        let notice = send(&daemon, HOST, &format!("GET {page}"), "");
        assert!(notice.text().contains("id=\"notice\""), "{page}: {}", notice.text());
    }
}

#[test]
fn form_without_a_token_for_its_action_and_input_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    connect(&daemon, CHAPEL);
    let forget = format!("forget?input={MAIN}");
    let mut changed = token(&daemon, &forget);
    changed.replace_range(20..21, if &changed[20..21] == "A" { "B" } else { "A" });
    let other_daemon = tempfile::tempdir().unwrap();
    let other_daemon = Daemon::start(other_daemon.path());
    connect(&other_daemon, MAIN);
    for other in [
        String::new(),
        "x".to_owned(),
        changed,
        token(&daemon, &format!("forget?input={CHAPEL}")),
        token(&daemon, &format!("set-disconnected?input={MAIN}")),
        token(&daemon, "reload"),
        token(&other_daemon, &forget),
    ] {
        assert_eq!(status(&submit(&daemon, &forget, "", &format!("token={other}"))), 403, "{other}");
        assert_eq!(status(&submit(&daemon, &forget, "", &format!("reason=why&token={other}"))), 403, "{other}");
    }
    // A token in the address does not count.
    let address = format!("{forget}&token={}", token(&daemon, &forget));
    assert_eq!(status(&submit(&daemon, &address, "", "reason=why")), 400);
    assert_eq!(corrections(folder.path()).len(), 0);
    let log = daemon.log().iter().map(Value::to_string).collect::<String>();
    assert!(!log.contains(&token(&daemon, &forget)[..10]), "{log}");
    // It can be sent again: the second one changes nothing.
    let body = format!("token={}", token(&daemon, &forget));
    let sent = [(); 2].map(|()| submit(&daemon, &forget, "", &body));
    assert_eq!(sent.map(|answer| status(&answer)), [303, 303]);
    assert_eq!(corrections(folder.path()).len(), 1);
}

#[test]
fn pages_of_other_origins_get_neither_the_form_nor_its_effect() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    let action = format!("set-disconnected?input={MAIN}");
    let body = format!("token={}", token(&daemon, &action));
    for (host, headers) in [
        (HOST, " | origin: https://evil.example.com"),
        (HOST, " | origin: null"),
        (HOST, " | sec-fetch-site: cross-site"),
        (HOST, " | sec-fetch-site: same-site"),
        // A page whose name was changed to a loopback address. For a `GET`, a browser does not always say that it is one.
        ("evil.example.com:10419", ""),
        ("evil.example.com:10419", " | origin: http://evil.example.com:10419"),
        ("evil.example.com", " | sec-fetch-site: same-origin"),
        ("127.0.0.1.example.com", ""),
        ("evil.example.com", " | referer: http://localhost:10419/ | x-forwarded-host: localhost"),
    ] {
        let page = send(&daemon, host, &format!("GET /actions/{action}{headers}"), "");
        assert_eq!((status(&page), page.text().contains("name=\"token\"")), (403, false), "{host}{headers}");
        let sent = send(&daemon, host, &format!("POST /actions/{action}{AS_FORM}{headers}"), &body);
        assert_eq!(status(&sent), 403, "{host}{headers}");
    }
    assert_eq!(corrections(folder.path()).len(), 0);
    for (host, headers) in [
        (HOST, " | origin: http://localhost:10419"),
        ("127.0.0.1", " | origin: http://127.0.0.1 | sec-fetch-site: same-origin"),
        ("[::1]:10419", " | sec-fetch-site: none"),
    ] {
        let sent = send(&daemon, host, &format!("POST /actions/{action}{AS_FORM}{headers}"), &body);
        assert_eq!(status(&sent), 303, "{host}{headers}");
    }
}

#[test]
fn token_counts_only_for_the_user_who_was_shown_it_and_the_user_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let users = [user("anna", "right"), user("bert", "right")].join(", ");
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{{users}}}")).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--web.config.file=web.yml"]);
    connect(&daemon, MAIN);
    let action = format!("set-disconnected?input={MAIN}");
    for headers in ["", " | authorization: Basic YW5uYTp3cm9uZw=="] {
        assert_eq!(status(&send(&daemon, HOST, &format!("GET /actions/{action}{headers}"), "")), 401);
    }
    let body = format!("reason=why&token={}", token_from(&daemon, &action, &basic("anna")));
    for (headers, answered) in [(String::new(), 401), (basic("bert"), 403), (basic("anna"), 303)] {
        assert_eq!(status(&submit(&daemon, &action, &headers, &body)), answered, "{headers}");
    }
    // A user is asked for the password whatever name the browser used.
    let page = send(&daemon, "exporter.example.com", &format!("GET /actions/{action}{}", basic("anna")), "");
    assert_eq!(status(&page), 200);
    let [correction] = &corrections(folder.path())[..] else { panic!("one correction") };
    assert_eq!([&correction["user"], &correction["reason"]], ["anna", "why"]);
}

#[test]
fn listener_beyond_loopback_offers_no_actions_without_users_or_the_flag() {
    for (arguments, permitted) in [(&[][..], false), (&["--web.enable-admin-api"], true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
        command
            .current_dir(folder.path())
            .args(["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=0.0.0.0:0"]);
        command.arg("--log.format=json").args(arguments);
        let daemon = Daemon::spawn(command, folder.path());
        connect(&daemon, MAIN);
        let page = send(&daemon, HOST, "GET /", "");
        assert_eq!((status(&page), page.text().contains("actions/reload")), (200, permitted), "{arguments:?}");
        for action in [format!("forget?input={MAIN}"), "reload".to_owned(), "replay?body=1".to_owned()] {
            let answered = status(&send(&daemon, HOST, &format!("GET /actions/{action}"), ""));
            assert_eq!(answered, if permitted { 200 } else { 403 }, "{arguments:?}: {action}");
            assert_eq!(status(&submit(&daemon, &action, "", "token=x")), 403, "{arguments:?}: {action}");
        }
    }
}

#[test]
fn form_that_is_not_understood_changes_nothing_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    let action = format!("forget?input={MAIN}");
    let token = token(&daemon, &action);
    let with = |field: &str| format!("token={token}&{field}");
    for (action, body, expected) in [
        (action.clone(), with(&format!("reason={}", "x".repeat(501))), 400),
        (action.clone(), with("reason=a%0Ab"), 400),
        (action.clone(), with("reason=%FF%00"), 400),
        (action.clone(), with("reason=a&reason=b"), 400),
        (action.clone(), with("state=connected"), 400),
        (action.clone(), with(&format!("reason={}", "x".repeat(10_000))), 413),
        (format!("forget?input={CHAPEL}"), with("reason=why"), 403),
        ("forget?input=main".to_owned(), with("reason=why"), 400),
        ("forget".to_owned(), with("reason=why"), 400),
        (format!("forget?input={MAIN}&input={MAIN}"), with("reason=why"), 400),
        (format!("forget?input={MAIN}&done=recorded"), with("reason=why"), 400),
        ("replay?body=0".to_owned(), with("reason=why"), 400),
        ("replay".to_owned(), with("reason=why"), 400),
        ("delete".to_owned(), with("reason=why"), 404),
    ] {
        let answer = submit(&daemon, &action, "", &body);
        assert_eq!((status(&answer), answer.text().contains("id=\"failure\"")), (expected, true), "{action} {body}");
    }
    let longest = with(&format!("reason={}", "%F0%9F%8E%A5".repeat(500)));
    let other_type = format!("POST /actions/{action} | content-type: application/json");
    assert_eq!(status(&send(&daemon, HOST, &other_type, &with("reason=why"))), 415);
    for (page, expected) in [
        (format!("forget?input={CHAPEL}"), 404),
        ("forget?input=main".to_owned(), 400),
        ("delete".to_owned(), 404),
        (format!("reload?input={MAIN}"), 400),
    ] {
        assert_eq!(status(&send(&daemon, HOST, &format!("GET /actions/{page}"), "")), expected, "{page}");
    }
    assert_eq!(send(&daemon, HOST, &format!("PUT /actions/{action}"), "").header("allow"), "GET, HEAD, POST");
    assert_eq!(corrections(folder.path()).len(), 0);
    assert_eq!(status(&submit(&daemon, &action, "", &longest)), 303);
    assert_eq!(corrections(folder.path())[0]["reason"].as_str().unwrap().chars().count(), 500);
}

#[test]
fn page_with_a_form_sends_it_only_to_this_listener_and_escapes_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let entry = format!("[[inputs]]\nid = \"{MAIN}\"\nname = \"<b>\\\"'&\"\n");
    fs::write(folder.path().join("exporter.toml"), entry).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
    let page = send(&daemon, HOST, &format!("GET /actions/forget?input={MAIN}"), "");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("form-action 'self'") && policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    // Otherwise browsers would send the form with the origin `null`.
    assert_eq!((page.header("referrer-policy"), page.header("cache-control")), ("same-origin", "no-store"));
    assert!(!page.text().contains("<b>\"'") && page.text().contains("&#60;b&#62;"), "{}", page.text());
    let unknown = send(&daemon, HOST, "GET /actions/%3Cb%3E", "");
    assert_eq!((status(&unknown), unknown.text().contains("<b>")), (404, false));
    let repeated = send(&daemon, HOST, "GET /actions/forget?input=%3Cb%3E", "");
    assert_eq!((status(&repeated), repeated.text().contains("<b>")), (400, false));
}

/// This many days after the daemon's time, as a form has it.
fn in_days(daemon: &Daemon, days: i64) -> String {
    let inputs: Value = serde_json::from_str(&daemon.get("/api/v1/inputs").body).unwrap();
    let now: jiff::Timestamp = inputs["as_of"].as_str().unwrap().parse().unwrap();
    (now + jiff::SignedDuration::from_hours(24 * days)).strftime("%Y-%m-%dT%H%%3A%M").to_string()
}

#[test]
fn expectation_of_a_form_is_in_force_until_its_end_or_until_it_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("exporter.toml"), format!("[[inputs]]\nid = \"{MAIN}\"\nname = \"Main\"\n")).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
    let expected = || daemon.metric(&format!("cloudflare_stream_live_input_expected{{input_id=\"{MAIN}\"}}"));
    let (expect, clear) = (format!("expect?input={MAIN}"), format!("clear-expectation?input={MAIN}"));
    let before = expected();
    let page = || Some(format!("../inputs/{MAIN}?done=recorded"));
    assert_eq!(Some(confirm(&daemon, &expect, "expected=on&end=2h&until=&reason=late+service")), page());
    assert_eq!(expected(), Some(1.0));
    let shown = send(&daemon, HOST, &format!("GET /actions/{clear}"), "");
    assert!(shown.text().contains("late service"), "{}", shown.text());
    assert_eq!(
        Some(confirm(&daemon, &expect, &format!("expected=off&end=time&until={}", in_days(&daemon, 3)))),
        page()
    );
    assert_eq!(expected(), Some(0.0));
    assert_eq!(Some(confirm(&daemon, &clear, "reason=back+to+normal")), page());
    assert_eq!(expected(), before);
    assert_eq!(confirm(&daemon, &clear, ""), format!("../inputs/{MAIN}?done=unchanged"));
    let exported = run(folder.path(), &["journal", "export"]).stdout;
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reasons: Vec<_> =
        lines.iter().filter(|line| line["record"] == "exception").map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, [json!("late service"), Value::Null, json!("back to normal")]);
    let token = token(&daemon, &expect);
    let [past, soon, far] = [-1, 1, 400].map(|days| in_days(&daemon, days));
    for fields in [
        "expected=on".to_owned(),
        "end=1h".to_owned(),
        format!("expected=on&end=time&until={past}"),
        format!("expected=on&end=time&until={far}"),
        format!("expected=on&end=1h&until={soon}"),
    ] {
        assert_eq!(status(&submit(&daemon, &expect, "", &format!("token={token}&{fields}"))), 400, "{fields}");
    }
    assert_eq!(expected(), before);
}

/// Keeps a body as if an earlier version had not understood it.
fn keep(folder: &Path, body: &[u8]) {
    let sql = "INSERT INTO unrecognized (received_at, reason, body) VALUES (1795255200000000000, 'event_type', ?1)";
    database(folder).execute(sql, params![body]).unwrap();
}

fn kept(folder: &Path) -> Vec<u64> {
    let database = database(folder);
    let mut select = database.prepare("SELECT seq FROM unrecognized ORDER BY seq").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn replayed_body_is_recorded_and_not_kept_if_it_is_understood_now() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let bodies = ["connected", "unknown-event-type", "connected", "save-and-test-properly"].map(fixture);
    bodies.iter().for_each(|body| keep(folder.path(), body.as_bytes()));
    for (number, done, left) in [
        (1, "event-recorded", &[2, 3, 4][..]),
        (2, "not-understood", &[2, 3, 4]),
        (3, "duplicate", &[2, 4]),
        (4, "test", &[2]),
    ] {
        let location = confirm(&daemon, &format!("replay?body={number}"), "reason=upgraded");
        assert_eq!(location, format!("../unrecognized?done={done}"), "{number}");
        assert_eq!(kept(folder.path()), left, "{number}");
    }
    let again = format!("token={}", token(&daemon, "replay?body=1"));
    assert_eq!(status(&submit(&daemon, "replay?body=1", "", &again)), 404);
    let far = format!("replay?body={}", u64::MAX);
    let body = format!("token={}", token(&daemon, &far));
    assert_eq!(status(&submit(&daemon, &far, "", &body)), 404);
    let events = exported(folder.path(), "data");
    assert_eq!(events.len(), 1);
    assert_eq!([&events[0]["event"], &events[0]["received_at"]], ["connected", "2026-11-21T10:00:00Z"]);
    assert_eq!(connected(&daemon, MAIN), Some(1.0));
    let logged = daemon.wait_for("action");
    assert_eq!([&logged["action"], &logged["outcome"], &logged["reason"]], ["replay", "event-recorded", "upgraded"]);
}

#[test]
fn reload_takes_effect_or_lists_every_problem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let entry = |name: &str| format!("[[inputs]]\nid = \"{MAIN}\"\nname = \"{name}\"\n");
    fs::write(&file, entry("Main")).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
    let named = |name: &str| daemon.get("/api/v1/inputs").body.contains(&format!("\"name\":\"{name}\""));
    fs::write(&file, entry("Nave")).unwrap();
    assert_eq!((confirm(&daemon, "reload", "reason="), named("Nave")), ("../?done=reloaded".to_owned(), true));
    fs::write(&file, entry("Attic") + "nonsense = 1\n[web]\ntypo = 1\n").unwrap();
    let answer = submit(&daemon, "reload", "", &format!("token={}", token(&daemon, "reload")));
    assert_eq!((status(&answer), named("Nave")), (500, true));
    let by_api = daemon.post_private("/-/reload");
    let problems = by_api.body.lines().filter(|line| !line.is_empty()).count();
    assert!(problems >= 3, "{by_api:?}");
    assert!(answer.text().contains("nonsense") && answer.text().contains("web.typo"), "{}", answer.text());
}

#[test]
fn correction_that_cannot_be_recorded_is_answered_503_as_by_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    keep(folder.path(), fixture("connected").as_bytes());
    let blocker = database(folder.path());
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    for action in [format!("set-disconnected?input={MAIN}"), "replay?body=1".to_owned()] {
        let answer = submit(&daemon, &action, "", &format!("token={}", token(&daemon, &action)));
        assert_eq!((status(&answer), answer.header("retry-after")), (503, "5"), "{action}: {}", answer.text());
    }
    blocker.execute_batch("ROLLBACK").unwrap();
    daemon.wait_for("journal is writable again");
    assert_eq!((corrections(folder.path()).len(), kept(folder.path())), (0, vec![1]));
}
