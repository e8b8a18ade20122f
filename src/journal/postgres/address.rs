//! Where a shared journal is: the URL of PostgreSQL.
//!
//! The URL is shown in messages, on the status page and by `check-config`, so it has no password. An unknown parameter is
//! refused, because it may be meant to protect the connection.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, TargetSessionAttrs};

const PORT: u16 = 5432;
/// They are tried at the same time.
const MAX_HOSTS: usize = 8;
/// A connection is closed when the server does not acknowledge data or keepalives for this long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(3);

/// Servers, database and user, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Everything but the hosts and the password.
    pub(super) config: Config,
    pub(super) hosts: Vec<(Host, u16)>,
    pub(super) security: Security,
    /// Certificates of authorities; the system's if there is none.
    pub(super) root_certificates: Option<PathBuf>,
}

/// How connections over TCP are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// They are not encrypted.
    Plain,
    /// Any certificate is accepted.
    Encrypted,
    /// A trusted authority must have signed the server's certificate.
    Authority,
    /// The certificate must also be for the host's name.
    Full,
}

/// Why a text is not the address of servers. The message has no part of the text that can be a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It has another form.
    #[error("not a URL of PostgreSQL (expected postgres://USER@HOST:PORT/DATABASE)")]
    NotUrl,
    /// It has a password.
    #[error(
        "must have no password, because the URL is shown (put the password into a file and set storage.password_file, \
         or use PGPASSFILE or ~/.pgpass)"
    )]
    Password,
    /// The client library rejects it.
    #[error("{0} (expected postgres://USER@HOST:PORT/DATABASE)")]
    Invalid(String),
    /// A part is missing.
    #[error("names no {0} (expected postgres://USER@HOST:PORT/DATABASE)")]
    Incomplete(&'static str),
    /// There are too many hosts.
    #[error("has more than {MAX_HOSTS} hosts")]
    TooManyHosts,
    /// The parameter is unknown.
    #[error(
        "unknown parameter {0:?} (expected sslmode, sslrootcert, target_session_attrs, channel_binding, host, port or \
         application_name)"
    )]
    UnknownParameter(String),
    /// The value of a parameter is invalid.
    #[error("invalid {name}: {value:?} (expected {expected})")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is valid.
        expected: &'static str,
    },
}

impl Address {
    /// Whether a connection to another machine is not encrypted.
    pub fn is_exposed(&self) -> bool {
        self.security == Security::Plain && self.is_remote()
    }

    /// Whether another machine could pose as the server.
    pub fn is_unverified(&self) -> bool {
        self.security == Security::Encrypted && self.is_remote()
    }

    /// One of the hosts, with its port and the database.
    pub(super) fn name_of(&self, host: &Host, port: u16) -> String {
        format!("{}/{}", host_and_port(host, port), self.config.get_dbname().unwrap_or_default())
    }

    fn is_remote(&self) -> bool {
        self.hosts.iter().any(|(host, _)| match host {
            Host::Tcp(name) => name != "localhost" && !name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
            Host::Unix(_) => false,
        })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let scheme = ["postgres://", "postgresql://"].into_iter().find(|scheme| url.starts_with(scheme));
        let rest = scheme.and_then(|scheme| url.strip_prefix(scheme)).ok_or(AddressError::NotUrl)?;
        // Checked first, so that no other message has a part of the password.
        if rest.split_once('@').is_some_and(|(credentials, _)| credentials.contains(':')) {
            return Err(AddressError::Password);
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let parsed: Config = base.parse().map_err(invalid)?;
        let parameters = Parameters::read(query)?;
        let user = parsed.get_user().filter(|user| !user.is_empty()).ok_or(AddressError::Incomplete("user"))?;
        let database = parsed.get_dbname().ok_or(AddressError::Incomplete("database"))?;
        let hosts = hosts(&parsed, &parameters)?;
        let mut config = Config::new();
        config.user(user).dbname(database).channel_binding(parameters.channel_binding);
        config.application_name(parameters.application_name.as_deref().unwrap_or("stream-live-exporter"));
        // Of several hosts, the one that can be written is meant.
        let target = if hosts.len() > 1 { TargetSessionAttrs::ReadWrite } else { TargetSessionAttrs::Any };
        config.target_session_attrs(parameters.target_session_attrs.unwrap_or(target));
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(3);
        config.tcp_user_timeout(UNACKNOWLEDGED);
        // As libpq: an authority is given in order to be checked.
        let security = parameters.security.unwrap_or(Security::Full);
        let has_authority = security == Security::Encrypted && parameters.root_certificates.is_some();
        let security = if has_authority { Security::Authority } else { security };
        Ok(Self { config, hosts, security, root_certificates: parameters.root_certificates })
    }
}

/// The hosts with their ports, of the URL itself or of the parameters `host` and `port`.
fn hosts(parsed: &Config, parameters: &Parameters) -> Result<Vec<(Host, u16)>, AddressError> {
    let (names, ports) = if parsed.get_hosts().is_empty() {
        (parameters.hosts.as_slice(), parameters.ports.as_slice())
    } else if parameters.hosts.is_empty() && parameters.ports.is_empty() {
        (parsed.get_hosts(), parsed.get_ports())
    } else {
        return Err(AddressError::Invalid("names hosts twice, also as parameters".to_owned()));
    };
    if names.is_empty() || names.contains(&Host::Tcp(String::new())) {
        return Err(AddressError::Incomplete("host"));
    }
    if names.len() > MAX_HOSTS {
        return Err(AddressError::TooManyHosts);
    }
    if ports.len() > 1 && ports.len() != names.len() {
        return Err(AddressError::Invalid(format!("has {} hosts and {} ports", names.len(), ports.len())));
    }
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
    Ok(names.iter().cloned().enumerate().map(|(at, name)| (name, port(at))).collect())
}

/// What stands behind the question mark.
struct Parameters {
    security: Option<Security>,
    root_certificates: Option<PathBuf>,
    target_session_attrs: Option<TargetSessionAttrs>,
    channel_binding: ChannelBinding,
    application_name: Option<String>,
    hosts: Vec<Host>,
    ports: Vec<u16>,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, AddressError> {
        let mut read = Self {
            security: None,
            root_certificates: None,
            target_session_attrs: None,
            channel_binding: ChannelBinding::Prefer,
            application_name: None,
            hosts: Vec::new(),
            ports: Vec::new(),
        };
        // In such a URL, a plus is a plus.
        for (name, value) in form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
            match &*name {
                "password" => return Err(AddressError::Password),
                "sslmode" => read.security = Some(security(&value)?),
                "sslrootcert" => read.root_certificates = root_certificates(&value)?,
                "target_session_attrs" => read.target_session_attrs = Some(target_session_attrs(&value)?),
                "channel_binding" => read.channel_binding = channel_binding(&value)?,
                "application_name" => read.application_name = Some(value.into_owned()),
                "host" => read.hosts = value.split(',').map(host).collect(),
                "port" => read.ports = value.split(',').map(port).collect::<Result<_, _>>()?,
                _ => return Err(AddressError::UnknownParameter(name.into_owned())),
            }
        }
        Ok(read)
    }
}

fn security(value: &str) -> Result<Security, AddressError> {
    match value {
        "disable" => Ok(Security::Plain),
        "require" => Ok(Security::Encrypted),
        "verify-ca" => Ok(Security::Authority),
        "verify-full" => Ok(Security::Full),
        _ => Err(parameter("sslmode", value, "disable, require, verify-ca or verify-full")),
    }
}

fn root_certificates(value: &str) -> Result<Option<PathBuf>, AddressError> {
    match value {
        "system" => Ok(None),
        path if path.starts_with('/') => Ok(Some(PathBuf::from(path))),
        _ => Err(parameter("sslrootcert", value, "system, or the absolute path of a file")),
    }
}

fn target_session_attrs(value: &str) -> Result<TargetSessionAttrs, AddressError> {
    match value {
        "read-write" | "primary" => Ok(TargetSessionAttrs::ReadWrite),
        "any" => Ok(TargetSessionAttrs::Any),
        _ => Err(parameter("target_session_attrs", value, "read-write or any")),
    }
}

fn channel_binding(value: &str) -> Result<ChannelBinding, AddressError> {
    match value {
        "disable" => Ok(ChannelBinding::Disable),
        "prefer" => Ok(ChannelBinding::Prefer),
        "require" => Ok(ChannelBinding::Require),
        _ => Err(parameter("channel_binding", value, "disable, prefer or require")),
    }
}

/// The folder of a Unix socket, or a name.
fn host(value: &str) -> Host {
    if value.starts_with('/') { Host::Unix(PathBuf::from(value)) } else { Host::Tcp(value.to_owned()) }
}

fn port(value: &str) -> Result<u16, AddressError> {
    value.parse().map_err(|_| parameter("port", value, "a number up to 65535"))
}

fn parameter(name: &'static str, value: &str, expected: &'static str) -> AddressError {
    AddressError::Parameter { name, value: value.to_owned(), expected }
}

/// The library's messages name the part that is invalid, and have nothing of its text.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn invalid(error: tokio_postgres::Error) -> AddressError {
    use std::error::Error;
    AddressError::Invalid(error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

fn host_and_port(host: &Host, port: u16) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
        Host::Tcp(name) => format!("{name}:{port}"),
        Host::Unix(folder) => format!("{}:{port}", folder.display()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(|(host, port)| host_and_port(host, *port)).collect();
        write!(f, "{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }
}
