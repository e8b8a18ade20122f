//! `journal`: works on the journal in the data folder.

mod backup;
mod export;
mod import;
mod init;
mod json_lines;
mod salvage;
mod unrecognized;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::{Settings, Sources};
use crate::daemon::location_for_command;
use crate::journal::Reader;

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// Create the journal, or migrate an older one; changes nothing if there is one
    Init,
    /// Print every record as a line of JSON, oldest first
    Export,
    /// Check that all records and the checkpoint can be read and fit together
    Verify,
    /// Copy the journal and verify the copy, also while the daemon runs
    Backup {
        /// The data folder of the copy; it must be empty or not exist
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Bring the journal of a data folder into the shared journal, which must be empty; stop the daemon before
    Import {
        /// The data folder, which is left unchanged
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Make a new journal of everything that can be read of a damaged one, which is left unchanged
    Salvage {
        /// The data folder of the new journal; it must not exist
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Print every kept body that was not understood as a line of JSON, oldest first
    Unrecognized,
    /// Read the kept bodies again after an upgrade, and record the events in them; the daemon must be stopped
    ReplayUnrecognized,
}

pub(super) fn run(command: &Command, sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let location = location_for_command(&settings);
    match command {
        Command::Init => init::run(&location)?,
        Command::Export => export::run(&*location.open_to_read()?)?,
        Command::Verify => verify::run(&location, &settings)?,
        Command::Backup { folder } => backup::run(&location, folder, &settings)?,
        Command::Import { folder } => import::run(&location, folder, &settings)?,
        Command::Salvage { folder } => salvage::run(folder, &settings)?,
        Command::Unrecognized => unrecognized::list(&*location.open_to_read()?)?,
        Command::ReplayUnrecognized => unrecognized::replay(&settings)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Progress through the records on a terminal; silent elsewhere.
fn progress(journal: &dyn Reader) -> anyhow::Result<ProgressBar> {
    let (oldest, newest) = (journal.oldest_position()?, journal.newest_position()?);
    Ok(progress_of((newest + 1).saturating_sub(oldest.max(1)), "{bar:30} {human_pos} of {human_len} records"))
}

fn progress_of(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::new(length).with_style(style)
}

/// Is set by Ctrl-C.
fn interrupted() -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let raised = interrupted.clone();
    ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed)).context("signals cannot be received")?;
    Ok(interrupted)
}
