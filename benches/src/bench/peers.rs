//! Notifications and scrapes: the exporter, peers and references.

use std::fs;

use anyhow::ensure;

use crate::figures::Figures;
use crate::payload::Cycle;
use crate::plot::{Plot, Shape};
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{disk, journal, many, scrape};

const CONNECTIONS: usize = 64;
pub const RATE: &str = "requests/s";
pub const ONE_RATE: &str = "1 connection: requests/s";
pub const HALF_LOAD_P99: &str = "half load: p99 ms";

pub fn ingest(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let kinds: Vec<_> = Kind::INGEST.into_iter().filter(|kind| kind.is_available(setup)).collect();
    let mut figures = Figures::default();
    let progress = setup.progress("ingest", setup.rounds as usize * kinds.len());
    for _ in 0..setup.rounds {
        for kind in &kinds {
            progress.set_message(kind.name());
            ingest_of(setup, *kind, &mut figures)?;
            progress.inc(1);
        }
        let sync = disk::sync_millis(setup, true)?;
        figures.add("fdatasync after appending 4 KiB", "1 connection: p50 ms", sync);
    }
    progress.finish_and_clear();
    let ours = Kind::Ours.name();
    report.heading(
        "Notifications",
        "A documented notification of about 700 bytes. Closed loop with 64 keep-alive connections; then an open loop at half \
         of that rate, with latency from the time when a request was due; then one connection. The exporter makes every \
         notification durable before it answers. The peers keep them in memory, the references discard them. The \
         Pushgateway gets metrics that are already computed.",
    );
    let mut rows: Vec<_> = kinds.iter().map(|kind| kind.name().to_owned()).collect();
    rows.push("fdatasync after appending 4 KiB".to_owned());
    let columns = [
        RATE,
        "p50 ms",
        "p99 ms",
        "server CPU µs per request",
        "1 connection: p50 ms",
        "half load: p50 ms",
        HALF_LOAD_P99,
        "MB resident after",
    ];
    report.table("ingest", &figures, &rows, &columns, Some((Kind::Bare.name(), RATE)));
    let rate = |kind: Kind| figures.median(kind.name(), RATE);
    let peer = Kind::PEERS.into_iter().map(rate).fold(f64::NAN, f64::max);
    report.at_least("requests/s at 64 connections, ratio to bare actix", rate(Kind::Ours) / rate(Kind::Bare), 0.5);
    report.at_least("requests/s at 64 connections, ratio to the fastest peer", rate(Kind::Ours) / peer, 2.5);
    let one = figures.median(ours, columns[4]) / figures.median(&rows[rows.len() - 1], columns[4]);
    report.at_most("p50 with 1 connection, ratio to a bare fdatasync", one, 1.7);
    report.at_most("p99 at half load, ms", figures.median(ours, columns[6]), 5.0);
    let bars = kinds.iter().map(|kind| (kind.name().to_owned(), rate(*kind))).collect();
    let title = "Notifications per second, 64 connections, server and load on the same two cores";
    report.picture("ingest", &Plot { title, shape: Shape::Bars { unit: "/s", ours, bars } })
}

pub fn ingest_of(setup: &Setup, kind: Kind, figures: &mut Figures) -> anyhow::Result<()> {
    let name = kind.name();
    let mut server = Server::fresh(setup, kind, None)?;
    let mut answered = server.load(CONNECTIONS, None, setup.warm_up())?.answered;
    let cpu = server.cpu()?;
    let full = server.load(CONNECTIONS, None, setup.duration())?;
    figures.add(name, "server CPU µs per request", (server.cpu()? - cpu) / full.answered as f64);
    figures.add(name, RATE, full.rate());
    figures.add(name, "p50 ms", full.latency(0.5));
    figures.add(name, "p99 ms", full.latency(0.99));
    figures.add(name, "MB resident after", server.memory()?);
    let half = server.load(CONNECTIONS, Some(full.rate() / 2.0), setup.duration())?;
    figures.add(name, "half load: p50 ms", half.latency(0.5));
    figures.add(name, HALF_LOAD_P99, half.latency(0.99));
    let one = server.load(1, None, setup.duration() / 2)?;
    figures.add(name, "1 connection: p50 ms", one.latency(0.5));
    figures.add(name, ONE_RATE, one.rate());
    answered += full.answered + half.answered + one.answered;
    if kind.is_ours() {
        let recorded = "stream_live_exporter_notifications_total{outcome=\"recorded\"}";
        let recorded = scrape::value(&scrape::text(server.private)?, recorded)?;
        ensure!(
            recorded >= answered as f64,
            "{answered} notifications were acknowledged, but only {recorded} are recorded"
        );
    }
    Ok(())
}

pub fn scrapes(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let kinds: Vec<_> = Kind::SCRAPE.into_iter().filter(|kind| kind.is_available(setup)).collect();
    let folder = journal::settled(setup, setup.inputs as u64, Cycle::EveryKind)?;
    let text = scrape::text(Server::start(setup, Kind::Ours, &folder, None)?.private)?;
    let exposition = setup.work().join("exposition");
    fs::write(&exposition, &text)?;
    let mut figures = Figures::default();
    let progress = setup.progress("scrape", setup.rounds as usize * kinds.len());
    for _ in 0..setup.rounds {
        for kind in &kinds {
            progress.set_message(kind.name());
            let server = match kind {
                Kind::Ours => Server::start(setup, *kind, &folder, None)?,
                _ => Server::fresh(setup, *kind, Some(&exposition))?,
            };
            many::scrapes_of(setup, &server, &mut figures)?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let series = scrape::series_per_input(&text);
    let words = format!(
        "{} inputs with {series} series each: every server has the same samples. Time from connecting to the last byte.",
        setup.inputs
    );
    report.heading("Scrapes", &words);
    let rows: Vec<_> = kinds.iter().map(|kind| kind.name().to_owned()).collect();
    report.table("scrape", &figures, &rows, &many::SCRAPE_COLUMNS, Some((Kind::Preencoded.name(), "ms")));
    let time = |kind: Kind| figures.median(kind.name(), "ms");
    let peer = Kind::PEERS.into_iter().map(time).fold(f64::NAN, f64::min);
    report.at_most("scrape time, ratio to the same bytes preencoded", time(Kind::Ours) / time(Kind::Preencoded), 2.0);
    report.at_least(
        "scrape time of the prometheus crate, ratio to the exporter",
        time(Kind::PrometheusCrate) / time(Kind::Ours),
        15.0,
    );
    report.at_least("scrape time of the fastest peer, ratio to the exporter", peer / time(Kind::Ours), 25.0);
    let compressed = figures.median(Kind::Ours.name(), "gzip: ms");
    report.at_most("compressed scrape time, ratio to uncompressed", compressed / time(Kind::Ours), 2.0);
    let ours = Kind::Ours.name();
    let bars = kinds.iter().map(|kind| (kind.name().to_owned(), time(*kind))).collect();
    let title = format!("Milliseconds for a scrape of {} inputs, {series} series each", setup.inputs);
    report.picture("scrape", &Plot { title: &title, shape: Shape::Bars { unit: "ms", ours, bars } })
}
