//! `journal backup`: copies the journal and verifies the copy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};

use super::verify::{Verified, verify};
use crate::config::Settings;
use crate::journal::{Backup, Location, SqliteJournal};

pub(super) fn run(location: &Location, folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let interrupted = super::interrupted()?;
    match backup(location, folder, settings, &interrupted) {
        Err(_) if interrupted.load(Ordering::Relaxed) => bail!("{}: interrupted; no backup was made", folder.display()),
        Err(error) => Err(error),
        Ok(verified) => {
            super::super::print(&format!("{}: verified; {verified}\n", folder.display()))?;
            Ok(())
        }
    }
}

fn backup(
    location: &Location,
    folder: &Path,
    settings: &Settings,
    interrupted: &Arc<AtomicBool>,
) -> anyhow::Result<Verified> {
    let backup = copy(location, folder, interrupted)?;
    let mut copy = backup.journal()?;
    copy.interrupt_when(interrupted.clone())?;
    let path = copy.path().display();
    let verified = verify(&copy, &path, settings).context("no backup was made, because the copy is damaged")?;
    drop(copy);
    if interrupted.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    backup.finish()?;
    Ok(verified)
}

fn copy(location: &Location, to: &Path, interrupted: &Arc<AtomicBool>) -> anyhow::Result<Backup> {
    match location {
        Location::Folder(from) => copy_database(from, to, interrupted),
        Location::Shared(_) => copy_records(location, to, interrupted),
    }
}

/// The copy is a database file, too.
fn copy_records(from: &Location, to: &Path, interrupted: &Arc<AtomicBool>) -> anyhow::Result<Backup> {
    let mut journal = from.open_to_read()?;
    journal.interrupt_when(interrupted.clone())?;
    let progress = super::progress(&*journal)?;
    let backup = SqliteJournal::copy(&*journal, to, |copied| progress.set_position(copied))?;
    progress.finish_and_clear();
    Ok(backup)
}

/// SQLite copies its database page by page.
fn copy_database(from: &Path, to: &Path, interrupted: &Arc<AtomicBool>) -> anyhow::Result<Backup> {
    let mut journal = SqliteJournal::open_to_read(from)?;
    journal.interrupt_when(interrupted.clone())?;
    let progress = super::progress_of(0, "{bar:30} {bytes} of {total_bytes} copied");
    let backup = journal.back_up(to, |copied, total| {
        progress.set_length(total);
        progress.set_position(copied);
        !interrupted.load(Ordering::Relaxed)
    })?;
    progress.finish_and_clear();
    Ok(backup)
}
