//! Parsers for single values. Their errors say what was expected.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use ipnet::IpNet;
use ureq::http::Uri;

use crate::journal::{Address, AddressError, InvalidSchemaName, SchemaName};
use crate::telemetry::Format;

/// Longer durations could overflow timestamps.
const LONGEST_DURATION: Duration = Duration::from_secs(36_525 * 86_400);
/// Housekeeping deletes records every minute, so a mistake would delete all history before it is noticed.
const SHORTEST_RETENTION: Duration = Duration::from_secs(3_600);
/// The units in which durations are printed, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("day", 86_400_000_000_000),
    ("hour", 3_600_000_000_000),
    ("minute", 60_000_000_000),
    ("second", 1_000_000_000),
    ("millisecond", 1_000_000),
    ("microsecond", 1_000),
    ("nanosecond", 1),
];
/// The queue is allocated at the start. This many entries take about 30 MB.
const MAX_QUEUE_SIZE: usize = 100_000;

const EXPECTED_ADDRESS: &str = "HOST:PORT, [IPV6]:PORT or :PORT";

/// The status page has these paths, and paths below them, on the listener of the metrics.
const PAGES: [&str; 4] = ["/inputs", "/unrecognized", "/actions", "/updates"];

/// An address to listen on: `host:port`, or `:port` for all IPv6 and IPv4 addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress(String);

impl ListenAddress {
    /// Resolves the host name.
    ///
    /// # Errors
    ///
    /// The resolver does not know the host.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses = match self.0.strip_prefix(':') {
            Some(port) => format!("[::]:{port}").to_socket_addrs(),
            None => self.0.to_socket_addrs(),
        };
        addresses.map(Iterator::collect)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The lowest severity that is logged.
pub type LogLevel = tracing::level_filters::LevelFilter;

/// A value, or a description of the expected form.
pub(super) type Parsed<T> = Result<T, String>;

/// One text for the whole list, like [`networks`].
pub(super) fn listen_addresses(text: &str) -> Parsed<Vec<ListenAddress>> {
    let addresses = text.split(',').map(str::trim).filter(|address| !address.is_empty());
    let addresses = addresses.map(listen_address).collect::<Parsed<Vec<_>>>()?;
    if addresses.is_empty() { Err(format!("names no address (expected {EXPECTED_ADDRESS})")) } else { Ok(addresses) }
}

fn listen_address(text: &str) -> Parsed<ListenAddress> {
    let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let unbracketed = text.matches(':').count() > 1 && !text.starts_with('[');
    match port {
        Some(_) if !unbracketed => Ok(ListenAddress(text.to_owned())),
        _ => Err(format!("not an address: {text:?} (expected {EXPECTED_ADDRESS})")),
    }
}

pub(super) fn url_path(text: &str) -> Parsed<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    match text {
        "/-/healthy" => Err("/-/healthy is reserved for the health check".into()),
        _ if text.starts_with('/') && text.chars().all(plain) => Ok(text.to_owned()),
        _ => Err(format!("not a path: {text:?} (expected a slash, then letters, digits and / - . _ ~)")),
    }
}

pub(super) fn base_url(text: &str) -> Parsed<String> {
    let url = url(text)?;
    match url.query() {
        Some(_) => Err(format!("must have no query: {text:?}")),
        None => Ok(text.trim_end_matches('/').to_owned()),
    }
}

/// An empty text means none.
pub(super) fn optional_url(text: &str) -> Parsed<Option<String>> {
    Some(text).filter(|text| !text.is_empty()).map(|text| url(text).map(|_| text.to_owned())).transpose()
}

/// An empty text means none.
pub(super) fn optional_base_url(text: &str) -> Parsed<Option<String>> {
    Some(text).filter(|text| !text.is_empty()).map(base_url).transpose()
}

fn url(text: &str) -> Parsed<Uri> {
    let url: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    // User and password are not printed with the problem.
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must have no user and password".to_owned());
    }
    let is_web = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty());
    let expected = || format!("not a URL: {text:?} (expected for example https://host.example.com/path)");
    if is_web && !text.contains('#') { Ok(url) } else { Err(expected()) }
}

pub(super) fn telemetry_path(text: &str) -> Parsed<String> {
    let path = url_path(text)?;
    match path.as_str() {
        "/" => Err("/ is reserved for the status page".into()),
        path if path.starts_with("/-/") || path.starts_with("/api/") => {
            Err(format!("{path:?} is reserved for the API"))
        }
        path if PAGES.into_iter().any(|page| path.strip_prefix(page).is_some_and(is_page_or_below)) => {
            Err(format!("{path:?} is reserved for the status page"))
        }
        _ => Ok(path),
    }
}

/// Whether the rest of a path after a page's is nothing, or a path below it.
fn is_page_or_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

pub(super) fn size(text: &str) -> Parsed<usize> {
    let expected = || format!("not a size: {text:?} (expected for example 64KiB)");
    let bytes = without_separators(text).parse::<bytesize::ByteSize>().map_err(|_| expected())?.as_u64();
    usize::try_from(bytes).map_err(|_| expected()).and_then(positive)
}

fn positive<T: Default + PartialEq>(value: T) -> Parsed<T> {
    if value == T::default() { Err("must be more than 0".into()) } else { Ok(value) }
}

/// A duration such as `90d` or `1h 30m`, up to 100 years.
pub(super) fn parse_duration(text: &str) -> Parsed<Duration> {
    match humantime::parse_duration(text) {
        // humantime's M is a month and its m a minute. No other unit has a capital letter.
        Ok(_) if text.contains('M') => {
            Err(format!("ambiguous unit M: {text:?} (expected m for minutes or d for days)"))
        }
        Ok(duration) if duration > LONGEST_DURATION => Err("must be at most 100 years".into()),
        Ok(duration) => Ok(duration),
        Err(_) => Err(format!("not a duration: {text:?} (expected for example 500ms, 60s or 90d)")),
    }
}

/// Parses a duration of more than zero, up to 100 years.
///
/// # Errors
///
/// The error describes the expected form.
pub fn positive_duration(text: &str) -> Parsed<Duration> {
    parse_duration(text).and_then(positive)
}

pub(super) fn retention(text: &str) -> Parsed<Duration> {
    match positive_duration(text)? {
        retention if retention < SHORTEST_RETENTION => {
            Err(format!("must be at least 1h: {text:?} is {}", duration_in_words(retention)))
        }
        retention => Ok(retention),
    }
}

/// A duration without abbreviations: `1 day 30 minutes`.
pub fn duration_in_words(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut words = Vec::new();
    for (unit, length) in UNITS {
        if rest >= length {
            words.push(in_words(rest / length, unit));
            rest %= length;
        }
    }
    if words.is_empty() { in_words(0, "second") } else { words.join(" ") }
}

pub(super) fn in_words(count: u128, unit: &str) -> String {
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// TOML allows `_` between digits.
fn without_separators(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    let separates = |at: usize| bytes[at] == b'_' && digit(bytes.get(at.wrapping_sub(1))) && digit(bytes.get(at + 1));
    text.char_indices().filter(|(at, _)| !separates(*at)).map(|(_, char)| char).collect()
}

pub(super) fn count(text: &str) -> Parsed<usize> {
    without_separators(text).parse().map_err(|_| format!("not a whole number: {text:?}")).and_then(positive)
}

pub(super) fn queue_size(text: &str) -> Parsed<usize> {
    match count(text)? {
        length if length > MAX_QUEUE_SIZE => Err(format!("must be at most {MAX_QUEUE_SIZE}")),
        length => Ok(length),
    }
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    // YAML's booleans may be capitalised.
    text.to_ascii_lowercase().parse().map_err(|_| format!("not a boolean: {text:?} (expected true or false)"))
}

/// A name that becomes a label value.
pub(super) fn name(text: &str) -> Parsed<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("not a name: {text:?} (expected up to 64 lower-case letters, digits, - and _)"))
    }
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    optional_path(text)?.ok_or_else(|| "must not be empty".to_owned())
}

/// An empty text means none.
pub(super) fn optional_path(text: &str) -> Parsed<Option<PathBuf>> {
    Ok(Some(text).filter(|text| !text.is_empty()).map(|text| absolute(Path::new(text))))
}

/// Messages must name a path in a way that does not depend on the working directory, which differs between a service and
/// a shell.
pub(super) fn absolute(path: &Path) -> PathBuf {
    // Fails only if the working directory was deleted.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// An empty text means none.
pub(super) fn optional_server(text: &str) -> Parsed<Option<Address>> {
    let parse = |text: &str| text.parse().map_err(|error: AddressError| error.to_string());
    Some(text).filter(|text| !text.is_empty()).map(parse).transpose()
}

pub(super) fn schema_name(text: &str) -> Parsed<SchemaName> {
    text.parse().map_err(|error: InvalidSchemaName| error.to_string())
}

/// One text for the whole list, so that files, variables and flags write it the same way.
pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    text.split(',').map(str::trim).filter(|network| !network.is_empty()).map(network).collect()
}

fn network(text: &str) -> Parsed<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| {
        format!("not a network: {text:?} (expected for example 10.0.0.0/8 or fd00::/8, separated by commas)")
    })
}

pub(super) fn log_level(text: &str) -> Parsed<LogLevel> {
    match text {
        "error" => Ok(LogLevel::ERROR),
        "warn" => Ok(LogLevel::WARN),
        "info" => Ok(LogLevel::INFO),
        "debug" => Ok(LogLevel::DEBUG),
        "trace" => Ok(LogLevel::TRACE),
        _ => Err(format!("not a level: {text:?} (expected error, warn, info, debug or trace)")),
    }
}

pub(super) fn log_format(text: &str) -> Parsed<Format> {
    match text {
        "auto" => Ok(Format::Auto),
        "logfmt" => Ok(Format::Logfmt),
        "json" => Ok(Format::Json),
        _ => Err(format!("not a format: {text:?} (expected auto, logfmt or json)")),
    }
}
