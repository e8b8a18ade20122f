//! Whether the token is valid, and which permissions it has.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::api_error;
use super::finding::Finding;
use crate::cli::cloudflare::account::Api;
use crate::clock;
use crate::cloudflare::model::{self, TokenStatus};
use crate::cloudflare::{ApiError, ApiErrorKind, Endpoint, Request};
use crate::config::{CloudflareSettings, Settings};
use crate::event::Timestamp;

const SUBJECT: &str = "token";
/// A token that expires within this time is reported.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const STREAM: &str = "Stream Read";
const NOTIFICATIONS: &str = "Notifications Read";
const ANALYTICS: &str = "Account Analytics Read";

/// The permissions of a token, if the API says them: only a token that may read tokens gets them.
#[derive(Debug, Deserialize)]
struct Details {
    #[serde(default)]
    policies: Vec<TokenPolicy>,
}

#[derive(Debug, Deserialize)]
struct TokenPolicy {
    #[serde(default)]
    effect: String,
    #[serde(default)]
    permission_groups: Vec<PermissionGroup>,
}

#[derive(Debug, Deserialize)]
struct PermissionGroup {
    #[serde(default)]
    name: String,
}

pub(super) fn check(api: &Api, settings: &Settings) -> Vec<Finding> {
    let (status, path) = match verify(api) {
        Ok(verified) => verified,
        Err(error) if error.kind == ApiErrorKind::Unauthorized => {
            let fix = "create a token (docs/cloudflare.md#token) and write it into the token file";
            let text = format!("{} does not contain a valid token: {error}", api.account.token_file.display());
            return vec![Finding::error(SUBJECT, text, fix)];
        }
        Err(error) => return vec![api_error(SUBJECT, &error, "of any kind")],
    };
    let mut findings = vec![validity(&status, clock::now())];
    let needed = needed(&settings.cloudflare);
    findings.extend(probe(api, &needed));
    let details = Request::get(Endpoint::Token, format!("{path}/{}", status.id));
    findings.push(match api.send::<Details>(&details) {
        Ok(details) => excess(&details, &needed),
        Err(_) => Finding::ok(SUBJECT, "the API does not tell which other permissions it has".to_owned()),
    });
    findings
}

/// The token's status, and the path of its kind: those of accounts and those of users have different ones.
fn verify(api: &Api) -> Result<(TokenStatus, String), ApiError> {
    let verify = |path: String| {
        let request = Request::get(Endpoint::Token, format!("{path}/verify"));
        api.send::<TokenStatus>(&request).map(|status| (status, path))
    };
    let user = verify("/user/tokens".to_owned());
    match &user {
        Err(error) if matches!(error.kind, ApiErrorKind::Unauthorized | ApiErrorKind::ClientError) => {
            verify(format!("/accounts/{}/tokens", api.account.account_id)).or(user)
        }
        Ok(_) | Err(_) => user,
    }
}

fn validity(status: &TokenStatus, now: Timestamp) -> Finding {
    const RENEW: &str = "create another one, and replace the content of the token file";
    if status.status != "active" {
        return Finding::error(SUBJECT, format!("it is {}", status.status), RENEW);
    }
    match status.expires_on {
        Some(at) if at < now.plus(EXPIRES_SOON) => Finding::warning(SUBJECT, format!("it expires at {at}"), RENEW),
        Some(at) => Finding::ok(SUBJECT, format!("it is valid until {at}")),
        None => Finding::ok(SUBJECT, "it is valid".to_owned()),
    }
}

/// The permissions that the features in use need.
fn needed(settings: &CloudflareSettings) -> BTreeSet<&'static str> {
    [
        (STREAM, settings.inventory || settings.reconcile),
        (NOTIFICATIONS, settings.destination || settings.backfill),
        (ANALYTICS, settings.quality),
    ]
    .into_iter()
    .filter_map(|(name, is_needed)| is_needed.then_some(name))
    .collect()
}

/// Makes a request for each permission that is needed.
fn probe(api: &Api, needed: &BTreeSet<&'static str>) -> Vec<Finding> {
    let destinations = model::destinations(api.account.account_id);
    let probe = |name: &str| match name {
        STREAM => Some(api.inputs().map(drop)),
        NOTIFICATIONS => Some(api.send::<IgnoredAny>(&destinations).map(drop)),
        ANALYTICS => Some(api.quality()),
        _ => None,
    };
    let probed = needed.iter().filter_map(|name| Some((name, probe(name)?)));
    let finding = |(name, result): (&&str, Result<(), ApiError>)| match result {
        Ok(()) => Finding::ok(SUBJECT, format!("it has the permission {name}")),
        Err(error) => api_error(SUBJECT, &error, name),
    };
    probed.map(finding).collect()
}

fn excess(details: &Details, needed: &BTreeSet<&'static str>) -> Finding {
    let allowed = details.policies.iter().filter(|policy| policy.effect == "allow");
    let names: BTreeSet<&str> =
        allowed.flat_map(|policy| &policy.permission_groups).map(|group| group.name.as_str()).collect();
    let excess: Vec<&str> = names.into_iter().filter(|name| !needed.contains(name)).collect();
    if excess.is_empty() {
        return Finding::ok(SUBJECT, "it has no other permission".to_owned());
    }
    let fix = "the daemon needs only the permissions above: give it a token with these; cloudflare setup also needs \
               Notifications Edit, and can use a token of its own with --cloudflare.token-file";
    Finding::warning(SUBJECT, format!("it has more permissions than the daemon needs: {}", excess.join(", ")), fix)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn token_that_is_not_active_is_an_error_and_one_that_expires_soon_a_warning() {
        let now = "2026-11-20T18:00:00Z".parse().unwrap();
        for (status, expires_on, level) in [
            ("active", None, Level::Ok),
            ("active", Some("2027-11-20T18:00:00Z"), Level::Ok),
            ("active", Some("2026-11-30T18:00:00Z"), Level::Warning),
            ("expired", Some("2026-11-19T18:00:00Z"), Level::Error),
            ("disabled", None, Level::Error),
            ("", None, Level::Error),
        ] {
            let expires_on = expires_on.map(|text| text.parse().unwrap());
            let status = TokenStatus { id: from_value(json!("t1")).unwrap(), status: status.to_owned(), expires_on };
            assert_eq!(validity(&status, now).level, level, "{status:?}");
        }
    }

    #[test]
    fn permission_that_no_feature_needs_is_a_warning() {
        let details = |names: &[&str]| -> Details {
            let groups: Vec<_> = names.iter().map(|name| json!({"id": "x", "name": name})).collect();
            let denied = json!({"effect": "deny", "permission_groups": [{"id": "x", "name": "DNS Write"}]});
            from_value(json!({"policies": [{"effect": "allow", "permission_groups": groups}, denied]})).unwrap()
        };
        let needed = BTreeSet::from([STREAM, NOTIFICATIONS]);
        for (names, level) in [
            (&[STREAM, NOTIFICATIONS][..], Level::Ok),
            (&[STREAM], Level::Ok),
            (&[STREAM, NOTIFICATIONS, "Notifications Write"], Level::Warning),
            (&[STREAM, NOTIFICATIONS, ANALYTICS], Level::Warning),
            (&[], Level::Ok),
        ] {
            assert_eq!(excess(&details(names), &needed).level, level, "{names:?}");
        }
    }
}
