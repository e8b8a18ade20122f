//! Requests to the private listener of the running daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, RequestBuilder};

use super::healthcheck::reachable;
use crate::config::{Settings, read_password};
use crate::http::WebConfig;

/// Time limit for a request. The daemon answers corrections within five seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Larger than the list of any number of inputs that fits into the daemon's memory.
const LONGEST_ANSWER_BYTES: u64 = 4 << 30;

/// How to reach the private listener.
#[derive(Debug, Args)]
pub(super) struct Access {
    /// The private listener [default: web.listen_address of the configuration]
    #[arg(long, value_parser = parse_url)]
    url: Option<Uri>,
    /// PEM file with the certificate authority of the listener's certificate [default: the public ones]
    #[arg(long, value_name = "PATH")]
    ca_file: Option<PathBuf>,
    /// User of the web configuration
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// File with the user's password
    #[arg(long, value_name = "PATH", requires = "user")]
    password_file: Option<PathBuf>,
    /// PEM file with a client certificate
    #[arg(long, value_name = "PATH", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// PEM file with the key of the client certificate
    #[arg(long, value_name = "PATH", requires = "cert_file")]
    key_file: Option<PathBuf>,
}

pub(super) struct Client {
    agent: Agent,
    /// Without a slash at the end.
    url: String,
    authorization: Option<HeaderValue>,
}

/// The answer to a request that was refused.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Client {
    /// # Errors
    ///
    /// A file cannot be read or does not contain what it should, or the default URL cannot be derived.
    pub(super) fn new(access: &Access, settings: &Settings) -> anyhow::Result<Self> {
        let url = match &access.url {
            Some(url) => url.to_string(),
            None => default_url(settings)?,
        };
        let mut tls = TlsConfig::builder();
        if let Some(file) = &access.ca_file {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(file)?));
        }
        if let (Some(certificate), Some(key)) = (&access.cert_file, &access.key_file) {
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(certificate)?, private_key(key)?)));
        }
        let credentials = access.user.as_deref().zip(access.password_file.as_deref());
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build()
            .new_agent();
        let authorization = credentials.map(|(user, file)| basic(user, file)).transpose()?;
        Ok(Self { agent, url: url.trim_end_matches('/').to_owned(), authorization })
    }

    /// The body of the answer to `GET` on this path.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is an error; the message names the URL.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<String> {
        let url = self.url_of(path);
        accepted(&url, self.authorized(self.agent.get(&url)).call())
    }

    /// The body of the answer to `POST` on this path, with a JSON body if there is one.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is an error; the message names the URL.
    pub(super) fn post(&self, path: &str, body: Option<&Value>) -> anyhow::Result<String> {
        let url = self.url_of(path);
        let request = self.authorized(self.agent.post(&url));
        let answer = match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").send(body.to_string()),
            None => request.send_empty(),
        };
        accepted(&url, answer)
    }

    /// The body of the answer to `DELETE` on this path with these parameters.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is an error; the message names the URL.
    pub(super) fn delete(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        let url = self.url_of(path);
        accepted(&url, self.authorized(self.agent.delete(&url)).query_pairs(parameters.iter().copied()).call())
    }

    /// The URL of a path of the private listener.
    pub(super) fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        self.authorization.iter().fold(request, |request, value| request.header(AUTHORIZATION, value))
    }
}

/// The body of a successful answer.
fn accepted(url: &str, answer: Result<Response<ureq::Body>, ureq::Error>) -> anyhow::Result<String> {
    let mut answer = answer.with_context(|| format!("{url} does not answer"))?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(LONGEST_ANSWER_BYTES).read_to_string();
    let body = body.with_context(|| format!("{url} does not answer completely"))?;
    if status.is_success() {
        return Ok(body);
    }
    let hint = if status == 401 { "; give a user of web.config_file with --user and --password-file" } else { "" };
    let said = serde_json::from_str(&body).map_or_else(|_| body.trim_end().to_owned(), |Refused { error }| error);
    bail!("{url}: {}: {said}{hint}", status.as_u16())
}

/// The private listener's address according to the configuration.
fn default_url(settings: &Settings) -> anyhow::Result<String> {
    let web_config = settings.web.config_file.clone().map(WebConfig::load).transpose();
    let tls = web_config.context("web.config_file; give --url instead")?.is_some_and(|web_config| web_config.has_tls());
    let address = reachable(&settings.web.listen_addresses)?;
    Ok(format!("{}://{address}", if tls { "https" } else { "http" }))
}

fn basic(user: &str, password_file: &Path) -> anyhow::Result<HeaderValue> {
    ensure!(!user.contains(':'), "--user: a user's name has no colon");
    let mut warnings = Vec::new();
    let password =
        read_password(password_file, &mut warnings).map_err(|problem| anyhow!("--password-file: {problem}"))?;
    for warning in warnings {
        crate::cli::print_message(&format!("warning: {warning}"));
    }
    let mut header = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
        .expect("Base64 is ASCII");
    header.set_sensitive(true);
    Ok(header)
}

fn certificates(file: &Path) -> anyhow::Result<Vec<Certificate<'static>>> {
    let items = pem_items(file)?.into_iter();
    let is_certificate = |item| if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None };
    let certificates: Vec<_> = items.filter_map(is_certificate).collect();
    ensure!(!certificates.is_empty(), "{}: no certificate in PEM format", file.display());
    Ok(certificates)
}

fn private_key(file: &Path) -> anyhow::Result<PrivateKey<'static>> {
    let mut items = pem_items(file)?.into_iter();
    let key = items.find_map(|item| if let PemItem::PrivateKey(key) = item { Some(key) } else { None });
    key.with_context(|| format!("{}: no private key in PEM format", file.display()))
}

fn pem_items(file: &Path) -> anyhow::Result<Vec<PemItem<'static>>> {
    let pem = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let items: Result<Vec<_>, _> = parse_pem(&pem).collect();
    items.with_context(|| format!("{}: not in PEM format", file.display()))
}

fn parse_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (url.scheme_str(), url.host(), url.query()) {
        (Some("http" | "https"), Some(_), None) => Ok(url),
        _ => Err("expected http:// or https://, a host, and usually a port".to_owned()),
    }
}
