//! A running daemon, and the operations that tests need.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use serde_json::Value;
use stream_live_exporter::clock::Stopwatch;

use crate::parser;

/// Time limit for everything that is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How late a time limit may take effect on a busy machine.
pub const LATENESS: Duration = Duration::from_secs(10);

/// The real binary with its own data folder. Killed when dropped.
pub struct Daemon {
    child: Child,
    /// The webhook's URL.
    pub webhook: String,
    /// The private listener's URL, without a path.
    pub private: String,
    secret: String,
    log: Log,
}

/// The standard error of the daemon, read while it runs.
struct Log {
    written: Arc<Mutex<Written>>,
    arrived: Receiver<()>,
}

#[derive(Default)]
struct Written {
    /// The lines of the log.
    lines: Vec<Value>,
    /// Everything, including lines that are not log lines, such as panics.
    all: String,
}

/// Status and body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// The command that runs the binary in this folder, on ports that the system chooses.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder).stdout(Stdio::null()).args([
        "--webhook.listen-address=127.0.0.1:0",
        "--web.listen-address=127.0.0.1:0",
        "--log.format=json",
    ]);
    command
}

impl Daemon {
    /// Starts in this folder and waits until it is ready.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, [""; 0])
    }

    /// Starts with further arguments and waits until it is ready.
    pub fn start_with<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = command(folder);
        command.args(arguments);
        Self::spawn(command, folder)
    }

    /// Runs the command and waits until it is ready.
    pub fn spawn(command: Command, folder: &Path) -> Self {
        let mut daemon = Self::spawn_unready(command, folder);
        daemon.wait_for("ready");
        // A first start generates the secret.
        daemon.secret = secret(folder);
        daemon
    }

    /// Runs the command and waits until it listens.
    pub fn spawn_unready(mut command: Command, folder: &Path) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let log = Log::follow(child.stderr.take().expect("standard error is piped"));
        let listening = log.wait_for("listening");
        // The first one, if the listener has several addresses.
        let url = |key: &str| {
            let urls = listening[key].as_str().expect("the line has the URL");
            urls.split(", ").next().unwrap_or_default().to_owned()
        };
        let private = url("metrics").split('/').take(3).collect::<Vec<_>>().join("/");
        Self { child, webhook: url("webhook"), private, secret: secret(folder), log }
    }

    /// Posts a body with the daemon's own secret.
    pub fn post(&self, body: &str) -> Answer {
        self.post_with(&self.secret, body)
    }

    /// Posts a body with this secret.
    pub fn post_with(&self, secret: &str, body: &str) -> Answer {
        let request = agent().post(&self.webhook).header("cf-webhook-auth", secret);
        answer(request.send(body))
    }

    /// Posts a body with the daemon's own secret; `None` if the connection ends without an answer.
    pub fn try_post(&self, body: &str) -> Option<Answer> {
        let sent = agent().post(&self.webhook).header("cf-webhook-auth", &self.secret).send(body);
        sent.is_ok().then(|| answer(sent))
    }

    /// Gets a path of the private listener.
    pub fn get(&self, path: &str) -> Answer {
        answer(agent().get(format!("{}{path}", self.private)).call())
    }

    /// Posts an empty body to a path of the private listener.
    pub fn post_private(&self, path: &str) -> Answer {
        answer(agent().post(format!("{}{path}", self.private)).send_empty())
    }

    /// The value of a series, named as in the exposition; `None` if absent.
    pub fn metric(&self, series: &str) -> Option<f64> {
        self.metrics().remove(series)
    }

    /// The values of all samples with this name, by series as in the exposition.
    pub fn samples(&self, name: &str) -> BTreeMap<String, f64> {
        let has_name = |series: &str| series.split('{').next() == Some(name);
        self.metrics().into_iter().filter(|(series, _)| has_name(series)).collect()
    }

    /// The values of all samples, by series as in the exposition.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let families = parser::parse(&self.get("/metrics").body, false).expect("the metrics are valid");
        let samples = families.into_iter().flat_map(|family| family.samples);
        samples.map(|sample| (sample.series, sample.value)).collect()
    }

    /// The webhook's URL.
    pub fn webhook(&self) -> &str {
        &self.webhook
    }

    /// The public listener's `host:port`.
    pub fn public_address(&self) -> &str {
        self.webhook.split('/').nth(2).unwrap_or_default()
    }

    /// The private listener's `host:port`.
    pub fn private_address(&self) -> &str {
        self.private.trim_start_matches("http://").trim_start_matches("https://")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A value in `/proc/PID/status`.
    pub fn process_status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let values = status.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        values.map(|value| value.trim().to_owned()).next().expect("there is such a line")
    }

    /// The secret in the data folder.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "SIG{name} was sent");
    }

    /// Waits for the first log line with this message. Lines that are already logged count.
    pub fn wait_for(&self, message: &str) -> Value {
        self.log.wait_for(message)
    }

    /// Waits for log line number `count` with this message.
    pub fn wait_for_count(&self, message: &str, count: usize) -> Value {
        self.log.wait_for_count(message, count)
    }

    /// All lines logged so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.written().lines.clone()
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn stop(self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for the exit.
    pub fn wait(self) -> ExitStatus {
        self.wait_and_read().0
    }

    /// Waits for the exit. Returns everything that was written to standard error.
    pub fn wait_and_read(mut self) -> (ExitStatus, String) {
        let ended = self.child.wait().expect("the daemon can be waited for");
        self.log.wait_for_end();
        let all = self.log.written().all.clone();
        (ended, all)
    }

    /// Sends SIGKILL and waits for the exit.
    pub fn kill(mut self) {
        self.child.kill().expect("the daemon runs");
        self.child.wait().expect("the daemon can be waited for");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn follow(stderr: impl Read + Send + 'static) -> Self {
        let written = Arc::new(Mutex::new(Written::default()));
        let (line_tx, arrived) = channel();
        let followed = written.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                let mut written = followed.lock().expect("no reader panicked");
                written.all.extend([&line, "\n"]);
                // A line that is not JSON is an error before the log is set up, or a panic.
                match serde_json::from_str(&line) {
                    Ok(line) => written.lines.push(line),
                    Err(_) => eprintln!("{line}"),
                }
                drop(written);
                // The receiver may be dropped. Read on: a full pipe would block the daemon.
                let _ = line_tx.send(());
            }
        });
        Self { written, arrived }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().expect("no reader panicked")
    }

    /// Waits until all writers have closed standard error.
    fn wait_for_end(&self) {
        loop {
            match self.arrived.recv_timeout(PATIENCE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("standard error is still open"),
            }
        }
    }

    fn wait_for(&self, message: &str) -> Value {
        self.wait_for_count(message, 1)
    }

    fn wait_for_count(&self, message: &str, count: usize) -> Value {
        loop {
            let found = {
                let written = self.written();
                written.lines.iter().filter(|line| line["msg"] == message).nth(count - 1).cloned()
            };
            match found {
                Some(line) => return line,
                None => {
                    self.arrived.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("not logged: {message:?}"));
                }
            }
        }
    }
}

/// The generated secret; empty if there is none.
fn secret(folder: &Path) -> String {
    fs::read_to_string(folder.join("data/webhook-secret")).unwrap_or_default().trim().to_owned()
}

/// A client that accepts any certificate.
fn agent() -> ureq::Agent {
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).proxy(None);
    config.tls_config(tls).build().into()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = response.expect("the daemon answers");
    let body = response.body_mut().with_config().limit(1 << 30).read_to_string().expect("the answer is text");
    Answer { status: response.status().as_u16(), body }
}

/// Waits until a condition holds.
///
/// # Panics
///
/// If it does not hold within `PATIENCE`.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    within(PATIENCE, what, condition);
}

/// Waits until a condition holds.
///
/// # Panics
///
/// If it does not hold within the limit.
pub fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    const PACE: Duration = Duration::from_millis(10);
    // Nothing is sent: receiving with a timeout is the pause between two checks.
    let (_sender, pace) = channel::<()>();
    let since = Stopwatch::start();
    while !condition() {
        assert!(since.elapsed() < limit, "did not happen within {limit:?}: {what}");
        let _ = pace.recv_timeout(PACE);
    }
}

/// Sets the flag when dropped, also if an assertion fails, so that threads that wait for the flag stop.
pub struct OverWhenDropped<'a>(pub &'a AtomicBool);

impl Drop for OverWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The errors in the log of `serve`, each followed by its hint, if there is one.
    pub fn logged_errors(&self) -> Vec<String> {
        let lines = self.stderr.lines().map(|line| serde_json::from_str(line).expect("a line of the log"));
        let errors = lines.filter(|line: &Value| line["level"] == "ERROR");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        errors.flat_map(|line| [text(&line["error"]), text(&line["hint"])]).flatten().collect()
    }
}

/// Runs the binary in this folder with exactly these arguments and waits for its exit.
pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    ran(command.current_dir(folder).args(arguments))
}

/// Runs a command and waits for its exit. Kills it after `PATIENCE`.
pub fn ran(command: &mut Command) -> Ran {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command.spawn().expect("the command runs"))
}

/// Waits for the exit of a process, and reads what it has written. Kills it after `PATIENCE`.
pub fn ended(child: Child) -> Ran {
    let pid = child.id().to_string();
    let (end, ended) = channel::<()>();
    let watchdog = thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    });
    let output = child.wait_with_output().expect("the command ends");
    drop(end);
    watchdog.join().expect("the watchdog exits");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is text");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The fixture `connected` with other values.
pub fn notification(input_id: &str, event: &str, updated_at: &str) -> String {
    let body = fixture("connected").replace("2c28dd2cc444cb77578c4840b51e43a8", input_id);
    body.replace("live_input.connected", &format!("live_input.{event}"))
        .replace("2026-11-20T18:00:02.104233871Z", updated_at)
}

/// The absolute path of a file in this folder, as messages name it.
pub fn path_in(folder: &Path, name: &str) -> String {
    folder.canonicalize().expect("the folder exists").join(name).display().to_string()
}

/// A fixture's body.
pub fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/notifications/{name}.json"));
    fs::read_to_string(path).expect("the fixture exists")
}

/// Yesterday in UTC.
pub fn yesterday() -> Date {
    let today = Timestamp::now().to_zoned_datetime(TimeZone::UTC).date();
    today.yesterday().expect("no test runs on the first day that there is")
}

/// A notification of a fixture, moved to this day. The exporter ignores the `ts` of the fixtures a month after their day.
pub fn on_day(day: Date, body: &str) -> String {
    let day_of_fixtures = date(2026, 11, 20);
    let body = body.replace(&day_of_fixtures.to_string(), &day.to_string());
    let mut body: Value = serde_json::from_str(&body).expect("the fixture is JSON");
    if let Some(ts) = body["ts"].as_i64() {
        body["ts"] = (ts + (day - day_of_fixtures).get_days() as i64 * 86_400).into();
    }
    body.to_string()
}
