//! Expected inputs that are off air while the disk hangs: the shipped page fires in a real Prometheus.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use stream_live_exporter::clock;

use super::hang::hang_syncs;
use super::strace;
use crate::connection::{Connection, webhook_request};
use crate::daemon::{Daemon, eventually, notification};
use crate::prometheus::Prometheus;
use crate::tools::tool;

/// Off air before the disk hangs, and always expected.
const ALWAYS: &str = "2c28dd2cc444cb77578c4840b51e43a8";
/// Off air before the disk hangs, and expected from a time at which it hangs.
const LATER: &str = "0123456789abcdef0123456789abcdef";
/// Goes off air while the disk hangs, and always expected.
const LIVE: &str = "eb222fcca08eeb1ae84c981ebe8aeeb6";

/// A daemon with these inputs.
fn start(folder: &Path) -> Daemon {
    let opens = clock::now().plus(Duration::from_secs(15));
    let closes = opens.plus(Duration::from_secs(3600));
    let site = format!(
        "[[inputs]]\nid = \"{ALWAYS}\"\nname = \"Lobby\"\nexpected = \"always\"\n\
         [[inputs]]\nid = \"{LIVE}\"\nname = \"Chapel\"\nexpected = \"always\"\n\
         [[inputs]]\nid = \"{LATER}\"\nname = \"Gala\"\nexpected = [{{ from = {opens}, until = {closes} }}]\n"
    );
    fs::write(folder.join("site.toml"), site).unwrap();
    let daemon = Daemon::start_with(folder, ["--config.file=site.toml"]);
    for (input, event) in [(ALWAYS, "disconnected"), (LATER, "disconnected"), (LIVE, "connected")] {
        assert_eq!(daemon.post(&notification(input, event, "2026-11-20T18:00:00Z")).status, 200);
    }
    daemon
}

/// A Prometheus with the shipped rules. The page fires after a second instead of 30.
fn with_rules(program: &Path, folder: &Path) -> Prometheus {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules");
    let rules = folder.join("rules");
    fs::create_dir(&rules).unwrap();
    for file in ["exporter.yml", "inputs.yml", "notifications.yml", "settings.yml"] {
        let text = fs::read_to_string(shipped.join(file)).unwrap();
        fs::write(rules.join(file), text.replace(" for: 30s\n", " for: 1s\n")).unwrap();
    }
    // A scrape waits for a batch that hangs, for up to a second.
    let configuration =
        format!("  scrape_interval: 2s\n  scrape_timeout: 2s\nrule_files: [{}/*.yml]\n", rules.display());
    Prometheus::start_with(program, &configuration)
}

/// The ids of the inputs for which the page fires.
fn paged(prometheus: &Prometheus) -> BTreeSet<String> {
    let firing = prometheus.query(r#"ALERTS{alertname="StreamLiveInputOffAirWhileExpected",alertstate="firing"}"#);
    firing.iter().map(|alert| alert["metric"]["input_id"].as_str().expect("the label").to_owned()).collect()
}

#[test]
fn expected_input_that_is_off_air_while_the_disk_hangs_is_paged() {
    let Some(strace) = strace() else { return };
    let Some(program) = tool("PROMETHEUS", Path::new("prometheus")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let prometheus = with_rules(&program, folder.path());
    let daemon = start(folder.path());
    let gauge = |name: &str, input: &str| {
        daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{input}\"}}"))
    };
    let hung = hang_syncs(&strace, &daemon);
    assert_eq!(gauge("expected", LATER), Some(0.0), "the window opens while the disk hangs");
    // Events that are older than the newest one change nothing.
    let late = [
        (LIVE, "disconnected", "2026-11-20T19:00:00Z"),
        (LIVE, "connected", "2026-11-20T18:30:00Z"),
        (ALWAYS, "connected", "2026-11-20T17:00:00Z"),
    ];
    let sent = late.map(|(input, event, at)| {
        let mut connection = Connection::open(daemon.public_address()).unwrap();
        connection.send(&webhook_request(daemon.secret(), &notification(input, event, at))).unwrap();
        connection
    });
    for mut connection in sent {
        assert_eq!(connection.read_answer().unwrap().status, "503 Service Unavailable");
    }
    // Prometheus sees the daemon only while the disk hangs.
    prometheus.scrape(&daemon);
    eventually("all inputs are paged", || paged(&prometheus) == [ALWAYS, LATER, LIVE].map(str::to_owned).into());
    assert_eq!(daemon.get("/-/ready").status, 503);
    // Only gauges show what is not durable.
    let disconnects =
        format!("cloudflare_stream_live_input_events_total{{input_id=\"{LIVE}\",event=\"disconnected\"}}");
    assert_eq!([daemon.metric(&disconnects), gauge("connected", LIVE)], [Some(0.0); 2]);
    assert_eq!(gauge("state_timestamp_seconds", LIVE), Some(1_795_201_200.0));
    drop(hung);
    eventually("the event is recorded", || daemon.metric(&disconnects) == Some(1.0));
    assert_eq!(gauge("connected", LIVE), Some(0.0));
    assert!(daemon.stop().success());
}
