//! Cloudflare's own view of its deliveries, as gauges.

use serde_json::json;
use stream_live_exporter::clock;
use stream_live_exporter::event::Timestamp;
use stream_live_exporter::simulate::cloudflare::{Alerting, Destination, Destinations};

use super::{Mock, account, account_id, daemon, requests};
use crate::daemon::eventually;

const URL: &str = "https://live.example.com/webhook";

fn destination(last_success: i64, last_failure: i64) -> Destination {
    Destination {
        id: "d1".to_owned(),
        name: "exporter".to_owned(),
        url: URL.to_owned(),
        secret: None,
        last_success: Some(Timestamp::from_seconds(last_success)),
        last_failure: Some(Timestamp::from_seconds(last_failure)),
        created: Timestamp::from_seconds(1),
    }
}

#[test]
fn health_of_the_destination_follows_the_api_and_has_no_series_without_one() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    let change = |change: fn(&mut Alerting)| change(&mut mock.api().account(account_id(1)).alerting);
    change(|alerting| {
        alerting.destinations.add(destination(2000, 1000));
        alerting.policies.add(json!({
            "id": "p1", "enabled": true, "alert_type": "stream_live_notifications",
            "mechanisms": { "webhooks": [{ "id": "d1" }] }, "filters": {},
        }));
    });
    let keys = format!("destination = true\ndestination_interval = \"1s\"\nwebhook_url = \"{URL}\"\nrequest_share = 1");
    let daemon = daemon(folder.path(), &account(&mock.base_url(), &keys));
    let gauge = |name: &str| daemon.metric(&format!("stream_live_exporter_cloudflare_{name}{{account=\"\"}}"));
    let health = || {
        let names = ["destination_last_success_timestamp_seconds", "destination_last_failure_timestamp_seconds"];
        [gauge(names[0]), gauge(names[1]), gauge("policy_delivering")]
    };
    eventually("deliveries succeed", || health() == [Some(2000.0), Some(1000.0), Some(1.0)]);
    change(|alerting| {
        alerting.destinations.note("d1", false, Timestamp::from_seconds(3000));
        let (now, hour) = (clock::now(), std::time::Duration::from_secs(3600));
        alerting.silences.silence("s1", "p1", now.minus(hour), now.plus(hour));
    });
    eventually("the policy is silenced", || health() == [Some(2000.0), Some(3000.0), Some(0.0)]);
    change(|alerting| alerting.destinations = Destinations::default());
    eventually("the destination is deleted", || health() == [None, None, Some(0.0)]);
    for endpoint in ["destinations", "policies", "silences"] {
        assert!(requests(&daemon, endpoint, "ok") > Some(0.0), "{endpoint}");
    }
}
