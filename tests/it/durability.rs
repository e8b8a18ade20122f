//! A notification that was answered with 2xx survives kills, stops and restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use crate::connection::{Connection, exchange, request, webhook_request};
use crate::daemon::{Daemon, PATIENCE, command, eventually, fixture, notification, path_in, ran, run};
use crate::journal::{count_events, database, exported};

/// Number of threads that post concurrently, each for its own input.
const POSTERS: u64 = 4;

/// An event in the form in which it is sent and read back from an export.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    input_id: String,
    event: String,
    updated_at: String,
}

impl Fact {
    /// Event number `number` of a poster: one event per second, alternately connected and disconnected.
    fn new(poster: u64, number: u64) -> Self {
        let (minutes, seconds) = (number / 60, number % 60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        Self {
            input_id: format!("{poster:032x}"),
            event: if number.is_multiple_of(2) { "connected" } else { "disconnected" }.to_owned(),
            updated_at: format!("2026-11-20T{hours:02}:{minutes:02}:{seconds:02}Z"),
        }
    }

    fn body(&self) -> String {
        notification(&self.input_id, &self.event, &self.updated_at)
    }
}

/// The events in the journal, oldest first.
fn journaled(folder: &Path) -> Vec<Fact> {
    let facts = exported(folder, "data").into_iter().map(|line| {
        let [input_id, event, updated_at] =
            ["input_id", "event", "updated_at"].map(|key| line[key].as_str().expect("a text").to_owned());
        Fact { input_id, event, updated_at }
    });
    facts.collect()
}

/// A thread that posts events until its connection ends, and the outcomes.
struct Poster {
    address: String,
    secret: String,
    poster: u64,
    /// The number of the next event.
    next: u64,
    /// Notified of every 2xx.
    answered: Sender<()>,
    accepted: BTreeSet<Fact>,
    /// Sent at least partly, but not answered.
    unanswered: BTreeSet<Fact>,
}

impl Poster {
    fn of(daemon: &Daemon, poster: u64, next: u64, answered: &Sender<()>) -> Self {
        let (address, secret) = (daemon.public_address().to_owned(), daemon.secret().to_owned());
        let answered = answered.clone();
        Self { address, secret, poster, next, answered, accepted: BTreeSet::new(), unanswered: BTreeSet::new() }
    }

    fn next_fact(&mut self) -> Fact {
        self.next += 1;
        Fact::new(self.poster, self.next - 1)
    }

    fn accept(&mut self, fact: Fact) {
        self.accepted.insert(fact);
        // The receiver stops counting at its limit.
        let _ = self.answered.send(());
    }

    /// Posts on one kept-alive connection until it breaks; every third event twice. Retries after a 503, which means
    /// that the database was locked for longer than the daemon waits.
    fn post_until_killed(mut self) -> Self {
        let Ok(mut connection) = Connection::open(&self.address) else { return self };
        loop {
            let fact = self.next_fact();
            let outcomes = if self.next.is_multiple_of(3) { &["recorded", "duplicate"][..] } else { &["recorded"] };
            for outcome in outcomes {
                let request = webhook_request(&self.secret, &fact.body());
                let answer = loop {
                    let sent = connection.send(&request);
                    match sent.and_then(|()| connection.read_answer()) {
                        Ok(answer) if answer.status == "503 Service Unavailable" => {}
                        answer => break answer,
                    }
                };
                let Ok(answer) = answer else {
                    if !self.accepted.contains(&fact) {
                        self.unanswered.insert(fact);
                    }
                    return self;
                };
                assert_eq!(
                    (answer.status.as_str(), answer.text()),
                    ("200 OK", &*format!("{{\"outcome\":\"{outcome}\"}}"))
                );
                self.accept(fact.clone());
            }
        }
    }

    /// Posts on kept-alive connections until the daemon closes them after an answer. A request whose head was answered
    /// with `100 Continue` is accepted and must get a final answer.
    fn post_until_stopped(mut self) -> Self {
        while let Ok(mut connection) = Connection::open(&self.address) {
            let mut open = true;
            while open {
                let fact = self.next_fact();
                let body = fact.body();
                let head = format!(
                    "POST /webhook | cf-webhook-auth: {} | expect: 100-continue | content-length: {}",
                    self.secret,
                    body.len()
                );
                if connection.send(&request(&head, b"")).and_then(|()| connection.read_head()).is_err() {
                    return self;
                }
                let answer = connection.send(body.as_bytes()).and_then(|()| connection.read_answer());
                let answer = answer.expect("a request that was accepted is answered");
                assert_eq!((answer.status.as_str(), answer.text()), ("200 OK", "{\"outcome\":\"recorded\"}"));
                open = answer.header("connection") != "close";
                self.accept(fact);
            }
        }
        self
    }
}

/// Kills the daemon while it has pending events that it cannot write, because the database is locked.
fn kill_while_the_journal_is_locked(folder: &Path, daemon: Daemon) {
    let mut database = database(folder);
    database.busy_timeout(PATIENCE).unwrap();
    let lock = database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let durable = count_events(&lock);
    eventually("the metrics show exactly the durable events", || {
        daemon.metric("stream_live_exporter_journal_events") == Some(durable)
    });
    daemon.kill();
}

/// Starts all posters, ends the daemon after this number of answers, and returns the posters.
fn post_until(
    daemon: Daemon,
    next: u64,
    answers: u32,
    post: fn(Poster) -> Poster,
    end: impl FnOnce(Daemon),
) -> Vec<Poster> {
    let (answer_tx, answered) = channel();
    let posters: Vec<JoinHandle<Poster>> = (0..POSTERS)
        .map(|poster| Poster::of(&daemon, poster, next, &answer_tx))
        .map(|poster| thread::spawn(move || post(poster)))
        .collect();
    for _ in 0..answers {
        answered.recv_timeout(PATIENCE).expect("the daemon answers");
    }
    end(daemon);
    posters.into_iter().map(|poster| poster.join().expect("the poster saw only expected answers")).collect()
}

/// Checks that the counters of every input equal the distinct events in the journal.
fn check_counters(daemon: &Daemon, journaled: &[Fact]) {
    let mut counted = BTreeMap::new();
    for poster in journaled.iter().map(|fact| &fact.input_id) {
        for event in ["connected", "disconnected", "errored"] {
            let series =
                format!("cloudflare_stream_live_input_events_total{{input_id=\"{poster}\",event=\"{event}\"}}");
            let of_series = |fact: &&Fact| fact.input_id == *poster && fact.event == event;
            counted.entry(series).or_insert_with(|| journaled.iter().filter(of_series).count() as f64);
        }
    }
    assert_eq!(daemon.samples("cloudflare_stream_live_input_events_total"), counted);
}

#[test]
fn sigkill_at_any_moment_keeps_every_acknowledged_event_exactly_once() {
    const ROUNDS: u32 = 25;
    let folder = tempfile::tempdir().unwrap();
    let mut chance = fastrand::Rng::with_seed(2026);
    let (mut accepted, mut known) = (BTreeSet::new(), Vec::new());
    let (mut unanswered, mut next) = (BTreeSet::new(), 0);
    for round in 0..ROUNDS {
        let daemon = Daemon::start(folder.path());
        check_counters(&daemon, &known);
        // Cloudflare retries unanswered requests: the answer depends on whether the first one was recorded.
        for fact in std::mem::take(&mut unanswered) {
            let outcome = if known.contains(&fact) { "duplicate" } else { "recorded" };
            assert_eq!(daemon.post(&fact.body()).body, format!("{{\"outcome\":\"{outcome}\"}}"), "{fact:?}");
            accepted.insert(fact);
        }
        let end = |daemon: Daemon| match round % 2 {
            0 => daemon.kill(),
            _ => kill_while_the_journal_is_locked(folder.path(), daemon),
        };
        let posters = post_until(daemon, next, chance.u32(0..150), Poster::post_until_killed, end);
        for poster in posters {
            next = next.max(poster.next);
            accepted.extend(poster.accepted);
            unanswered.extend(poster.unanswered);
        }
        known = journaled(folder.path());
        let distinct: BTreeSet<Fact> = known.iter().cloned().collect();
        assert_eq!(distinct.len(), known.len(), "round {round}: an event is recorded twice");
        let lost: Vec<_> = accepted.difference(&distinct).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged but lost: {lost:?}");
        let unsent: Vec<_> =
            distinct.iter().filter(|fact| !accepted.contains(fact) && !unanswered.contains(fact)).collect();
        assert!(unsent.is_empty(), "round {round}: recorded but never sent: {unsent:?}");
    }
    assert!(accepted.len() > ROUNDS as usize, "there was load");
    check_counters(&Daemon::start(folder.path()), &known);
}

#[test]
fn stop_under_load_answers_and_keeps_every_accepted_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut chance = fastrand::Rng::with_seed(2027);
    let (mut accepted, mut next) = (BTreeSet::new(), 0);
    for _ in 0..5 {
        let stop = |daemon: Daemon| assert_eq!(daemon.stop().code(), Some(0));
        let daemon = Daemon::start(folder.path());
        let posters = post_until(daemon, next, chance.u32(20..120), Poster::post_until_stopped, stop);
        for poster in posters {
            next = next.max(poster.next);
            accepted.extend(poster.accepted);
        }
        // A body is sent only after `100 Continue`, so the journal has exactly the accepted events.
        let known = journaled(folder.path());
        assert_eq!(known.len(), accepted.len());
        assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), accepted);
        let verified = run(folder.path(), &["journal", "verify"]).stdout;
        assert!(verified.ends_with(", 0 events after the checkpoint\n"), "{verified}");
    }
}

#[test]
fn second_daemon_on_the_same_data_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let second = ran(&mut command(folder.path()));
    assert_eq!(second.code, Some(1));
    let [error] = &second.logged_errors()[..] else { panic!("{}", second.stderr) };
    assert!(error.starts_with(&path_in(folder.path(), "data: in use")) && error.contains("--storage.path"), "{error}");
    assert_eq!(daemon.post(&fixture("connected")).body, r#"{"outcome":"recorded"}"#);
    daemon.kill();
    // SIGKILL releases the lock of the folder too.
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.post(&fixture("connected")).body, r#"{"outcome":"duplicate"}"#);
}

/// The samples that a restart must keep: constant ones, and the connected seconds of inputs that are connected.
fn lasting_metrics(daemon: &Daemon) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
    const CONNECTED_SECONDS: &str = "cloudflare_stream_live_input_connected_seconds_total";
    const LASTING: [&str; 4] = [
        "cloudflare_stream_live_",
        "stream_live_exporter_last_notification",
        "stream_live_exporter_last_test",
        "stream_live_exporter_secret_last_used",
    ];
    let metrics = daemon.metrics();
    let is_running = |series: &str| {
        let connected = series
            .strip_prefix(CONNECTED_SECONDS)
            .map(|labels| format!("cloudflare_stream_live_input_connected{labels}"));
        connected.is_some_and(|connected| metrics.get(&connected) == Some(&1.0))
    };
    let lasting =
        metrics.clone().into_iter().filter(|(series, _)| LASTING.iter().any(|start| series.starts_with(start)));
    let (running, constant) = lasting.partition(|(series, _)| is_running(series));
    (constant, running)
}

#[test]
fn restart_between_any_two_notifications_changes_no_metric() {
    const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";
    const YARD: &str = "0123456789abcdef0123456789abcdef";
    let folder = tempfile::tempdir().unwrap();
    let names = format!("[[inputs]]\nid = \"{YARD}\"\nname = \"Yard\"\n");
    fs::write(folder.path().join("exporter.toml"), names).unwrap();
    let start = || Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
    let at = |id: &str, event: &str, time: &str| notification(id, event, &format!("2026-11-20T{time}Z"));
    let mut daemon = start();
    let bodies = [
        at(MAIN, "disconnected", "18:00:00"),
        at(MAIN, "connected", "18:00:10"),
        at(YARD, "connected", "18:00:00"),
        at(MAIN, "connected", "18:00:10"),
        fixture("errored-at-top-level"),
        // A late disconnect: scrapes have already shown a longer connection.
        at(MAIN, "disconnected", "18:02:00"),
        at(MAIN, "connected", "18:02:30"),
        at(MAIN, "connected", "18:01:00"),
        at(YARD, "connected", "18:30:00"),
        at(MAIN, "disconnected", "19:00:00"),
        fixture("docs-errored-trailing-comma"),
        at(MAIN, "connected", "20:00:00"),
        fixture("save-and-test-properly"),
        fixture("save-and-test-properly"),
        at(MAIN, "connected", "20:00:00"),
        at(YARD, "disconnected", "21:00:00"),
    ];
    for (number, body) in bodies.iter().enumerate() {
        assert_eq!(daemon.post(body).status, 200);
        let (constant, running) = lasting_metrics(&daemon);
        if number % 2 == 0 {
            daemon.kill();
        } else {
            assert!(daemon.stop().success());
        }
        daemon = start();
        let (constant_after, running_after) = lasting_metrics(&daemon);
        assert_eq!(constant_after, constant, "after {body}");
        assert_eq!(running_after.keys().collect::<Vec<_>>(), running.keys().collect::<Vec<_>>(), "after {body}");
        for (labels, seconds) in running {
            assert!(running_after[&labels] >= seconds, "{labels} after {body}");
        }
    }
    assert_eq!(lasting_metrics(&daemon).1.len(), 1, "one input is connected at the end");
}

#[test]
fn generated_secret_has_mode_600_and_is_never_logged_or_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut loud = command(folder.path());
    loud.arg("--log.level=trace").stdout(File::create(folder.path().join("stdout")).unwrap());
    let daemon = Daemon::spawn(loud, folder.path());
    let file = folder.path().join("data/webhook-secret");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&folder.path().join("data"))), (0o600, 0o700));
    let written = fs::read_to_string(&file).unwrap();
    let secret = daemon.secret().to_owned();
    assert_eq!(written, format!("{secret}\n"));
    assert!(secret.len() == 64 && secret.bytes().all(|digit| digit.is_ascii_hexdigit()), "256 bits");

    assert_eq!(daemon.post(&fixture("connected")).status, 200);
    assert_eq!(daemon.post_with(&format!("{secret}0"), &fixture("connected")).status, 401);
    assert_eq!(daemon.post_private("/-/reload").status, 200);
    let api = ["/metrics", "/api/v1/inputs", "/api/v1/events", "/api/v1/cloudflare", "/-/ready"];
    let pages =
        ["/", "/unrecognized", "/unrecognized/1", "/actions/reload", "/inputs/2c28dd2cc444cb77578c4840b51e43a8"];
    for path in api.into_iter().chain(pages) {
        assert!(!daemon.get(path).body.contains(&secret), "{path}");
    }
    let unknown = exchange(daemon.public_address(), &format!("GET /x | cf-webhook-auth: {secret}"), b"");
    assert!(!unknown.to_string().contains(&secret), "{unknown}");
    daemon.wait_for("configuration reloaded");
    assert_eq!(daemon.wait_for("webhook secret")["secret"], path_in(folder.path(), "data/webhook-secret"));
    assert!(!daemon.log().iter().any(|line| line.to_string().contains(&secret)));
    assert!(daemon.stop().success());
    assert!(!fs::read_to_string(folder.path().join("stdout")).unwrap().contains(&secret));

    assert_eq!(Daemon::start(folder.path()).secret(), secret, "a restart keeps the secret");
    let elsewhere = tempfile::tempdir().unwrap();
    assert_ne!(Daemon::start(elsewhere.path()).secret(), secret, "each data folder has its own secret");
}
