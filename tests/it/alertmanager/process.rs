//! The Alertmanager under test.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use stream_live_exporter::clock::Stopwatch;
use tempfile::TempDir;

use super::sink::{Arrival, Sink};
use crate::daemon::{PATIENCE, eventually, within};

/// What the configuration has in places that a test cannot take: where its secrets are, and a host that
/// does not exist.
const SECRETS: &str = "/etc/alertmanager/secrets/";
const DEADMAN: &str = "http://dead-mans-switch-is-not-set.invalid/";

/// An Alertmanager of its own with the shipped files, and all that it tells. Killed when dropped.
pub struct Alertmanager {
    child: Child,
    url: String,
    pub sink: Sink,
    _folder: TempDir,
}

impl Alertmanager {
    /// Starts it on a port that is free, and waits until it is ready.
    pub fn start(program: &Path) -> Self {
        let (folder, sink) = (tempfile::tempdir().expect("a folder can be made"), Sink::start());
        install(folder.path(), &sink.url);
        // Between letting a port go and Alertmanager taking it, somebody else may have.
        let started = (0..10).find_map(|_| Self::start_on(program, folder.path(), free_port()));
        let (child, url) = started.expect("alertmanager starts; its messages are above");
        Self { child, url, sink, _folder: folder }
    }

    fn start_on(program: &Path, folder: &Path, port: u16) -> Option<(Child, String)> {
        let mut child = command(program)
            .args([format!("--config.file={}/alertmanager.yml", folder.display())])
            .args([format!("--storage.path={}/data", folder.display()), "--log.level=error".to_owned()])
            .args([format!("--web.listen-address=127.0.0.1:{port}"), "--cluster.listen-address=".to_owned()])
            .stdout(Stdio::null())
            .spawn()
            .expect("alertmanager runs");
        let url = format!("http://127.0.0.1:{port}");
        let mut ended = false;
        eventually("alertmanager is ready", || {
            ended = child.try_wait().expect("alertmanager can be waited for").is_some();
            ended || agent().get(format!("{url}/-/ready")).call().is_ok_and(|answer| answer.status() == 200)
        });
        // Who answers may be the one who was faster.
        ended |= child.try_wait().expect("alertmanager can be waited for").is_some();
        (!ended).then_some((child, url))
    }

    /// Hands it alerts as Prometheus does.
    pub fn post(&self, alerts: &[Value]) {
        let request = agent().post(format!("{}/api/v2/alerts", self.url)).header("content-type", "application/json");
        let mut answer = request.send(json!(alerts).to_string()).expect("alertmanager answers");
        assert_eq!(answer.status(), 200, "{:?}", answer.body_mut().read_to_string());
    }

    /// The job and the name of every alert that another one silences now.
    fn inhibited(&self) -> BTreeSet<(String, String)> {
        let mut answer =
            agent().get(format!("{}/api/v2/alerts?active=false", self.url)).call().expect("alertmanager answers");
        let body = answer.body_mut().read_to_string().expect("the answer is text");
        let alerts: Vec<Value> = serde_json::from_str(&body).expect("the answer is JSON");
        let silent = alerts.iter().filter(|alert| alert["status"]["inhibitedBy"] != json!([]));
        let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        silent.map(|alert| (label(alert, "job"), label(alert, "alertname"))).collect()
    }

    /// Waits until these are silent, and makes sure that no others are.
    pub fn wait_for_inhibited(&self, expected: &BTreeSet<(String, String)>) {
        let waited = Stopwatch::start();
        within(2 * PATIENCE, "what should be silent is silent", || {
            self.inhibited().is_superset(expected) || waited.elapsed() > PATIENCE
        });
        // By now it knows of all that could silence anything.
        let inhibited = self.inhibited();
        let wrong: Vec<_> = inhibited.symmetric_difference(expected).collect();
        assert!(wrong.is_empty(), "silent and should not be, or the reverse: {wrong:?}");
    }

    /// Waits for the message of this number to this receiver, from 1 on.
    pub fn message(&self, to: &str, number: usize) -> Arrival {
        self.sink.wait_for(to, &format!("message {number}"), |messages| messages.into_iter().nth(number - 1))
    }

    /// Waits for a message to this receiver that has these words.
    pub fn message_with(&self, to: &str, words: &str) -> Arrival {
        self.sink.wait_for(to, words, |messages| messages.into_iter().find(|message| message.has(words)))
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/alertmanager")
}

/// Puts the shipped files there: byte for byte, but for where secrets are and the URL that a site must set.
fn install(folder: &Path, sink: &str) {
    let config = fs::read_to_string(shipped().join("alertmanager.yml")).expect("the configuration is shipped");
    assert_eq!(config.matches(&format!("      - api_url_file: {SECRETS}")).count(), 2, "the pager's and the chat's");
    assert_eq!(config.matches(&format!("      - url: {DEADMAN}\n")).count(), 1, "the dead man's switch");
    let secrets = folder.join("secrets");
    let config = config.replace(SECRETS, &format!("{}/", secrets.display()));
    let config = config.replace(DEADMAN, &format!("{sink}/deadman"));
    fs::write(folder.join("alertmanager.yml"), config).expect("the folder can be written");
    fs::create_dir_all(folder.join("templates")).expect("the folder can be written");
    let template = "templates/stream-live.tmpl";
    fs::copy(shipped().join(template), folder.join(template)).expect("the templates are shipped");
    fs::create_dir(&secrets).expect("the folder can be written");
    for receiver in ["pager", "chat"] {
        // With the newline that an editor leaves.
        fs::write(secrets.join(format!("{receiver}-url")), format!("{sink}/{receiver}\n"))
            .expect("the folder can be written");
    }
}

/// Whether the program can run here: one that was only unpacked needs a view of the machine that not every
/// machine grants. That it does not is told loudly.
pub fn can_run(program: &Path) -> bool {
    let Some(share) = unpacked(program) else { return true };
    let output = viewing(&share).arg("true").output().expect("unshare is there, as on every Debian");
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        // Standard error itself, which the test harness does not hold back.
        let _ = writeln!(std::io::stderr(), "SKIPPED: ALERTMANAGER: it cannot see its templates here: {}", said.trim());
    }
    output.status.success()
}

/// Runs the program, where need be in a view of the machine in which its templates are in place.
fn command(program: &Path) -> Command {
    let Some(share) = unpacked(program) else { return Command::new(program) };
    let mut command = viewing(&share);
    command.arg(program.canonicalize().expect("the program is there"));
    command
}

/// Debian's program reads templates of its own from `/usr/share`. When its package was unpacked and not
/// installed, they are beside it: in this folder.
fn unpacked(program: &Path) -> Option<PathBuf> {
    let program = program.canonicalize().expect("the program is there");
    let share = program.parent()?.parent()?.join("share");
    (!program.starts_with("/usr") && share.join("prometheus/alertmanager/default.tmpl").exists()).then_some(share)
}

/// Runs what its further arguments say where that folder is `/usr/share`.
fn viewing(share: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$1\" /usr/share && shift && exec \"$@\"";
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(share);
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("the socket is bound").port()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).proxy(None).build().into()
}
