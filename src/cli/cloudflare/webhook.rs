//! Test messages to the webhook, as Cloudflare sends them when a destination is created.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use serde::Deserialize;
use ureq::Agent;
use ureq::http::header::{CONTENT_TYPE, HeaderValue};
use ureq::tls::TlsConfig;

use crate::cli::healthcheck::reachable;
use crate::config::{MissingSecret, Secret, SecretSource, Settings, WebhookSecrets};

/// Cloudflare's own time limit is not documented.
const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_ANSWER_BYTES: u64 = 64 << 10;
const TEST: &str = r#"{"text": "Hello World! This is a test message of stream-live-exporter."}"#;

/// A webhook secret with its name and where it is from.
#[derive(Debug, Clone)]
pub(super) struct NamedSecret {
    pub(super) name: String,
    pub(super) secret: Secret,
    /// Its file; `None` if it is from the environment.
    pub(super) file: Option<PathBuf>,
}

impl NamedSecret {
    /// Its name and where it is from, for people.
    pub(super) fn title(&self) -> String {
        match &self.file {
            Some(file) => format!("{} ({})", self.name, file.display()),
            None => format!("{} (from the environment)", self.name),
        }
    }
}

/// The webhook secrets that the configuration names, or else the one that the daemon generated.
pub(super) fn secrets(settings: &Settings) -> anyhow::Result<Vec<NamedSecret>> {
    let (configured, storage) = (&settings.webhook.secrets, &settings.storage);
    let WebhookSecrets { named, own_file, .. } =
        WebhookSecrets::load(configured, storage.own_secret_folder(), MissingSecret::Ignore)?;
    let files: BTreeMap<&String, PathBuf> = configured
        .iter()
        .filter_map(|(name, source)| match source {
            SecretSource::File(path) => Some((name, path.clone())),
            SecretSource::Environment(_) => None,
        })
        .collect();
    let secret = |(name, secret): (String, Secret)| {
        let file = files.get(&name).cloned().or_else(|| own_file.clone());
        NamedSecret { name, secret, file }
    };
    Ok(named.into_iter().map(secret).collect())
}

/// The secret for the destination: the one with this name, or the only one.
pub(super) fn secret(name: Option<&str>, settings: &Settings) -> anyhow::Result<NamedSecret> {
    let mut secrets = secrets(settings)?;
    let names = secrets.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>().join(", ");
    if secrets.is_empty() {
        ensure!(
            settings.storage.url.is_none(),
            "there is no webhook secret: none is configured. With storage.url, webhook.secret_files names the one that \
             all replicas have"
        );
        bail!(
            "there is no webhook secret: {} does not exist, and none is configured. Start the daemon first, which \
             generates it, and run this command with the daemon's configuration",
            WebhookSecrets::own_file_in(&settings.storage.path).display()
        );
    }
    match name {
        Some(name) => {
            let found = secrets.into_iter().find(|secret| secret.name == name);
            found.with_context(|| format!("--secret: no secret is named {name}: there is {names}"))
        }
        None if secrets.len() == 1 => Ok(secrets.remove(0)),
        None => bail!("several secrets are valid: choose the one for the destination with --secret: {names}"),
    }
}

/// The URL of the daemon's webhook as reached from this host, and whether its certificate is checked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) url: String,
    is_local: bool,
}

impl Target {
    /// The daemon's listener, according to the configuration.
    pub(super) fn local(settings: &Settings) -> anyhow::Result<Self> {
        let webhook = &settings.webhook;
        let scheme = if webhook.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", reachable(&webhook.listen_addresses)?, webhook.path);
        Ok(Self { url, is_local: true })
    }

    /// The URL that Cloudflare calls.
    pub(super) fn public(url: &str) -> Self {
        Self { url: url.to_owned(), is_local: false }
    }

    /// Sends a test message, as Cloudflare does before it creates a destination.
    pub(super) fn test(&self, secret: &Secret) -> anyhow::Result<Tested> {
        let mut secret = HeaderValue::from_str(secret.expose()).context("the secret cannot be sent in a header")?;
        secret.set_sensitive(true);
        let config = Agent::config_builder()
            .user_agent("Go-http-client/2.0")
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false);
        let config = match self.is_local {
            // The certificate is for a public name, not for this address, and proxies do not lead to this host.
            true => config.tls_config(TlsConfig::builder().disable_verification(true).build()).proxy(None),
            false => config,
        };
        let request = config.build().new_agent().post(&self.url).header(CONTENT_TYPE, "application/json");
        let sent = request.header("cf-webhook-auth", secret).send(TEST);
        let mut answer = sent.map_err(|error| anyhow!("{} does not answer: {error}", self.url))?;
        let body = answer.body_mut().with_config().limit(LONGEST_ANSWER_BYTES).read_to_string();
        Ok(Tested::new(answer.status().as_u16(), &body.unwrap_or_default()))
    }
}

/// The answer to a test message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tested {
    /// The daemon accepts the secret.
    Accepted,
    /// Another program accepts it.
    AcceptedByAnother,
    /// The daemon does not know the secret.
    WrongSecret,
    /// Anything else.
    Refused(u16),
}

impl Tested {
    fn new(status: u16, body: &str) -> Self {
        #[derive(Deserialize)]
        struct Accepted {
            outcome: String,
        }
        match status {
            200..=299 => match serde_json::from_str::<Accepted>(body) {
                Ok(Accepted { outcome }) if outcome == "test" => Self::Accepted,
                Ok(_) | Err(_) => Self::AcceptedByAnother,
            },
            401 | 429 => Self::WrongSecret,
            status => Self::Refused(status),
        }
    }

    /// What is wrong, and what to do.
    pub(super) fn problem(self) -> Option<(String, &'static str)> {
        let (problem, fix) = match self {
            Self::Accepted => return None,
            Self::AcceptedByAnother => (
                "another program answers, not stream-live-exporter".to_owned(),
                "check the URL, and what the proxy in front of the daemon does with its path",
            ),
            Self::WrongSecret => (
                "the daemon does not accept this secret".to_owned(),
                "run this command with the daemon's configuration, and reload the daemon if the secret is new",
            ),
            Self::Refused(status @ 300..=399) => (
                format!("it answers with the redirect {status}"),
                "Cloudflare does not follow redirects: configure the final URL, usually with https://",
            ),
            Self::Refused(status @ (404 | 405)) => {
                (format!("it answers {status}"), "the webhook is not at this URL: check its path")
            }
            Self::Refused(status) => {
                (format!("it answers {status}"), "see the log of the daemon, and of the proxy in front of it")
            }
        };
        Some((problem, fix))
    }
}

/// Checks that the running daemon accepts the secret: Cloudflare creates a destination only if its test message is
/// answered 2xx. The daemon may run on another host; then the public URL must answer.
pub(super) fn ensure_accepted(secret: &NamedSecret, public_url: &str, settings: &Settings) -> anyhow::Result<()> {
    let local = Target::local(settings)?;
    let (url, tested) = match local.test(&secret.secret) {
        Ok(tested) => (local.url, tested),
        Err(local_error) => {
            let public = Target::public(public_url);
            let tested = public.test(&secret.secret).map_err(|error| {
                anyhow!("the daemon does not answer: start it first, or check the URL\n{local_error:#}\n{error:#}")
            })?;
            (public.url, tested)
        }
    };
    match tested.problem() {
        None => Ok(()),
        Some((problem, fix)) => bail!("{url} with the secret {}: {problem}; {fix}", secret.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outcome_test_shows_that_the_daemon_accepts_the_secret() {
        for (status, body, tested) in [
            (200, r#"{"outcome":"test"}"#, Tested::Accepted),
            (200, r#"{"outcome":"ignored"}"#, Tested::AcceptedByAnother),
            (200, "<html>hello</html>", Tested::AcceptedByAnother),
            (204, "", Tested::AcceptedByAnother),
            (401, r#"{"error":"unknown secret"}"#, Tested::WrongSecret),
            (301, "", Tested::Refused(301)),
            (404, "", Tested::Refused(404)),
            (503, "", Tested::Refused(503)),
        ] {
            assert_eq!(Tested::new(status, body), tested, "{status} {body}");
            assert_eq!(tested.problem().is_none(), tested == Tested::Accepted);
        }
    }
}
