//! Side by side: notifications, then scrapes.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::plot::{Plot, Shape};
use crate::report::{Figures, Report, median};
use crate::server::{Kind, Server};
use crate::{Setup, disk, interrupt, journal, scrape};

const CONNECTIONS: usize = 64;
const MANY_INPUTS: u64 = 100_000;
/// Notifications per second while somebody scrapes.
const STEADY: f64 = 1000.0;

const RATE: &str = "requests/s";
const SCRAPE_COLUMNS: [&str; 9] = [
    "ms",
    "server ms of CPU",
    "MB",
    "gzip: ms",
    "gzip: server ms of CPU",
    "gzip: MB",
    "MB resident",
    "peak of one",
    "peak of ten at once",
];
const GZIP: &str = "accept-encoding: gzip\r\n";

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    ingest(setup, report)?;
    report.write()?;
    scrapes(setup, report)?;
    report.write()?;
    many_inputs(setup, report)
}

fn ingest(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let kinds: Vec<_> = Kind::INGEST.into_iter().filter(|kind| kind.is_there(setup)).collect();
    let mut figures = Figures::default();
    let progress = setup.progress("ingest", setup.rounds as usize * kinds.len());
    for _ in 0..setup.rounds {
        for kind in &kinds {
            progress.set_message(kind.name());
            ingest_of(setup, *kind, &mut figures)?;
            progress.inc(1);
        }
        let sync = disk::sync_millis(setup, true)?;
        figures.add("fdatasync of 4 KiB appended, alone", "1 connection: median ms", sync);
    }
    progress.finish_and_clear();
    let ours = Kind::Ours.name();
    report.heading(
        "Notifications",
        "A documented notification of about 700 bytes, closed loop, 64 kept connections; then one connection; then at a \
         fixed rate, half of what the 64 reached, latency from when a request was due. The exporter makes every \
         notification durable before it answers. The peers keep theirs in memory, and the references do nothing; a \
         Pushgateway is posted the metrics that somebody else has computed, and adds nothing up.",
    );
    let mut rows: Vec<_> = kinds.iter().map(|kind| kind.name().to_owned()).collect();
    rows.push("fdatasync of 4 KiB appended, alone".to_owned());
    let columns = [
        RATE,
        "median ms",
        "p99 ms",
        "server µs of CPU each",
        "1 connection: median ms",
        "half load: p50 ms",
        "half load: p99 ms",
        "MB after",
    ];
    report.table("ingest", &figures, &rows, &columns, Some((Kind::Bare.name(), RATE)));
    let rate = |kind: Kind| figures.median(kind.name(), RATE);
    let peer = Kind::PEERS.into_iter().map(rate).fold(f64::NAN, f64::max);
    report.goal("requests/s at 64 connections, of bare actix's", rate(Kind::Ours) / rate(Kind::Bare), false, 0.5);
    report.goal("requests/s at 64 connections, of the fastest peer's", rate(Kind::Ours) / peer, false, 2.5);
    let one = figures.median(ours, columns[4]) / figures.median(&rows[rows.len() - 1], columns[4]);
    report.goal("latency of 1 connection, of a bare fdatasync's", one, true, 1.7);
    report.goal("p99 at half of the saturating load, ms", figures.median(ours, columns[6]), true, 5.0);
    let bars = kinds.iter().map(|kind| (kind.name().to_owned(), rate(*kind))).collect();
    let title = "Notifications per second, 64 connections, server and load on the same two cores";
    report.picture("ingest", &Plot { title, shape: Shape::Bars { unit: "/s", ours, bars } })
}

fn ingest_of(setup: &Setup, kind: Kind, figures: &mut Figures) -> anyhow::Result<()> {
    let name = kind.name();
    let mut server = Server::fresh(setup, kind, None)?;
    let mut answered = server.load(CONNECTIONS, None, setup.warm_up())?.answered;
    let cpu = server.cpu()?;
    let full = server.load(CONNECTIONS, None, setup.duration())?;
    figures.add(name, "server µs of CPU each", (server.cpu()? - cpu) / full.answered as f64);
    figures.add(name, RATE, full.rate());
    figures.add(name, "median ms", full.latency(0.5));
    figures.add(name, "p99 ms", full.latency(0.99));
    figures.add(name, "MB after", server.memory()?);
    let half = server.load(CONNECTIONS, Some(full.rate() / 2.0), setup.duration())?;
    figures.add(name, "half load: p50 ms", half.latency(0.5));
    figures.add(name, "half load: p99 ms", half.latency(0.99));
    let one = server.load(1, None, setup.duration() / 2)?;
    figures.add(name, "1 connection: median ms", one.latency(0.5));
    answered += full.answered + half.answered + one.answered;
    if matches!(kind, Kind::Ours | Kind::OursLogging) {
        let recorded = "stream_live_exporter_notifications_total{outcome=\"recorded\"}";
        let recorded = scrape::value(&scrape::text(server.private)?, recorded)?;
        ensure!(recorded >= answered as f64, "{answered} were answered, and only {recorded} are recorded");
    }
    Ok(())
}

fn scrapes(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let kinds: Vec<_> = Kind::SCRAPE.into_iter().filter(|kind| kind.is_there(setup)).collect();
    let folder = journal::settled(setup, setup.inputs as u64, journal::FULL)?;
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
            scrapes_of(setup, &server, &mut figures)?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let series = scrape::series_per_input(&text);
    let words = format!(
        "{} inputs with {series} series each: the same samples in every server, from a connection's start to the last byte.",
        setup.inputs
    );
    report.heading("Scrapes", &words);
    let rows: Vec<_> = kinds.iter().map(|kind| kind.name().to_owned()).collect();
    report.table("scrape", &figures, &rows, &SCRAPE_COLUMNS, Some((Kind::Preencoded.name(), "ms")));
    let time = |kind: Kind| figures.median(kind.name(), "ms");
    let peer = Kind::PEERS.into_iter().map(time).fold(f64::NAN, f64::min);
    report.goal("scrape, of the same bytes preencoded", time(Kind::Ours) / time(Kind::Preencoded), true, 2.0);
    report.goal(
        "scrape, times faster than the prometheus crate",
        time(Kind::PrometheusCrate) / time(Kind::Ours),
        false,
        15.0,
    );
    report.goal("scrape, times faster than the fastest peer", peer / time(Kind::Ours), false, 25.0);
    let ours = Kind::Ours.name();
    let bars = kinds.iter().map(|kind| (kind.name().to_owned(), time(*kind))).collect();
    let title = format!("Milliseconds for a scrape of {} inputs, {series} series each", setup.inputs);
    report.picture("scrape", &Plot { title: &title, shape: Shape::Bars { unit: "ms", ours, bars } })
}

fn scrapes_of(setup: &Setup, server: &Server, figures: &mut Figures) -> anyhow::Result<()> {
    let name = server.kind.name();
    scrape::metrics(server.private)?;
    let bytes = repeated(setup, server, "", ["ms", "MB", "server ms of CPU"], figures)?;
    if scrape::get(server.private, "/metrics", GZIP)?.bytes < bytes / 2 {
        repeated(setup, server, GZIP, ["gzip: ms", "gzip: MB", "gzip: server ms of CPU"], figures)?;
    }
    // What takes many seconds is not asked every round.
    let is_slow = figures.median(name, "ms") > 500.0 && server.kind != Kind::Ours;
    if is_slow && !figures.median(name, "MB resident").is_nan() { Ok(()) } else { memory(server, figures) }
}

/// Three scrapes at least; the size of one.
fn repeated(
    setup: &Setup,
    server: &Server,
    headers: &str,
    names: [&str; 3],
    figures: &mut Figures,
) -> anyhow::Result<usize> {
    let (began, cpu, mut millis, mut bytes) = (Instant::now(), server.cpu()?, Vec::new(), 0);
    while millis.len() < 3 || began.elapsed() < setup.duration() / 2 {
        interrupt::check()?;
        let taken = scrape::get(server.private, "/metrics", headers)?;
        millis.push(taken.millis);
        bytes = taken.bytes;
    }
    let cpu = (server.cpu()? - cpu) / 1e3 / millis.len() as f64;
    millis.sort_by(f64::total_cmp);
    for (name, value) in names.into_iter().zip([median(&millis), bytes as f64 / 1e6, cpu]) {
        figures.add(server.kind.name(), name, value);
    }
    Ok(bytes)
}

/// What one scrape needs at the most, and ten at once.
fn memory(server: &Server, figures: &mut Figures) -> anyhow::Result<()> {
    let name = server.kind.name();
    figures.add(name, "MB resident", server.memory()?);
    for (what, count) in [("peak of one", 1), ("peak of ten at once", 10)] {
        server.forget_peak()?;
        let scrapes: Vec<_> =
            (0..count).map(|_| server.private).map(|at| thread::spawn(move || scrape::metrics(at))).collect();
        for scrape in scrapes {
            scrape.join().expect("a scrape does not panic")?;
        }
        figures.add(name, what, server.peak()?);
    }
    Ok(())
}

fn many_inputs(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let inputs = MANY_INPUTS.min(setup.largest);
    let folder = journal::settled(setup, inputs, journal::FULL)?;
    let (mut figures, name) = (Figures::default(), Kind::Ours.name());
    let progress = setup.progress("inputs", setup.rounds as usize);
    for _ in 0..setup.rounds {
        let mut server = Server::start(setup, Kind::Ours, &folder, None)?;
        scrapes_of(setup, &server, &mut figures)?;
        server.load(CONNECTIONS, Some(STEADY), setup.warm_up())?;
        let alone = server.load(CONNECTIONS, Some(STEADY), setup.duration())?;
        let (private, over) = (server.private, AtomicBool::new(false));
        let (beside, scrapes) = thread::scope(|scope| {
            let scraper = scope.spawn(|| {
                let mut scrapes = 0;
                while !over.load(Ordering::Relaxed) {
                    scrape::metrics(private)?;
                    scrapes += 1;
                }
                anyhow::Ok(scrapes)
            });
            thread::sleep(Duration::from_millis(100));
            let beside = server.load(CONNECTIONS, Some(STEADY), setup.duration());
            over.store(true, Ordering::Relaxed);
            (beside, scraper.join().expect("the scraper does not panic"))
        });
        let (beside, scrapes) = (beside?, scrapes?);
        figures.add(name, "notification p50 ms", alone.latency(0.5));
        figures.add(name, "notification p99 ms", alone.latency(0.99));
        figures.add(name, "p50 ms, scraped", beside.latency(0.5));
        figures.add(name, "p99 ms, scraped", beside.latency(0.99));
        figures.add(name, "scrapes/s", f64::from(scrapes) / beside.seconds);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let words = format!("{STEADY} notifications per second, first alone, then while one scrapes without pause.");
    report.heading(&format!("Scrapes of {inputs} inputs"), &words);
    let rows = [name.to_owned()];
    report.table("many_inputs", &figures, &rows, &SCRAPE_COLUMNS, None);
    let p99 = ["notification p50 ms", "notification p99 ms", "p50 ms, scraped", "p99 ms, scraped", "scrapes/s"];
    report.table("scraped", &figures, &rows, &p99, None);
    let get = |what| figures.median(name, what);
    report.goal(&format!("scrape of {inputs} inputs, ms"), get("ms"), true, 300.0);
    report.goal(&format!("scrape of {inputs} inputs, ms of our CPU"), get("server ms of CPU"), true, 300.0);
    let extra = |peak| get(peak) - get("MB resident");
    let (one, ten) = (extra("peak of one"), extra("peak of ten at once"));
    report.goal(
        "memory of ten scrapes at once beyond the resident, of the resident",
        ten / get("MB resident"),
        true,
        1.0,
    );
    report.goal(
        "memory of ten scrapes at once beyond the resident, of one's (or of 1 MB)",
        ten / one.max(1.0),
        true,
        10.0,
    );
    report.goal("notification p99 while scraped, of that without", get(p99[3]) / get(p99[1]), true, 2.0);
    Ok(())
}
