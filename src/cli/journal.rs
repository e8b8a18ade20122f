//! `journal`: what is in it, and whether it is whole.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::clock;
use crate::config::{Settings, Sources};
use crate::event::{EventKind, Timestamp};
use crate::journal::{Entry, Journal, Salvaged};
use crate::live::Rules;
use crate::recorder::restore;

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// Print every event as a line of JSON, oldest first
    Export,
    /// Check that every event and the checkpoint can be read and fit together
    Verify,
    /// Make a new journal of all that can be read of a damaged one, which stays as it is
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

/// An event as a line of JSON: times are RFC 3339, what is absent is null.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    recorded_at: String,
    received_at: String,
    sent_at: Option<String>,
    updated_at: String,
    input_id: String,
    event: &'static str,
    note: Option<&'a str>,
    code: Option<&'a str>,
    message: Option<&'a str>,
    video_codec: Option<&'a str>,
    audio_codec: Option<&'a str>,
}

impl<'a> From<&'a Entry> for Line<'a> {
    fn from(entry: &'a Entry) -> Self {
        let event = &entry.event;
        let detail = match &event.kind {
            EventKind::Errored(detail) => Some(detail.as_ref()),
            EventKind::Connected | EventKind::Disconnected => None,
        };
        Self {
            seq: entry.seq,
            recorded_at: entry.recorded_at.to_string(),
            received_at: event.received_at.to_string(),
            sent_at: event.sent_at.map(|at| at.to_string()),
            updated_at: event.updated_at.to_string(),
            input_id: event.input_id.to_string(),
            event: event.kind.name(),
            note: entry.note.as_deref(),
            code: detail.map(|detail| detail.code.as_str()).filter(|code| !code.is_empty()),
            message: detail.and_then(|detail| detail.message.as_deref()),
            video_codec: detail.and_then(|detail| detail.video_codec.as_deref()),
            audio_codec: detail.and_then(|detail| detail.audio_codec.as_deref()),
        }
    }
}

fn export(journal: &Journal) -> anyhow::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    let progress = progress(journal);
    let mut written: io::Result<()> = Ok(());
    journal.replay(0, |entry| {
        progress.inc(1);
        if written.is_ok() {
            written = write_line(&mut output, &entry);
        }
    })?;
    progress.finish_and_clear();
    match written.and_then(|()| output.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}

fn write_line(output: &mut impl Write, entry: &Entry) -> io::Result<()> {
    serde_json::to_writer(&mut *output, &Line::from(entry))?;
    output.write_all(b"\n")
}

fn verify(journal: &Journal, settings: &Settings) -> anyhow::Result<()> {
    let path = journal.path().display();
    let mut problems = journal.integrity_problems()?;
    let progress = progress(journal);
    let mut before: Option<(u64, Timestamp)> = None;
    journal.replay(0, |entry| {
        progress.inc(1);
        if let Some((seq, recorded_at)) = before {
            if entry.seq != seq + 1 {
                problems.push(format!("event {} follows event {seq}", entry.seq));
            }
            if entry.recorded_at < recorded_at {
                problems.push(format!("event {} was recorded before event {seq}", entry.seq));
            }
        }
        before = Some((entry.seq, entry.recorded_at));
    })?;
    progress.finish_and_clear();
    let restored = restore(journal, rules(settings))?;
    if !problems.is_empty() {
        bail!("{path}: damaged\n{}\n{}", problems.join("\n"), super::SALVAGE);
    }
    let (events, inputs, replayed) = (journal.events(), restored.fold.state().inputs().len(), restored.replayed);
    let last = journal.last_seq();
    super::print(&format!(
        "{path}: whole; {events} events up to number {last}, {inputs} inputs, {replayed} events after the checkpoint\n"
    ))?;
    Ok(())
}

fn rules(settings: &Settings) -> Rules {
    Rules { reconnect_window: settings.inputs.reconnect_window, max_inputs: settings.inputs.max }
}

fn salvage(folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let (mut journal, salvaged) = Journal::salvage(&settings.storage.path, folder, clock::now())?;
    let Salvaged { events, lost, checkpoint } = salvaged;
    // It may be readable and make no sense.
    let checkpoint = checkpoint && restore(&journal, rules(settings)).is_ok();
    if !checkpoint {
        journal.forget_checkpoint()?;
    }
    let path = journal.path().display().to_string();
    journal.close()?;
    let count: u64 = lost.iter().map(|range| range.end() - range.start() + 1).sum();
    let ranges: Vec<_> = lost.iter().map(|range| format!("{} to {}", range.start(), range.end())).collect();
    let lost =
        if count == 0 { "no gap between them".to_owned() } else { format!("{count} lost: {}", ranges.join(", ")) };
    let checkpoint = match checkpoint {
        true => "the checkpoint is kept",
        false => "the checkpoint is lost, counters begin anew with the events that are kept",
    };
    super::print(&format!("{path}: {events} events kept, {lost}; {checkpoint}\n"))?;
    Ok(())
}

/// On a terminal, how far it is; elsewhere nothing.
fn progress(journal: &Journal) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} events").expect("the template is valid");
    ProgressBar::new(journal.events()).with_style(style)
}
