//! Where the journal is, according to the configuration.

use crate::config::Settings;
use crate::journal::Location;

/// Where the journal of a daemon with these settings is.
pub fn location(settings: &Settings) -> Location {
    settings.storage.server().map_or_else(|| Location::Folder(settings.storage.path.clone()), Location::Shared)
}
