//! Warnings about a private listener that other machines can reach without authentication or encryption.

use std::net::SocketAddr;

use super::file::Settings;

/// Warns for each of these addresses, which are not loopback, if the settings leave it unprotected.
pub(super) fn warn_of_exposure(reachable: &[SocketAddr], settings: Option<&Settings>) {
    let Some(exposure) = exposure(settings) else { return };
    for address in reachable {
        tracing::warn!(%address, exposure, "private listener is not on loopback");
    }
}

/// Describes the missing protection of a listener that other machines can reach.
fn exposure(settings: Option<&Settings>) -> Option<&'static str> {
    let tls = settings.and_then(|settings| settings.tls.as_ref());
    let has_users = settings.is_some_and(|settings| !settings.users.is_empty());
    let verifies_clients = tls.is_some_and(|tls| tls.client_auth.verifies());
    match (tls.is_some(), has_users) {
        _ if verifies_clients => None,
        (true, true) => None,
        (false, true) => Some("passwords are sent in clear text; add tls_server_config to web.config_file"),
        (_, false) => Some(
            "anyone who can connect can read all data and reload the configuration; \
             require users or client certificates in web.config_file, or listen on loopback",
        ),
    }
}
