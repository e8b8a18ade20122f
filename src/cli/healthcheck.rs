//! `healthcheck`: checks whether the daemon with this configuration is ready, for container engines
//! and scripts.
//!
//! With a web configuration, the private listener may require credentials that this command does not
//! have. It then requests the public listener's health check, which answers from the end of the
//! restore until the shutdown.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::config::{ListenAddress, Settings, Sources};

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn run(sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let (scheme, addresses, path) = match (&settings.web.config_file, &settings.webhook.tls) {
        (None, _) => ("http", &settings.web.listen_addresses, "/-/ready"),
        (Some(_), None) => ("http", &settings.webhook.listen_addresses, "/-/healthy"),
        (Some(_), Some(_)) => ("https", &settings.webhook.listen_addresses, "/-/healthy"),
    };
    let url = format!("{scheme}://{}{path}", reachable(addresses)?);
    // The certificate is for a public name, not for this address. The request contains no secret.
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut response = agent.get(&url).call().with_context(|| format!("{url} does not answer"))?;
    let body = response.body_mut().read_to_string().with_context(|| format!("{url} does not answer"))?;
    super::print(&body)?;
    Ok(if response.status().is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where a listener with these addresses can be reached: at the first one. The unspecified address is replaced by the
/// loopback address of IPv4: listeners on all addresses accept it, also on a host without IPv6.
pub(super) fn reachable(addresses: &[ListenAddress]) -> anyhow::Result<SocketAddr> {
    let address = addresses.first().context("no address to listen on")?;
    let resolved = address.resolve().with_context(|| format!("{address} cannot be resolved"))?;
    let mut resolved = *resolved.first().with_context(|| format!("{address} resolves to nothing"))?;
    if resolved.ip().is_unspecified() {
        resolved.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok(resolved)
}
