//! The health section of the status page: what it shows equals the metrics and `check-config`, and it has no secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::daemon::{Daemon, command, fixture, notification, run};

const INPUT: &str = "0123456789abcdef0123456789abcdef";
const SITE: &str = r#"
    [webhook.secret_files]
    first = "first"
    second = "second"
    [inputs]
    max = 7
    [[inputs.list]]
    id = "0123456789abcdef0123456789abcdef"
    name = "Main"
    "#;

/// A daemon with two secrets in files, one in the environment, and TLS on the private listener's settings as in `site`.
fn start(folder: &Path, site: &str) -> Daemon {
    fs::write(folder.join("exporter.toml"), site).unwrap();
    fs::write(folder.join("first"), "first-secret-value\n").unwrap();
    fs::write(folder.join("second"), "second-secret-value\n").unwrap();
    let mut command = command(folder);
    command
        .arg("--config.file=exporter.toml")
        .env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__THIRD", "third-secret-value");
    Daemon::spawn(command, folder)
}

/// A line of the section.
struct Line(String);

impl Line {
    fn of(page: &str, id: &str) -> Self {
        let (_, line) =
            page.split_once(&format!("<tr id=\"health-{id}\">")).unwrap_or_else(|| panic!("no {id}: {page}"));
        Self(line.split("</tr>").next().unwrap().to_owned())
    }

    /// What is between these texts, each time.
    fn between(&self, before: &str, after: &str) -> Vec<String> {
        self.0.split(before).skip(1).map(|rest| rest.split(after).next().unwrap().to_owned()).collect()
    }

    fn numbers(&self) -> Vec<f64> {
        self.between("<data value=\"", "\"").iter().map(|number| number.parse().unwrap()).collect()
    }

    /// The first time, in seconds.
    fn seconds(&self) -> f64 {
        let time: jiff::Timestamp = self.between("datetime=\"", "\"")[0].parse().unwrap();
        time.as_second() as f64
    }

    fn level(&self) -> String {
        self.between("<td class=\"", "\"")[0].clone()
    }
}

#[test]
fn every_value_equals_the_metric_of_the_same_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path(), SITE);
    let event = notification(INPUT, "connected", "2026-01-02T03:04:05Z");
    assert_eq!(daemon.post_with("first-secret-value", &event).status, 200);
    assert_eq!(daemon.post_with("third-secret-value", &fixture("save-and-test-properly")).status, 200);
    // Housekeeping changes the size, and closed connections end later: both are read until neither changes.
    let (metrics, page) = std::iter::repeat_with(|| (daemon.metrics(), daemon.get("/").body, daemon.metrics()))
        .find(|(before, _, after)| {
            let changing = |metrics: &BTreeMap<String, f64>| {
                let mut metrics = metrics.clone();
                let names = ["stream_live_exporter_journal_size_bytes", "stream_live_exporter_connections{"];
                metrics.retain(|series, _| names.iter().any(|name| series.starts_with(name)));
                metrics
            };
            changing(before) == changing(after)
        })
        .map(|(before, page, _)| (before, page))
        .unwrap();
    let line = |id: &str| Line::of(&page, id);
    let metric = |name: &str| metrics[&format!("stream_live_exporter_{name}")];
    assert_eq!(line("journal").numbers(), [metric("journal_size_bytes"), metric("journal_events")]);
    assert_eq!(line("inputs").numbers(), [metric("inputs")]);
    assert!(line("inputs").0.contains(&format!(" of {}", metric("inputs_limit"))), "{}", line("inputs").0);
    for secret in ["first", "third"] {
        let used = metric(&format!("secret_last_used_timestamp_seconds{{secret=\"{secret}\"}}"));
        assert_eq!(line(&format!("secret-{secret}")).seconds(), used.floor(), "{secret}");
    }
    assert_eq!(line("reload").seconds(), metric("config_last_reload_success_timestamp_seconds").floor());
    assert_eq!(line("started").seconds(), metrics["process_start_time_seconds"].floor());
    for listener in ["webhook", "web"] {
        let open = metric(&format!("connections{{listener=\"{listener}\"}}"));
        let refused = metrics.iter().filter(|(series, _)| {
            series.starts_with("stream_live_exporter_connections_refused_total")
                && series.contains(&format!("listener=\"{listener}\""))
        });
        assert_eq!(line(&format!("connections-{listener}")).numbers(), [open, refused.map(|(_, count)| count).sum()]);
    }
    let build = metrics.keys().find(|series| series.starts_with("stream_live_exporter_build_info")).unwrap();
    for part in line("build").between("<code>", "</code>") {
        assert!(build.contains(&format!("=\"{part}\"")), "{part} is not in {build}");
    }
    assert_eq!(line("queue").numbers(), [0.0, 0.0]);
    assert!(line("commit").seconds() >= metric("last_notification_timestamp_seconds").floor());
    assert_eq!(line("journal").seconds(), metric("secret_last_used_timestamp_seconds{secret=\"first\"}").floor());
    // The second secret was never used.
    let levels = ["first", "second", "third"].map(|secret| line(&format!("secret-{secret}")).level());
    assert_eq!(levels, ["ok", "warn", "ok"]);
}

#[test]
fn effective_configuration_and_warnings_are_those_of_check_config_and_no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let site = SITE.replace("[inputs]", "[storage]\nretention = \"1h\"\n[inputs]");
    let daemon = start(folder.path(), &site);
    let page = daemon.get("/").body;
    let unescaped = page.replace("&#34;", "\"").replace("&#60;", "<").replace("&#62;", ">").replace("&#39;", "'");
    let arguments = [
        "check-config",
        "--config.file=exporter.toml",
        "--webhook.listen-address=127.0.0.1:0",
        "--web.listen-address=127.0.0.1:0",
    ];
    let checked = run(folder.path(), &arguments);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let settings: Vec<_> = checked.stdout.lines().filter_map(|line| line.split_once("  # ")).collect();
    assert!(settings.len() > 40, "{}", checked.stdout);
    // The daemon has other flags.
    let is_same = |(setting, origin): &(&str, &str)| !origin.starts_with("--") && !setting.starts_with("log.format");
    for (setting, origin) in settings.into_iter().filter(is_same) {
        let row = format!("<code>{}</code></td><td>{origin}</td>", setting.trim_end());
        assert!(unescaped.contains(&row), "{row} is not on the page");
    }
    assert!(unescaped.contains("<code>webhook.secrets.third = \"<secret>\"</code>"), "{page}");
    let warnings: Vec<_> = checked.stderr.lines().filter_map(|line| line.split_once("warning: ")).collect();
    // The check also warns that it cannot ask the daemon, whose address is another one.
    let is_same = |(_, warning): &(&str, &str)| !warning.contains("/api/v1/inputs");
    let warnings: Vec<_> = warnings.into_iter().filter(is_same).collect();
    assert!(!warnings.is_empty(), "{}", checked.stderr);
    for (_, warning) in warnings {
        assert!(unescaped.contains(&format!("<li>{warning}</li>")), "{warning} is not on the page");
    }

    fs::write(folder.path().join("exporter.toml"), format!("{site}\nunknown = 1")).unwrap();
    assert_eq!(daemon.post_private("/-/reload").status, 500);
    let failed = daemon.get("/").body;
    assert_eq!(Line::of(&failed, "reload").level(), "bad");
    assert!(failed.contains("unknown"), "{failed}");
    for body in ["not JSON", "{}"] {
        daemon.post_with("third-secret-value", body);
    }
    let pages = [
        "/",
        "/unrecognized",
        "/unrecognized/1",
        "/unrecognized/2",
        "/actions/reload",
        "/inputs/0123456789abcdef0123456789abcdef",
    ];
    for address in pages {
        let body = daemon.get(address).body;
        for secret in ["first-secret-value", "second-secret-value", "third-secret-value"] {
            assert!(!body.contains(secret), "{address}");
        }
    }
}

#[test]
fn keys_that_need_a_restart_are_named_after_a_reload_and_show_the_value_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path(), SITE);
    let changed =
        SITE.replace("[inputs]", "[web]\ngrafana_url = \"https://grafana.example\"\ncompression = false\n[inputs]");
    fs::write(folder.path().join("exporter.toml"), changed).unwrap();
    assert_eq!(daemon.post_private("/-/reload").status, 200);
    let page = daemon.get("/").body;
    let line = Line::of(&page, "reload");
    assert_eq!(
        (line.level(), line.between("<code>", "</code>")),
        ("warn".to_owned(), vec!["web.compression".to_owned()])
    );
    for setting in ["web.compression = &#34;true&#34;", "web.grafana_url = &#34;https://grafana.example&#34;"] {
        assert!(page.contains(setting), "{setting} is not in {page}");
    }
}
