//! `journal import`: brings the journal of a data folder into the shared one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail, ensure};

use super::verify::{Verified, verify};
use crate::config::Settings;
use crate::event::SessionChange;
use crate::journal::{Derived, JournalError, JournalErrorKind, Location, Reader, Server, SqliteJournal};
use crate::live::PastSessions;
use crate::recorder::restore;

/// Number of records to apply at once.
const BATCH: usize = 1024;

pub(super) fn run(location: &Location, folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let Location::Shared(server) = location else {
        bail!("there is no shared journal to import into; set storage.url");
    };
    let interrupted = super::interrupted()?;
    match import(server, folder, settings, &interrupted) {
        Err(_) if interrupted.load(Ordering::Relaxed) => bail!("{server}: interrupted; nothing was imported"),
        Err(error) if is_away(&error) => {
            Err(error.context("not known to be imported; if it was, `journal import` refuses to do it again"))
        }
        Err(error) => Err(error),
        Ok(verified) => {
            super::super::print(&format!("{server}: imported; {verified}\n"))?;
            Ok(())
        }
    }
}

fn import(
    server: &Server,
    folder: &Path,
    settings: &Settings,
    interrupted: &Arc<AtomicBool>,
) -> anyhow::Result<Verified> {
    let mut journal = SqliteJournal::open_stopped(folder)?;
    journal.interrupt_when(interrupted.clone())?;
    let path = journal.path().display();
    let verified = verify(&journal, &path, settings).context("nothing was imported, because the journal is damaged")?;
    ensure!(verified.last > 0, "{path}: has no records to import");
    let sessions = sessions(&journal, settings)?;
    let progress = super::progress(&journal)?;
    let derived = Derived { recorded_until: verified.recorded_until, sessions: &sessions };
    server.import(&journal, &derived, interrupted, |sent| progress.set_position(sent))?;
    progress.finish_and_clear();
    Ok(verified)
}

/// The connection may have been lost during the commit.
fn is_away(error: &anyhow::Error) -> bool {
    error.downcast_ref().map(JournalError::kind) == Some(JournalErrorKind::Away)
}

/// All sessions that the journal knows.
fn sessions(journal: &dyn Reader, settings: &Settings) -> Result<Vec<SessionChange>, JournalError> {
    let restored = restore(journal, &settings.inputs.rules())?;
    let state = restored.fold.state();
    let mut past = PastSessions::new(state.rules().clone());
    let mut batch = Vec::with_capacity(BATCH);
    journal.replay(0, &mut |record| {
        batch.push(record);
        if batch.len() == BATCH {
            past.add(&batch);
            batch.clear();
        }
    })?;
    past.add(&batch);
    Ok(past.finish(state))
}
