//! Where the journal is, according to the configuration.

use crate::config::Settings;
use crate::journal::{Location, Server};

/// Where the journal of a daemon with these settings is.
pub fn location(settings: &Settings) -> Location {
    location_of(settings, settings.storage.server())
}

/// The same for a command, which waits longer for PostgreSQL than a daemon.
pub fn location_for_command(settings: &Settings) -> Location {
    location_of(settings, settings.storage.server().map(Server::for_command))
}

fn location_of(settings: &Settings, server: Option<Server>) -> Location {
    server.map_or_else(|| Location::Folder(settings.storage.path.clone()), Location::Shared)
}
