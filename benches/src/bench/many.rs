//! Scrapes of as many inputs as a large account has, and what they do to notifications.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::{Figures, median};
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{interrupt, journal, scrape};

const CONNECTIONS: usize = 64;
const MANY_INPUTS: u64 = 100_000;
/// Notifications per second while somebody scrapes, and for how long: two checkpoints are saved in that time, alone and
/// beside.
const STEADY: f64 = 1000.0;
const STEADY_FOR: Duration = Duration::from_secs(10);

pub const SCRAPE_COLUMNS: [&str; 9] = [
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

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let inputs = MANY_INPUTS.min(setup.largest);
    let folder = journal::settled(setup, inputs, journal::FULL)?;
    let (mut figures, name) = (Figures::default(), Kind::Ours.name());
    let progress = setup.progress("inputs", setup.rounds as usize);
    for _ in 0..setup.rounds {
        let mut server = Server::start(setup, Kind::Ours, &folder, None)?;
        scrapes_of(setup, &server, &mut figures)?;
        server.load(CONNECTIONS, Some(STEADY), setup.warm_up())?;
        let alone = server.load(CONNECTIONS, Some(STEADY), STEADY_FOR)?;
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
            let beside = server.load(CONNECTIONS, Some(STEADY), STEADY_FOR);
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
    let words = format!(
        "{STEADY} notifications per second for {STEADY_FOR:?}, first alone, then while one scrapes without pause."
    );
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

/// How long scrapes of a server take, plain and compressed, and what memory they need.
pub fn scrapes_of(setup: &Setup, server: &Server, figures: &mut Figures) -> anyhow::Result<()> {
    let name = server.kind.name();
    scrape::metrics(server.private)?;
    let plain = repeated(setup, server, "")?;
    plain.add(name, ["ms", "MB", "server ms of CPU"], figures);
    if scrape::get(server.private, "/metrics", scrape::GZIP)?.bytes < plain.bytes / 2 {
        let compressed = repeated(setup, server, scrape::GZIP)?;
        compressed.add(name, ["gzip: ms", "gzip: MB", "gzip: server ms of CPU"], figures);
    }
    // What takes many seconds is not asked every round.
    let is_slow = figures.median(name, "ms") > 500.0 && server.kind != Kind::Ours;
    if is_slow && !figures.median(name, "MB resident").is_nan() { Ok(()) } else { memory(server, figures) }
}

/// What a scrape took: median time, bytes, mean CPU time of the server.
pub struct Scrape {
    pub millis: f64,
    bytes: usize,
    cpu_millis: f64,
}

impl Scrape {
    fn add(&self, whose: &str, [millis, bytes, cpu]: [&str; 3], figures: &mut Figures) {
        figures.add(whose, millis, self.millis);
        figures.add(whose, bytes, self.bytes as f64 / 1e6);
        figures.add(whose, cpu, self.cpu_millis);
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
