//! Lost notifications are found and corrected.

use std::time::Duration;

use stream_live_exporter::clock;
use stream_live_exporter::simulate::cloudflare::StatusForm;
use stream_live_exporter::simulate::{Fact, FactKind};

use super::{MAIN, Mock, account, account_id, daemon};
use crate::daemon::{Daemon, eventually, notification};

/// The account of the fixtures.
const ACCOUNT: &str = "9035f53656ca2b7a4e1b0f5b1f2b9c4d";

#[test]
fn lost_disconnect_is_corrected_and_counted_and_survives_a_restart() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    let input_id = MAIN.parse().unwrap();
    let connected = clock::now().minus(Duration::from_secs(900));
    let disconnected = connected.plus(Duration::from_secs(600));
    {
        let mut api = mock.api();
        let account = api.account(ACCOUNT.parse().unwrap());
        account.add_input(input_id, "Main stage", connected).status = StatusForm::Object;
        for (kind, updated_at) in [(FactKind::Connected, connected), (FactKind::Disconnected, disconnected)] {
            account.learn(&Fact { input_id, kind, updated_at });
        }
    }
    let keys = "inventory = true\nreconcile = true\nrequest_share = 1";
    let configuration = account(&mock.base_url(), keys).replace(&account_id(1).to_string(), ACCOUNT);
    let daemon = daemon(folder.path(), &configuration);
    assert_eq!(daemon.post(&notification(MAIN, "connected", &connected.to_string())).status, 200);
    let metric = |daemon: &Daemon, name: &str| {
        daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{MAIN}\"}}"))
    };
    // Not by a scrape: counters hold what one has shown.
    let state = |state: &str| daemon.get("/api/v1/inputs").body.contains(&format!("\"state\":\"{state}\""));
    assert!(state("connected"));
    eventually("the state is corrected", || state("disconnected"));
    assert_eq!(metric(&daemon, "connected"), Some(0.0));
    let corrections = |to: &str| {
        daemon.metric(&format!("stream_live_exporter_corrections_total{{source=\"cloudflare\",to=\"{to}\"}}"))
    };
    assert_eq!((corrections("disconnected"), corrections("connected")), (Some(1.0), Some(0.0)));
    assert_eq!(metric(&daemon, "connected_seconds_total").map(f64::round), Some(600.0));
    let seconds = disconnected.as_millis() as f64 / 1000.0;
    assert_eq!(metric(&daemon, "state_timestamp_seconds"), Some(seconds));
    let events = daemon.samples("cloudflare_stream_live_input_events_total");
    assert_eq!(events.values().sum::<f64>(), 1.0);
    assert!(daemon.stop().success());
    let restarted = Daemon::start(folder.path());
    assert_eq!(metric(&restarted, "connected"), Some(0.0));
}
