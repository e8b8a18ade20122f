//! Makes six hours of history for a Prometheus without waiting for them, and tells what is true of it.
//!
//! A site with ten live inputs and two replicas of the exporter has an eventful day: a flapping uplink, a
//! misconfigured encoder, a full account, lost, late and repeated notifications, a restart. At its end
//! some inputs are live, some are not, and alerts fire. For pictures of the dashboards, for trying
//! queries, and for the tests of both.
//!
//! ```sh
//! cargo run --example history -- --out /tmp/history
//! cd /tmp/history && prometheus --config.file=prometheus.yml --storage.tsdb.path=data \
//!     --storage.tsdb.retention.time=10y --query.lookback-delta=9999ms
//! ```

mod timeline;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use stream_live_exporter::clock;
use stream_live_exporter::event::Timestamp;

use timeline::{History, Tools};

/// Makes six hours of history for a Prometheus.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder that the history is made in; it must not have one.
    #[arg(long)]
    out: PathBuf,
    /// When it ends, in seconds since the Unix epoch [default: now].
    #[arg(long)]
    end: Option<i64>,
    /// From one scrape to the next.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "5s")]
    step: Duration,
    /// The program promtool.
    #[arg(long, default_value = "promtool")]
    promtool: PathBuf,
    /// The program prometheus.
    #[arg(long, default_value = "prometheus")]
    prometheus: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { out, end, step, promtool, prometheus } = Arguments::parse();
    ensure!(!out.join("data").exists(), "{} has a history already", out.display());
    let end = end.map_or_else(clock::now, Timestamp::from_seconds);
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules");
    let history = History::make(&Tools { promtool, prometheus }, &out, &rules, end, step)?;
    report(&history, &out);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is how it says what it made")]
fn report(history: &History, out: &Path) {
    println!("{} has six hours that end at {}", out.display(), history.end());
}
