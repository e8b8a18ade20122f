//! Where the journal is, according to the configuration.

use crate::config::Settings;
use crate::journal::Location;

/// Where the journal of a daemon with these settings is.
pub fn location(settings: &Settings) -> Location {
    Location::Folder(settings.storage.path.clone())
}
