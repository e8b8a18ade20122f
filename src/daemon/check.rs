//! Checks a configuration without starting the daemon.

use super::resources::Resources;
use super::{addresses, configuration};
use crate::clock;
use crate::config::{InvalidConfig, MissingSecret, Problem, Settings};
use crate::journal::{FolderUse, SqliteJournal};

/// The result of a check without problems.
#[derive(Debug)]
pub struct Checked {
    /// What works and can hardly be meant.
    pub warnings: Vec<Problem>,
    /// Whether a daemon uses the data folder.
    pub is_running: bool,
}

/// Checks everything that a start or a reload with these settings needs: files, data folder, PostgreSQL and addresses.
/// Changes nothing; beside an existing database, SQLite may leave an empty WAL and its index.
///
/// # Errors
///
/// All problems.
pub fn check(settings: &Settings) -> Result<Checked, InvalidConfig> {
    let mut problems = Vec::new();
    let folder = SqliteJournal::check(&settings.storage.path)
        .map_err(|error| problems.push(Problem::new("storage.path", None, format!("{:#}", anyhow::Error::from(error)))))
        .ok();
    let server = settings.storage.server();
    let missing_secret = match folder {
        _ if server.is_some() => MissingSecret::Refuse,
        Some(FolderUse::Existing | FolderUse::Running) => MissingSecret::Refuse,
        Some(FolderUse::New) | None => MissingSecret::Ignore,
    };
    let mut warnings = Vec::new();
    match Resources::load(settings, missing_secret) {
        Ok(resources) => warnings = configuration::warnings(settings, settings, &resources, clock::now()),
        Err(InvalidConfig(found)) => problems.extend(found),
    }
    let of_server = |message: String| Problem::new("storage.url", None, message);
    match server.map(|server| server.check()).transpose() {
        Ok(found) => warnings.extend(found.into_iter().flatten().map(of_server)),
        Err(error) => problems.push(of_server(format!("{:#}", anyhow::Error::from(error)))),
    }
    let is_running = folder == Some(FolderUse::Running);
    problems.extend(addresses::problems(settings, is_running));
    if problems.is_empty() { Ok(Checked { warnings, is_running }) } else { Err(InvalidConfig(problems)) }
}
