//! Runs the daemon under load and faults, and checks that sender, journal and metrics agree at the end.
//!
//! 200 notifications a second are sent until each is accepted. Meanwhile the daemon is killed every 20 seconds, its
//! clock jumps within four minutes either way, connections flood its public listener, and once its disk hangs for 20
//! seconds. Counters must never fall. Needs strace, faketime and root or the right to trace the daemon.
//!
//! ```sh
//! cargo run --profile dist --example soak -- --duration 1h
//! ```

mod check;
mod daemon;
mod faults;
mod load;
#[path = "../dist_binary/mod.rs"]
mod dist_binary;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use stream_live_exporter::clock::Stopwatch;

use daemon::Site;

/// Runs the daemon under load and faults, and checks that sender, journal and metrics agree at the end
#[derive(Debug, Parser)]
struct Arguments {
    /// How long notifications are sent
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1h")]
    duration: Duration,
    /// Notifications per second
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// The library that changes the daemon's clock
    #[arg(long, default_value = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")]
    libfaketime: PathBuf,
    /// Seed of everything that is random
    #[arg(long, default_value_t = 2026)]
    seed: u64,
}

/// What the threads of a run share.
struct Run {
    site: Site,
    duration: Duration,
    stopwatch: Stopwatch,
    progress: ProgressBar,
    /// A thread has failed; all others stop.
    failed: AtomicBool,
}

impl Run {
    fn is_over(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.stopwatch.elapsed() >= self.duration
    }

    /// Waits until this time after the start, or until the run is over.
    fn wait_until(&self, at: Duration) {
        while !self.is_over() && self.stopwatch.elapsed() < at {
            let left = at.saturating_sub(self.stopwatch.elapsed());
            thread::park_timeout(left.min(Duration::from_millis(200)));
        }
    }
}

fn main() -> anyhow::Result<()> {
    let Arguments { duration, rate, libfaketime, seed } = Arguments::parse();
    let site = Site::new(libfaketime)?;
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos} of {len}  {msg}")?;
    let progress = ProgressBar::new(duration.as_secs() * u64::from(rate)).with_style(style);
    let run = Run { site, duration, stopwatch: Stopwatch::start(), progress, failed: AtomicBool::new(false) };
    let daemon = run.site.start()?;
    let (sent, scraped, faults) = thread::scope(|scope| {
        let load = scope.spawn(|| failing(&run, load::send(&run, rate, seed)));
        let scrapes = scope.spawn(|| failing(&run, check::counters_never_fall(&run)));
        scope.spawn(|| faults::flood(&run));
        let faults = failing(&run, faults::run(&run, daemon, seed));
        (load.join(), scrapes.join(), faults)
    });
    run.progress.finish_and_clear();
    let (daemon, counts) = faults.context("faults")?;
    scraped.map_err(|_| anyhow!("the scraping thread panicked"))?.context("scrapes")?;
    let sent = sent.map_err(|_| anyhow!("the sending thread panicked"))?.context("load")?;
    daemon.stop()?;
    let report = check::agreement(&run.site, &sent)?;
    print(&format!("{report}; {counts}\n"));
    Ok(())
}

fn failing<T>(run: &Run, result: anyhow::Result<T>) -> anyhow::Result<T> {
    if result.is_err() {
        run.failed.store(true, Ordering::Relaxed);
    }
    result
}

#[expect(clippy::print_stdout, reason = "this is the output of the command")]
fn print(text: &str) {
    print!("{text}");
}
