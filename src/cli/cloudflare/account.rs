//! An account of the configuration, and requests to its API.

use anyhow::{Context, bail};
use clap::Args;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::cloudflare::model::{self, AvailableAlerts, Silence};
use crate::cloudflare::setup::Existing;
use crate::cloudflare::{
    ApiError, ApiErrorKind, Client, List, Request, list_request, quality_probe, read_list, read_quality, result,
};
use crate::config::{CloudflareAccount, Secret, Settings};

/// The permission that changes of destinations and policies need.
pub(super) const EDIT: &str = "Notifications Edit";

/// Which account.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Name of the account, if several are configured
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
}

impl Choice {
    /// The chosen account, or the only one.
    ///
    /// # Errors
    ///
    /// There is none, there are several, or none has this name.
    pub(super) fn of(&self, settings: &Settings) -> anyhow::Result<CloudflareAccount> {
        let accounts = &settings.cloudflare.accounts;
        let names = || accounts.iter().map(|account| account.name.as_str()).collect::<Vec<_>>().join(", ");
        match (&self.account, accounts.as_slice()) {
            (_, []) => bail!(
                "no account is configured: set cloudflare.account_id and cloudflare.token_file, or give \
                 --cloudflare.account-id and --cloudflare.token-file"
            ),
            (None, [account]) => Ok(account.clone()),
            (None, _) => bail!("several accounts are configured: choose one with --account: {}", names()),
            (Some(name), _) => {
                let found = accounts.iter().find(|account| account.name == *name);
                found.cloned().with_context(|| match names().as_str() {
                    "" => format!("--account: the only account has no name, so it cannot be {name}"),
                    names => format!("--account: no account is named {name}: there is {names}"),
                })
            }
        }
    }
}

impl Choice {
    /// The chosen account, or all.
    ///
    /// # Errors
    ///
    /// There is none, or none has this name.
    pub(super) fn all(&self, settings: &Settings) -> anyhow::Result<Vec<CloudflareAccount>> {
        match (&self.account, settings.cloudflare.accounts.as_slice()) {
            (None, all @ [_, _, ..]) => Ok(all.to_vec()),
            _ => Ok(vec![self.of(settings)?]),
        }
    }
}

/// All accounts, and what sends requests with their tokens.
///
/// # Errors
///
/// There is none, or a token cannot be read.
pub(super) fn clients(settings: &Settings) -> anyhow::Result<Vec<(CloudflareAccount, Client)>> {
    let accounts = Choice { account: None }.all(settings)?.into_iter();
    accounts.map(|account| Api::new(account, settings).map(|Api { account, client }| (account, client))).collect()
}

/// `account NAME (ID)`.
pub(super) fn title(account: &CloudflareAccount) -> String {
    let CloudflareAccount { name, account_id, .. } = account;
    if name.is_empty() { format!("account {account_id}") } else { format!("account {name} ({account_id})") }
}

/// The API of one account.
pub(super) struct Api {
    pub(super) account: CloudflareAccount,
    client: Client,
}

impl Api {
    /// Reads the token.
    pub(super) fn new(account: CloudflareAccount, settings: &Settings) -> anyhow::Result<Self> {
        let mut warnings = Vec::new();
        let token = Secret::read(&account.token_file, &mut warnings).map_err(|problem| {
            anyhow::anyhow!("cloudflare.token_file: {problem}; docs/cloudflare.md says how to create a token")
        })?;
        for warning in warnings {
            crate::cli::print_message(&format!("warning: {warning}"));
        }
        let client = Client::new(&settings.cloudflare.base_url, token.expose()).with_context(|| {
            format!("base URL {} and token in {}", settings.cloudflare.base_url, account.token_file.display())
        })?;
        Ok(Self { account, client })
    }

    /// Sends a request and reads its result.
    pub(super) fn send<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ApiError> {
        result(request, &self.client.send(request))
    }

    /// Destinations and policies.
    pub(super) fn existing(&self) -> Result<Existing, ApiError> {
        let id = self.account.account_id;
        Ok(Existing {
            destinations: self.send::<Option<_>>(&model::destinations(id))?.unwrap_or_default(),
            policies: self.send::<Option<_>>(&model::policies(id))?.unwrap_or_default(),
        })
    }

    /// The types of notifications that the account can have.
    pub(super) fn available_alerts(&self) -> Result<AvailableAlerts, ApiError> {
        self.send(&model::available_alerts(self.account.account_id))
    }

    /// The silences of policies; none if the account does not have them.
    pub(super) fn silences(&self) -> Result<Vec<Silence>, ApiError> {
        match self.send::<Option<_>>(&model::silences(self.account.account_id)) {
            Err(ApiError { kind: ApiErrorKind::NotFound { .. }, .. }) => Ok(Vec::new()),
            silences => Ok(silences?.unwrap_or_default()),
        }
    }

    /// Asks for ingest quality.
    pub(super) fn quality(&self) -> Result<(), ApiError> {
        let request = quality_probe(self.account.account_id, clock::now());
        read_quality(&request, &self.client.send(&request)).map(drop)
    }

    /// The live inputs.
    pub(super) fn inputs(&self) -> Result<List, ApiError> {
        let request = list_request(self.account.account_id);
        read_list(&request, &self.client.send(&request))
    }
}

/// What to do about an error of the API, if there is something.
pub(super) fn advice(error: &ApiError, permission: &str) -> Option<String> {
    Some(match error.kind {
        ApiErrorKind::Unauthorized => format!(
            "check that the token is valid, is for this account and has the permission {permission} \
             (docs/cloudflare.md#token)"
        ),
        ApiErrorKind::NoSubscription => "the account has no Stream subscription: check the account id".to_owned(),
        ApiErrorKind::RateLimited => {
            "too many requests were sent with this token: try again in five minutes".to_owned()
        }
        ApiErrorKind::NotFound { .. } => "check the account id and the base URL".to_owned(),
        ApiErrorKind::Timeout | ApiErrorKind::Network => "check the base URL, and that this host reaches it".to_owned(),
        ApiErrorKind::ServerError => "Cloudflare's API fails: try again".to_owned(),
        ApiErrorKind::Invalid => "this is not the answer of Cloudflare's API: check the base URL".to_owned(),
        ApiErrorKind::ClientError => return None,
    })
}

/// The error with its advice.
pub(super) fn explained(error: ApiError, permission: &str) -> anyhow::Error {
    match advice(&error, permission) {
        Some(advice) => anyhow::anyhow!("{error}; {advice}"),
        None => error.into(),
    }
}
