//! A running Prometheus.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use stream_live_exporter::clock::Stopwatch;

/// Timeout of start and requests.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A running Prometheus. Killed when dropped.
pub struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    /// Serves a generated database in `folder` with these rules.
    ///
    /// Queries look back for less than `step`, because the file format of the samples has no staleness markers.
    pub fn serve(program: &Path, folder: &Path, rules: Option<&Path>, step: Duration) -> anyhow::Result<Self> {
        let rules = rules.map(|rules| format!("rule_files: [{:?}]\n", rules.join("*.yml"))).unwrap_or_default();
        let lookback = step.saturating_sub(Duration::from_millis(1)).as_millis();
        let step = step.as_secs();
        let global = format!("global: {{scrape_interval: {step}s, evaluation_interval: {step}s}}\n");
        let lookback = format!("--query.lookback-delta={lookback}ms");
        Self::start(program, folder, &(global + &rules), &["--storage.tsdb.retention.time=10y", &lookback])
    }

    /// Starts Prometheus with this configuration file and these arguments on a free port, and waits until it is ready.
    pub fn start(program: &Path, folder: &Path, configuration: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        fs::write(folder.join("prometheus.yml"), configuration)?;
        // Another process may take the port before Prometheus binds it.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            if let Some(running) = Self::start_on(program, folder, port, arguments)? {
                return Ok(running);
            }
        }
        bail!("{} does not start: see its messages above", program.display())
    }

    fn start_on(program: &Path, folder: &Path, port: u16, arguments: &[&str]) -> anyhow::Result<Option<Self>> {
        let child = Command::new(program)
            .current_dir(folder)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .args(arguments)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let mut running = Self { child, url: format!("http://127.0.0.1:{port}") };
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < TIMEOUT {
            if running.child.try_wait()?.is_some() {
                return Ok(None);
            }
            let ready = agent().get(format!("{}/-/ready", running.url)).call();
            // The response may be from another process that took the port.
            if ready.is_ok_and(|answer| answer.status() == 200) && running.child.try_wait()?.is_none() {
                return Ok(Some(running));
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("{} is not ready after {TIMEOUT:?}", program.display())
    }

    /// Queries the API; returns the `data` of the response.
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let request = agent().get(format!("{}/api/v1/{path}", self.url));
        let request = parameters.iter().fold(request, |request, (name, value)| request.query(*name, *value));
        let mut answer = request.call().with_context(|| format!("no response of Prometheus to {path}"))?;
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string()?;
        let mut answer: Value = serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))?;
        ensure!(answer["status"] == "success", "{}", answer["error"]);
        Ok(answer["data"].take())
    }

    /// Stops it with SIGTERM.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "cannot send SIGTERM to Prometheus");
        ensure!(self.child.wait()?.success(), "Prometheus did not exit with code 0");
        Ok(())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).proxy(None).build().into()
}
