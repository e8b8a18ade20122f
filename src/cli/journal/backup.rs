//! `journal backup`: copies the journal and verifies the copy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};

use super::verify::{Verified, verify};
use crate::config::Settings;
use crate::journal::SqliteJournal;

pub(super) fn run(mut journal: SqliteJournal, folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let raised = interrupted.clone();
    ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed)).context("signals cannot be received")?;
    journal.interrupt_when(interrupted.clone())?;
    match backup(&journal, folder, settings, &interrupted) {
        Err(_) if interrupted.load(Ordering::Relaxed) => bail!("{}: interrupted; no backup was made", folder.display()),
        Err(error) => Err(error),
        Ok(verified) => {
            super::super::print(&format!("{}: verified; {verified}\n", folder.display()))?;
            Ok(())
        }
    }
}

fn backup(
    journal: &SqliteJournal,
    folder: &Path,
    settings: &Settings,
    interrupted: &Arc<AtomicBool>,
) -> anyhow::Result<Verified> {
    let progress = super::progress_of(0, "{bar:30} {bytes} of {total_bytes} copied");
    let backup = journal.back_up(folder, |copied, total| {
        progress.set_length(total);
        progress.set_position(copied);
        !interrupted.load(Ordering::Relaxed)
    })?;
    progress.finish_and_clear();
    let mut copy = backup.journal()?;
    copy.interrupt_when(interrupted.clone())?;
    let verified = verify(&copy, settings).context("no backup was made, because the copy is damaged")?;
    drop(copy);
    if interrupted.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    backup.finish()?;
    Ok(verified)
}
