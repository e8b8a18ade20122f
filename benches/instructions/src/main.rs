//! Repeats one piece of work, for callgrind to count, and prints the number of units.
//!
//! Preparation does not depend on the number of repetitions, so it cancels out in the difference of two runs.

mod server;
mod stages;

use std::convert::identity;
use std::env;

use anyhow::{Context, bail};
use stream_live_exporter::metrics::{Format, Gzip};

const DISCONNECTED: &[u8] = include_bytes!("../../../tests/fixtures/notifications/docs-disconnected.json");
const ERRORED: &[u8] = include_bytes!("../../../tests/fixtures/notifications/errored-unhealthy.json");
const TRAILING_COMMA: &[u8] = include_bytes!("../../../tests/fixtures/notifications/docs-errored-trailing-comma.json");

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [piece, times] = &arguments[..] else { bail!("usage: instructions PIECE TIMES") };
    let times: usize = times.parse().context("TIMES must be a number")?;
    let units = match piece.as_str() {
        "accept" => stages::accept(DISCONNECTED, times)?,
        "accept_errored" => stages::accept(ERRORED, times)?,
        "accept_lenient" => stages::accept(TRAILING_COMMA, times)?,
        "fold" => stages::fold(times),
        "append" => stages::append(times)?,
        "text" => stages::expose(Format::Text, identity, times),
        "openmetrics" => stages::expose(Format::OpenMetrics, identity, times),
        "gzip" => stages::expose(Format::Text, Gzip::new, times),
        "request" => server::receive(times)?,
        _ => bail!("{piece}: unknown piece"),
    };
    println!("{units}");
    Ok(())
}
