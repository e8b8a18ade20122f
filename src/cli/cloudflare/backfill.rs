//! `cloudflare backfill`: reads the notification history, on a running daemon or into the journal of a stopped one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::account::{self, explained};
use crate::cli::client::{Access, Client};
use crate::cli::{print, print_message};
use crate::clock::{self, Stopwatch};
use crate::config::Settings;
use crate::daemon::backfill_stopped;
use crate::event::Timestamp;
use crate::text::escaped;

/// The state of the tasks that use Cloudflare's API.
const PATH: &str = "/api/v1/cloudflare";
/// How often the running daemon is asked for its progress.
const POLL: Duration = Duration::from_millis(500);
/// The command ends if the daemon reads nothing for this long.
const STALLED: Duration = Duration::from_secs(5 * 60);
/// The exit code of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Read the history since this time, as in 2026-11-20T18:00:00Z, or for this long back, as in 2h or 7days
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_since)]
    since: Timestamp,
    /// Use the journal without a daemon; a daemon whose journal is in a data folder must be stopped
    #[arg(long, conflicts_with_all = ["url", "ca_file", "user", "cert_file"])]
    offline: bool,
    #[command(flatten)]
    access: Access,
}

/// The answer of `POST /api/v1/cloudflare/backfill`.
#[derive(Deserialize)]
struct Started {
    requested_at: String,
}

/// The answer of `GET /api/v1/cloudflare`, as far as it is needed.
#[derive(Deserialize)]
struct Status {
    accounts: Vec<AccountStatus>,
}

#[derive(Deserialize)]
struct AccountStatus {
    name: String,
    account_id: String,
    backfill: Option<BackfillStatus>,
}

#[derive(Deserialize)]
struct BackfillStatus {
    before: String,
    running: bool,
    pages: u64,
    #[serde(flatten)]
    counts: Counts,
    error: Option<String>,
}

/// What was read and what became of it.
#[derive(Debug, Default, Deserialize)]
struct Counts {
    read: u64,
    new: u64,
    known: u64,
    unusable: BTreeMap<String, u64>,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let (stop_tx, stop) = channel();
    let stop_at_signal = move || {
        // The receiver exists until the command ends.
        let _ = stop_tx.send(());
    };
    ctrlc::set_handler(stop_at_signal).context("signals cannot be received")?;
    let bar = progress_bar();
    let done = match arguments.offline {
        true => offline(arguments.since, settings, &stop, &bar),
        false => online(arguments, settings, &stop, &bar),
    };
    bar.finish_and_clear();
    done
}

/// On a terminal; silent elsewhere.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid");
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn online(
    arguments: &Arguments,
    settings: &Settings,
    stop: &Receiver<()>,
    bar: &ProgressBar,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(&arguments.access, settings)?;
    let started = client.post(&format!("{PATH}/backfill?since={}", arguments.since), None).map_err(|error| {
        let unreachable = error.is::<ureq::Error>();
        if unreachable { error.context("if the daemon is stopped, give --offline") } else { error }
    });
    let started: Started = read(&started?)?;
    let requested_at: Timestamp = started.requested_at.parse().context("requested_at of the answer")?;
    let (mut shown, mut since_change) = (String::new(), Stopwatch::start());
    loop {
        let Status { accounts } = read(&client.get(PATH)?)?;
        let is_begun =
            |status: &&BackfillStatus| status.before.parse().is_ok_and(|before: Timestamp| before >= requested_at);
        let begun: Vec<_> = accounts.iter().filter_map(|account| account.backfill.as_ref().filter(is_begun)).collect();
        let pages: u64 = begun.iter().map(|status| status.pages).sum();
        let counts =
            begun.iter().fold((0, 0), |(read, new), status| (read + status.counts.read, new + status.counts.new));
        let now = message(pages, counts);
        bar.set_message(now.clone());
        if begun.len() == accounts.len() && begun.iter().all(|status| !status.running) {
            return report(accounts.into_iter().map(AccountStatus::result));
        }
        if now != shown {
            (shown, since_change) = (now, Stopwatch::start());
        } else if since_change.elapsed() > STALLED {
            bail!("the daemon has read nothing for {} s; its log says why. It goes on", STALLED.as_secs());
        }
        if stop.recv_timeout(POLL) != Err(RecvTimeoutError::Timeout) {
            print_message("interrupted; the daemon goes on");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
}

fn offline(since: Timestamp, settings: &Settings, stop: &Receiver<()>, bar: &ProgressBar) -> anyhow::Result<ExitCode> {
    let accounts = account::clients(settings)?;
    let progress = |read: &crate::cloudflare::BackfillProgress, outcome: &crate::recorder::HistoryOutcome| {
        bar.set_message(message(read.pages, (read.entries.read, outcome.new)));
    };
    let read = backfill_stopped(settings, &accounts, since, stop, progress)?;
    let interrupted = read.iter().any(|(progress, _)| progress.ended.is_none());
    let results = accounts.iter().zip(read).map(|((account, _), (progress, outcome))| {
        let mut unusable = BTreeMap::new();
        for (reason, count) in progress.entries.unusable.iter().chain(&outcome.unusable) {
            *unusable.entry((*reason).to_owned()).or_default() += count;
        }
        let counts = Counts { read: progress.entries.read, new: outcome.new, known: outcome.known, unusable };
        let error = progress.error.map(|error| explained(error, "Notifications Read").to_string());
        (account::title(account), counts, error)
    });
    let code = report(results)?;
    if interrupted {
        print_message("interrupted; what was recorded stays");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(code)
}

fn message(pages: u64, (read, new): (u64, u64)) -> String {
    format!("{pages} pages, {read} notifications, {new} new events")
}

impl AccountStatus {
    fn result(self) -> (String, Counts, Option<String>) {
        let Self { name, account_id, backfill } = self;
        let title =
            if name.is_empty() { format!("account {account_id}") } else { format!("account {name} ({account_id})") };
        let (counts, error) = backfill.map(|backfill| (backfill.counts, backfill.error)).unwrap_or_default();
        (title, counts, error)
    }
}

/// Prints what was read of each account. The exit code says whether all was.
fn report(results: impl Iterator<Item = (String, Counts, Option<String>)>) -> anyhow::Result<ExitCode> {
    let (mut text, mut errors) = (String::new(), Vec::new());
    for (title, Counts { read, new, known, unusable }, error) in results {
        let sum: u64 = unusable.values().sum();
        let title = escaped(&title);
        writeln!(text, "{title}: {read} notifications read: {new} new events, {known} known ones, {sum} not usable")?;
        for (reason, count) in unusable {
            writeln!(text, "  {count} {}", why(&reason))?;
        }
        errors.extend(error.map(|error| format!("{title}: {error}")));
    }
    print(&text)?;
    errors.iter().for_each(|error| print_message(error));
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A reason, for people.
fn why(reason: &str) -> String {
    let explanation = match reason {
        "alert_type" => "notifications of other products",
        "no_body" => "no alert_body",
        "prose" => "a text for people instead of data",
        "test" => "test messages",
        "updated_at" => "without the time of the event",
        "future" => "in the future: compare the clocks",
        "too_old" => "older than what the exporter remembers of the input",
        "too_many_inputs" => "of new inputs above inputs.max",
        _ => "",
    };
    if explanation.is_empty() { reason.to_owned() } else { format!("{reason}: {explanation}") }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> anyhow::Result<T> {
    serde_json::from_str(answer).context("this is not the API of stream-live-exporter")
}

fn parse_since(text: &str) -> Result<Timestamp, String> {
    let now = clock::now();
    let since = text.parse().ok().or_else(|| Some(now.minus(humantime::parse_duration(text).ok()?)));
    let since = since.ok_or("expected a time as in 2026-11-20T18:00:00Z, or a duration as in 2h or 7days")?;
    if since > now { Err("it is in the future".to_owned()) } else { Ok(since) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_past_time_or_a_duration() {
        let hour_ago = clock::now().minus(Duration::from_secs(3600));
        for (text, expected) in [("1h", hour_ago), ("60m", hour_ago), (hour_ago.to_string().as_str(), hour_ago)] {
            let distance = parse_since(text).unwrap().as_millis().abs_diff(hour_ago.as_millis());
            assert!(distance < 60_000, "{text} {expected}");
        }
        for text in ["", "yesterday", "1", "-1h", "2026-11-20", "9999-01-01T00:00:00Z"] {
            assert!(parse_since(text).is_err(), "{text}");
        }
    }
}
