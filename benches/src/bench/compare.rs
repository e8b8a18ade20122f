//! Compares this checkout's exporter with another build of it, in alternating rounds.
//!
//! Everything is measured from outside: events are posted to the webhook, memory is read from `/proc`. The other
//! build can therefore be of any revision, with any storage format and build options.

use std::path::PathBuf;

use anyhow::ensure;

use crate::figures::{Figures, number};
use crate::payload::Cycle;
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{journal, life, many, peers, scrape};

const BUILDS: [Kind; 2] = [Kind::Other, Kind::Ours];
const SCRAPED_INPUTS: [u64; 2] = [10_000, 100_000];
const MEMORY_INPUTS: u64 = 1_000_000;
const EVENTS: u64 = 1_000_000;
const START: &str = "start with an up-to-date checkpoint, s";
const PLAIN: &str = "uncompressed";
const COMPRESSED: &str = "compressed";
const IDLE: [&str; 2] = ["idle: CPU, % of a core", "idle: MB resident"];

/// A journal of each build, and the figures of a restart with it.
struct History {
    folders: [PathBuf; 2],
    inputs: u64,
    shows: Shows,
}

enum Shows {
    Scrape,
    Memory(Cycle),
    Start,
}

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    ensure!(setup.parts.len() == 1, "compare: cannot be combined with other parts");
    ensure!(setup.against.is_some(), "compare: --against must name the binary of the other build");
    let mut figures = Figures::default();
    let progress = setup.progress("compare", setup.rounds as usize * 2 + 6);
    let mut histories = Vec::new();
    for (inputs, events_per_input, cycle, shows) in plan(setup) {
        progress.set_message(format!("{} notifications", number((inputs * events_per_input) as f64)));
        histories.push(history(setup, inputs, events_per_input, cycle, shows, &mut figures)?);
        progress.inc(1);
    }
    progress.set_message("idle");
    for (kind, idle) in BUILDS.iter().zip(life::idle(setup, BUILDS)?) {
        figures.add(kind.name(), IDLE[0], idle.cpu_percent);
        figures.add(kind.name(), IDLE[1], idle.megabytes);
    }
    progress.inc(1);
    for round in 0..setup.rounds as usize {
        for turn in 0..2 {
            // Each build is first in every other round.
            let build = (round + turn) % 2;
            progress.set_message(BUILDS[build].name());
            peers::ingest_of(setup, BUILDS[build], &mut figures)?;
            for history in &histories {
                restart(setup, history, build, &mut figures)?;
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    summarize(setup, &figures, report);
    Ok(())
}

/// Histories: number of inputs, events of each, the cycle of events, and the purpose.
fn plan(setup: &Setup) -> Vec<(u64, u64, Cycle, Shows)> {
    let (events, inputs) = started(setup);
    let mut plan = vec![(inputs, events / inputs, Cycle::EveryKind, Shows::Start)];
    plan.extend(scraped(setup).map(|inputs| (inputs, Cycle::EveryKind.events(), Cycle::EveryKind, Shows::Scrape)));
    let memory = |cycle: Cycle| (MEMORY_INPUTS.min(setup.largest), cycle.events(), cycle, Shows::Memory(cycle));
    plan.extend([Cycle::NoErrors, Cycle::EveryKind].map(memory));
    plan
}

/// Events and inputs of the journal whose start is measured.
fn started(setup: &Setup) -> (u64, u64) {
    let events = EVENTS.min(setup.largest);
    (events, events.min(setup.inputs as u64))
}

fn scraped(setup: &Setup) -> impl Iterator<Item = u64> {
    SCRAPED_INPUTS.into_iter().filter(|inputs| *inputs <= setup.largest)
}

fn history(
    setup: &Setup,
    inputs: u64,
    events_per_input: u64,
    cycle: Cycle,
    shows: Shows,
    figures: &mut Figures,
) -> anyhow::Result<History> {
    let mut folders = [PathBuf::new(), PathBuf::new()];
    for (kind, folder) in BUILDS.iter().zip(&mut folders) {
        let (written, megabytes) = journal::ingested(setup, *kind, inputs, events_per_input, cycle)?;
        *folder = written;
        if matches!(shows, Shows::Memory(_)) {
            let bytes = megabytes * 1e6 / inputs as f64;
            figures.add(kind.name(), &memory_row(inputs, cycle, "after ingest"), bytes);
        }
    }
    Ok(History { folders, inputs, shows })
}

fn restart(setup: &Setup, history: &History, build: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let (kind, inputs) = (BUILDS[build], history.inputs);
    let server = Server::start(setup, kind, &history.folders[build], None)?;
    match history.shows {
        Shows::Start => figures.add(kind.name(), START, server.ready_after.as_secs_f64()),
        Shows::Memory(cycle) => {
            let bytes = server.memory()? * 1e6 / inputs as f64;
            figures.add(kind.name(), &memory_row(inputs, cycle, "after a restart"), bytes);
        }
        Shows::Scrape => {
            scrape::metrics(server.private)?;
            for (headers, how) in [("", PLAIN), (scrape::GZIP, COMPRESSED)] {
                let scrape = many::repeated(setup, &server, headers)?;
                figures.add(kind.name(), &scrape_row(inputs, how), scrape.millis);
            }
        }
    }
    server.stop()
}

fn scrape_row(inputs: u64, how: &str) -> String {
    format!("scrape of {} inputs, {how}, ms", number(inputs as f64))
}

fn memory_row(inputs: u64, cycle: Cycle, when: &str) -> String {
    let errors = if cycle == Cycle::NoErrors { "no errors" } else { "errors of every kind" };
    format!("bytes per input, {} inputs, {errors}, {when}", number(inputs as f64))
}

fn summarize(setup: &Setup, figures: &Figures, report: &mut Report) {
    let [other, ours] = BUILDS.map(Kind::name);
    let inputs = MEMORY_INPUTS.min(setup.largest);
    let memory = |when| [Cycle::NoErrors, Cycle::EveryKind].map(|cycle| memory_row(inputs, cycle, when));
    let [ingested, restarted] = ["after ingest", "after a restart"].map(memory);
    let scrapes: Vec<_> =
        scraped(setup).flat_map(|inputs| [PLAIN, COMPRESSED].map(|how| scrape_row(inputs, how))).collect();
    let rates = [peers::RATE, peers::ONE_RATE].map(str::to_owned);
    let mut rows = [rates.as_slice(), &[peers::HALF_LOAD_P99.to_owned()], &scrapes, &ingested, &restarted].concat();
    rows.push(START.to_owned());
    rows.extend(IDLE.map(str::to_owned));
    let (events, started_inputs) = started(setup);
    let words = format!(
        "Builds take turns, and each is first in every other round. The ratio is this build's median to the other's. \
         Notifications are posted over 64 connections unless stated; half load is half of what each build reaches. \
         Starts have {} events of {} inputs. Memory after ingest and idle usage are measured once.",
        number(events as f64),
        number(started_inputs as f64),
    );
    report.heading("Comparison with another build", &words);
    report.comparison("compare", figures, &rows, other, ours);

    let median = |row: &str| figures.median(ours, row);
    let ratio = |row: &str| median(row) / figures.median(other, row);
    for row in &rates {
        report.at_least(&format!("{row}, ratio"), ratio(row), 0.92);
    }
    report.at_most(&format!("{}, ratio", peers::HALF_LOAD_P99), ratio(peers::HALF_LOAD_P99), 1.25);
    for inputs in scraped(setup) {
        let [plain, compressed] = [PLAIN, COMPRESSED].map(|how| scrape_row(inputs, how));
        report.at_most(&format!("{plain}, ratio"), ratio(&plain), 1.1);
        report.at_most(&format!("{compressed}, of uncompressed"), median(&compressed) / median(&plain), 3.0);
    }
    if setup.largest >= MEMORY_INPUTS {
        report.at_most(&restarted[0], median(&restarted[0]), 330.0);
        report.at_most(&restarted[1], median(&restarted[1]), 600.0);
        report.at_most(START, median(START), 0.3);
    }
    report.at_most(IDLE[0], median(IDLE[0]), 0.1);
    report.at_most(IDLE[1], median(IDLE[1]), 15.0);
}
