//! A real Prometheus scrapes the real binary while its simulator posts. Prometheus must have the simulator's truth.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stream_live_exporter::clock::now;
use stream_live_exporter::event::Timestamp;
use stream_live_exporter::metrics::catalogue::{Kind, families};
use tempfile::TempDir;

use crate::authority::Authority;
use crate::daemon::{Daemon, eventually};
use crate::history::timeline::prometheus::Prometheus as Server;
use crate::tools::tool;
use crate::web_config::{TLS, user};

const JOB: &str = "stream-live-exporter";
const PREFIX: &str = "cloudflare_stream_live_input_";

/// A Prometheus that scrapes the daemon of [`Prometheus::scrape`] every second. Killed when dropped.
pub struct Prometheus {
    server: Server,
    folder: TempDir,
}

impl Prometheus {
    /// Starts it on a free port and waits until it is ready.
    fn start(program: &Path) -> Self {
        Self::start_with(program, "")
    }

    /// The same, with additional lines at the end of the configuration: of the job, then at the top level.
    pub fn start_with(program: &Path, scrape: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        // File-based targets, because a restarted daemon has another port and must be the same instance.
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             scrape_configs:\n- job_name: {JOB}\n  file_sd_configs: [{{files: [targets.json], refresh_interval: 1s}}]\n{scrape}"
        );
        fs::write(folder.path().join("targets.json"), "[]").expect("the folder can be written");
        let server = Server::start(program, folder.path(), &config, &[]).expect("Prometheus starts");
        Self { server, folder }
    }

    /// Scrapes this daemon from now on.
    pub fn scrape(&self, daemon: &Daemon) {
        let address = daemon.private_address();
        let targets = serde_json::json!([{"targets": [address], "labels": {"instance": "under test"}}]);
        let (new, file) = (self.folder.path().join("targets.new"), self.folder.path().join("targets.json"));
        fs::write(&new, targets.to_string()).expect("the folder can be written");
        fs::rename(new, file).expect("the folder can be written");
    }

    /// The value of an expression with one series; `None` if it has none.
    fn value(&self, expression: &str) -> Option<f64> {
        let series = self.query(expression);
        assert!(series.len() < 2, "{expression} gives more than one series: {series:?}");
        Some(number(&series.first()?["value"][1]))
    }

    /// All series of an expression now.
    pub fn query(&self, expression: &str) -> Vec<Value> {
        let data = self.server.get("query", &[("query", expression)]);
        let data = data.unwrap_or_else(|error| panic!("{expression}: {error:#}"));
        data["result"].as_array().expect("the result is a vector").clone()
    }

    /// Waits until Prometheus has a scrape that began after this time.
    fn wait_for_scrape_after(&self, moment: Timestamp) {
        let up = format!("up{{job=\"{JOB}\"}}");
        let scraped = || self.value(&format!("timestamp({up}) and {up} == 1"));
        // Prometheus may align the time of a scrape by some milliseconds.
        let moment = seconds(moment) + 0.01;
        eventually("prometheus has scraped", || scraped().is_some_and(|scraped| scraped > moment));
    }
}

/// Prometheus' JSON has numbers as strings.
fn number(value: &Value) -> f64 {
    value.as_str().expect("a value is a text").parse().expect("a value is a number")
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millis() as f64 / 1000.0
}

/// Posts with the binary's simulator, and returns the truth that it writes.
fn simulate(daemon: &Daemon, folder: &Path, scenario: &str, seed: u32) -> Value {
    let truth = folder.join("truth.json");
    let output = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"))
        .current_dir(folder)
        .args(["simulate", "--inputs=5", "--rate=200", "--duration=2s", "--secret-file=data/webhook-secret"])
        .args([format!("--url={}", daemon.webhook), format!("--scenario={scenario}"), format!("--seed={seed}")])
        .arg(format!("--truth-file={}", truth.display()))
        .output()
        .expect("the simulator runs");
    assert!(output.status.success(), "{scenario}: {}", String::from_utf8_lossy(&output.stdout));
    let truth: Value = serde_json::from_str(&fs::read_to_string(truth).expect("the truth file can be read"))
        .expect("the truth is JSON");
    assert_eq!(truth["uncertain"], 0, "{scenario}: every notification was answered");
    assert!(truth["posted"].as_u64() > Some(50), "{scenario}: {truth}");
    truth
}

/// The series that Prometheus should have of these inputs, with their values.
fn expected_series(truths: &[Value]) -> Vec<(String, f64)> {
    let mut expected = Vec::new();
    let inputs = truths.iter().flat_map(|truth| truth["inputs"].as_object().expect("inputs by id"));
    for (id, truth) in inputs {
        let mut expect = |metric: &str, label: Option<(&str, &str)>, value: f64| {
            let label = label.map(|(name, value)| format!(",{name}=\"{value}\"")).unwrap_or_default();
            expected.push((format!("{PREFIX}{metric}{{job=\"{JOB}\",input_id=\"{id}\"{label}}}"), value));
        };
        if let Some(connected) = truth["connected"].as_f64() {
            expect("connected", None, connected);
        }
        if let Some(since) = truth["state_timestamp_ms"].as_f64() {
            expect("state_timestamp_seconds", None, since / 1000.0);
        }
        for (key, metric, label, unit) in [
            ("events", "events_total", "event", 1.0),
            ("errors", "errors_total", "code", 1.0),
            ("last_event_ms", "last_event_timestamp_seconds", "event", 1000.0),
        ] {
            for (name, value) in truth[key].as_object().expect("values by name") {
                expect(metric, Some((label, name)), value.as_f64().expect("a number") / unit);
            }
        }
    }
    expected
}

/// Compares Prometheus' series of the families in the truth with the truth.
fn check(prometheus: &Prometheus, truths: &[Value]) {
    let expected = expected_series(truths);
    assert!(expected.len() > 100, "{expected:?}");
    for (series, value) in &expected {
        assert_eq!(prometheus.value(series), Some(*value), "{series}");
    }
    let families = "connected|state_timestamp_seconds|events_total|errors_total|last_event_timestamp_seconds";
    let all = format!("count({{__name__=~\"{PREFIX}({families})\"}})");
    assert_eq!(prometheus.value(&all), Some(expected.len() as f64), "Prometheus has additional series");
}

#[test]
fn prometheus_has_the_simulated_values_across_a_restart() {
    let Some(program) = tool("PROMETHEUS", Path::new("prometheus")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(&program);
    let daemon = Daemon::start(folder.path());
    prometheus.scrape(&daemon);
    let began = now();
    prometheus.wait_for_scrape_after(began);

    let mut truths = vec![
        simulate(&daemon, folder.path(), "steady", 1),
        simulate(&daemon, folder.path(), "errors", 2),
        simulate(&daemon, folder.path(), "out-of-order", 3),
    ];
    prometheus.wait_for_scrape_after(now());
    assert_eq!(prometheus.value(&format!("up{{job=\"{JOB}\"}}")), Some(1.0));
    check(&prometheus, &truths);

    daemon.kill();
    let daemon = Daemon::start(folder.path());
    prometheus.scrape(&daemon);
    prometheus.wait_for_scrape_after(now());
    check(&prometheus, &truths);

    truths.push(simulate(&daemon, folder.path(), "duplicates", 4));
    truths.push(simulate(&daemon, folder.path(), "storm", 5));
    truths.push(simulate(&daemon, folder.path(), "flapping", 6));
    prometheus.wait_for_scrape_after(now());
    check(&prometheus, &truths);
    // On a loaded machine scrapes may fail while the simulator posts: wait for a second scrape of all inputs.
    prometheus.wait_for_scrape_after(now());
    check_counters_never_fell(&prometheus, began);
}

/// No counter that survives restarts has fallen since then, although the daemon was killed in between.
fn check_counters_never_fell(prometheus: &Prometheus, began: Timestamp) {
    let range = now().since(began).expect("time goes on").as_secs() + 5;
    const OUT_OF_ORDER: &str = "stream_live_exporter_events_out_of_order_total";
    let surviving = families().filter(|family| {
        family.kind != Kind::Gauge && (family.name.starts_with("cloudflare_") || family.name == OUT_OF_ORDER)
    });
    for family in surviving {
        let suffixes: &[&str] = if family.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        for name in suffixes.iter().map(|suffix| format!("{}{suffix}", family.name)) {
            let resets = prometheus.query(&format!("resets({name}[{range}s])"));
            assert!(!resets.is_empty(), "{name} was not scraped");
            let fallen: Vec<_> = resets.iter().filter(|series| number(&series["value"][1]) > 0.0).collect();
            assert!(fallen.is_empty(), "{name} fell: {fallen:?}");
        }
    }
    // The exporter's own counters start again at 0, which shows that the restart is within the range.
    let own = format!("resets(stream_live_exporter_notifications_total{{outcome=\"recorded\"}}[{range}s])");
    assert_eq!(prometheus.value(&own), Some(1.0), "the restart is within the range");
    let scrapes = prometheus.value(&format!("min(count_over_time({PREFIX}connected_seconds_total[{range}s]))"));
    assert!(scrapes > Some(1.0), "an input was scraped only once: {scrapes:?}");
}

#[test]
fn prometheus_authenticates_with_a_password_and_a_client_certificate() {
    let Some(program) = tool("PROMETHEUS", Path::new("prometheus")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.identity("127.0.0.1", 2040).write_as(folder.path(), "tls");
    authority.identity("prometheus", 2040).write_as(folder.path(), "client");
    fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    let user = user("prometheus", "its password");
    let web_config = format!(
        "{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt, min_version: TLS13}}\n\
         basic_auth_users: {{{user}}}\n"
    );
    fs::write(folder.path().join("web.yml"), web_config).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--web.config.file=web.yml"]);
    let here = folder.path().display();
    let scrape = |password: &str| {
        format!(
            "  scheme: https\n  basic_auth: {{username: prometheus, password: {password}}}\n\
             \x20 tls_config: {{ca_file: {here}/ca.crt, cert_file: {here}/client.crt, key_file: {here}/client.key}}\n"
        )
    };
    let prometheus = Prometheus::start_with(&program, &scrape("its password"));
    prometheus.scrape(&daemon);
    prometheus.wait_for_scrape_after(now());
    assert_eq!(
        prometheus.value("stream_live_exporter_tls_certificate_expiry_timestamp_seconds"),
        Some(2_208_988_800.0)
    );
    let unauthorized = Prometheus::start_with(&program, &scrape("another"));
    unauthorized.scrape(&daemon);
    eventually("the scrape is refused", || unauthorized.value(&format!("up{{job=\"{JOB}\"}}")) == Some(0.0));
}
