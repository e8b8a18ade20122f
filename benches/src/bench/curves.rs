//! Curves over connections, load, inputs and events.

use crate::figures::{Figures, number};
use crate::payload::Cycle;
use crate::plot::{Plot, Shape};
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{interrupt, journal, scrape};

const CONNECTIONS: [usize; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const LOADS: [f64; 8] = [0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
const KINDS: [Kind; 5] = [Kind::Ours, Kind::Bare, Kind::Fastify, Kind::FastApi, Kind::Pushgateway];

/// Journals of inputs with few events: number of events, what they are, and the memory limit in kB per input.
const FEW: [(u64, Cycle, &str, f64); 3] = [
    (1, Cycle::NoErrors, "kB resident per input, one connect", 0.33),
    (8, Cycle::NoErrors, "kB resident per input, four sessions without errors", 0.42),
    (3, Cycle::OneError, "kB resident per input, one session with one error", 0.42),
];

type Points = Vec<(f64, f64)>;

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    report.heading("Curves", "Each column is one point of a curve, measured for half the usual duration.");
    connections(setup, report)?;
    loads(setup, report)
}

pub fn sizes(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    report.heading("Sizes", "Each column is one point of a curve.");
    inputs(setup, report)?;
    events(setup, report)
}

/// Curves: a series for each row, a point for each column.
fn series(figures: &Figures, rows: &[&str], columns: &[(f64, String)]) -> Vec<(String, Points)> {
    let points = |row: &str| {
        let points = columns.iter().map(|(x, column)| (*x, figures.median(row, column)));
        points.filter(|(_, y)| !y.is_nan()).collect::<Points>()
    };
    let curves = rows.iter().map(|row| ((*row).to_owned(), points(row)));
    curves.filter(|(_, points)| !points.is_empty()).collect()
}

fn draw(
    report: &mut Report,
    file: &str,
    title: &str,
    [x, y]: [&str; 2],
    series: Vec<(String, Points)>,
) -> anyhow::Result<()> {
    report.picture(file, &Plot { title, shape: Shape::Lines { x, y, series } })
}

fn table(report: &mut Report, name: &str, figures: &Figures, rows: &[&str], columns: &[(f64, String)]) {
    let rows: Vec<_> = rows.iter().map(|row| (*row).to_owned()).collect();
    let columns: Vec<_> = columns.iter().map(|(_, column)| column.as_str()).collect();
    report.table(name, figures, &rows, &columns, None);
}

fn connections(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let kinds: Vec<_> = KINDS.into_iter().filter(|kind| kind.is_available(setup)).collect();
    let mut figures = Figures::default();
    let progress = setup.progress("curves", setup.rounds as usize * kinds.len() * CONNECTIONS.len());
    for _ in 0..setup.rounds {
        for kind in &kinds {
            progress.set_message(kind.name());
            let mut server = Server::fresh(setup, *kind, None)?;
            server.load(64, None, setup.warm_up())?;
            for connections in CONNECTIONS {
                let outcome = server.load(connections, None, setup.duration() / 2)?;
                figures.add(kind.name(), &connections.to_string(), outcome.rate());
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    let columns = CONNECTIONS.map(|connections| (connections as f64, connections.to_string()));
    let title = "Notifications per second over connections";
    table(report, "connections", &figures, &names, &columns);
    draw(report, "connections", title, ["connections", "requests/s"], series(&figures, &names, &columns))
}

fn loads(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let mut kinds: Vec<_> = KINDS.into_iter().filter(|kind| kind.is_available(setup)).collect();
    kinds.retain(|kind| *kind != Kind::Bare);
    let progress = setup.progress("load", setup.rounds as usize * kinds.len() * LOADS.len());
    for _ in 0..setup.rounds {
        for kind in &kinds {
            progress.set_message(kind.name());
            let mut server = Server::fresh(setup, *kind, None)?;
            server.load(64, None, setup.warm_up())?;
            let full = server.load(64, None, setup.duration() / 2)?.rate();
            for load in LOADS {
                let outcome = server.load(64, Some(full * load), setup.duration() / 2)?;
                for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
                    figures.add(&format!("{} {name}", kind.name()), &percent(load), outcome.latency(quantile));
                    figures.add(&format!("{} {name} rate", kind.name()), &percent(load), full * load);
                }
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    let rows: Vec<_> =
        kinds.iter().flat_map(|kind| [format!("{} p50", kind.name()), format!("{} p99", kind.name())]).collect();
    let names: Vec<_> = rows.iter().map(String::as_str).collect();
    let columns = LOADS.map(|load| (load, percent(load)));
    table(report, "load", &figures, &names, &columns);
    let rate = |row: &str, (_, column): &(f64, String)| figures.median(&format!("{row} rate"), column);
    let curve = |row: &&str| columns.iter().map(|column| (rate(row, column), figures.median(row, &column.1))).collect();
    let p99 = names.iter().filter_map(|name| Some((name.strip_suffix(" p99")?.to_owned(), curve(name)))).collect();
    let title = "p99 latency at 10 % to 90 % of the throughput of 64 connections";
    draw(report, "load", title, ["requests/s", "p99, ms"], p99)
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

/// 100, 1,000... up to `largest`.
fn decades(largest: u64) -> Vec<u64> {
    std::iter::successors(Some(100), |number| Some(number * 10)).take_while(|number| *number <= largest).collect()
}

fn inputs(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let (mut figures, sizes) = (Figures::default(), decades(setup.largest));
    let progress = setup.progress("inputs", sizes.len());
    let (plain, crate_) = (Kind::Ours.name(), Kind::PrometheusCrate.name());
    for size in &sizes {
        let folder = journal::settled(setup, *size, Cycle::EveryKind)?;
        let column = number(*size as f64);
        for _ in 0..setup.rounds {
            interrupt::check()?;
            let server = Server::start(setup, Kind::Ours, &folder, None)?;
            figures.add("start to ready, ms", &column, server.ready_after.as_secs_f64() * 1e3);
            figures.add("MB resident", &column, server.memory()?);
            figures.add("kB resident per input", &column, server.memory()? * 1e3 / *size as f64);
            scrape::metrics(server.private)?;
            server.reset_peak()?;
            let taken = scrape::metrics(server.private)?;
            figures.add(plain, &column, taken.millis);
            figures.add("MB of text", &column, taken.bytes as f64 / 1e6);
            figures.add("MB peak during a scrape", &column, server.peak()?);
            if *size <= 100_000 && server.ready_after.as_secs() < 60 {
                let exposition = setup.work().join("exposition");
                std::fs::write(&exposition, scrape::text(server.private)?)?;
                drop(server);
                let server = Server::fresh(setup, Kind::PrometheusCrate, Some(&exposition))?;
                scrape::metrics(server.private)?;
                figures.add(crate_, &column, scrape::metrics(server.private)?.millis);
            }
        }
        if *size > 100_000 {
            std::fs::remove_dir_all(folder)?;
        }
        for (events, cycle, row, _) in FEW {
            let (folder, _) = journal::ingested(setup, Kind::Ours, *size, events, cycle)?;
            figures.add(row, &column, Server::start(setup, Kind::Ours, &folder, None)?.memory()? * 1e3 / *size as f64);
            std::fs::remove_dir_all(folder)?;
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let columns: Vec<_> = sizes.iter().map(|size| (*size as f64, number(*size as f64))).collect();
    let (scrapes, memory) = ([plain, crate_], ["MB resident", "MB peak during a scrape"]);
    let full = ("kB resident per input", 0.6);
    let per_input = FEW.map(|(.., row, limit)| (row, limit)).into_iter().chain([full]);
    let mut rows = vec![plain, crate_, "MB of text", memory[0], memory[1], "start to ready, ms"];
    rows.extend(per_input.clone().map(|(row, _)| row));
    table(report, "inputs", &figures, &rows, &columns);
    if let Some((size, column)) = columns.last() {
        for (row, limit) in per_input {
            report.at_most(&format!("{row}, with {} inputs", number(*size)), figures.median(row, column), limit);
        }
    }
    let pictures = [
        ("inputs-scrape", "Time of a scrape over inputs", "ms", scrapes.as_slice()),
        ("inputs-memory", "Memory over inputs", "MB", &memory),
    ];
    for (name, title, unit, rows) in pictures {
        draw(report, name, title, ["inputs", unit], series(&figures, rows, &columns))?;
    }
    Ok(())
}

fn events(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let (mut figures, sizes) = (Figures::default(), decades(setup.largest));
    let names = [
        "with a checkpoint, ms",
        "without a checkpoint, ms",
        "MB resident",
        "disk bytes per event",
    ];
    let progress = setup.progress("events", sizes.len());
    for size in &sizes {
        let (inputs, column) = ((setup.inputs as u64).min(*size), number(*size as f64));
        for _ in 0..setup.rounds {
            let folder = journal::filled(setup, inputs, *size / inputs)?;
            let server = Server::start(setup, Kind::Ours, &folder, None)?;
            figures.add(names[1], &column, server.ready_after.as_secs_f64() * 1e3);
            server.stop()?;
            let server = Server::start(setup, Kind::Ours, &folder, None)?;
            figures.add(names[0], &column, server.ready_after.as_secs_f64() * 1e3);
            figures.add(names[2], &column, server.memory()?);
            server.stop()?;
            figures.add(names[3], &column, journal::size(&folder)? as f64 / *size as f64);
            // The next round needs a journal without a checkpoint.
            std::fs::remove_dir_all(folder)?;
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let columns: Vec<_> = sizes.iter().map(|size| (*size as f64, number(*size as f64))).collect();
    report.heading("Start over events", "Time from the start of the process until it is ready.");
    table(report, "events", &figures, &names, &columns);
    draw(report, "events", "Start over kept events", ["events", "ms"], series(&figures, &names[..2], &columns))
}
