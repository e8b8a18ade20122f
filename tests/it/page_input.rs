//! The page of an input: what it shows equals the metrics, also after late events, a correction and a restart.

use std::fs;

use crate::connection::exchange;
use crate::corrections::{CHAPEL, MAIN, send};
use crate::daemon::{Daemon, notification};

const AS_JSON: &str = " | content-type: application/json";

/// The page as text.
fn page(daemon: &Daemon, input: &str) -> String {
    let answer = daemon.get(&format!("/inputs/{input}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// The cell after a row's head.
fn counter(page: &str, name: &str) -> Option<f64> {
    let (_, after) = page.split_once(&format!("<th scope=\"row\">{name}</th><td>"))?;
    after.split_once('<')?.0.parse().ok()
}

/// Seconds of each session, newest first; `None` while it goes on.
fn sessions(page: &str) -> Vec<Option<u64>> {
    let section = page.split_once("id=\"sessions\"").unwrap().1.split_once("</section>").unwrap().0;
    let rows = section.split("<tr><td>").skip(1);
    rows.map(|row| row.split_once("<data value=\"")?.1.split_once('"')?.0.parse().ok()).collect()
}

/// Compares the counters of a page with the metrics.
fn check_counters(daemon: &Daemon, page: &str) {
    let metric = |name: &str, labels: &str| {
        daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{MAIN}\"{labels}}}"))
    };
    assert_eq!(counter(page, "Sessions"), metric("sessions_total", ""));
    assert_eq!(counter(page, "Reconnects"), metric("reconnects_total", ""));
    for event in ["connected", "disconnected", "errored"] {
        let events = metric("events_total", &format!(",event=\"{event}\""));
        assert_eq!(counter(page, &format!("Events: {event}")), events);
    }
    let is_live = page.contains("<b class=\"badge live\">on air</b> since");
    assert_eq!(Some(f64::from(u8::from(is_live))), metric("connected", ""));
    if !is_live {
        let shown = counter(page, "Connected seconds").unwrap();
        assert!((shown - metric("connected_seconds_total", "").unwrap()).abs() < 1.0, "{shown}");
    }
}

#[test]
fn page_of_an_input_follows_late_events_corrections_and_restarts_and_equals_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let post = |daemon: &Daemon, event: &str, at: &str| {
        assert_eq!(daemon.post(&notification(MAIN, event, &format!("2026-11-20T{at}Z"))).status, 200);
    };
    post(&daemon, "connected", "18:00:00");
    let shown = page(&daemon, MAIN);
    check_counters(&daemon, &shown);
    assert_eq!(sessions(&shown), [None]);

    // The session of the first hour ends late.
    post(&daemon, "connected", "19:30:00");
    post(&daemon, "disconnected", "19:00:00");
    let shown = page(&daemon, MAIN);
    check_counters(&daemon, &shown);
    assert_eq!(sessions(&shown), [None, Some(3600)]);

    let corrected = r#"{"state": "disconnected", "reason": "the <encoder> is off"}"#;
    assert_eq!(send(&daemon, &format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}"), corrected).0, 200);
    let before = page(&daemon, MAIN);
    check_counters(&daemon, &before);
    assert!(before.contains("the &#60;encoder&#62; is off") && before.contains("badge off"), "{before}");
    assert_eq!(sessions(&before).len(), 2);

    daemon.kill();
    let daemon = Daemon::start(folder.path());
    let after = page(&daemon, MAIN);
    check_counters(&daemon, &after);
    assert_eq!(sessions(&after), sessions(&before));
    assert!(after.contains("<svg class=bar"), "{after}");

    assert_eq!(daemon.get(&format!("/inputs/{CHAPEL}")).status, 404);
    assert_eq!(daemon.get("/inputs/main").status, 404);
    assert!(daemon.stop().success());
}

#[test]
fn short_links_lead_to_grafana_and_cloudflare_if_they_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let configuration =
        format!("[web]\ngrafana_url = \"https://grafana.example\"\n[[inputs]]\nid = \"{CHAPEL}\"\nname = \"Chapel\"\n");
    fs::write(folder.path().join("exporter.toml"), configuration).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
    assert_eq!(daemon.post(&notification(MAIN, "connected", "2026-11-20T18:00:00Z")).status, 200);
    let target = |path: &str| {
        let answer = exchange(daemon.private_address(), &format!("GET /inputs/{path}"), b"");
        (answer.status.clone(), answer.header("location").to_owned())
    };
    let grafana = |input: &str| format!("https://grafana.example/d/stream-live-input?var-input={input}");
    let cloudflare = format!("https://dash.cloudflare.com/9035f53656ca2b7a4e1b0f5b1f2b9c4d/stream/inputs/{MAIN}");
    for (path, url) in [
        (format!("{MAIN}/grafana"), Some(grafana(MAIN))),
        (format!("{CHAPEL}/grafana"), Some(grafana(CHAPEL))),
        (format!("{MAIN}/cloudflare"), Some(cloudflare)),
        // No notification has named its account.
        (format!("{CHAPEL}/cloudflare"), None),
        (format!("{MAIN}/elsewhere"), None),
        (format!("{}/grafana", "0".repeat(32)), None),
        ("x/grafana".to_owned(), None),
    ] {
        let (status, location) = target(&path);
        assert_eq!(status, if url.is_some() { "303 See Other" } else { "404 Not Found" }, "{path}");
        assert_eq!(location, url.unwrap_or_default(), "{path}");
    }
}
