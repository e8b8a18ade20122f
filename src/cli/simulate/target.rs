//! The URL and the secret of the webhook.

use std::io;
use std::net::ToSocketAddrs;
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use ureq::Agent;
use ureq::http::header::{CONTENT_TYPE, HeaderValue};
use ureq::http::{Response, Uri};

use super::answer::Answer;
use crate::config::Secret;
use crate::simulate::Notification;

/// Timeout of each phase of a request. It also limits how long an interrupted run waits for requests in flight.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than servers keep idle connections, so that no request is sent on a connection that is being closed.
const LONGEST_IDLE: Duration = Duration::from_secs(3);

/// Larger than any response of the daemon.
const LONGEST_ANSWER_BYTES: u64 = 64 * 1024;

/// The body of a "Save and Test" message.
const SAVE_AND_TEST: &str = "{\"text\":\"Hello World! This is a test message sent from https://cloudflare.com. \
    If you can see this message, your webhook is configured properly.\"}\n";

pub(super) struct Target {
    pub(super) url: Uri,
    secret: HeaderValue,
}

impl Target {
    /// Reads the secret without its trailing newline, and resolves the host, so that a mistyped name is one
    /// error at the start instead of one for every notification.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or does not contain a secret, or the host cannot be resolved.
    pub(super) fn new(url: Uri, secret_file: &Path) -> anyhow::Result<Self> {
        // The daemon warns of weak secrets.
        let secret = Secret::read(secret_file, &mut Vec::new()).map_err(|problem| {
            let missing = !secret_file.exists();
            let advice =
                if missing { " (start the daemon first, or name another file with --secret-file)" } else { "" };
            anyhow!("{problem}{advice}")
        })?;
        let mut secret = HeaderValue::from_str(secret.expose()).context("the secret cannot be sent in a header")?;
        secret.set_sensitive(true);
        resolve(&url)?;
        Ok(Self { url, secret })
    }

    /// A client with one keep-alive connection.
    pub(super) fn connect() -> Agent {
        let config = Agent::config_builder()
            .user_agent("Go-http-client/2.0")
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections_per_host(1)
            .max_idle_age(LONGEST_IDLE)
            // A global timeout would make each request resolve the host in a separate thread.
            .timeout_connect(Some(TIMEOUT))
            .timeout_send_body(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .timeout_recv_body(Some(TIMEOUT))
            // The measured latency must be that of the daemon.
            .proxy(None);
        config.build().new_agent()
    }

    /// Posts the notification without retries: only the scenario decides which events are sent twice.
    pub(super) fn post(&self, agent: &Agent, notification: &Notification) -> Answer {
        let request = agent.post(&self.url).header(CONTENT_TYPE, "application/json");
        let request = request.header("cf-webhook-auth", &self.secret);
        request.send(notification.body()).map_or_else(Answer::from, read)
    }
}

/// Posts a "Save and Test" message as Cloudflare does it for a new destination.
pub(super) fn save_and_test(url: &str, secret: Option<&str>) -> Answer {
    let mut request = Target::connect().post(url).header(CONTENT_TYPE, "application/json");
    if let Some(secret) = secret {
        request = request.header("cf-webhook-auth", secret);
    }
    request.send(SAVE_AND_TEST).map_or_else(Answer::from, read)
}

fn resolve(url: &Uri) -> anyhow::Result<()> {
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().unwrap_or(443);
    format!("{host}:{port}").to_socket_addrs().with_context(|| format!("cannot resolve the host {host}"))?;
    Ok(())
}

/// A status whose body cannot be read still counts as a response.
fn read(mut response: Response<ureq::Body>) -> Answer {
    let body = response.body_mut().with_config().limit(LONGEST_ANSWER_BYTES).read_to_vec();
    Answer::new(response.status().as_u16(), &body.unwrap_or_default())
}

/// The absolute path, so that an error says where the file was expected.
pub(super) fn parse_file(text: &str) -> io::Result<PathBuf> {
    path::absolute(text)
}

pub(super) fn parse_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(_)) => Ok(url),
        _ => Err("expected http:// or https://, a host, and the path of the webhook".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_absolute_http_urls_are_accepted() {
        for url in ["http://127.0.0.1:10418/webhook", "https://live.example.com/webhook", "http://[::1]:10418/webhook"]
        {
            assert_eq!(parse_url(url).map(|url| url.to_string()).as_deref(), Ok(url));
        }
        for url in ["", "127.0.0.1:10418", "/webhook", "ftp://example.com/webhook", "http://", "http://a b/"] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn secret_is_read_without_its_trailing_newline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "s3cret\n").unwrap();
        assert_eq!(Target::new(Uri::from_static("http://127.0.0.1/"), file.path()).unwrap().secret, "s3cret");
    }

    #[test]
    fn error_of_an_unusable_secret_names_the_file_and_not_the_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in ["", "\n", "two\nlines"] {
            fs::write(file.path(), content).unwrap();
            let error = Target::new(Uri::from_static("http://127.0.0.1/"), file.path()).err().unwrap();
            assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
            assert!(!error.to_string().contains("lines"), "{error}");
        }
    }
}
