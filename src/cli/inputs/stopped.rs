//! The journal of a stopped daemon.

use super::{Change, Decision};
use crate::clock;
use crate::config::{Settings, Sources};
use crate::daemon::location_for_command;
use crate::event::{Correction, ScheduleException};
use crate::http::inputs_json;
use crate::journal::{JournalError, JournalErrorKind};
use crate::recorder::{CorrectionOutcome, Restored, correct_stopped, except_stopped, restore, restore_documents};

/// The same JSON document as `/api/v1/inputs`.
pub(in crate::cli) fn list(settings: &Settings) -> anyhow::Result<String> {
    let journal = location_for_command(settings).open_stopped()?;
    let Restored { mut fold, recorded_until, .. } = restore(&*journal, &settings.inputs.rules())?;
    restore_documents(&*journal, &mut fold, clock::now())?;
    fold.set_configured(settings.inputs.configured.clone());
    Ok(inputs_json(fold.state(), recorded_until.max(clock::now()), clock::wall()))
}

pub(super) fn correct(
    change: &Change<'_>,
    settings: &Settings,
    sources: &Sources,
) -> anyhow::Result<CorrectionOutcome> {
    let Change { input_id, to, reason } = *change;
    let reason = reason.map(Correction::reason).transpose()?.flatten();
    let mut journal = location_for_command(settings).open_existing()?;
    let correction = Correction { input_id, to, at: clock::now(), user: user(sources), reason };
    let outcome = correct_stopped(&mut *journal, &settings.inputs.rules(), correction).map_err(explained)?;
    journal.close()?;
    Ok(outcome)
}

pub(super) fn except(
    decision: &Decision<'_>,
    settings: &Settings,
    sources: &Sources,
) -> anyhow::Result<CorrectionOutcome> {
    let Decision { input_id, expected, reason } = *decision;
    let reason = reason.map(Correction::reason).transpose()?.flatten();
    let exception = ScheduleException::new(input_id, expected, clock::earlier(), user(sources), reason)?;
    let mut journal = location_for_command(settings).open_existing()?;
    let outcome = except_stopped(&mut *journal, &settings.inputs.rules(), exception).map_err(explained)?;
    journal.close()?;
    Ok(outcome)
}

/// A commit that was not answered may have succeeded.
fn explained(error: JournalError) -> anyhow::Error {
    let is_away = error.kind() == JournalErrorKind::Away;
    let error = anyhow::Error::from(error);
    if is_away { error.context("not known to be recorded; `inputs list` shows whether it was") } else { error }
}

fn user(sources: &Sources) -> Option<Box<str>> {
    Some(format!("{} (offline)", local_user(sources)).into())
}

/// The user who runs the command, also through sudo.
fn local_user(sources: &Sources) -> String {
    let variable = |wanted: &str| {
        let found = sources.environment.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
    };
    let uid = || format!("uid {}", rustix::process::getuid().as_raw());
    ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(variable).unwrap_or_else(uid)
}
