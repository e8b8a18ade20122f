//! `healthcheck`: asks the private listener of the daemon with this configuration whether it is
//! ready, for container engines and scripts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::config::{Settings, Sources};

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn run(sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    let address = &settings.web.listen_address;
    let resolved = address.resolve().with_context(|| format!("{address} cannot be resolved"))?;
    let address = resolved.first().ok_or_else(|| anyhow!("{address} resolves to nothing"))?;
    let url = format!("http://{}/-/ready", reachable(*address));
    let agent: ureq::Agent = ureq::Agent::config_builder()
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

/// Who listens on every address is reached on the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
