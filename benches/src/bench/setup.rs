//! What to measure, for how long and with which programs.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, thread};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Notifications, beside peers and references.
    Ingest,
    /// Scrapes, beside peers and references.
    Scrapes,
    /// Scrapes of 100,000 inputs, and notifications meanwhile.
    Many,
    /// Compression, by library and level.
    Gzip,
    /// Over connections and load.
    Curves,
    /// Over inputs and events.
    Sizes,
    /// One connection beside a bare sync; disks that are slow.
    Disk,
    /// Start, idle, sizes, sustained load.
    Life,
    /// Who waits for checkpoints and expiry.
    Hold,
    /// What a real Prometheus pays for the same inputs.
    Prometheus,
    /// Another build of the exporter, given with --against. Only measured when named, and then alone.
    Compare,
}

/// Measures the exporter beside its peers and references.
#[derive(Debug, Parser)]
pub struct Setup {
    /// What to measure; everything unless told.
    pub parts: Vec<Part>,
    /// Rounds; a figure is the median over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Seconds that a figure of a round is measured.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Inputs that notifications are about.
    #[arg(long, default_value_t = 10_000)]
    pub inputs: usize,
    /// The largest number of inputs, and of events, of the curves.
    #[arg(long, default_value_t = 1_000_000)]
    pub largest: u64,
    /// Where the report goes; what is measured writes to a folder in it.
    #[arg(long)]
    pub output: PathBuf,
    /// The exporter's binary.
    #[arg(long)]
    pub exporter: PathBuf,
    /// The binary of another build, for the part compare.
    #[arg(long)]
    pub against: Option<PathBuf>,
    /// Node.js, when the peer's packages are there.
    #[arg(long)]
    pub node: Option<PathBuf>,
    /// The peer's script, beside its packages.
    #[arg(long, requires = "node")]
    pub node_server: Option<PathBuf>,
    /// A Python with the peer's packages.
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
    /// Peers that could not be had, and why.
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

    /// A short run before what is measured.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs_f64((self.seconds / 4.0).min(2.0))
    }

    pub fn work(&self) -> PathBuf {
        self.output.join("work")
    }

    /// Steps of a part; nothing is drawn where there is no terminal.
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
            "# Benchmark\n\nServer and load on the same {cores} cores ({}), unpinned, over loopback. Every figure is the \
             median of {} rounds of {} s, least and most in brackets; the servers take turns in every round. \
             Notifications are about {} inputs; the order is the same in every run.\n",
            model.unwrap_or("of an unnamed kind"),
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
