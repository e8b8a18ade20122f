//! A Prometheus that serves what has been made, and promtool, which makes it loadable.

use std::fs::{self, File};
use std::io::BufWriter;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use stream_live_exporter::clock::Stopwatch;

use super::samples::Samples;

/// Longer than anything takes that is going to happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running Prometheus that scrapes nothing. Killed when dropped.
pub struct Prometheus {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Prometheus {
    /// Serves the data of a folder with these rules, and waits until it is ready.
    ///
    /// A series that ended is visible for less than `step` after its last sample, as if it had been
    /// marked stale by the scrape that no longer found it: the format of the samples has no such mark.
    pub fn start(program: &Path, folder: &Path, rules: Option<&Path>, step: Duration) -> anyhow::Result<Self> {
        let rules = rules.map(|rules| format!("rule_files: [{:?}]\n", rules.join("*.yml"))).unwrap_or_default();
        let lookback = step.saturating_sub(Duration::from_millis(1)).as_millis();
        let step = step.as_secs();
        let global = format!("global: {{scrape_interval: {step}s, evaluation_interval: {step}s}}\n");
        fs::write(folder.join("prometheus.yml"), global + &rules)?;
        // Between letting a port go and Prometheus taking it, somebody else may have.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            if let Some(running) = Self::start_on(program, folder, port, lookback)? {
                return Ok(running);
            }
        }
        bail!("{} does not start; its messages are above", program.display())
    }

    fn start_on(program: &Path, folder: &Path, port: u16, lookback: u128) -> anyhow::Result<Option<Self>> {
        let child = Command::new(program)
            .current_dir(folder)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .args(["--storage.tsdb.retention.time=10y".to_owned(), format!("--query.lookback-delta={lookback}ms")])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not run", program.display()))?;
        let mut running = Self { child, url: format!("http://127.0.0.1:{port}") };
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < PATIENCE {
            if running.child.try_wait()?.is_some() {
                return Ok(None);
            }
            let ready = agent().get(format!("{}/-/ready", running.url)).call();
            // Who answers may be the one who was faster.
            if ready.is_ok_and(|answer| answer.status() == 200) && running.child.try_wait()?.is_none() {
                return Ok(Some(running));
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("{} is not ready after {PATIENCE:?}", program.display())
    }

    /// Asks the API; returns the `data` of its answer.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let request = agent().get(format!("{}/api/v1/{path}", self.url));
        let request = parameters.iter().fold(request, |request, (name, value)| request.query(*name, *value));
        let mut answer = request.call().with_context(|| format!("prometheus does not answer {path}"))?;
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string()?;
        let mut answer: Value = serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))?;
        ensure!(answer["status"] == "success", "{}", answer["error"]);
        Ok(answer["data"].take())
    }

    /// Ends it in good order.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(told.success(), "prometheus cannot be told to stop");
        ensure!(self.child.wait()?.success(), "prometheus did not stop in good order");
        Ok(())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).proxy(None).build().into()
}

/// Adds samples to the data of a folder.
pub fn load(promtool: &Path, folder: &Path, samples: &Samples) -> anyhow::Result<()> {
    let file = folder.join("samples.om");
    samples
        .write(BufWriter::new(File::create(&file)?))
        .with_context(|| format!("{} cannot be written", file.display()))?;
    let output = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "--max-block-duration=24h", "openmetrics"])
        .args([&file, &folder.join("data")])
        .output()
        .with_context(|| format!("{} does not run", promtool.display()))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} refuses {}: {messages}", promtool.display(), file.display());
    Ok(fs::remove_file(&file)?)
}
