//! Measures the cost of compressing a scrape, and of the levels of the compression library.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::figures::Figures;
use crate::payload::Cycle;
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{interrupt, journal, scrape};

/// The exporter uses level 1.
const LEVELS: [u32; 4] = [1, 2, 3, 6];
const PLAIN: &str = "the exporter, not compressed";
const COMPRESSED: &str = "the exporter, compressed";

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    // Without the last event of the cycle every input is connected, so that its seconds change with each scrape.
    let (inputs, events) = (setup.inputs as u64, Cycle::EveryKind.events() - 1);
    let (folder, _) = journal::ingested(setup, Kind::Ours, inputs, events, Cycle::EveryKind)?;
    let server = Server::start(setup, Kind::Ours, &folder, None)?;
    let text = scrape::text(server.private)?;
    let mut figures = Figures::default();
    let progress = setup.progress("gzip", setup.rounds as usize);
    for _ in 0..setup.rounds {
        for (name, headers) in [(PLAIN, ""), (COMPRESSED, scrape::GZIP)] {
            let taken = scrape::get(server.private, "/metrics", headers)?;
            figures.add(name, "ms", taken.millis);
            figures.add(name, "MB", taken.bytes as f64 / 1e6);
        }
        for level in LEVELS {
            let began = Instant::now();
            let bytes = black_box(compressed_size(text.as_bytes(), level));
            figures.add(&level_name(level), "ms", began.elapsed().as_secs_f64() * 1e3);
            figures.add(&level_name(level), "MB", bytes as f64 / 1e6);
        }
        interrupt::check()?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    let size = text.len() as f64 / 1e6;
    report.heading("gzip", &format!("{size:.1} MB of text about {} inputs, all connected.", setup.inputs));
    let rows: Vec<_> = [PLAIN, COMPRESSED].map(str::to_owned).into_iter().chain(LEVELS.map(level_name)).collect();
    report.table("gzip", &figures, &rows, &["ms", "MB"], Some((PLAIN, "ms")));
    Ok(())
}

fn level_name(level: u32) -> String {
    format!("compression alone, level {level}")
}

fn compressed_size(text: &[u8], level: u32) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("writing to a Vec does not fail").len()
}
