//! Generates six hours of history for Prometheus, and the values that queries must return.
//!
//! A site has ten live inputs and two replicas of the exporter. There are an unstable uplink, a misconfigured
//! encoder, an account without storage, lost, late and repeated notifications, corrections by Cloudflare's API and by an
//! operator, an update, and an outage of both replicas, after which the notification history is read. At the end some
//! inputs are live, some are not, and alerts fire. It serves to draw the dashboards, to try queries, and to test
//! both.
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

use timeline::{History, Journals, Tools};

/// Generates six hours of history for Prometheus
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder to write to; it must not contain a history
    #[arg(long)]
    out: PathBuf,
    /// End of the history, in seconds since the Unix epoch [default: now]
    #[arg(long)]
    end: Option<i64>,
    /// Scrape interval
    #[arg(long, value_parser = humantime::parse_duration, default_value = "5s")]
    step: Duration,
    /// Three replicas share the journal of the first one, instead of two with their own journals
    #[arg(long)]
    shared_journal: bool,
    /// Path of promtool
    #[arg(long, default_value = "promtool")]
    promtool: PathBuf,
    /// Path of prometheus
    #[arg(long, default_value = "prometheus")]
    prometheus: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { out, end, step, shared_journal, promtool, prometheus } = Arguments::parse();
    ensure!(!out.join("data").exists(), "{} already contains a history", out.display());
    let end = end.map_or_else(clock::now, Timestamp::from_seconds);
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules");
    let journals = if shared_journal { Journals::Shared } else { Journals::Own };
    let history = History::generate(&Tools { promtool, prometheus }, &out, &rules, end, step, journals)?;
    report(&history, &out);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is the output of the command")]
fn report(history: &History, out: &Path) {
    println!("{}: six hours of history, end {}", out.display(), history.end());
}
