//! `journal unrecognized` and `journal replay-unrecognized`: the kept bodies that were not understood.

use std::io::{self, BufWriter, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::json_lines::{self, write_line};
use crate::config::Settings;
use crate::daemon::{Replayed, replay_unrecognized};
use crate::journal::{KeptBody, Reader};

/// A body as a line of JSON: as text if it is text, else in base64.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    received_at: String,
    reason: &'a str,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Body<'a> {
    Body(&'a str),
    BodyBase64(String),
}

impl<'a> From<&'a KeptBody> for Line<'a> {
    fn from(kept: &'a KeptBody) -> Self {
        let body = match std::str::from_utf8(&kept.body) {
            Ok(text) => Body::Body(text),
            Err(_) => Body::BodyBase64(STANDARD.encode(&kept.body)),
        };
        Self { seq: kept.number, received_at: kept.received_at.to_string(), reason: &kept.reason, body }
    }
}

pub(super) fn list(journal: &dyn Reader) -> anyhow::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    let bodies = journal.unrecognized()?;
    let written = bodies.iter().try_for_each(|kept| write_line(&mut output, &Line::from(kept)));
    json_lines::written(written.and_then(|()| output.flush()))
}

pub(super) fn replay(settings: &Settings) -> anyhow::Result<()> {
    let Replayed { recorded, duplicates, tests, left } = replay_unrecognized(settings)?;
    super::super::print(&format!(
        "{recorded} events recorded, {duplicates} were known, {tests} tests; {left} bodies are kept\n"
    ))?;
    Ok(())
}
