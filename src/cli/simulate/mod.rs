//! `simulate`: posts notifications to a URL in Cloudflare's format.
//!
//! With `--cloudflare-api` it also serves a mock of Cloudflare's API, and loses notifications on request.
//!
//! It serves to try the daemon without a Cloudflare account, and to test it: `--truth-file` lists the values
//! that Prometheus must show afterwards.
//!
//! ```text
//! inputs -> scenario -> delivery -> target -> answer -> tally -> truth, report
//! ```
//!
//! Exit codes: 0 if every notification got a 2xx response, 1 if not, 130 after Ctrl-C.

mod answer;
mod cloudflare;
mod delivery;
mod inputs;
mod report;
mod scenario;
mod tally;
mod target;
mod truth;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ureq::http::Uri;

use self::cloudflare::{Cloudflare, CloudflareArguments};
use self::delivery::{Interrupt, Plan, deliver};
use self::report::Report;
use self::scenario::{Scenario, Script};
use self::tally::Tally;
use self::target::{Target, parse_file, parse_url};
use self::truth::Truth;
use crate::clock::Stopwatch;

/// The webhook of a daemon with the default configuration on this machine, and its secret.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:10418/webhook";
pub(super) const DEFAULT_SECRET_FILE: &str = "data/webhook-secret";

/// The exit code that shells report for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Post realistic notifications to a URL, in Cloudflare's format
#[derive(Debug, Args)]
pub struct Arguments {
    /// The webhook to post to
    #[arg(long, default_value = DEFAULT_URL, value_parser = parse_url)]
    url: Uri,

    /// The file with the webhook secret
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SECRET_FILE, value_parser = parse_file)]
    secret_file: PathBuf,

    /// What happens to the inputs
    #[arg(long, value_enum, default_value_t = Scenario::Steady)]
    scenario: Scenario,

    /// Number of live inputs
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    inputs: u32,

    #[command(flatten)]
    plan: Plan,

    #[command(flatten)]
    cloudflare: CloudflareArguments,

    /// Random seed: the same seed gives the same inputs and the same sequence of events
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Write a JSON file with the values that Prometheus must show afterwards
    #[arg(long, value_name = "PATH")]
    truth_file: Option<PathBuf>,
}

/// Posts until the end of the duration or Ctrl-C, then prints the summary.
///
/// # Errors
///
/// If the secret cannot be read or the truth file cannot be created, before anything is posted, and if the
/// results cannot be written. Rejected notifications only change the exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let target = Target::new(arguments.url.clone(), &arguments.secret_file)?;
    let truth_file = arguments.truth_file.as_deref().map(create).transpose()?;
    let interrupt = Interrupt::on_ctrl_c().context("cannot listen for Ctrl-C")?;

    let script = Script::new(arguments.scenario, arguments.seed, arguments.inputs);
    let cloudflare = Cloudflare::start(&arguments.cloudflare, &target, script.inputs(), arguments.seed)?;
    super::print(&cloudflare.instructions()).context("cannot write what to configure")?;

    let stopwatch = Stopwatch::start();
    let tally = simulate(&arguments.plan, script, (&target, &cloudflare), &interrupt);
    let (elapsed, interrupted) = (stopwatch.elapsed(), interrupt.is_raised());

    if let Some((file, path)) = truth_file {
        write_truth(&tally, file).with_context(|| format!("cannot write the truth file {}", path.display()))?;
    }
    let report = Report { arguments, elapsed, interrupted, tally: &tally };
    super::print(&report.to_string()).context("cannot write the summary")?;
    if let Some(time) = cloudflare.time_for_repair(arguments.inputs, &tally).filter(|_| !interrupted) {
        let rest = format!(
            "\nThe API is served for {} s more, until the exporter has asked about all inputs.\n",
            time.as_secs()
        );
        super::print(&rest).context("cannot write the rest of the time")?;
        interrupt.wait(Stopwatch::start(), time);
    }
    Ok(exit_code(&tally, interrupted))
}

fn simulate(plan: &Plan, script: Script, ends: (&Target, &Cloudflare), interrupt: &Interrupt) -> Tally {
    let progress = ProgressBar::new(plan.notifications()).with_style(style());
    progress.enable_steady_tick(Duration::from_millis(250));
    let tally = deliver(plan, script, ends, interrupt, &progress);
    progress.finish_and_clear();
    tally
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30} {pos} of {len} posted in {elapsed}  {msg}")
        .expect("the template is well-formed")
}

fn create(path: &Path) -> anyhow::Result<(File, &Path)> {
    let file = File::create(path).with_context(|| format!("cannot create the truth file {}", path.display()))?;
    Ok((file, path))
}

fn write_truth(tally: &Tally, file: File) -> io::Result<()> {
    let mut writer = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut writer, &Truth::of(tally))?;
    writeln!(writer)?;
    writer.flush()
}

fn exit_code(tally: &Tally, interrupted: bool) -> ExitCode {
    match interrupted {
        true => ExitCode::from(INTERRUPTED),
        false if tally.accepted() == tally.posted() => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
