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

use super::sink::{Arrival, ENDED, Sink};
use crate::daemon::{PATIENCE, eventually, within};

/// Places in the configuration that the test replaces: the folder of secrets, and a host that does not exist.
const SECRETS: &str = "/etc/alertmanager/secrets/";
const DEADMAN: &str = "http://dead-mans-switch-is-not-set.invalid/";

/// An Alertmanager with the shipped files, and the messages that it sends. Killed when dropped.
pub struct Alertmanager {
    child: Child,
    url: String,
    pub sink: Sink,
    _folder: TempDir,
}

impl Alertmanager {
    /// Starts it on a free port and waits until it is ready.
    pub fn start(program: &Path) -> Self {
        Self::start_configured(program, |config, _| config)
    }

    /// The same with each alternative pager of the configuration. Mails go to the server at this address.
    pub fn start_with_all(program: &Path, mail_server: &str) -> Self {
        Self::start_configured(program, |config, sink| with_alternatives(&config, sink, mail_server))
    }

    fn start_configured(program: &Path, change: impl Fn(String, &str) -> String) -> Self {
        let (folder, sink) = (tempfile::tempdir().expect("a folder can be made"), Sink::start());
        install(folder.path(), &sink.url, |config| change(config, &sink.url));
        // Another process may take the port before Alertmanager binds it: then try another one.
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
        // The answer may come from another process that took the port.
        ended |= child.try_wait().expect("alertmanager can be waited for").is_some();
        (!ended).then_some((child, url))
    }

    /// Posts alerts as Prometheus does.
    pub fn post(&self, alerts: &[Value]) {
        let request = agent().post(format!("{}/api/v2/alerts", self.url)).header("content-type", "application/json");
        let mut answer = request.send(json!(alerts).to_string()).expect("alertmanager answers");
        assert_eq!(answer.status(), 200, "{:?}", answer.body_mut().read_to_string());
    }

    /// Job and name of every alert that is inhibited now.
    fn inhibited(&self) -> BTreeSet<(String, String)> {
        let mut answer =
            agent().get(format!("{}/api/v2/alerts?active=false", self.url)).call().expect("alertmanager answers");
        let body = answer.body_mut().read_to_string().expect("the answer is text");
        let alerts: Vec<Value> = serde_json::from_str(&body).expect("the answer is JSON");
        let inhibited = alerts.iter().filter(|alert| alert["status"]["inhibitedBy"] != json!([]));
        let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        inhibited.map(|alert| (label(alert, "job"), label(alert, "alertname"))).collect()
    }

    /// Waits until exactly these alerts are inhibited.
    pub fn wait_for_inhibited(&self, expected: &BTreeSet<(String, String)>) {
        let waited = Stopwatch::start();
        within(2 * PATIENCE, "the expected alerts are inhibited", || {
            self.inhibited().is_superset(expected) || waited.elapsed() > PATIENCE
        });
        // All alerts have been posted, so that no more inhibition can start.
        let inhibited = self.inhibited();
        let wrong: Vec<_> = inhibited.symmetric_difference(expected).collect();
        assert!(wrong.is_empty(), "inhibited and should not be, or the reverse: {wrong:?}");
    }

    /// Waits for the nth message to this receiver, from 1.
    pub fn message(&self, to: &str, number: usize) -> Arrival {
        self.sink.wait_for(to, &format!("message {number}"), |messages| messages.into_iter().nth(number - 1))
    }

    /// Waits for a message to this receiver whose title or text contains this part.
    pub fn message_with(&self, to: &str, part: &str) -> Arrival {
        self.sink.wait_for(to, part, |messages| messages.into_iter().find(|message| message.has(part)))
    }

    /// Waits for a message to this receiver about the end of this alert.
    pub fn end_of(&self, to: &str, alert: &str) -> Arrival {
        let is_end = |message: &Arrival| message.texts()[3] == ENDED && message.has(alert);
        self.sink.wait_for(to, &format!("the end of {alert}"), |messages| messages.into_iter().find(is_end))
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

/// Copies the shipped files, with the folder of secrets and the URL of the dead man's switch replaced.
fn install(folder: &Path, sink: &str, change: impl Fn(String) -> String) {
    let config = fs::read_to_string(shipped().join("alertmanager.yml")).expect("the configuration is shipped");
    assert_eq!(config.matches(&format!("      - api_url_file: {SECRETS}")).count(), 2, "the pager's and the chat's");
    assert_eq!(config.matches(&format!("      - url: {DEADMAN}\n")).count(), 1, "the dead man's switch");
    let secrets = folder.join("secrets");
    let config = config.replace(SECRETS, &format!("{}/", secrets.display()));
    let config = config.replace(DEADMAN, &format!("{sink}/deadman"));
    fs::write(folder.join("alertmanager.yml"), change(config)).expect("the folder can be written");
    fs::create_dir_all(folder.join("templates")).expect("the folder can be written");
    for template in fs::read_dir(shipped().join("templates")).expect("the templates are shipped") {
        let template = template.expect("the folder can be read");
        fs::copy(template.path(), folder.join("templates").join(template.file_name()))
            .expect("a template can be copied");
    }
    fs::create_dir(&secrets).expect("the folder can be written");
    for receiver in ["pager", "chat"] {
        // Editors end a file with a newline.
        fs::write(secrets.join(format!("{receiver}-url")), format!("{sink}/{receiver}\n"))
            .expect("the folder can be written");
    }
    for secret in ["pagerduty-routing-key", "opsgenie-api-key", "smtp-password", "webhook-token"] {
        fs::write(secrets.join(secret), "secret").expect("the folder can be written");
    }
}

/// The configuration with its alternative pagers, which are comments that start with `#` and a key. Their services are
/// the sink and the mail server, and headers of a mail tell which group it is about.
fn with_alternatives(config: &str, sink: &str, mail_server: &str) -> String {
    let lines = config.lines().map(|line| match line.trim_start().strip_prefix('#') {
        Some(key) if key.starts_with("  ") || key.starts_with(|c: char| c.is_ascii_lowercase()) => {
            line.replacen('#', "", 1)
        }
        _ => line.to_owned(),
    });
    let mut config = lines.collect::<Vec<_>>().join("\n");
    for (shipped, tested) in [
        ("smarthost: smtp.example.org:587", format!("smarthost: {mail_server}\n        require_tls: false")),
        (
            "headers: {Subject:",
            "headers: {X-Job: '{{ .CommonLabels.job }}', X-Status: '{{ .Status }}', Subject:".into(),
        ),
        ("url: http://127.0.0.1:8080/alerts", format!("url: {sink}/webhook")),
    ] {
        assert_eq!(config.matches(shipped).count(), 1, "{shipped}");
        config = config.replace(shipped, &tested);
    }
    format!("global: {{pagerduty_url: '{sink}/pagerduty', opsgenie_api_url: '{sink}/opsgenie'}}\n{config}")
}

/// Whether the program can run here. A program that was unpacked without installing it needs a mount namespace, which
/// not every machine allows; then the test is skipped with a message.
pub fn can_run(program: &Path) -> bool {
    let Some(share) = unpacked(program) else { return true };
    let output = viewing(&share).arg("true").output().expect("unshare is installed, as on every Debian");
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        // The test harness captures eprintln!, but not this.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: ALERTMANAGER: its templates cannot be mounted here: {}", said.trim());
    }
    output.status.success()
}

/// A command for the program, in a mount namespace with its templates if it was only unpacked.
fn command(program: &Path) -> Command {
    let Some(share) = unpacked(program) else { return Command::new(program) };
    let mut command = viewing(&share);
    command.arg(program.canonicalize().expect("the program is there"));
    command
}

/// The folder with the templates of a program that was unpacked without installing it. Debian's build reads them from
/// `/usr/share`.
fn unpacked(program: &Path) -> Option<PathBuf> {
    let program = program.canonicalize().expect("the program is there");
    let share = program.parent()?.parent()?.join("share");
    (!program.starts_with("/usr") && share.join("prometheus/alertmanager/default.tmpl").exists()).then_some(share)
}

/// A command that runs its further arguments with that folder mounted as `/usr/share`.
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
