//! When an input is expected to be live: at the scrape, and foretold.

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
fn a_window_opens_and_closes_without_a_reload() {
    let (from, until) = (clock::now().plus(Duration::from_secs(4)), clock::now().plus(Duration::from_secs(6)));
    let site = site(&format!("[{{ from = {from}, until = {until} }}]"));
    let daemon = Daemon::start_with(site.path(), ["--config.file=site.toml"]);
    let mut seen = Vec::new();
    eventually("the window closes", || {
        let status: serde_json::Value = serde_json::from_str(&daemon.get("/api/v1/inputs").body).unwrap();
        let metric = daemon.metric(EXPECTED).expect("a configured input has it before its first event");
        seen.extend([f64::from(u8::from(status["inputs"][0]["expected"] == true)), metric]);
        clock::now() > until && seen.ends_with(&[0.0, 0.0])
    });
    seen.dedup();
    assert_eq!(seen, [0.0, 1.0, 0.0]);
    daemon.stop();
}

#[test]
fn check_config_foretells_the_next_three_changes() {
    let site = site(r#"[{ days = ["mon", "tue"], from = "22:00", to = "24:00", time_zone = "Asia/Tokyo" }]"#);
    let told = run(site.path(), &["--config.file=site.toml", "check-config"]).stdout;
    let agenda: Vec<&str> = told.lines().skip_while(|line| !line.starts_with('#')).collect();
    assert!(agenda[0].starts_with(&format!("# Gala ({GALA}) is ")), "{told}");
    assert_eq!(agenda.len(), 4, "{told}");
    for change in &agenda[1..] {
        let known = ["22:00:00+09:00  expected", "00:00:00+09:00  not expected"];
        assert!(known.iter().any(|end| change.ends_with(end)), "{change}");
    }
}
