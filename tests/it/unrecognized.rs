//! Bodies that were not understood: they are listed, and read again after an upgrade.

use std::path::Path;

use rusqlite::params;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Ran, fixture, notification, run};
use crate::journal::{database, exported};

const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";
/// 2026-11-21T10:00:00Z.
const RECEIVED_AT: i64 = 1_795_255_200_000_000_000;

fn list(folder: &Path) -> Vec<Value> {
    let Ran { code, stdout, stderr } = run(folder, &["journal", "unrecognized"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Keeps bodies in the journal as if an earlier version had not understood them.
fn keep(folder: &Path, bodies: &[&[u8]]) {
    let database = database(folder);
    for (second, body) in (0..).zip(bodies) {
        let sql = "INSERT INTO unrecognized (received_at, reason, body) VALUES (?1, 'event_type', ?2)";
        database.execute(sql, params![RECEIVED_AT + second * 1_000_000_000, body]).unwrap();
    }
}

#[test]
fn unrecognized_bodies_are_listed_while_the_daemon_runs() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let bodies = [
        fixture("unknown-event-type"),
        fixture("video-webhook-by-mistake"),
        "{\"data\":{\"event_type\":\"\u{9b}31m\u{202e}\"}}".to_owned(),
    ];
    for body in bodies.iter().chain([&fixture("connected"), &fixture("save-and-test-properly")]) {
        assert_eq!(daemon.post(body).status, 200);
    }
    let listed = list(folder.path());
    let column = |key: &str| listed.iter().map(|line| line[key].clone()).collect::<Vec<_>>();
    assert_eq!(column("body"), bodies.map(Value::from));
    assert_eq!(column("reason")[..2], ["event_type", "video_webhook"]);
    assert_eq!(column("seq"), [1, 2, 3]);
    assert!(listed.iter().all(|line| line["received_at"].as_str() > Some("2026-11-2")), "{listed:?}");
    let printed = run(folder.path(), &["journal", "unrecognized"]).stdout;
    assert!(!printed.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{printed:?}");
    assert!(daemon.stop().success());
    assert_eq!(list(folder.path()), listed);

    keep(folder.path(), &[b"\xff\x00"]);
    let bytes = json!({"seq": 4, "received_at": "2026-11-21T10:00:00Z", "reason": "event_type", "body_base64": "/wA="});
    assert_eq!(list(folder.path())[3], bytes);
}

#[test]
fn replay_records_what_is_understood_now_with_its_time_of_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = ["--inputs.reconnect-window=7s", "--inputs.max=5"];
    assert!(Daemon::start_with(folder.path(), configuration).stop().success());
    let other = notification(&"a".repeat(32), "disconnected", "2026-11-21T09:58:00Z");
    let connected = fixture("connected");
    let (unknown, test) = (fixture("unknown-event-type"), fixture("save-and-test-properly"));
    let bodies = [&connected, &unknown, &other, &other, &test].map(String::as_bytes);
    keep(folder.path(), &[&bodies[..], &[b"not JSON"]].concat());
    let rules = |folder: &Path| run(folder, &["journal", "export"]).stdout.matches("\"rules\"").count();

    let daemon = Daemon::start_with(folder.path(), configuration);
    let refused = run(folder.path(), &["journal", "replay-unrecognized"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert_eq!(list(folder.path()).len(), 6);
    assert!(daemon.stop().success());

    // Without the daemon's flags: its rules stay in force.
    let replayed = run(folder.path(), &["journal", "replay-unrecognized"]);
    assert_eq!((replayed.code, replayed.stderr.as_str()), (Some(0), ""));
    assert_eq!(rules(folder.path()), 1);
    let events = exported(folder.path(), "data");
    let facts: Vec<_> = events.iter().map(|line| [&line["input_id"], &line["event"], &line["received_at"]]).collect();
    assert_eq!(
        facts,
        [
            [&json!(MAIN), &json!("connected"), &json!("2026-11-21T10:00:00Z")],
            [&json!("a".repeat(32)), &json!("disconnected"), &json!("2026-11-21T10:00:02Z")],
        ]
    );
    let left = list(folder.path());
    assert_eq!(left.iter().map(|line| &line["body"]).collect::<Vec<_>>(), [&json!(unknown), &json!("not JSON")]);

    // A body that was kept twice is a duplicate.
    keep(folder.path(), &[connected.as_bytes()]);
    assert_eq!(run(folder.path(), &["journal", "replay-unrecognized"]).code, Some(0));
    assert_eq!((exported(folder.path(), "data"), list(folder.path())), (events, left));

    let daemon = Daemon::start_with(folder.path(), configuration);
    assert_eq!(daemon.metric(&format!("cloudflare_stream_live_input_connected{{input_id=\"{MAIN}\"}}")), Some(1.0));
    assert_eq!(daemon.metric("stream_live_exporter_last_test_timestamp_seconds"), Some(1_795_255_204.0));
    assert_eq!(daemon.post(&other).body, r#"{"outcome":"duplicate"}"#);
}

#[test]
fn replay_without_a_journal_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["replay-unrecognized", "unrecognized"] {
        assert_eq!(run(folder.path(), &["journal", command]).code, Some(1));
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn pages_list_the_bodies_and_show_each_as_text_that_is_never_interpreted() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let hostile = "{\"data\":{\"event_type\":\"<script>alert(1)</script>\u{202e}\u{1b}[2K\"}}";
    assert_eq!(daemon.post(hostile).status, 200);
    assert_eq!(daemon.post("</pre><h1>not JSON").status, 400);
    keep(folder.path(), &[b"\xff\x00"]);
    let list = daemon.get("/unrecognized");
    assert_eq!(list.status, 200);
    let links: Vec<_> =
        list.body.split("href=\"./unrecognized/").skip(1).map(|rest| &rest[..rest.find('"').unwrap()]).collect();
    assert_eq!(links, ["3", "2", "1"]);
    for part in ["event_type", "not_json", "2026-11-21T10:00:00Z"] {
        assert!(list.body.contains(part), "{part} is not in {}", list.body);
    }
    for (number, shown, hidden) in [
        (1, "&#60;script&#62;alert(1)&#60;/script&#62;\\u202e\\u001b[2K", "<script>alert"),
        (2, "&#60;/pre&#62;&#60;h1&#62;not JSON", "<h1>not"),
        (3, ">\\xff\\u0000<", "\u{fffd}"),
    ] {
        let page = daemon.get(&format!("/unrecognized/{number}"));
        assert_eq!(page.status, 200);
        assert!(page.body.contains(shown) && !page.body.contains(hidden), "{}", page.body);
        assert!(page.body.contains(&format!("\"../actions/replay?body={number}\"")), "{}", page.body);
    }
    for missing in ["0", "4", "18446744073709551615", "-1", "x", "%00"] {
        assert_eq!(daemon.get(&format!("/unrecognized/{missing}")).status, 404, "{missing}");
    }
    for invalid in ["before=0", "before=x", "after=1"] {
        assert_eq!(daemon.get(&format!("/unrecognized?{invalid}")).status, 400, "{invalid}");
    }
}

#[test]
fn list_of_bodies_has_pages() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    keep(folder.path(), &[&b"x"[..]; 101]);
    let rows = |address: &str| {
        let page = daemon.get(address).body;
        (page.matches("href=\"./unrecognized/").count(), page.contains("href=\"./unrecognized?before=2\""))
    };
    assert_eq!(rows("/unrecognized"), (100, true));
    assert_eq!(rows("/unrecognized?before=2"), (1, false));
}

#[test]
fn page_says_that_the_journal_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    database(folder.path()).execute_batch("ALTER TABLE unrecognized RENAME TO elsewhere").unwrap();
    for address in ["/unrecognized", "/unrecognized/1"] {
        assert_eq!(daemon.get(address).status, 503, "{address}");
    }
    assert_eq!(daemon.get("/unrecognized/x").status, 404);
}
