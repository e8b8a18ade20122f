//! What pages show of the configuration in force.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::event::{AccountId, InputId, Timestamp};

/// Ids of the dashboards, as in their files.
const INPUT_DASHBOARD: &str = "stream-live-input";
const OVERVIEW_DASHBOARD: &str = "stream-live-overview";

/// What pages show of the configuration in force. It contains no secret.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// Every key that is not of a single input. Those that need a restart have the value of the start.
    pub settings: Vec<Setting>,
    /// The keys of the configured inputs.
    pub input_settings: Vec<Setting>,
    /// Maximum number of connections of the public listener.
    pub max_connections: usize,
    /// The keys whose values have changed since the start and need a restart to take effect.
    pub needs_restart: Vec<String>,
    /// Values and files that work and are dangerous.
    pub warnings: Vec<String>,
    /// When it was loaded.
    pub loaded_at: Timestamp,
    /// The last reload, if it failed.
    pub failed_reload: Option<FailedReload>,
    /// The webhook's URLs with the addresses of its sockets, separated by commas.
    pub webhook: String,
    /// The secrets of the webhook, in the order of their names. Empty until they are read.
    pub secrets: Vec<ConfiguredSecret>,
    /// The accounts whose API is used.
    pub accounts: Vec<ConfiguredAccount>,
    /// The certificates of the listeners with TLS.
    pub certificates: Vec<ListenerCertificate>,
    /// Base URL of Grafana, without a slash at its end.
    pub grafana_url: Option<String>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key with its value, as in a file. Secrets are masked.
    pub assignment: String,
    /// Where the value comes from and what it means.
    pub comment: String,
}

/// A reload that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedReload {
    /// When it failed.
    pub at: Timestamp,
    /// All problems, one per line.
    pub problems: String,
}

/// A secret of the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredSecret {
    /// Its name, which is a label value.
    pub name: String,
    /// Its file; `None` if its value is in the environment.
    pub file: Option<PathBuf>,
}

/// An account at Cloudflare whose API is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredAccount {
    /// Its name, which is a label value; empty for a single account without one.
    pub name: String,
    /// Its identifier.
    pub account_id: AccountId,
    /// The public URL of the webhook, as Cloudflare calls it.
    pub webhook_url: Option<String>,
}

/// The certificate of a listener.
#[derive(Clone)]
pub struct ListenerCertificate {
    /// The listener's value of the label `listener`.
    pub listener: &'static str,
    /// The certificate's file, or the web configuration that names it.
    pub file: PathBuf,
    /// When it expires. Reads changed files.
    pub not_after: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Configuration {
    /// With the listeners of another one: they are the same until a restart.
    #[must_use]
    pub fn with_listeners_of(self, other: &Self) -> Self {
        let Self { webhook, certificates, .. } = other.clone();
        Self { webhook, certificates, ..self }
    }

    /// The page of an input in Cloudflare's dashboard; `None` if its account is not known.
    ///
    /// Cloudflare documents `https://dash.cloudflare.com/?to=/:account/stream/inputs` as the list of inputs, where the
    /// account's id takes the place of `:account`. The page of an input is below it.
    pub fn cloudflare_url(account_id: Option<AccountId>, input_id: &InputId) -> Option<String> {
        account_id.map(|account_id| format!("https://dash.cloudflare.com/{account_id}/stream/inputs/{input_id}"))
    }

    /// The dashboard of an input in Grafana.
    pub fn grafana_input_url(&self, input_id: &InputId) -> Option<String> {
        self.grafana_url.as_ref().map(|url| format!("{url}/d/{INPUT_DASHBOARD}?var-input={input_id}"))
    }

    /// The dashboard of all inputs in Grafana.
    pub fn grafana_overview_url(&self) -> Option<String> {
        self.grafana_url.as_ref().map(|url| format!("{url}/d/{OVERVIEW_DASHBOARD}"))
    }
}

impl fmt::Debug for ListenerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerCertificate").field("listener", &self.listener).field("file", &self.file).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_the_ids_of_account_and_input() {
        let (account_id, input_id) = (AccountId::from_bytes([0xab; 16]), InputId::from_bytes([1; 16]));
        let (account, input) = ("ab".repeat(16), "01".repeat(16));
        let url = Configuration::cloudflare_url(Some(account_id), &input_id);
        assert_eq!(url, Some(format!("https://dash.cloudflare.com/{account}/stream/inputs/{input}")));
        assert_eq!(Configuration::cloudflare_url(None, &input_id), None);
        let linked = Configuration { grafana_url: Some("https://g.example/sub".into()), ..Configuration::default() };
        let url = format!("https://g.example/sub/d/stream-live-input?var-input={input}");
        assert_eq!(linked.grafana_input_url(&input_id), Some(url));
        assert_eq!(linked.grafana_overview_url(), Some("https://g.example/sub/d/stream-live-overview".into()));
        assert_eq!(Configuration::default().grafana_input_url(&input_id), None);
    }
}
