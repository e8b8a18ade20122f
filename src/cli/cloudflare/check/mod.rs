//! `cloudflare check`: whether Cloudflare delivers notifications to the webhook, and what to do if not.

mod delivery;
mod finding;
mod token;

use std::process::ExitCode;

use clap::Args;

use super::account::{Api, Choice, advice};
use super::webhook::{self, Target};
use crate::cli::print;
use crate::clock;
use crate::cloudflare::ApiError;
use crate::cloudflare::model;
use crate::config::{CloudflareAccount, Settings};
use delivery::Delivery;
use finding::{Finding, Level};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    choice: Choice,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    for account in arguments.choice.all(settings)? {
        let mut found = match Api::new(account.clone(), settings) {
            Ok(api) => check_api(&api, settings),
            Err(error) => {
                let fix = "make the file readable, or configure another";
                vec![Finding::error("token", format!("{error:#}"), fix)]
            }
        };
        found.extend(check_webhook(&account, settings));
        print(&format!("{}\n{}\n", super::account::title(&account), finding::lines(&found)))?;
        findings.extend(found);
    }
    print(&finding::summary(&findings))?;
    let is_wrong = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn check_api(api: &Api, settings: &Settings) -> Vec<Finding> {
    let mut findings = token::check(api, settings);
    // Nothing else can be asked with a token that is refused.
    if findings.iter().all(|finding| finding.level != Level::Error) {
        findings.extend(check_delivery(api));
    }
    findings
}

fn check_delivery(api: &Api) -> Vec<Finding> {
    let Some(url) = &api.account.webhook_url else { return Vec::new() };
    let (existing, silences) = match api.existing().and_then(|existing| Ok((existing, api.silences()?))) {
        Ok(found) => found,
        Err(error) => return vec![api_error("destination", &error, "Notifications Read")],
    };
    // Without the permission to list inputs, policies are checked as far as possible.
    let inputs = api.inputs().ok();
    let available = api.available_alerts().ok();
    let alert = available
        .as_ref()
        .and_then(|alerts| alerts.values().flatten().find(|alert| alert.alert_type == model::ALERT_TYPE));
    let is_errored_known = alert.and_then(|alert| alert.knows_event(model::ERRORED));
    Delivery {
        url,
        existing: &existing,
        silences: &silences,
        inputs: inputs.as_ref(),
        is_errored_known,
        now: clock::now(),
    }
    .findings()
}

/// Whether the public URL leads to the daemon. Cloudflare may see another answer: names can resolve differently there.
fn check_webhook(account: &CloudflareAccount, settings: &Settings) -> Vec<Finding> {
    const SUBJECT: &str = "webhook";
    let Some(url) = &account.webhook_url else {
        let fix =
            "set cloudflare.webhook_url to the URL that Cloudflare calls, for example https://live.example.com/webhook";
        return vec![Finding::error(SUBJECT, "cloudflare.webhook_url is not configured".to_owned(), fix)];
    };
    let secret = match webhook::secrets(settings).map(|secrets| secrets.into_iter().next()) {
        Ok(Some(secret)) => secret,
        Ok(None) => {
            let fix = "run this command with the daemon's configuration and data folder";
            return vec![Finding::warning(SUBJECT, format!("{url} was not tested: there is no webhook secret"), fix)];
        }
        Err(error) => {
            let fix = "run this command as a user who can read the webhook secrets";
            return vec![Finding::warning(SUBJECT, format!("{url} was not tested: {error:#}"), fix)];
        }
    };
    vec![match Target::public(url).test(&secret.secret) {
        Ok(tested) => match tested.problem() {
            None => Finding::ok(SUBJECT, format!("{url} answers, and accepts the secret {}", secret.name)),
            Some((problem, fix)) => Finding::error(SUBJECT, format!("{url}: {problem}"), fix),
        },
        Err(error) => {
            let fix = "check that the daemon and the proxy in front of it run, the name in DNS, the certificate, and \
                       that this host reaches its own public address";
            Finding::error(SUBJECT, format!("{error:#}"), fix)
        }
    }]
}

fn api_error(subject: &'static str, error: &ApiError, permission: &str) -> Finding {
    Finding::error(subject, error.to_string(), advice(error, permission).unwrap_or_default())
}
