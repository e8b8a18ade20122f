//! Cloudflare's API: the tasks of each account, and its view of its deliveries.

use std::time::Duration;

use serde_json::Value;

use super::item::{Item, Level};
use crate::event::Timestamp;

/// A longer wait for the next request is a pause, and not the distance between requests.
const PAUSE: Duration = Duration::from_secs(30);

const TOKEN: &str = "Cloudflare refuses the token: check its permissions with stream-live-exporter cloudflare check.";
const UNREACHABLE: &str = "Requests are repeated. Check network, proxy and Cloudflare's status page.";

/// The lines about an account, from the answer of `/api/v1/cloudflare`.
pub(super) fn items(account: &Value, now: Timestamp) -> Vec<Item> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name =
        Some(text(&account["name"])).filter(|name| !name.is_empty()).unwrap_or_else(|| text(&account["account_id"]));
    if account["asked_by_another_replica"] == true {
        let item = Item::new(format!("api-{name}"), format!("API of {name}"));
        return vec![item.text("asked by the replica that holds the lease")];
    }
    let mut items = Vec::new();
    for (task, status) in account["tasks"].as_object().into_iter().flatten() {
        let item = Item::new(format!("api-{name}-{task}"), format!("API of {name}: {task}"));
        let mut item = match time(&status["last_success"]) {
            Some(at) => item.text("last success ").time(at),
            None => item.text("not completed since the start"),
        };
        if let Some(error) = status["error"].as_str() {
            let unauthorized = status["unauthorized"] == true;
            item = item.text("; ").text(error.to_owned());
            item = item.when(true, Level::Warn, UNREACHABLE, Some("StreamLiveExporterCloudflareApiUnreachable"));
            item = item.when(unauthorized, Level::Bad, TOKEN, Some("StreamLiveExporterCloudflareTokenRefused"));
        }
        items.push(item);
    }
    items.push(budget(&name, account, now));
    items.extend(destination(&name, &account["destination"]));
    items
}

fn budget(name: &str, account: &Value, now: Timestamp) -> Item {
    let item = Item::new(format!("api-{name}-budget"), format!("API of {name}: budget"));
    match time(&account["next_request"]).filter(|next| *next > now.plus(PAUSE)) {
        Some(next) => {
            let advice = "Requests pause until then, because the API's limit was reached, or requests failed.";
            item.text("paused until ").time(next).when(true, Level::Warn, advice, None)
        }
        None => item.text("requests are sent"),
    }
}

fn destination(name: &str, destination: &Value) -> Option<Item> {
    let (success, failure) = (time(&destination["last_success"]), time(&destination["last_failure"]));
    let delivering = destination["policy_delivering"].as_bool();
    if success.is_none() && failure.is_none() && delivering.is_none() {
        return None;
    }
    let mut item =
        Item::new(format!("api-{name}-delivery"), format!("Deliveries by Cloudflare to {name}'s destination"));
    for (text, at) in [("last success ", success), ("last failure ", failure)] {
        if let Some(at) = at {
            item = item.text(text).time(at).text("; ");
        }
    }
    item = item.text(match delivering {
        Some(true) => "a policy sends all live input events",
        Some(false) => "no policy sends all live input events",
        None => "policies are not known",
    });
    let failing = "Cloudflare's newest delivery failed: is the webhook's URL reachable from the internet?";
    let policy = "Enable the notification policy, or run stream-live-exporter cloudflare setup.";
    item = item.when(failure > success, Level::Warn, failing, Some("StreamLiveExporterDestinationFailing"));
    let missing = delivering == Some(false);
    Some(item.when(missing, Level::Bad, policy, Some("StreamLiveExporterPolicyNotDelivering")))
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}
