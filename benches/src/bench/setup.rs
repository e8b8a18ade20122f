//! The parts to measure, their duration, and the programs.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, thread};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Notifications: the exporter, peers and references.
    Ingest,
    /// Scrapes: the exporter, peers and references.
    Scrapes,
    /// Scrapes of 100,000 inputs, and notification latency during scrapes.
    Many,
    /// Compression, by library and level.
    Gzip,
    /// Throughput over connections, latency over load.
    Curves,
    /// Memory, scrapes and starts over inputs and events.
    Sizes,
    /// One connection compared with a bare fdatasync; slow disks.
    Disk,
    /// Start, idle, sizes, sustained load.
    Life,
    /// The status page: size, time to render, cost of open pages.
    Pages,
    /// Notification latency during housekeeping.
    Hold,
    /// A journal in PostgreSQL beside the one in SQLite: notifications, scrapes, delay between replicas, start.
    Shared,
    /// Cost of the same inputs in a real Prometheus.
    Prometheus,
    /// Another build of the exporter, given with --against. Only measured when named, and then alone.
    Compare,
}

/// Compares the exporter with peers, references, or another build of it.
#[derive(Debug, Parser)]
pub struct Setup {
    /// Parts to measure. Without any: all but compare.
    pub parts: Vec<Part>,
    /// Rounds; each figure is the median over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Duration of one measurement in seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Number of inputs that send notifications.
    #[arg(long, default_value_t = 10_000)]
    pub inputs: usize,
    /// Largest number of inputs and events.
    #[arg(long, default_value_t = 1_000_000)]
    pub largest: u64,
    /// Folder for the report. Servers use a folder in it.
    #[arg(long)]
    pub output: PathBuf,
    /// The exporter's binary.
    #[arg(long)]
    pub exporter: PathBuf,
    /// The binary of another build, for the part compare.
    #[arg(long)]
    pub against: Option<PathBuf>,
    /// Node.js, if the packages of the peer are installed.
    #[arg(long)]
    pub node: Option<PathBuf>,
    /// Script of the Node.js peer, in the folder of its packages.
    #[arg(long, requires = "node")]
    pub node_server: Option<PathBuf>,
    /// Python with the packages of the peer.
    #[arg(long)]
    pub python: Option<PathBuf>,
    #[arg(long, requires = "python")]
    pub python_server: Option<PathBuf>,
    #[arg(long)]
    pub pushgateway: Option<PathBuf>,
    #[arg(long)]
    pub prometheus: Option<PathBuf>,
    #[arg(long)]
    pub strace: Option<PathBuf>,
    /// Folder with the programs initdb and postgres.
    #[arg(long)]
    pub postgres: Option<PathBuf>,
    /// Peers that are not available, with the reason.
    #[arg(long)]
    pub skipped: Vec<String>,
}

impl Setup {
    pub fn includes(&self, part: Part) -> bool {
        if self.parts.is_empty() { part != Part::Compare } else { self.parts.contains(&part) }
    }

    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Duration of the load before a measurement.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs_f64((self.seconds / 4.0).min(2.0))
    }

    pub fn work(&self) -> PathBuf {
        self.output.join("work")
    }

    /// Progress bar of a part; hidden without a terminal.
    pub fn progress(&self, what: &'static str, steps: usize) -> ProgressBar {
        let style = ProgressStyle::with_template("{prefix:8} {bar:30} {pos}/{len} {elapsed} {msg}");
        let bar = ProgressBar::new(steps as u64).with_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(500));
        bar.with_style(style.expect("the template is well-formed"))
    }

    pub fn header(&self) -> String {
        let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = model.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()));
        let cores = thread::available_parallelism().map_or(0, usize::from);
        let mut header = format!(
            "# Benchmark\n\nServer and load on the same {cores} cores ({}), unpinned, over loopback. Each figure is the \
             median of {} rounds of {} s, with minimum and maximum in brackets; the servers alternate within a round. \
             Notifications come from {} inputs in the same order in every run.\n",
            model.unwrap_or("unknown model"),
            self.rounds,
            self.seconds,
            self.inputs,
        );
        for skipped in &self.skipped {
            header += &format!("\nSKIPPED: {skipped}\n");
        }
        header
    }
}
