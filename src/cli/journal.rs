//! `journal`: export, verify and salvage.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::clock;
use crate::config::{Settings, Sources};
use crate::event::{Correction, ErrorDetail, Event, EventKind, InputId, Note, Record, RecordKind, Timestamp};
use crate::journal::{Journal, Salvaged};
use crate::recorder::restore;
use crate::text;

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// Print every record as a line of JSON, oldest first
    Export,
    /// Check that all records and the checkpoint can be read and fit together
    Verify,
    /// Make a new journal of everything that can be read of a damaged one, which is left unchanged
    Salvage {
        /// The data folder of the new journal; it must not exist
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

pub(super) fn run(command: &Command, sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let open = || Journal::open_to_read(&settings.storage.path);
    match command {
        Command::Export => export(&open()?)?,
        Command::Verify => verify(&open()?, &settings)?,
        Command::Salvage { folder } => salvage(folder, &settings)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A record as a line of JSON. Times are RFC 3339; absent values are null.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    recorded_at: String,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(tag = "record", rename_all = "lowercase")]
enum Content<'a> {
    Event(EventLine),
    Forgotten {
        input_id: InputId,
    },
    Correction {
        input_id: InputId,
        to: &'static str,
        at: String,
        user: Option<&'a str>,
        reason: Option<&'a str>,
    },
    Rules {
        reconnect_window_seconds: f64,
        reorder_window_seconds: f64,
        max_inputs: usize,
        configured: &'a BTreeSet<InputId>,
    },
    #[serde(rename = "clock_set_back")]
    ClockSetBack,
}

#[derive(Serialize)]
struct EventLine {
    received_at: String,
    sent_at: Option<String>,
    updated_at: String,
    input_id: InputId,
    event: &'static str,
    note: Option<&'static str>,
    #[serde(flatten)]
    detail: ErrorDetail,
}

impl<'a> From<&'a Record> for Line<'a> {
    fn from(record: &'a Record) -> Self {
        let content = match &record.kind {
            RecordKind::Event(event, note) => Content::Event(event_line(event, *note)),
            RecordKind::Forgotten(input_id) => Content::Forgotten { input_id: *input_id },
            RecordKind::ClockSetBack => Content::ClockSetBack,
            RecordKind::Correction(Correction { input_id, to, at, user, reason }) => Content::Correction {
                input_id: *input_id,
                to: to.label(),
                at: at.to_string(),
                user: user.as_deref(),
                reason: reason.as_deref(),
            },
            RecordKind::Rules(rules) => Content::Rules {
                reconnect_window_seconds: rules.reconnect_window.as_secs_f64(),
                reorder_window_seconds: rules.reorder_window.as_secs_f64(),
                max_inputs: rules.max_inputs,
                configured: &rules.configured,
            },
        };
        Self { seq: record.position, recorded_at: record.recorded_at.to_string(), content }
    }
}

fn event_line(event: &Event, note: Option<Note>) -> EventLine {
    let detail = match &event.kind {
        EventKind::Errored(detail) => ErrorDetail::clone(detail),
        EventKind::Connected | EventKind::Disconnected => ErrorDetail::default(),
    };
    EventLine {
        received_at: event.received_at.to_string(),
        sent_at: event.sent_at.map(|at| at.to_string()),
        updated_at: event.updated_at.to_string(),
        input_id: event.input_id,
        event: event.kind.name(),
        note: note.map(Note::label),
        detail,
    }
}

fn export(journal: &Journal) -> anyhow::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    let progress = progress(journal);
    let mut written: io::Result<()> = Ok(());
    journal.replay(0, |record| {
        progress.inc(1);
        if written.is_ok() {
            written = write_line(&mut output, &record);
        }
    })?;
    progress.finish_and_clear();
    match written.and_then(|()| output.flush()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}

fn write_line(output: &mut impl Write, record: &Record) -> io::Result<()> {
    text::write_json(&mut *output, &Line::from(record))?;
    output.write_all(b"\n")
}

fn verify(journal: &Journal, settings: &Settings) -> anyhow::Result<()> {
    let path = journal.path().display();
    let mut problems = journal.integrity_problems()?;
    let progress = progress(journal);
    let mut before: Option<(u64, Timestamp)> = None;
    journal.replay(0, |record| {
        progress.inc(1);
        if let Some((position, recorded_at)) = before {
            if record.position != position + 1 {
                problems.push(format!("record {} follows record {position}", record.position));
            }
            if record.recorded_at < recorded_at && record.kind != RecordKind::ClockSetBack {
                problems.push(format!("record {} was recorded before record {position}", record.position));
            }
        }
        before = Some((record.position, record.recorded_at));
    })?;
    progress.finish_and_clear();
    let restored = restore(journal, &settings.inputs.rules())?;
    if !problems.is_empty() {
        bail!("{path}: damaged\n{}\n{}", problems.join("\n"), super::SALVAGE);
    }
    let inputs = restored.fold.state().inputs().values().filter(|entry| entry.input.known_since.is_some()).count();
    super::print(&format!(
        "{path}: no damage found; {events} events, newest record {last}, {inputs} inputs, {replayed} events after the \
         checkpoint\n",
        events = journal.events(),
        last = journal.last_position(),
        replayed = restored.replayed,
    ))?;
    Ok(())
}

fn salvage(folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let (mut journal, salvaged) = Journal::salvage(&settings.storage.path, folder, clock::now())?;
    let Salvaged { events, lost, checkpoint } = salvaged;
    // A readable checkpoint may still be inconsistent.
    let checkpoint = checkpoint && restore(&journal, &settings.inputs.rules()).is_ok();
    if !checkpoint {
        journal.forget_checkpoint()?;
    }
    let path = journal.path().display().to_string();
    journal.close()?;
    let count: u64 = lost.iter().map(|range| range.end() - range.start() + 1).sum();
    let ranges: Vec<_> = lost.iter().map(|range| format!("{} to {}", range.start(), range.end())).collect();
    let lost = if count == 0 { "no gaps".to_owned() } else { format!("{count} lost: {}", ranges.join(", ")) };
    let checkpoint = match checkpoint {
        true => "the checkpoint is kept",
        false => "the checkpoint is lost, so counters restart from the kept events",
    };
    super::print(&format!("{path}: {events} events kept, {lost}; {checkpoint}\n"))?;
    Ok(())
}

/// Progress on a terminal; silent elsewhere.
fn progress(journal: &Journal) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} events").expect("the template is valid");
    ProgressBar::new(journal.events()).with_style(style)
}
