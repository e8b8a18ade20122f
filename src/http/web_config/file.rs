//! The settings in the file.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use governor::Quota;

use super::section::{Parsed, Section};
use super::tls::Tls;
use super::users::Users;

/// The headers that can be set, each with its allowed values. An empty list allows any value.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) tls: Option<Tls>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) rate: Option<Quota>,
    pub(super) users: Users,
}

impl Settings {
    /// Parses the file's text. Paths in it are relative to `folder`, the file's own folder.
    pub(super) fn parse(text: &str, folder: &Path) -> Parsed<Self> {
        let mut root = Section::root(text)?;
        let tls = Tls::parse(root.section("tls_server_config")?, folder)?;
        let mut http = root.section("http_server_config")?;
        // Accepted for compatibility. The listener uses HTTP/1.1, which HTTP/2 clients support too.
        http.boolean("http2")?;
        let headers = headers(http.section("headers")?)?;
        http.finish()?;
        let rate = rate(root.section("rate_limit")?)?;
        let users = Users(root.section("basic_auth_users")?.texts()?.into_iter().collect());
        root.finish()?;
        Ok(Self { tls, headers, rate, users })
    }
}

fn headers(mut section: Section) -> Parsed<Vec<(HeaderName, HeaderValue)>> {
    let mut headers = Vec::new();
    for (name, allowed) in HEADERS {
        let key = section.name(name);
        let Some(text) = section.text(name)? else { continue };
        if !allowed.is_empty() && !allowed.contains(&text.as_str()) {
            return Err(format!("{key}: {text:?} is not supported (expected {})", allowed.join(", ")));
        }
        let value = HeaderValue::from_str(&text).map_err(|_| format!("{key}: not a valid header value"))?;
        headers.push((HeaderName::from_bytes(name.as_bytes()).expect("the names are valid"), value));
    }
    section.finish()?;
    Ok(headers)
}

fn rate(mut section: Section) -> Parsed<Option<Quota>> {
    let (interval_key, burst_key) = (section.name("interval"), section.name("burst"));
    let interval = section.text("interval")?.unwrap_or_else(|| "0".to_owned());
    let interval = humantime::parse_duration(&interval)
        .map_err(|_| format!("{interval_key}: not a duration: {interval:?} (for example 100ms or 1s)"))?;
    let burst = section.text("burst")?.unwrap_or_else(|| "0".to_owned());
    let burst: u32 = burst.parse().map_err(|_| format!("{burst_key}: not a whole number: {burst:?}"))?;
    section.finish()?;
    if interval.is_zero() {
        return Ok(None);
    }
    let burst = NonZeroU32::new(burst).ok_or_else(|| format!("{burst_key}: must be more than 0"))?;
    // governor multiplies the two in nanoseconds, as u64, and does not check for overflow.
    let longest = Duration::from_nanos(u64::MAX / 2) / burst.get();
    Ok(Quota::with_period(interval.min(longest)).map(|quota| quota.allow_burst(burst)))
}
