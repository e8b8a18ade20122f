//! When an input is expected to be live: in the metrics, and in `check-config`.

use std::fs;
use std::time::Duration;

use stream_live_exporter::clock;

use crate::daemon::{Daemon, eventually, run};

const GALA: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const EXPECTED: &str = "cloudflare_stream_live_input_expected{input_id=\"2c28dd2cc444cb77578c4840b51e43a8\"}";

fn site(expected: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[[inputs]]\nid = \"{GALA}\"\nname = \"Gala\"\nexpected = {expected}\n");
    fs::write(folder.path().join("site.toml"), text).unwrap();
    folder
}

#[test]
fn expected_metric_follows_a_window_without_a_reload() {
    // Longer windows for a machine that is too busy to scrape a short one in time.
    let seen = [4, 12, 24].into_iter().find_map(|seconds| watch_a_window(Duration::from_secs(seconds)));
    assert_eq!(seen.expect("the daemon was scraped before and during the window"), [0.0, 1.0, 0.0]);
}

/// The values that a daemon exposes for a window that opens after `length` and stays open for
/// `length`, without repetitions; `None` if no scrape happened before or during the window.
fn watch_a_window(length: Duration) -> Option<Vec<f64>> {
    let from = clock::now().plus(length);
    let until = from.plus(length);
    let site = site(&format!("[{{ from = {from}, until = {until} }}]"));
    let daemon = Daemon::start_with(site.path(), ["--config.file=site.toml"]);
    let (mut seen, mut before, mut within) = (Vec::new(), false, false);
    eventually("the window closes", || {
        let asked = clock::now();
        let status: serde_json::Value = serde_json::from_str(&daemon.get("/api/v1/inputs").body).unwrap();
        let metric = daemon.metric(EXPECTED).expect("a configured input has it before its first event");
        seen.extend([f64::from(u8::from(status["inputs"][0]["expected"] == true)), metric]);
        let answered = clock::now();
        before |= answered < from;
        within |= from < asked && answered < until;
        asked > until && seen.ends_with(&[0.0, 0.0])
    });
    daemon.stop();
    seen.dedup();
    (before && within).then_some(seen)
}

#[test]
fn check_config_prints_the_next_three_changes() {
    let site = site(r#"[{ days = ["mon", "tue"], from = "22:00", to = "24:00", time_zone = "Asia/Tokyo" }]"#);
    let printed = run(site.path(), &["--config.file=site.toml", "check-config", "--syntax-only"]).stdout;
    let agenda: Vec<&str> = printed.lines().skip_while(|line| !line.starts_with('#')).collect();
    assert!(agenda[0].starts_with(&format!("# Gala ({GALA})")), "{printed}");
    assert_eq!(agenda.len(), 4, "{printed}");
    for change in &agenda[1..] {
        let known = ["22:00:00+09:00  expected", "00:00:00+09:00  not expected"];
        assert!(known.iter().any(|end| change.ends_with(end)), "{change}");
    }
}
