//! The journal in PostgreSQL, beside the one in SQLite.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::cluster::Cluster;
use crate::figures::{Figures, median};
use crate::payload::Cycle;
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{interrupt, scrape};

const SQLITE: &str = "SQLite";
const POSTGRESQL: &str = "PostgreSQL";
const EVENTS: u64 = 1_000_000;
/// Scrapes, bare commits and events of one round.
const SAMPLES: usize = 200;
/// Few inputs, so that a scrape costs little besides the statement.
const FEW_INPUTS: u64 = 10;
const EVENT: &str = "cloudflare_stream_live_input_events_total";

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let Some(cluster) = Cluster::start(setup)? else { return Ok(()) };
    let mut figures = Figures::default();
    let progress = setup.progress("shared", setup.rounds as usize + 1);
    for round in 0..setup.rounds {
        ingest(setup, &cluster, round, &mut figures)?;
        scrapes(setup, &cluster, round, &mut figures)?;
        progress.inc(1);
    }
    start(setup, &cluster, &mut figures)?;
    progress.finish_and_clear();

    let words = "One PostgreSQL with default settings on the same disk; direct connections over loopback without TLS. \
        A bare commit is an UPDATE of one row. Delay: from the answer of one replica until a scrape of another shows the \
        event, scraped in a closed loop.";
    report.heading("A shared journal", words);
    let rows = [
        "notifications/s, 64 connections",
        "p99 of these, ms",
        "scrape of 10 inputs, idle, ms",
        "bare commit, ms",
        "delay to another replica, p50, ms",
        "delay to another replica, p99, ms",
        "start with a checkpoint, s",
    ];
    report.table("shared", &figures, &rows.map(str::to_owned), &[SQLITE, POSTGRESQL], None);
    let ratio = figures.median(rows[0], POSTGRESQL) / figures.median(rows[0], SQLITE);
    report.at_least("notifications/s, ratio of PostgreSQL to SQLite", ratio, 0.4);
    let more = figures.median(rows[2], POSTGRESQL) - figures.median(rows[2], SQLITE);
    report.at_most("scrape, more than with SQLite, in bare commits", more / figures.median(rows[3], POSTGRESQL), 1.5);
    report.at_most(rows[5], figures.median(rows[5], POSTGRESQL), 250.0);
    report.at_most(rows[6], figures.median(rows[6], POSTGRESQL), 1.0);
    Ok(())
}

/// Settings of a replica with this schema.
fn shared<'a>(cluster: &'a Cluster, schema: &'a str) -> [(&'static str, &'a str); 2] {
    [("STORAGE__URL", &cluster.url), ("STORAGE__SCHEMA", schema)]
}

fn replica(setup: &Setup, cluster: &Cluster, schema: &str, name: &str) -> anyhow::Result<Server> {
    let folder = setup.work().join(format!("{schema}-{name}"));
    fs::create_dir_all(&folder)?;
    Server::configured(setup, Kind::Ours, &folder, None, &shared(cluster, schema))
}

fn ingest(setup: &Setup, cluster: &Cluster, round: u32, figures: &mut Figures) -> anyhow::Result<()> {
    let schema = format!("ingest{round}");
    for column in [SQLITE, POSTGRESQL] {
        let mut server = match column {
            SQLITE => Server::fresh(setup, Kind::Ours, None)?,
            _ => replica(setup, cluster, &schema, "one")?,
        };
        server.load(64, None, setup.warm_up())?;
        let outcome = server.load(64, None, setup.duration())?;
        figures.add("notifications/s, 64 connections", column, outcome.rate());
        figures.add("p99 of these, ms", column, outcome.latency(0.99));
        server.stop()?;
    }
    Ok(())
}

fn scrapes(setup: &Setup, cluster: &Cluster, round: u32, figures: &mut Figures) -> anyhow::Result<()> {
    let schema = format!("scrapes{round}");
    let mut local = Server::fresh(setup, Kind::Ours, None)?;
    let mut one = replica(setup, cluster, &schema, "one")?;
    let other = replica(setup, cluster, &schema, "other")?;
    local.ingest(FEW_INPUTS, 10, Cycle::NoErrors)?;
    one.ingest(FEW_INPUTS, 10, Cycle::NoErrors)?;
    let bare = cluster.connect()?;
    bare.run(
        "CREATE TABLE IF NOT EXISTS bare (n bigint) WITH (fillfactor = 10); TRUNCATE bare; INSERT INTO bare VALUES (0)",
    )?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    // Alternating, so that all have the same conditions.
    for _ in 0..SAMPLES {
        interrupt::check()?;
        times[0].push(scrape::metrics(local.private)?.millis);
        times[1].push(scrape::metrics(one.private)?.millis);
        let began = Instant::now();
        bare.run("UPDATE bare SET n = n + 1")?;
        times[2].push(began.elapsed().as_secs_f64() * 1e3);
    }
    let [with_sqlite, with_postgresql, commit] = times.map(|mut times| middle(&mut times));
    figures.add("scrape of 10 inputs, idle, ms", SQLITE, with_sqlite);
    figures.add("scrape of 10 inputs, idle, ms", POSTGRESQL, with_postgresql);
    figures.add("bare commit, ms", POSTGRESQL, commit);

    let mut delays = Vec::new();
    for _ in 0..SAMPLES {
        let shown = events(&other)?;
        // A new connection begins with one request.
        one.load(1, None, Duration::ZERO)?;
        let answered = Instant::now();
        while events(&other)? <= shown {
            interrupt::check()?;
        }
        delays.push(answered.elapsed().as_secs_f64() * 1e3);
    }
    delays.sort_by(f64::total_cmp);
    figures.add("delay to another replica, p50, ms", POSTGRESQL, median(&delays));
    figures.add("delay to another replica, p99, ms", POSTGRESQL, delays[SAMPLES * 99 / 100]);
    [local, one, other].into_iter().try_for_each(Server::stop)
}

fn middle(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    median(times)
}

/// Number of events that a scrape shows.
fn events(server: &Server) -> anyhow::Result<f64> {
    let text = scrape::text(server.private)?;
    let counts = text.lines().filter(|line| line.starts_with(EVENT)).map(|line| {
        let (_, value) = line.rsplit_once(' ').context("a sample has a value")?;
        Ok(value.parse::<f64>()?)
    });
    counts.sum()
}

fn start(setup: &Setup, cluster: &Cluster, figures: &mut Figures) -> anyhow::Result<()> {
    let (inputs, events) = (setup.inputs as u64, EVENTS.min(setup.largest));
    let mut server = replica(setup, cluster, "start", "one")?;
    server.ingest(inputs, (events / inputs).max(1), Cycle::NoErrors)?;
    server.stop()?;
    for _ in 0..setup.rounds {
        let server = replica(setup, cluster, "start", "one")?;
        figures.add("start with a checkpoint, s", POSTGRESQL, server.ready_after.as_secs_f64());
        server.stop()?;
    }
    Ok(())
}
