//! The status page: banner and list of inputs, against the metrics and the API.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use stream_live_exporter::clock;

use crate::daemon::{Daemon, eventually, notification};

const HALL: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const CHAPEL: &str = "eb222fcca08eeb1ae84c981ebe8aeeb6";
const YARD: &str = "0123456789abcdef0123456789abcdef";

/// A daemon that expects two inputs, of which one is connected, and knows a third one without an event.
fn start(folder: &std::path::Path) -> Daemon {
    let site = format!(
        "[[inputs]]\nid = \"{HALL}\"\nname = \"Hall <1>\"\nexpected = \"always\"\n\n[[inputs]]\nid = \"{CHAPEL}\"\n\
         name = \"Chapel\"\nexpected = \"always\"\n\n[[inputs]]\nid = \"{YARD}\"\nname = \"Yard\"\n"
    );
    fs::write(folder.join("exporter.toml"), site).unwrap();
    let daemon = Daemon::start_with(folder, ["--config.file=exporter.toml"]);
    for (input, event) in [(HALL, "connected"), (CHAPEL, "connected"), (CHAPEL, "disconnected")] {
        post(&daemon, input, event);
    }
    daemon
}

/// Posts an event of now.
fn post(daemon: &Daemon, input: &str, event: &str) {
    let answer = daemon.post(&notification(input, event, &clock::wall().to_string()));
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"outcome":"recorded"}"#));
}

/// The parts between two texts.
fn between<'a>(html: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    html.split(begin).skip(1).map(|rest| rest.split(end).next().unwrap_or_default()).collect()
}

/// The cells of the rows of the list, by id of the input, in the order of the page.
fn rows(html: &str) -> Vec<(&str, Vec<&str>)> {
    let rows = between(html, "<tr id=row-", "</tr>");
    rows.into_iter().map(|row| (&row[..32], row.split("<td>").collect())).collect()
}

fn banner(html: &str) -> &str {
    between(html, "<section id=\"banner\"", "</section>")[0]
}

#[test]
fn list_of_inputs_shows_what_metrics_and_api_say() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let mut html = daemon.get("/").body;
    // The last day is read once a page needs it.
    eventually("the page shows the last day", || {
        html = daemon.get("/").body;
        html.matches("<svg").count() == 3
    });
    let listed: BTreeMap<_, _> = rows(&html).into_iter().collect();
    let api: Value = serde_json::from_str(&daemon.get("/api/v1/inputs").body).unwrap();
    let inputs = api["inputs"].as_array().unwrap();
    assert_eq!(listed.len(), inputs.len());
    for input in inputs {
        let id = input["id"].as_str().unwrap();
        let [_, state, since, expected, _, disconnects, ..] = &listed[id][..] else { panic!("{listed:?}") };
        let metric = |name: &str| daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{id}\"}}"));
        let class = match (metric("connected"), metric("expected")) {
            (Some(1.0), _) => "live",
            (Some(_), Some(1.0)) => "off-expected",
            (Some(_), _) => "off",
            (None, _) => "unknown",
        };
        assert!(state.contains(&format!("class=\"badge {class}\"")), "{state}");
        assert_eq!(expected.trim() == "always", input["expected"] == true, "{expected}");
        match input["since"].as_str() {
            Some(at) => assert!(since.contains(&format!("datetime={}", &at[..19])), "{since} {at}"),
            None => assert!(!since.contains("datetime"), "{since}"),
        }
        assert_eq!(disconnects.parse::<u64>().ok(), input["events"]["disconnected"].as_u64());
    }
    let order: Vec<_> = rows(&html).into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, [CHAPEL, HALL, YARD], "the worst is first");
    assert!(html.contains("Hall &#60;1&#62;") && !html.contains("<1>"), "{html}");
}

#[test]
fn list_is_searched_sorted_and_filtered_by_the_query() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    for (query, expected) in [
        ("sort=name", vec![CHAPEL, HALL, YARD]),
        ("sort=name&order=desc", vec![YARD, HALL, CHAPEL]),
        ("search=HALL+%3C", vec![HALL]),
        ("search=0123456789abcdef", vec![YARD]),
        ("state=off-expected&search=&account=&sort=&order=&page=", vec![CHAPEL]),
        ("state=unknown&search=hall", vec![]),
        ("page=9", vec![CHAPEL, HALL, YARD]),
    ] {
        let answer = daemon.get(&format!("/?{query}"));
        let ids: Vec<_> = rows(&answer.body).into_iter().map(|(id, _)| id).collect();
        assert_eq!((answer.status, ids), (200, expected), "{query}");
    }
    for (query, repeated) in [("sort=%3Cb%3E", "&#60;b&#62;"), ("page=0", "page"), ("inputs=1", "inputs")] {
        let answer = daemon.get(&format!("/?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.body.contains(repeated) && answer.body.contains("href=\"./\""), "{}", answer.body);
    }
}

#[test]
fn banner_names_what_is_wrong_until_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let shown = || {
        let html = daemon.get("/").body;
        let banner = banner(&html);
        let class = between(banner, "class=\"banner ", "\"")[0].to_owned();
        (class, banner.contains(CHAPEL), banner.matches("<h2>").count())
    };
    assert_eq!(shown(), ("bad".to_owned(), true, 0));
    // A rejected delivery with a secret: the state may be out of date.
    assert_eq!(daemon.post_with("wrong", "{}").status, 401);
    assert_eq!(shown(), ("bad".to_owned(), true, 1));
    post(&daemon, CHAPEL, "connected");
    assert_eq!(shown(), ("ok".to_owned(), false, 0));
}

#[test]
fn page_of_a_hundred_inputs_has_less_than_100_kb() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for number in 0..101 {
        post(&daemon, &format!("{number:032x}"), "connected");
    }
    let mut html = String::new();
    eventually("the page shows the last day", || {
        html = daemon.get("/").body;
        html.matches("<svg").count() == 100
    });
    assert_eq!(rows(&html).len(), 100);
    assert!(html.contains("?page=2"), "the list has a second page");
    assert!(html.len() < 100_000, "{}", html.len());
}
