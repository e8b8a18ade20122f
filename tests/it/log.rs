//! The log: what it contains, and a reader that stops reading.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, PipeReader, Write, pipe};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use rustix::fs::OFlags;
use serde_json::Value;
use stream_live_exporter::text::is_control_or_format;

use crate::connection::{Connection, exchange, request, webhook_request};
use crate::daemon::{Daemon, PATIENCE, command, eventually, notification, ran, run};
use crate::journal::exported;
use crate::parser;

const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const OTHER: &str = "0123456789abcdef0123456789abcdef";
const DROPPED: &str = "stream_live_exporter_log_lines_dropped_total";
/// More lines than the pipe and the queue of the log hold.
const EVENTS: usize = 6000;
const CONNECTIONS: usize = 8;

/// A daemon whose log is not read after its start.
struct Stalled {
    child: Child,
    public: String,
    private: String,
    secret: String,
    /// Open, so that the pipe is full instead of closed.
    log: BufReader<PipeReader>,
}

impl Stalled {
    /// With `shared`, standard output goes to the same pipe.
    fn start(folder: &Path, shared: bool) -> Self {
        let (reader, writer) = pipe().unwrap();
        let mut command = command(folder);
        if shared {
            command.stdout(writer.try_clone().unwrap());
        }
        let child = command.stderr(writer).spawn().unwrap();
        // The command has the other copies of the writing end.
        drop(command);
        let mut log = BufReader::new(reader);
        let mut wait_for = |message: &str| loop {
            let mut line = String::new();
            log.read_line(&mut line).unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["msg"] == message {
                return line;
            }
        };
        let listening = wait_for("listening");
        let address = |key: &str| listening[key].as_str().unwrap().split('/').nth(2).unwrap().to_owned();
        let (public, private) = (address("webhook"), address("metrics"));
        wait_for("ready");
        let secret = fs::read_to_string(folder.join("data/webhook-secret")).unwrap().trim().to_owned();
        Self { child, public, private, secret, log }
    }

    /// Posts events over several connections, each with a log line. All must be recorded.
    fn post_events(&self) {
        let post = |connection: usize| {
            let mut client = Connection::open(&self.public).unwrap();
            for event in (connection..EVENTS).step_by(CONNECTIONS) {
                let time = format!("2026-11-20T{:02}:{:02}:{:02}Z", event / 3600, event / 60 % 60, event % 60);
                client.send(&webhook_request(&self.secret, &notification(MAIN, "errored", &time))).unwrap();
                assert_eq!(client.read_answer().unwrap().text(), r#"{"outcome":"recorded"}"#);
            }
        };
        thread::scope(|scope| (0..CONNECTIONS).for_each(|connection| _ = scope.spawn(move || post(connection))));
    }

    fn metric(&self, name: &str) -> f64 {
        let families = parser::parse(exchange(&self.private, "GET /metrics", b"").text(), false).unwrap();
        let mut samples = families.into_iter().flat_map(|family| family.samples);
        samples.find(|sample| sample.series == name).unwrap().value
    }

    /// Fills the rest of the pipe, into which a short line could still fit.
    fn fill_pipe(&self) {
        let path = format!("/proc/self/fd/{}", self.log.get_ref().as_raw_fd());
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut pipe = OpenOptions::new().write(true).custom_flags(flags).open(path).unwrap();
        while pipe.write(b"\n").is_ok() {}
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        // It may have exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the exit.
fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    eventually("the daemon exits", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.expect("it exited")
}

#[test]
fn stalled_log_reader_stops_neither_recording_nor_scrapes_nor_signals() {
    for (signal, shared) in [("TERM", false), ("INT", true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = Stalled::start(folder.path(), shared);
        assert_eq!(daemon.metric(DROPPED), 0.0);
        daemon.post_events();
        assert!(daemon.metric(DROPPED) > 0.0);
        assert_eq!(exchange(&daemon.private, "GET /-/ready", b"").status, "200 OK");
        let reloaded = "stream_live_exporter_config_last_reload_success_timestamp_seconds";
        let before = daemon.metric(reloaded);
        daemon.signal("HUP");
        eventually("it reloads", || daemon.metric(reloaded) > before);
        daemon.fill_pipe();
        daemon.signal(signal);
        assert_eq!(ended(&mut daemon.child).code(), Some(0), "SIG{signal}");
        assert_eq!(exported(folder.path(), "data").len(), EVENTS);
    }
}

#[test]
fn second_signal_ends_a_daemon_with_a_stalled_log_reader() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Stalled::start(folder.path(), false);
    daemon.post_events();
    // A request whose body does not arrive delays the graceful shutdown.
    let mut slow = Connection::open(&daemon.public).unwrap();
    let head =
        format!("POST /webhook | cf-webhook-auth: {} | expect: 100-continue | content-length: 10", daemon.secret);
    slow.send(&request(&head, b"")).unwrap();
    assert_eq!(slow.read_head().unwrap().status, "100 Continue");
    daemon.signal("TERM");
    eventually("it shuts down", || exchange(&daemon.private, "GET /-/ready", b"").text().starts_with("draining"));
    daemon.signal("TERM");
    assert_eq!(ended(&mut daemon.child).code(), Some(1));
}

#[test]
fn start_with_a_full_log_pipe_fails_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, mut writer) = pipe().unwrap();
    // The capacity of a pipe.
    writer.write_all(&[b'\n'; 65536]).unwrap();
    let mut command = command(folder.path());
    command.arg("--storage.retention=long").stdout(writer.try_clone().unwrap()).stderr(writer);
    assert_eq!(ended(&mut command.spawn().unwrap()).code(), Some(1));
    drop(reader);
}

#[test]
fn lines_name_the_input_and_input_changed_means_a_change() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.toml"), format!("[[inputs]]\nid = \"{MAIN}\"\nname = \"Main stage\"\n"))
        .unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--config.file=site.toml", "--log.level=debug"]);
    for (input, kind, second) in [
        (MAIN, "connected", 10),
        (MAIN, "connected", 20),
        (MAIN, "disconnected", 30),
        (OTHER, "connected", 10),
        (MAIN, "errored", 40),
    ] {
        daemon.post(&notification(input, kind, &format!("2026-11-20T18:00:{second}Z")));
    }
    daemon.wait_for("input errored");
    let lines = |message: &str| {
        let lines = daemon.log().into_iter().filter(|line| line["msg"] == message);
        lines.map(|line| [line["name"].clone(), line["event"].clone()]).collect::<Vec<_>>()
    };
    let text = |text: &str| Value::from(text);
    assert_eq!(
        lines("input changed"),
        [
            [text("Main stage"), text("connected")],
            [text("Main stage"), text("disconnected")],
            [Value::Null, text("connected")],
        ]
    );
    assert_eq!(lines("input errored"), [[text("Main stage"), text("errored")]]);
    assert_eq!(lines("event recorded without a change").len(), 1);
    for line in daemon.log() {
        let keys = ["time", "level", "source", "msg"];
        assert!(keys.iter().all(|key| line[key].is_string()), "{line}");
        assert!(line["time"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{line}");
    }
}

#[test]
fn problems_of_the_configuration_are_logged_in_the_chosen_format() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| fs::write(folder.path().join("site.toml"), text).unwrap();
    let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|line| line["level"] == "ERROR");
    let is_logfmt = |line: &str| line.starts_with("time=") && line.contains(" level=ERROR ");
    // By file, by flag, and by neither: standard error is not a terminal.
    file("[log]\nformat = \"logfmt\"\n[web]\nport = 1\n");
    let by_file = run(folder.path(), &["--config.file=site.toml"]);
    let by_flag = run(folder.path(), &["--config.file=site.toml", "--log.format=json"]);
    file("[log]\nformat = \"xml\"\n");
    let by_neither = run(folder.path(), &["--config.file=site.toml"]);
    for (failed, as_chosen) in
        [(by_file, &is_logfmt as &dyn Fn(&str) -> bool), (by_flag, &is_json), (by_neither, &is_json)]
    {
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert!(failed.stderr.lines().count() == 1 && failed.stderr.lines().all(as_chosen), "{}", failed.stderr);
    }
}

#[test]
fn commands_escape_control_and_format_characters_of_journal_and_network() {
    const HOSTILE: &str = "X\u{1b}[2K\u{9b}31m\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}\u{7f}\u{e0041}";
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let body = notification(MAIN, "errored", "2026-11-20T18:00:00Z");
    let mut body: Value = serde_json::from_str(&body).unwrap();
    body["data"]["live_input_errored"]["error"]["code"] = HOSTILE.into();
    assert_eq!(daemon.post(&body.to_string()).body, r#"{"outcome":"recorded"}"#);
    assert!(daemon.stop().success());
    let printed = run(folder.path(), &["journal", "export"]).stdout;
    assert!(!printed.contains(|c: char| c != '\n' && is_control_or_format(c)), "{printed:?}");
    assert_eq!(exported(folder.path(), "data")[0]["code"], HOSTILE);

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let (answered_tx, answered) = channel();
    thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", HOSTILE.len());
        stream.write_all(format!("{head}{HOSTILE}").as_bytes()).unwrap();
        answered_tx.send(()).unwrap();
    });
    let mut healthcheck = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    healthcheck.current_dir(folder.path()).arg(format!("--web.listen-address={address}")).arg("healthcheck");
    let checked = ran(healthcheck.stdin(Stdio::null()));
    answered.recv_timeout(PATIENCE).unwrap();
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(
        checked.stdout.contains("\\u202e") && !checked.stdout.contains(|c: char| c != '\n' && is_control_or_format(c))
    );
}
