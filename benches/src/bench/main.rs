//! Compares the exporter with peers, references, or another build of it. `benches/run` builds and starts it.

mod setup;
mod interrupt;
mod payload;
mod load;
mod server;
mod scrape;
mod journal;
mod figures;
mod plot;
mod report;
mod peers;
mod many;
mod gzip;
mod curves;
mod disk;
mod life;
mod pages;
mod hold;
mod cluster;
mod shared;
mod prometheus;
mod compare;

use std::fs;

use clap::{Parser, ValueEnum};

use report::Report;
use setup::{Part, Setup};

#[expect(clippy::print_stdout, reason = "the report is the output of this program")]
fn main() -> anyhow::Result<()> {
    let mut setup = Setup::parse();
    interrupt::listen()?;
    setup.output = std::path::absolute(&setup.output)?;
    setup.against = setup.against.map(std::path::absolute).transpose()?;
    setup.python_server = setup.python_server.map(std::path::absolute).transpose()?;
    // Left over from a killed run.
    let _ = fs::remove_dir_all(setup.work());
    fs::create_dir_all(setup.work())?;
    let mut report = Report::new(setup.output.clone(), &setup.header());
    let measured = measure(&setup, &mut report);
    fs::remove_dir_all(setup.work())?;
    measured?;
    println!("{}", report.write()?);
    Ok(())
}

fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    for part in Part::value_variants().iter().filter(|part| setup.includes(**part)) {
        match part {
            Part::Ingest => peers::ingest(setup, report)?,
            Part::Scrapes => peers::scrapes(setup, report)?,
            Part::Many => many::measure(setup, report)?,
            Part::Gzip => gzip::measure(setup, report)?,
            Part::Curves => curves::measure(setup, report)?,
            Part::Sizes => curves::sizes(setup, report)?,
            Part::Disk => disk::measure(setup, report)?,
            Part::Life => life::measure(setup, report)?,
            Part::Pages => pages::measure(setup, report)?,
            Part::Hold => hold::measure(setup, report)?,
            Part::Compare => compare::measure(setup, report)?,
            Part::Shared => shared::measure(setup, report)?,
            Part::Prometheus => prometheus::measure(setup, report)?,
        }
        report.write()?;
    }
    Ok(())
}
