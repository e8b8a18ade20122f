//! The lease: one replica runs housekeeping and asks Cloudflare's API.

use crate::clock::Stopwatch;
use crate::journal::{JournalError, JournalErrorKind};
use crate::live::SessionRows;
use crate::recorder::run_loop::Recorder;
use crate::recorder::share::Shared;

impl Recorder {
    /// Whether this process runs the tasks that only one replica may run.
    pub(in crate::recorder) fn leads(&self) -> bool {
        self.shared.as_ref().is_none_or(Shared::leads)
    }

    /// Takes or renews the lease, if that is due.
    pub(super) fn renew_lease(&mut self) -> Result<(), JournalError> {
        let Some(shared) = &mut self.shared else { return Ok(()) };
        let Some(journal) = self.journal.shared() else { return Ok(()) };
        if !shared.until_renewal().is_zero() {
            return Ok(());
        }
        shared.since_renewal = Some(Stopwatch::start());
        let leads = journal.renew_lease()?;
        let begins = leads && !shared.leads;
        if begins || (!leads && self.sessions.as_ref().is_some_and(SessionRows::is_large)) {
            self.note_saved()?;
        }
        if begins {
            tracing::info!("this replica holds the lease: it runs housekeeping and asks Cloudflare's API");
        }
        self.set_leads(leads);
        Ok(())
    }

    /// Takes note of the checkpoint that another replica wrote: its position must not go back, and its sessions are
    /// written.
    fn note_saved(&mut self) -> Result<(), JournalError> {
        let position = self.journal.checkpoint()?.map_or(0, |checkpoint| checkpoint.position);
        self.dirty_inputs.set_saved_position(position);
        if let Some(sessions) = &mut self.sessions {
            sessions.saved_until(position);
        }
        Ok(())
    }

    /// Another replica may hold the lease.
    pub(in crate::recorder) fn lose_lease(&mut self) {
        if let Some(shared) = &mut self.shared {
            shared.since_renewal = None;
        }
        self.set_leads(false);
    }

    fn set_leads(&mut self, leads: bool) {
        let Some(shared) = &mut self.shared else { return };
        if shared.leads && !leads {
            tracing::info!("this replica does not hold the lease any more");
        }
        shared.leads = leads;
        self.state_reader.set_leads(leads);
    }

    /// Notes the result of a task. With a shared journal, another replica may have taken the lease meanwhile.
    pub(in crate::recorder) fn note_task(&mut self, result: Result<(), JournalError>) {
        match result {
            Err(error) if error.kind() == JournalErrorKind::NotLeader => self.lose_lease(),
            Err(error) if self.shared.is_some() => self.note_shared(&error, None),
            Ok(()) if self.shared.is_some() => {}
            result => self.note_written(result),
        }
    }

    pub(in crate::recorder) fn rules_pending_and_usable(&self) -> bool {
        self.rules_pending && self.shared.as_ref().is_none_or(Shared::is_usable)
    }
}
