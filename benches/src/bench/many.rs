//! Scrapes of the inputs of a large account, and notification latency during scrapes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::{Figures, median};
use crate::payload::Cycle;
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{interrupt, journal, scrape};

const CONNECTIONS: usize = 64;
const MANY_INPUTS: u64 = 100_000;
/// Notifications per second during scrapes, and for how long: long enough for two checkpoints.
const RATE: f64 = 1000.0;
const RATE_DURATION: Duration = Duration::from_secs(10);

pub const SCRAPE_COLUMNS: [&str; 9] = [
    "ms",
    "server CPU ms",
    "MB",
    "gzip: ms",
    "gzip: server CPU ms",
    "gzip: MB",
    "MB resident",
    "MB peak, 1 scrape",
    "MB peak, 10 scrapes",
];

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let inputs = MANY_INPUTS.min(setup.largest);
    let folder = journal::settled(setup, inputs, Cycle::EveryKind)?;
    let (mut figures, name) = (Figures::default(), Kind::Ours.name());
    let progress = setup.progress("inputs", setup.rounds as usize);
    for _ in 0..setup.rounds {
        let mut server = Server::start(setup, Kind::Ours, &folder, None)?;
        scrapes_of(setup, &server, &mut figures)?;
        server.load(CONNECTIONS, Some(RATE), setup.warm_up())?;
        let without = server.load(CONNECTIONS, Some(RATE), RATE_DURATION)?;
        let (private, done) = (server.private, AtomicBool::new(false));
        let (during, scrapes) = thread::scope(|scope| {
            let scraper = scope.spawn(|| {
                let mut scrapes = 0;
                while !done.load(Ordering::Relaxed) {
                    scrape::metrics(private)?;
                    scrapes += 1;
                }
                anyhow::Ok(scrapes)
            });
            thread::sleep(Duration::from_millis(100));
            let during = server.load(CONNECTIONS, Some(RATE), RATE_DURATION);
            done.store(true, Ordering::Relaxed);
            (during, scraper.join().expect("the scraper does not panic"))
        });
        let (during, scrapes) = (during?, scrapes?);
        figures.add(name, "p50 ms", without.latency(0.5));
        figures.add(name, "p99 ms", without.latency(0.99));
        figures.add(name, "p50 ms during scrapes", during.latency(0.5));
        figures.add(name, "p99 ms during scrapes", during.latency(0.99));
        figures.add(name, "scrapes/s", f64::from(scrapes) / during.seconds);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let words = format!(
        "{RATE} notifications per second for {RATE_DURATION:?}, first without scrapes, then with a client that scrapes \
         continuously."
    );
    report.heading(&format!("Scrapes of {inputs} inputs"), &words);
    let rows = [name.to_owned()];
    report.table("many_inputs", &figures, &rows, &SCRAPE_COLUMNS, None);
    let p99 = ["p50 ms", "p99 ms", "p50 ms during scrapes", "p99 ms during scrapes", "scrapes/s"];
    report.table("scraped", &figures, &rows, &p99, None);
    let get = |column| figures.median(name, column);
    report.at_most(&format!("scrape of {inputs} inputs, ms"), get("ms"), 300.0);
    report.at_most(&format!("scrape of {inputs} inputs, CPU ms"), get("server CPU ms"), 300.0);
    let extra = |peak| get(peak) - get("MB resident");
    let (one, ten) = (extra("MB peak, 1 scrape"), extra("MB peak, 10 scrapes"));
    report.at_most(
        "additional memory for 10 concurrent scrapes, ratio to resident memory",
        ten / get("MB resident"),
        1.0,
    );
    report.at_most(
        "additional memory for 10 concurrent scrapes, ratio to that for 1 scrape (at least 1 MB)",
        ten / one.max(1.0),
        10.0,
    );
    report.at_most("notification p99 during scrapes, ratio to that without", get(p99[3]) / get(p99[1]), 2.0);
    Ok(())
}

/// Time and memory of scrapes of a server, uncompressed and compressed.
pub fn scrapes_of(setup: &Setup, server: &Server, figures: &mut Figures) -> anyhow::Result<()> {
    let name = server.kind.name();
    scrape::metrics(server.private)?;
    let plain = repeated(setup, server, "")?;
    plain.add(name, ["ms", "MB", "server CPU ms"], figures);
    if scrape::get(server.private, "/metrics", scrape::GZIP)?.bytes < plain.bytes / 2 {
        let compressed = repeated(setup, server, scrape::GZIP)?;
        compressed.add(name, ["gzip: ms", "gzip: MB", "gzip: server CPU ms"], figures);
    }
    // Slow peers are measured in the first round only.
    let is_slow = figures.median(name, "ms") > 500.0 && server.kind != Kind::Ours;
    if is_slow && !figures.median(name, "MB resident").is_nan() { Ok(()) } else { memory(server, figures) }
}

/// Median time, size and mean CPU time of repeated scrapes.
pub struct Scrape {
    pub millis: f64,
    bytes: usize,
    cpu_millis: f64,
}

impl Scrape {
    fn add(&self, row: &str, [millis, bytes, cpu]: [&str; 3], figures: &mut Figures) {
        figures.add(row, millis, self.millis);
        figures.add(row, bytes, self.bytes as f64 / 1e6);
        figures.add(row, cpu, self.cpu_millis);
    }
}

/// Scrapes for half the time of a figure, at least three times.
pub fn repeated(setup: &Setup, server: &Server, headers: &str) -> anyhow::Result<Scrape> {
    let (began, cpu, mut millis, mut bytes) = (Instant::now(), server.cpu()?, Vec::new(), 0);
    while millis.len() < 3 || began.elapsed() < setup.duration() / 2 {
        interrupt::check()?;
        let taken = scrape::get(server.private, "/metrics", headers)?;
        millis.push(taken.millis);
        bytes = taken.bytes;
    }
    let cpu_millis = (server.cpu()? - cpu) / 1e3 / millis.len() as f64;
    millis.sort_by(f64::total_cmp);
    Ok(Scrape { millis: median(&millis), bytes, cpu_millis })
}

/// Peak memory during one scrape and during ten concurrent ones.
fn memory(server: &Server, figures: &mut Figures) -> anyhow::Result<()> {
    let name = server.kind.name();
    figures.add(name, "MB resident", server.memory()?);
    for (what, count) in [("MB peak, 1 scrape", 1), ("MB peak, 10 scrapes", 10)] {
        server.reset_peak()?;
        let scrapes: Vec<_> =
            (0..count).map(|_| server.private).map(|at| thread::spawn(move || scrape::metrics(at))).collect();
        for scrape in scrapes {
            scrape.join().expect("a scrape does not panic")?;
        }
        figures.add(name, what, server.peak()?);
    }
    Ok(())
}
