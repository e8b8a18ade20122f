//! The streams that keep open pages up to date.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;

use crate::connection::{Connection, SMALL_BUFFER, connect_from, exchange, request};
use crate::daemon::{Daemon, command, eventually, notification};

/// The daemon's idle timeout: streams must outlive it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum number of streams.
const STREAMS: usize = 128;
/// Number of other connections that a peer has beside its streams.
const OTHERS: usize = 64;
const STREAM: &str = "GET /updates?page=";
const BEAT: &str = "event: beat\ndata:\n\n";

/// The stream of an open status page.
struct OpenPage {
    connection: Connection,
    /// What has arrived of the next event.
    arrived: String,
}

impl OpenPage {
    fn open(daemon: &Daemon) -> Self {
        let mut connection = Connection::open(daemon.private_address()).unwrap();
        connection.send(&request(STREAM, b"")).unwrap();
        let head = connection.read_head().unwrap();
        assert_eq!((head.status.as_str(), head.header("content-type")), ("200 OK", "text/event-stream"));
        let mut page = Self { connection, arrived: String::new() };
        assert_eq!(page.event().as_deref(), Some("retry: 1000\nevent: beat\ndata:\n\n"));
        page
    }

    /// The next event; `None` at the end of the stream, which is complete.
    fn event(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.arrived.find("\n\n") {
                let rest = self.arrived.split_off(end + 2);
                return Some(std::mem::replace(&mut self.arrived, rest));
            }
            let chunk = self.connection.read_chunk().unwrap()?;
            self.arrived.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The data of the next event that is an update.
    fn update(&mut self) -> serde_json::Value {
        loop {
            let event = self.event().expect("the stream goes on");
            if let Some((_, data)) = event.split_once("\ndata: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

fn with_idle_timeout(folder: &Path) -> Daemon {
    let mut command = command(folder);
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__IDLE_TIMEOUT", format!("{}s", IDLE_TIMEOUT.as_secs()));
    Daemon::spawn(command, folder)
}

#[test]
fn open_page_gets_only_what_a_notification_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let id = format!("{:032x}", 7);
    for id in [&id, &format!("{:032x}", 8)] {
        assert_eq!(daemon.post(&notification(id, "connected", "2026-11-20T18:00:00Z")).status, 200);
    }
    let mut page = OpenPage::open(&daemon);
    let ids = |update: &serde_json::Value| -> Vec<String> {
        update["fragments"].as_object().unwrap().keys().cloned().collect()
    };
    let whole = ids(&page.update());
    assert!(whole.contains(&"inputs".to_owned()), "{whole:?}");
    assert_eq!(daemon.post(&notification(&id, "errored", "2026-11-20T18:00:05Z")).status, 200);
    let row = format!("row-{id}");
    let changed = loop {
        let changed = ids(&page.update());
        if changed.contains(&row) {
            break changed;
        }
    };
    assert!(!changed.iter().any(|id| id == "inputs" || id.starts_with("row-") && *id != row), "{changed:?}");
}

#[test]
fn page_that_is_not_read_is_disconnected() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_idle_timeout(folder.path());
    let mut slow = connect_from(Ipv4Addr::LOCALHOST.into(), daemon.private_address(), Some(SMALL_BUFFER)).unwrap();
    slow.write_all(&request(STREAM, b"")).unwrap();
    slow.read_exact(&mut [0; 16]).unwrap();
    // Each update of the whole list has 100 rows. Some of them fill the kernel's buffers.
    let (mut minute, open) = (0, || daemon.metric(r#"stream_live_exporter_connections{listener="web"}"#).unwrap());
    eventually("it is disconnected", || {
        minute += 1;
        for number in 0..100 {
            let kind = if (number + minute) % 2 == 0 { "connected" } else { "disconnected" };
            let at = format!("2026-11-20T{:02}:{:02}:00Z", minute / 60, minute % 60);
            assert_eq!(daemon.post(&notification(&format!("{number:032x}"), kind, &at)).status, 200);
        }
        open() < 2.0
    });
    drop(slow);
}

#[test]
fn page_that_shows_the_newest_state_gets_nothing_but_heartbeats() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_idle_timeout(folder.path());
    let html = exchange(daemon.private_address(), "GET /", b"");
    let state = html.text().split_once("data-state=\"").unwrap().1.split('"').next().unwrap();
    let mut connection = Connection::open(daemon.private_address()).unwrap();
    connection.send(&request(&format!("GET /updates?page=&have={state}"), b"")).unwrap();
    connection.read_head().unwrap();
    let mut page = OpenPage { connection, arrived: String::new() };
    let since = Stopwatch::start();
    page.event();
    while since.elapsed() < IDLE_TIMEOUT * 2 {
        assert_eq!(page.event().as_deref(), Some(BEAT));
    }
}

#[test]
fn scrapes_and_api_keep_their_places_while_all_streams_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let mut pages: Vec<_> = (0..STREAMS).map(|_| OpenPage::open(&daemon)).collect();
    let refused = || exchange(daemon.private_address(), STREAM, b"").status;
    assert_eq!(refused(), "503 Service Unavailable");
    let others: Vec<_> = (0..OTHERS)
        .map(|number| {
            let mut other = Connection::open(daemon.private_address()).unwrap();
            let path = if number % 2 == 0 { "/metrics" } else { "/api/v1/inputs" };
            other.send(&request(&format!("GET {path}"), b"")).unwrap();
            assert_eq!(other.read_answer().unwrap().status, "200 OK");
            other
        })
        .collect();
    assert!(others.iter().all(Connection::is_open));
    pages.pop();
    let mut open = None;
    eventually("a closed page makes room", || {
        let mut connection = Connection::open(daemon.private_address()).unwrap();
        connection.send(&request(STREAM, b"")).unwrap();
        let admitted = connection.read_head().unwrap().status == "200 OK";
        open = Some(connection);
        admitted
    });
}

#[test]
fn stop_ends_the_streams_of_open_pages() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let mut pages: Vec<_> = (0..100).map(|_| OpenPage::open(&daemon)).collect();
    daemon.signal("TERM");
    daemon.wait_for("stopped");
    for page in &mut pages {
        while page.event().is_some() {}
    }
    assert!(daemon.wait().success());
}

#[test]
fn open_page_does_not_advance_the_shown_time() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let id = format!("{:032x}", 7);
    assert_eq!(daemon.post(&notification(&id, "connected", "2026-11-20T18:00:00Z")).status, 200);
    let mut page = OpenPage::open(&daemon);
    page.update();
    assert_eq!(daemon.get("/").status, 200);
    assert_eq!(daemon.post(&notification(&id, "disconnected", "2026-11-20T18:00:05Z")).status, 200);
    let series = format!("cloudflare_stream_live_input_connected_seconds_total{{input_id=\"{id}\"}}");
    assert_eq!(daemon.metric(&series), Some(5.0));
}
