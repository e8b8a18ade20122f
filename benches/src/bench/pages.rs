//! The status page: its size, the time to render it, and what open pages cost.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use crate::figures::Figures;
use crate::payload::Cycle;
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{journal, scrape};

/// Number of open pages.
const PAGES: usize = 100;
/// Notifications per second while they are open.
const RATE: f64 = 10.0;
/// Number of inputs on a full page.
const SHOWN: u64 = 100;
/// Number of known inputs for the time to render.
const KNOWN: u64 = 10_000;
/// Number of requests of a round, of which the median counts.
const REQUESTS: usize = 50;

const SIZE: &str = "page of 100 inputs, KB";
const BASE: &str = "10 notifications/s, no page: CPU, % of a core";
const OPEN: &str = "10 notifications/s, 100 pages: CPU, % of a core";
const PAGE: &str = "page of 10,000 inputs, ms";
const API: &str = "/api/v1/inputs of 10,000 inputs, ms";

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let progress = setup.progress("pages", setup.rounds as usize);
    let folder = journal::settled(setup, KNOWN.min(setup.largest), Cycle::EveryKind)?;
    for _ in 0..setup.rounds {
        open(setup, &mut figures)?;
        let server = Server::start(setup, Kind::Ours, &folder, None)?;
        for (path, row) in [("/", PAGE), ("/api/v1/inputs", API)] {
            figures.add(row, "", median(&server, path)?);
        }
        server.stop()?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    let words = "Pages are open when they wait for updates. All of them show the same list, whose inputs get the \
                 notifications. Times are from the request to the last byte, on loopback.";
    report.heading("Status page", words);
    let rows = [SIZE, BASE, OPEN, PAGE, API].map(str::to_owned);
    report.table("pages", &figures, &rows, &[""], None);
    report.at_most(SIZE, figures.median(SIZE, ""), 100.0);
    let cost = figures.median(OPEN, "") - figures.median(BASE, "");
    report.at_most("100 open pages: CPU, % of a core", cost, 5.0);
    report.at_most(PAGE, figures.median(PAGE, ""), 10.0);
    Ok(())
}

/// CPU time without and with open pages.
fn open(setup: &Setup, figures: &mut Figures) -> anyhow::Result<()> {
    let mut server = Server::fresh(setup, Kind::Ours, None)?;
    server.ingest(SHOWN, Cycle::EveryKind.events(), Cycle::EveryKind)?;
    figures.add(SIZE, "", scrape::get(server.private, "/", "")?.bytes as f64 / 1e3);
    figures.add(BASE, "", cpu_percent(setup, &mut server)?);
    let streams = (0..PAGES).map(|_| follow(&server)).collect::<anyhow::Result<Vec<_>>>()?;
    figures.add(OPEN, "", cpu_percent(setup, &mut server)?);
    for stream in &streams {
        stream.shutdown(Shutdown::Both)?;
    }
    server.stop()
}

/// Opens a page and reads all its updates.
fn follow(server: &Server) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(server.private)?;
    stream.write_all(b"GET /updates?page= HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut reader = stream.try_clone()?;
    thread::spawn(move || {
        let mut part = vec![0; 64 << 10];
        while reader.read(&mut part).is_ok_and(|length| length > 0) {}
    });
    Ok(stream)
}

fn cpu_percent(setup: &Setup, server: &mut Server) -> anyhow::Result<f64> {
    let (began, before) = (Instant::now(), server.cpu()?);
    server.load(1, Some(RATE), setup.duration() * 4)?;
    Ok((server.cpu()? - before) / 1e6 / began.elapsed().as_secs_f64() * 100.0)
}

fn median(server: &Server, path: &str) -> anyhow::Result<f64> {
    let times: anyhow::Result<Vec<_>> =
        (0..REQUESTS).map(|_| Ok(scrape::get(server.private, path, "")?.millis)).collect();
    let mut times = times?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
