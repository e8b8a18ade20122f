//! Checks a configuration without starting the daemon.

use super::addresses;
use super::resources::Resources;
use crate::clock;
use crate::config::{InvalidConfig, MissingSecret, Problem, Settings};
use crate::journal::{FolderUse, Journal};

/// Checks everything that a start or a reload with these settings needs: files, data folder and addresses. Changes
/// nothing; beside an existing database, SQLite may leave an empty WAL and its index. Returns the warnings.
///
/// # Errors
///
/// All problems.
pub fn check(settings: &Settings) -> Result<Vec<Problem>, InvalidConfig> {
    let mut problems = Vec::new();
    let folder = Journal::check(&settings.storage.path)
        .map_err(|error| problems.push(Problem::new("storage.path", None, format!("{:#}", anyhow::Error::from(error)))))
        .ok();
    let missing_secret = match folder {
        Some(FolderUse::Existing | FolderUse::Running) => MissingSecret::Refuse,
        Some(FolderUse::New) | None => MissingSecret::Ignore,
    };
    let mut warnings = settings.warnings(clock::now());
    match Resources::load(settings, missing_secret) {
        Ok(resources) => {
            warnings.extend(resources.warnings());
            warnings.extend(addresses::exposure(settings, resources.files.web_config.as_deref()));
        }
        Err(InvalidConfig(found)) => problems.extend(found),
    }
    problems.extend(addresses::problems(settings, folder == Some(FolderUse::Running)));
    if problems.is_empty() { Ok(warnings) } else { Err(InvalidConfig(problems)) }
}
