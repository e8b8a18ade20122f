//! Cloudflare's API: the accounts, the features and their intervals.
//!
//! ```toml
//! [cloudflare]
//! account_id = "0123456789abcdef0123456789abcdef"
//! token_file = "/run/secrets/cloudflare-token"
//! webhook_url = "https://hooks.example.com/webhook"
//! ```

use std::path::PathBuf;
use std::time::Duration;

use super::InvalidConfig;
use super::entry::Entry;
use super::layers::Leaf;
use super::problem::Problem;
use super::reader::Reader;
use super::secret::Secret;
use super::values::{self, Parsed};
use crate::event::AccountId;

/// Cloudflare's API.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudflareSettings {
    /// Base URL of the API, without a slash at its end.
    pub base_url: String,
    /// Largest share of the API's request limit that an account may use: more than 0, up to 1.
    pub request_share: f64,
    /// Whether the inputs are listed.
    pub inventory: bool,
    /// How often they are listed.
    pub inventory_interval: Duration,
    /// Whether the state of inputs is compared with the API.
    pub reconcile: bool,
    /// Whether the notification history is read after a downtime.
    pub backfill: bool,
    /// Whether destination and policies are checked.
    pub destination: bool,
    /// How often they are checked.
    pub destination_interval: Duration,
    /// Whether ingest quality is read.
    pub quality: bool,
    /// How often it is read.
    pub quality_interval: Duration,
    /// The accounts. If there are none, the API is not used.
    pub accounts: Vec<CloudflareAccount>,
}

/// An account at Cloudflare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudflareAccount {
    /// Its name, which is a label value; empty for a single account without one.
    pub name: String,
    /// Its identifier.
    pub account_id: AccountId,
    /// The file of its API token.
    pub token_file: PathBuf,
    /// The public URL of the webhook, as Cloudflare calls it.
    pub webhook_url: Option<String>,
}

impl CloudflareAccount {
    /// The key of its webhook URL in the effective configuration.
    pub(super) fn webhook_url_key(&self) -> String {
        let Self { name, .. } = self;
        if name.is_empty() {
            "cloudflare.webhook_url".to_owned()
        } else {
            format!("cloudflare.accounts.{name}.webhook_url")
        }
    }
}

impl CloudflareSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let account_id = reader.on_reload("cloudflare.account_id", optional_account_id);
        let token_file = reader.optional_path_on_reload("cloudflare.token_file");
        let webhook_url = reader.on_reload("cloudflare.webhook_url", values::optional_url);
        Self {
            base_url: reader.on_reload("cloudflare.base_url", values::base_url),
            request_share: reader.on_reload("cloudflare.request_share", share),
            inventory: reader.on_reload("cloudflare.inventory", values::boolean),
            inventory_interval: reader.duration_on_reload("cloudflare.inventory_interval", values::positive_duration),
            reconcile: reader.on_reload("cloudflare.reconcile", values::boolean),
            backfill: reader.on_reload("cloudflare.backfill", values::boolean),
            destination: reader.on_reload("cloudflare.destination", values::boolean),
            destination_interval: reader
                .duration_on_reload("cloudflare.destination_interval", values::positive_duration),
            quality: reader.on_reload("cloudflare.quality", values::boolean),
            quality_interval: reader.duration_on_reload("cloudflare.quality_interval", values::positive_duration),
            accounts: accounts(reader, account_id, token_file, webhook_url),
        }
    }

    /// Reads the token files of all accounts, and returns what is dangerous about those that work.
    ///
    /// # Errors
    ///
    /// Every file that cannot be read or does not contain a token.
    pub fn check_tokens(&self) -> Result<Vec<Problem>, InvalidConfig> {
        let mut warnings = Vec::new();
        let read = |account: &CloudflareAccount| Secret::read(&account.token_file, &mut warnings).err();
        let problems: Vec<Problem> = self.accounts.iter().filter_map(read).collect();
        if problems.is_empty() { Ok(warnings) } else { Err(InvalidConfig(problems)) }
    }
}

fn accounts(
    reader: &mut Reader,
    account_id: Option<AccountId>,
    token_file: Option<PathBuf>,
    webhook_url: Option<String>,
) -> Vec<CloudflareAccount> {
    let listed = listed(reader, webhook_url.as_deref());
    if !listed.is_empty() {
        let keys = [("cloudflare.account_id", account_id.is_some()), ("cloudflare.token_file", token_file.is_some())];
        for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set) {
            reader.conflict(key, "excludes cloudflare.accounts: move it into an entry of the list");
        }
        return listed;
    }
    match (account_id, token_file) {
        (Some(account_id), Some(token_file)) => {
            return vec![CloudflareAccount { name: String::new(), account_id, token_file, webhook_url }];
        }
        (Some(_), None) => reader.conflict("cloudflare.token_file", "required with cloudflare.account_id"),
        (None, Some(_)) => reader.conflict("cloudflare.account_id", "required with cloudflare.token_file"),
        (None, None) => {}
    }
    Vec::new()
}

/// The entries of `cloudflare.accounts`. Those without a webhook URL have the common one.
fn listed(reader: &mut Reader, webhook_url: Option<&str>) -> Vec<CloudflareAccount> {
    let mut accounts: Vec<CloudflareAccount> = Vec::new();
    let Some(Leaf { value, origin }) = reader.take("cloudflare.accounts") else { return accounts };
    let entries = value.into_array();
    let entries = entries.map_err(|_| "must be a list of tables with name, account_id and token_file".to_owned());
    for (index, value) in reader.check(&origin, "cloudflare.accounts", entries).into_iter().flatten().enumerate() {
        let key = format!("cloudflare.accounts[{index}]");
        let Some(account) = Entry::new(reader, value, &origin, &key).account() else { continue };
        let account = CloudflareAccount {
            webhook_url: account.webhook_url.or_else(|| webhook_url.map(str::to_owned)),
            ..account
        };
        let mut refuse_repeated = |field: &str, value: &str, is_repeated: bool| {
            let repeated: Parsed<()> = Err(format!("{value} is listed twice"));
            if is_repeated {
                reader.check(&origin, &format!("{key}.{field}"), repeated);
            }
        };
        let CloudflareAccount { name, account_id, .. } = &account;
        refuse_repeated("name", name, accounts.iter().any(|other| other.name == *name));
        let is_repeated = accounts.iter().any(|other| other.account_id == *account_id);
        refuse_repeated("account_id", &account_id.to_string(), is_repeated);
        show(reader, &origin, &account);
        accounts.push(account);
    }
    accounts
}

fn show(reader: &mut Reader, origin: &str, account: &CloudflareAccount) {
    let key = format!("cloudflare.accounts.{}", account.name);
    reader.show(format!("{key}.account_id"), origin, &account.account_id.to_string());
    reader.show(format!("{key}.token_file"), origin, &account.token_file.display().to_string());
    reader.show(format!("{key}.webhook_url"), origin, account.webhook_url.as_deref().unwrap_or_default());
}

impl Entry<'_> {
    fn account(&mut self) -> Option<CloudflareAccount> {
        let name = self.field("name", values::name);
        let account_id = self.field("account_id", account_id);
        let token_file = self.field("token_file", values::path);
        let has_url = self.fields.contains_key("webhook_url");
        let webhook_url = if has_url { self.field("webhook_url", values::optional_url) } else { Some(None) };
        self.refuse_unknown();
        Some(CloudflareAccount {
            name: name?,
            account_id: account_id?,
            token_file: token_file?,
            webhook_url: webhook_url?,
        })
    }
}

fn account_id(text: &str) -> Parsed<AccountId> {
    text.parse().map_err(|error| format!("{error}, not {text:?}"))
}

/// An empty text means none.
fn optional_account_id(text: &str) -> Parsed<Option<AccountId>> {
    Some(text).filter(|text| !text.is_empty()).map(account_id).transpose()
}

fn share(text: &str) -> Parsed<f64> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| format!("not a share: {text:?} (expected more than 0, up to 1, for example 0.25)"))
}
