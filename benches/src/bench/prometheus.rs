//! Cost of the same inputs in a real Prometheus.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::figures::{Figures, median, number};
use crate::payload::Cycle;
use crate::report::Report;
use crate::server::{Kind, Server, number_in};
use crate::setup::Setup;
use crate::{interrupt, journal, scrape};

const SIZES: [u64; 3] = [1000, 10_000, 100_000];
/// Also the timeout: the first scrape of 100,000 inputs takes longer than the default timeout of Prometheus.
const INTERVAL: Duration = Duration::from_secs(20);
const SCRAPES: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(240);

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let Some(program) = &setup.prometheus else { return Ok(()) };
    let mut figures = Figures::default();
    let sizes: Vec<_> = SIZES.into_iter().filter(|size| *size <= setup.largest).collect();
    let progress = setup.progress("Prometheus", sizes.len());
    for inputs in &sizes {
        let folder = journal::settled(setup, *inputs, Cycle::EveryKind)?;
        let server = Server::start(setup, Kind::Ours, &folder, None)?;
        let prometheus = Prometheus::start(setup, program, server.private)?;
        let durations = prometheus.scrapes("scrape_duration_seconds")?;
        let name = number(*inputs as f64);
        figures.add(&name, "first scrape s", durations[0]);
        let mut later = durations[1..].to_vec();
        later.sort_by(f64::total_cmp);
        figures.add(&name, "later scrapes s", median(&later));
        figures.add(&name, "of these, exporter s", scrape::get(server.private, "/metrics", scrape::GZIP)?.millis / 1e3);
        let samples = prometheus.scrapes("scrape_samples_scraped")?[SCRAPES - 1];
        figures.add(&name, "samples", samples);
        let memory = prometheus.memory()?;
        figures.add(&name, "MB resident", memory);
        figures.add(&name, "kB per series", memory * 1e3 / samples);
        figures.add(&name, "exporter MB resident", server.memory()?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let words = format!(
        "{} with default settings, except for a scrape interval and timeout of {} s. The first scrape creates every series. \
         Each row is a number of inputs.",
        version(program)?,
        INTERVAL.as_secs()
    );
    report.heading("Cost in Prometheus", &words);
    let rows: Vec<_> = sizes.iter().map(|size| number(*size as f64)).collect();
    let columns = [
        "first scrape s",
        "later scrapes s",
        "of these, exporter s",
        "samples",
        "MB resident",
        "kB per series",
        "exporter MB resident",
    ];
    report.table("prometheus", &figures, &rows, &columns, None);
    Ok(())
}

fn version(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let version = text.split_whitespace().nth(2).context("prometheus --version prints no version")?;
    Ok(format!("Prometheus {version}"))
}

struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts Prometheus with an empty storage to scrape this address.
    fn start(setup: &Setup, program: &Path, target: SocketAddr) -> anyhow::Result<Self> {
        let folder = setup.work().join("prometheus");
        // Left over from an earlier start.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let seconds = INTERVAL.as_secs();
        let configuration = format!(
            "global: {{scrape_interval: {seconds}s, scrape_timeout: {seconds}s}}\n\
             scrape_configs: [{{job_name: stream-live-exporter, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(folder.join("prometheus.yml"), configuration)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(program)
            .arg(format!("--web.listen-address={address}"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("log"))?)
            .spawn()
            .context("cannot start Prometheus")?;
        Ok(Self { child, address })
    }

    /// Values of a metric about the scrapes, after enough of them.
    fn scrapes(&self, metric: &str) -> anyhow::Result<Vec<f64>> {
        let began = Instant::now();
        loop {
            let values = self.values(metric).unwrap_or_default();
            if values.len() >= SCRAPES {
                return Ok(values);
            }
            ensure!(began.elapsed() < TIMEOUT, "Prometheus has only {} scrapes after {TIMEOUT:?}", values.len());
            interrupt::sleep(Duration::from_millis(500))?;
        }
    }

    fn values(&self, metric: &str) -> anyhow::Result<Vec<f64>> {
        let url = format!("http://{}/api/v1/query?query={metric}%5B1h%5D", self.address);
        let answer: Value = serde_json::from_str(&scrape::body(&url)?)?;
        let samples = answer["data"]["result"][0]["values"].as_array().context("no samples")?;
        samples.iter().map(|sample| Ok(sample[1].as_str().context("no value")?.parse()?)).collect()
    }

    /// Resident memory in megabytes.
    fn memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(number_in(&status, "VmRSS")? as f64 / 1e3)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
