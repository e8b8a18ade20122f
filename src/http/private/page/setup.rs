//! The set-up checklist: which steps lead to the first event, which of them are done, and which one fails.

use std::borrow::Cow;

use askama::Template;
use serde_json::Value;

use super::fragment::Fragment;
use super::snapshot::Snapshot;
use super::time::Time;
use crate::http::configuration::{Configuration, ConfiguredSecret};
use crate::http::unused_deliveries::Rejected;
use crate::live::{LastSeen, View};

const SETUP: &str = "stream-live-exporter cloudflare setup";
/// The page that Cloudflare documents: it asks for the account.
const NOTIFICATIONS: &str = "https://dash.cloudflare.com/?to=/:account/notifications";

/// What the checklist follows from.
#[derive(Debug, Clone, Default)]
struct Facts<'a> {
    /// The URLs that Cloudflare calls, if they are configured.
    public_urls: Vec<&'a str>,
    /// The URLs with the addresses of the sockets.
    bound: &'a str,
    secrets: &'a [ConfiguredSecret],
    last_seen: LastSeen,
    /// The newest rejected delivery after the last accepted one. Requests that are no notifications do not count.
    rejected: Option<Rejected>,
    /// What Cloudflare's API says; `None` without an account.
    api: Option<Api>,
}

/// What Cloudflare's API says about destinations and policies. Of several accounts, one is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Api {
    /// `None` until the destinations were read.
    destination_exists: Option<bool>,
    /// The last delivery by Cloudflare failed.
    is_failing: bool,
    /// `None` until the policies were read.
    policy_delivers: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Done,
    Open,
    Failed,
}

/// A step, with what to do if it is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    name: &'static str,
    status: Status,
    /// What it is about, such as a URL.
    values: Vec<String>,
    /// The rejected delivery that shows that it fails.
    rejected: Option<Rejected>,
    to_do: Cow<'static, str>,
    command: Option<&'static str>,
    link: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "setup.html", config = "src/http/private/page/askama.toml")]
struct Checklist {
    steps: Vec<Step>,
}

/// The checklist; `None` once an event was recorded.
pub(super) fn fragment(snapshot: &Snapshot) -> Option<Fragment> {
    let view = snapshot.view.as_ref().filter(|view| !has_events(view))?;
    let facts = Facts::of(view, &snapshot.configuration, &snapshot.rejected, &snapshot.api_accounts);
    Some(Fragment::new("setup", &Checklist { steps: steps(&facts) }))
}

/// Whether an event was ever recorded. Inputs stay when their events have expired.
fn has_events(view: &View) -> bool {
    let mut entries = view.state.inputs().values();
    view.journal_events > 0 || entries.any(|entry| entry.input.known_since.is_some())
}

impl<'a> Facts<'a> {
    fn of(view: &View, configuration: &'a Configuration, rejected: &[Rejected], accounts: &[Value]) -> Self {
        let last_seen = LastSeen::clone(view.gauge_state().last_seen());
        let is_newer = |rejected: &&Rejected| Some(rejected.received_at) > last_seen.last;
        let rejected = rejected.iter().filter(|rejected| rejected.reason != "method").find(is_newer).copied();
        let urls = configuration.accounts.iter().filter_map(|account| account.webhook_url.as_deref());
        Self {
            public_urls: urls.collect(),
            bound: &configuration.webhook,
            secrets: &configuration.secrets,
            last_seen,
            rejected,
            api: Api::of(accounts),
        }
    }

    /// The newest rejected delivery, if it has this reason.
    fn rejected_for(&self, is_reason: impl Fn(&str) -> bool) -> Option<Rejected> {
        self.rejected.filter(|rejected| is_reason(rejected.reason))
    }

    fn was_seen(&self) -> bool {
        self.last_seen.last.is_some()
    }
}

impl Api {
    fn of(accounts: &[Value]) -> Option<Self> {
        let destinations = || accounts.iter().map(|account| &account["destination"]);
        let any = |member: &str| {
            let known = destinations().filter_map(|destination| destination[member].as_bool());
            known.reduce(|any, one| any || one)
        };
        Some(Self {
            destination_exists: any("found"),
            // RFC 3339 in UTC: later times are greater.
            is_failing: destinations().any(|each| each["last_failure"].as_str() > each["last_success"].as_str()),
            policy_delivers: any("policy_delivering"),
        })
        .filter(|_| !accounts.is_empty())
    }
}

/// The steps in their order.
fn steps(facts: &Facts<'_>) -> Vec<Step> {
    let all = [url(facts), secret(facts), destination(facts), test(facts), policy(facts), event()];
    all.map(Step::without_advice_if_done).into()
}

impl Step {
    fn new(name: &'static str, status: Status) -> Self {
        Self { name, status, values: Vec::new(), rejected: None, to_do: "".into(), command: None, link: None }
    }

    fn done_if(name: &'static str, is_done: bool) -> Self {
        Self::new(name, if is_done { Status::Done } else { Status::Open })
    }

    fn without_advice_if_done(self) -> Self {
        match self.status {
            Status::Done => Self { values: self.values, ..Self::new(self.name, Status::Done) },
            Status::Open | Status::Failed => self,
        }
    }

    fn rejected(name: &'static str, rejected: Rejected) -> Self {
        let to_do = rejected.advice.into();
        Self { to_do, rejected: Some(rejected), ..Self::new(name, Status::Failed) }
    }
}

fn url(facts: &Facts<'_>) -> Step {
    const NAME: &str = "Webhook URL";
    let is_public = !facts.public_urls.is_empty();
    let values = if is_public { &facts.public_urls[..] } else { &[facts.bound] };
    let step = match facts.rejected_for(|reason| reason == "path") {
        Some(rejected) => Step::rejected(NAME, rejected),
        None => Step {
            to_do: "Cloudflare needs a public URL with HTTPS on port 443 that leads to this address: put a reverse proxy or \
                    a tunnel in front of it, and set cloudflare.webhook_url if you use Cloudflare's API."
                .into(),
            ..Step::done_if(NAME, is_public || facts.was_seen())
        },
    };
    Step { values: values.iter().map(|url| (*url).to_owned()).collect(), ..step }
}

fn secret(facts: &Facts<'_>) -> Step {
    const NAME: &str = "Secret";
    let place = |secret: &ConfiguredSecret| match &secret.file {
        Some(file) => file.display().to_string(),
        None => format!("{} (environment variable)", secret.name),
    };
    let step = match facts.rejected_for(|reason| reason == "secret") {
        Some(rejected) => Step::rejected(NAME, rejected),
        None => Step {
            to_do: "Enter the content of this file as the secret of the webhook destination at Cloudflare.".into(),
            ..Step::done_if(NAME, facts.was_seen())
        },
    };
    let by_command = facts.api.is_some() && step.status != Status::Done;
    Step { values: facts.secrets.iter().map(place).collect(), command: by_command.then_some(SETUP), ..step }
}

fn destination(facts: &Facts<'_>) -> Step {
    const NAME: &str = "Destination at Cloudflare";
    let Some(api) = facts.api else {
        return Step {
            to_do: "Open Notifications, then Destinations, and create a webhook with the URL and the secret.".into(),
            link: Some(NOTIFICATIONS),
            ..Step::done_if(NAME, facts.was_seen())
        };
    };
    let command = Some(SETUP);
    match api.destination_exists {
        None => Step {
            to_do: "Cloudflare's API has not said yet whether there is one. This creates it:".into(),
            command,
            ..Step::done_if(NAME, facts.was_seen())
        },
        Some(false) => Step {
            to_do: "There is none with this URL. This creates it:".into(),
            command,
            ..Step::new(NAME, Status::Open)
        },
        Some(true) if api.is_failing => Step {
            command: Some("stream-live-exporter cloudflare check"),
            to_do: "Cloudflare could not deliver to it. This finds out why:".into(),
            ..Step::new(NAME, Status::Failed)
        },
        Some(true) => Step::new(NAME, Status::Done),
    }
}

fn test(facts: &Facts<'_>) -> Step {
    const NAME: &str = "Test message";
    match facts.rejected_for(|reason| reason != "path" && reason != "secret") {
        Some(rejected) => Step::rejected(NAME, rejected),
        None if facts.api.is_some() => Step {
            to_do: "Cloudflare sends it when the destination is created. This sends one, too:".into(),
            command: Some("stream-live-exporter cloudflare check"),
            ..Step::done_if(NAME, facts.last_seen.last_test.is_some())
        },
        None => Step {
            to_do: "Press Save and Test at the destination.".into(),
            link: Some(NOTIFICATIONS),
            ..Step::done_if(NAME, facts.last_seen.last_test.is_some())
        },
    }
}

fn policy(facts: &Facts<'_>) -> Step {
    const NAME: &str = "Notification policy";
    match facts.api {
        Some(api) => Step {
            to_do: "No policy sends all events of live inputs to the destination. This creates it:".into(),
            command: Some(SETUP),
            ..Step::done_if(NAME, api.policy_delivers == Some(true))
        },
        None => Step {
            to_do: "Add a notification of the type Stream Live Input with the destination and all events. Whether there is \
                    one is known when the first event arrives."
                .into(),
            link: Some(NOTIFICATIONS),
            ..Step::new(NAME, Status::Open)
        },
    }
}

fn event() -> Step {
    let to_do = "Start or stop a broadcast to a live input. This list disappears with the first event.".into();
    Step { to_do, ..Step::new("First event", Status::Open) }
}

#[cfg(test)]
mod tests;
