//! The simulated Cloudflare beside its notifications: a mock of the API, and which notifications are lost.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use fastrand::Rng;
use serde_json::json;

use super::tally::Tally;
use super::target::{Target, parse_file, save_and_test};
use crate::clock::now;
use crate::config::Secret;
use crate::event::{AccountId, InputId};
use crate::simulate::cloudflare::{
    Account, Api, Destination, Permission, SaveAndTest, Served, StatusForm, Token, serve,
};
use crate::simulate::{ACCOUNT_ID, Fact, FactKind, Notification, POLICIES};

/// What the exporter needs for all its features, and to read its permissions.
const PERMISSIONS: [Permission; 4] =
    [Permission::StreamRead, Permission::NotificationsEdit, Permission::AccountAnalyticsRead, Permission::TokensRead];

const DESTINATION: &str = "simulate";
const DESTINATION_ID: &str = "d35f1a7e0c9b4e6f8a2b1c3d4e5f6071";

/// How long an input keeps a state whose notification was lost, so that the exporter can find it: the exporter asks about
/// each input twice.
const LOST_STATE: Duration = Duration::from_secs(90);
/// The same if the status does not say since when: the exporter then waits for two minutes.
const LOST_STATE_WITHOUT_TIME: Duration = Duration::from_secs(210);

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Cloudflare's API")]
pub(super) struct CloudflareArguments {
    /// Serve a mock of Cloudflare's API, which knows the true state of the inputs
    #[arg(long, value_name = "ADDRESS")]
    cloudflare_api: Option<SocketAddr>,

    /// The mock accepts only the token in this file. Without it, every token
    #[arg(long, value_name = "PATH", requires = "cloudflare_api", value_parser = parse_file)]
    cloudflare_token_file: Option<PathBuf>,

    /// The form of an input's status in the mock
    #[arg(long, value_enum, value_name = "FORM", requires = "cloudflare_api", default_value_t)]
    cloudflare_status: Status,

    /// Lose this share of the notifications: only the API has them. An input keeps a lost state for 90 s or longer
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    lose: f64,

    /// Lose the notification of one disconnect, such as 2 for the second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    lose_disconnect: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Status {
    /// As Cloudflare answers: an object that says since when
    #[default]
    Object,
    /// As documented: a word. The exporter does not trust it in the first two minutes of a state
    Word,
    /// Any form that states the connection
    Mixed,
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1, such as 0.1".to_owned()),
    }
}

/// The mock, if it is served, and which notifications are lost.
pub(super) struct Cloudflare {
    mock: Option<Mock>,
    share: f64,
    disconnect: Option<u32>,
    seed: u64,
    status: Status,
}

struct Mock {
    api: Arc<Mutex<Api>>,
    account: AccountId,
    served: Served,
    destination: Arc<str>,
}

impl Cloudflare {
    /// Serves the mock if there is an address for it.
    ///
    /// # Errors
    ///
    /// If the token cannot be read, or the address cannot be used.
    pub(super) fn start(
        arguments: &CloudflareArguments,
        target: &Target,
        inputs: impl Iterator<Item = InputId>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let CloudflareArguments { cloudflare_api, cloudflare_token_file, .. } = arguments;
        let token = cloudflare_token_file.as_ref().map(|path| {
            // The exporter warns of weak tokens.
            Secret::read(path, &mut Vec::new()).map_err(|problem| anyhow!("{problem}"))
        });
        let token = token.transpose()?.map(|token| token.expose().to_owned());
        let status = arguments.cloudflare_status;
        let mut api = Api::new(seed);
        api.save_and_test = SaveAndTest::new(|url, secret| save_and_test(url, secret).is_accepted());
        api.tokens = token.into_iter().map(|token| Token::new(token, PERMISSIONS)).collect();
        fill(api.account(ACCOUNT_ID.parse()?), target, inputs, status);
        let mock = cloudflare_api.map(|address| Mock::start(address, api)).transpose()?;
        let CloudflareArguments { lose: share, lose_disconnect: disconnect, .. } = *arguments;
        Ok(Self { mock, share, disconnect, seed, status })
    }

    /// What to configure to watch the repair of lost notifications. Empty if the mock is not served.
    pub(super) fn instructions(&self) -> String {
        let Some(Mock { served, account, .. }) = &self.mock else { return String::new() };
        let url = served.base_url();
        format!(
            "The mock of Cloudflare's API is at {url}.\n\
             Start the exporter with these flags, and with a file that contains any token:\n\n  \
             --cloudflare.base-url={url} --cloudflare.account-id={account} --cloudflare.token-file=PATH\n\n\
             It finds lost notifications within a minute and counts them in stream_live_exporter_corrections_total.\n\n"
        )
    }

    /// How long the mock is served after the last notification, so that the exporter finds the lost ones.
    pub(super) fn time_for_repair(&self, inputs: u32, tally: &Tally) -> Option<Duration> {
        let is_needed = self.mock.is_some() && !tally.lost.is_empty();
        is_needed.then(|| self.lost_state().saturating_add(Duration::from_secs(inputs.into())))
    }

    /// How long an input keeps a state whose notification was lost.
    pub(super) fn lost_state(&self) -> Duration {
        match self.status {
            Status::Object => LOST_STATE,
            Status::Word | Status::Mixed => LOST_STATE_WITHOUT_TIME,
        }
    }

    /// Adds an event to the truth, and its notification to the history.
    pub(super) fn learn(&self, notification: &Notification) {
        if let Some(mock) = &self.mock {
            let mut api = mock.lock();
            let account = api.account(mock.account);
            account.learn(&notification.fact);
            account.alerting.history.add(notification.clone(), &mock.destination);
        }
    }

    /// Notes how a notification was answered.
    pub(super) fn note(&self, answered: bool) {
        if let Some(mock) = &self.mock {
            mock.lock().account(mock.account).alerting.destinations.note(DESTINATION_ID, answered, now());
        }
    }

    /// Decides which notifications are lost, one after the other.
    pub(super) fn loss(&self) -> Loss {
        Loss { share: self.share, disconnect: self.disconnect, disconnects: 0, rng: Rng::with_seed(self.seed) }
    }
}

impl Mock {
    fn start(address: SocketAddr, api: Api) -> anyhow::Result<Self> {
        let api = Arc::new(Mutex::new(api));
        let served = serve(address, api.clone(), now)
            .with_context(|| format!("cannot serve the mock of Cloudflare's API at {address}"))?;
        Ok(Self { api, account: ACCOUNT_ID.parse()?, served, destination: DESTINATION.into() })
    }

    fn lock(&self) -> MutexGuard<'_, Api> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the inputs, and the destination and policies that send the notifications.
fn fill(account: &mut Account, target: &Target, inputs: impl Iterator<Item = InputId>, status: Status) {
    let created = now();
    for (number, id) in (1_u64..).zip(inputs) {
        let age = Duration::from_secs(number * 3600);
        let input = account.add_input(id, format!("Simulated input {number}"), created.minus(age));
        match status {
            Status::Object => input.status = StatusForm::Object,
            Status::Word => input.status = StatusForm::Word,
            Status::Mixed => {}
        }
    }
    let alerting = &mut account.alerting;
    alerting.destinations.add(Destination {
        id: DESTINATION_ID.to_owned(),
        name: DESTINATION.to_owned(),
        url: target.url.to_string(),
        secret: None,
        last_success: None,
        last_failure: None,
        created,
    });
    for policy in &POLICIES {
        alerting.policies.add(json!({
            "id": policy.id,
            "name": policy.name,
            "description": "",
            "enabled": true,
            "alert_type": "stream_live_notifications",
            "mechanisms": { "webhooks": [{ "id": DESTINATION_ID }] },
            "filters": {},
            "created": format!("{created:.6}"),
            "modified": format!("{created:.6}"),
        }));
    }
}

/// Decides which notifications are lost.
pub(super) struct Loss {
    share: f64,
    disconnect: Option<u32>,
    disconnects: u32,
    rng: Rng,
}

impl Loss {
    /// Whether the notification about the next event is lost.
    pub(super) fn applies_to(&mut self, fact: &Fact) -> bool {
        if fact.kind == FactKind::Disconnected {
            self.disconnects = self.disconnects.saturating_add(1);
            if self.disconnect == Some(self.disconnects) {
                return true;
            }
        }
        self.rng.f64() < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;

    fn fact(kind: FactKind) -> Fact {
        Fact { input_id: InputId::from_bytes([1; 16]), kind, updated_at: Timestamp::EPOCH }
    }

    #[test]
    fn share_must_be_from_0_to_1() {
        assert_eq!((parse_share("0"), parse_share("0.1"), parse_share("1")), (Ok(0.0), Ok(0.1), Ok(1.0)));
        for text in ["", "-0.1", "1.1", "10%", "NaN"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn second_disconnect_is_lost_without_a_share() {
        let cloudflare = Cloudflare { mock: None, share: 0.0, disconnect: Some(2), seed: 1, status: Status::Object };
        let mut loss = cloudflare.loss();
        let (connected, disconnected) = (fact(FactKind::Connected), fact(FactKind::Disconnected));
        let lost = [connected, disconnected, connected, disconnected, disconnected].map(|fact| loss.applies_to(&fact));
        assert_eq!(lost, [false, false, false, true, false]);
    }

    #[test]
    fn share_of_the_notifications_is_lost() {
        let cloudflare = Cloudflare { mock: None, share: 0.1, disconnect: None, seed: 1, status: Status::Object };
        let mut loss = cloudflare.loss();
        let lost = (0..1000).filter(|_| loss.applies_to(&fact(FactKind::Connected))).count();
        assert!((50..150).contains(&lost), "{lost}");
    }
}
