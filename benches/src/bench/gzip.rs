//! What compressing a scrape costs: by library and level, and if pieces that have not changed were kept.

use std::collections::HashSet;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::figures::Figures;
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{interrupt, journal, scrape};

/// Events of the history after which every input is connected: its seconds are another number at every scrape.
const CONNECTED: u64 = journal::FULL - 1;
/// So many inputs of a family are a piece.
const PIECE: usize = 128;
const LEVELS: [u32; 4] = [1, 2, 3, 6];

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let folder = journal::settled(setup, setup.inputs as u64, CONNECTED)?;
    let server = Server::start(setup, Kind::Ours, &folder, None)?;
    let before = scrape::text(server.private)?;
    let text = scrape::text(server.private)?;
    let mut figures = Figures::default();
    let progress = setup.progress("gzip", setup.rounds as usize);
    for _ in 0..setup.rounds {
        figures.add("the exporter, not compressed", "ms", scrape::metrics(server.private)?.millis);
        let taken = scrape::get(server.private, "/metrics", scrape::GZIP)?;
        figures.add("the exporter, compressed", "ms", taken.millis);
        figures.add("the exporter, compressed", "MB", taken.bytes as f64 / 1e6);
        add(&mut figures, "miniz_oxide, level 1", || miniz_oxide::deflate::compress_to_vec(text.as_bytes(), 1).len());
        for level in LEVELS {
            add(&mut figures, &format!("zlib-rs, level {level}"), || member(text.as_bytes(), level));
        }
        in_pieces(&before, &text, &mut figures);
        interrupt::check()?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    let words = format!(
        "{:.1} MB of text about {} inputs, all connected. Pieces are members of a gzip file, {PIECE} inputs of a family \
         each; those that changed are those of another scrape right after.",
        text.len() as f64 / 1e6,
        setup.inputs
    );
    report.heading("gzip", &words);
    let mut rows = vec!["the exporter, not compressed".to_owned(), "the exporter, compressed".to_owned()];
    rows.push("miniz_oxide, level 1".to_owned());
    rows.extend(LEVELS.map(|level| format!("zlib-rs, level {level}")));
    rows.extend(["zlib-rs, level 1, all pieces", "zlib-rs, level 1, pieces that changed"].map(str::to_owned));
    report.table("gzip", &figures, &rows, &["ms", "MB"], Some(("the exporter, not compressed", "ms")));
    Ok(())
}

fn add(figures: &mut Figures, name: &str, compress: impl FnOnce() -> usize) {
    let began = Instant::now();
    let bytes = black_box(compress());
    figures.add(name, "ms", began.elapsed().as_secs_f64() * 1e3);
    figures.add(name, "MB", bytes as f64 / 1e6);
}

/// How large a member of a gzip file with this text is.
fn member(text: &[u8], level: u32) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("a Vec takes everything").len()
}

fn in_pieces(before: &str, text: &str, figures: &mut Figures) {
    let known: HashSet<&str> = pieces(before).into_iter().collect();
    let pieces = pieces(text);
    let compress = |pieces: &[&str]| pieces.iter().map(|piece| member(piece.as_bytes(), 1)).sum();
    add(figures, "zlib-rs, level 1, all pieces", || compress(&pieces));
    let changed: Vec<_> = pieces.into_iter().filter(|piece| !known.contains(piece)).collect();
    add(figures, "zlib-rs, level 1, pieces that changed", || compress(&changed));
}

/// The text, cut after every so many inputs of a family.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut begins, mut at, mut inputs, mut last) = (Vec::new(), 0, 0, 0, ("", ""));
    for line in text.split_inclusive('\n') {
        let (name, rest) = line.split_once("{input_id=\"").unwrap_or(("", line));
        let series = (name, rest.get(..32).unwrap_or(""));
        if series != last {
            inputs += 1;
            if series.0 != last.0 || inputs == PIECE {
                pieces.push(&text[begins..at]);
                (begins, inputs) = (at, 0);
            }
            last = series;
        }
        at += line.len();
    }
    pieces.push(&text[begins..]);
    pieces
}
