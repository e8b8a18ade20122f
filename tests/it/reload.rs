//! Reloading the configuration by SIGHUP and by `POST /-/reload`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::daemon::{Answer, Daemon, eventually, fixture, notification, path_in};

const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const YARD: &str = "0123456789abcdef0123456789abcdef";
const FAILED: &str = "reload failed: the previous configuration stays in force";
const RELOADED: &str = "configuration reloaded";
const SUCCESSFUL: &str = "stream_live_exporter_config_last_reload_successful";
const SUCCESS_TIMESTAMP: &str = "stream_live_exporter_config_last_reload_success_timestamp_seconds";

/// A daemon with a configuration file.
struct Site {
    folder: tempfile::TempDir,
    daemon: Daemon,
}

impl Site {
    fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("exporter.toml"), configuration).unwrap();
        fs::write(folder.path().join("first"), "first-secret\n").unwrap();
        fs::write(folder.path().join("second"), "second-secret\n").unwrap();
        let daemon = Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
        Self { folder, daemon }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn configure(&self, configuration: &str) {
        fs::write(self.path().join("exporter.toml"), configuration).unwrap();
    }

    fn logged(&self, message: &str) -> usize {
        self.daemon.log().iter().filter(|line| line["msg"] == message).count()
    }

    /// Reloads by SIGHUP or by request, and waits for one more log line with this message.
    fn reload(&self, by_signal: bool, message: &str) -> Value {
        let count = self.logged(message) + 1;
        if by_signal {
            self.daemon.signal("HUP");
        } else {
            let status = if message == RELOADED { 200 } else { 500 };
            assert_eq!(self.daemon.post_private("/-/reload").status, status);
        }
        self.daemon.wait_for_count(message, count)
    }

    fn status_with(&self, secret: &str) -> u16 {
        self.daemon.post_with(secret, &fixture("save-and-test-properly")).status
    }

    /// The names of the secrets whose last use is exposed.
    fn secrets_used(&self) -> Vec<String> {
        let used = self.daemon.samples("stream_live_exporter_secret_last_used_timestamp_seconds");
        used.keys().map(|series| series.split('"').nth(1).expect("the label").to_owned()).collect()
    }

    /// The names of the inputs, in the order of their ids.
    fn names(&self) -> Vec<String> {
        let info = self.daemon.samples("cloudflare_stream_live_input_info");
        info.keys().map(|series| series.split('"').nth(3).expect("the second label").to_owned()).collect()
    }
}

fn site(secret: &str, level: &str, name: &str) -> String {
    format!(
        "[webhook.secret_files]\nsite = \"{secret}\"\n\n[log]\nlevel = \"{level}\"\n\n\
         [[inputs]]\nid = \"{MAIN}\"\nname = \"{name}\"\n"
    )
}

fn check_reload_of_names_secrets_and_level(by_signal: bool) {
    let site_before = site("first", "info", "Main stage");
    let site_after = site("second", "debug", "Great hall");
    let it = Site::start(&site_before);
    assert_eq!(it.names(), ["Main stage"]);
    assert_eq!([it.status_with("first-secret"), it.status_with("second-secret")], [200, 401]);
    assert_eq!(it.logged("notification without event"), 0);

    it.configure(&site_after);
    it.reload(by_signal, RELOADED);
    assert_eq!([it.status_with("first-secret"), it.status_with("second-secret")], [401, 200]);
    it.daemon.wait_for("notification without event");
    eventually("the name is the new one", || it.names() == ["Great hall"]);

    // And back, with both secrets valid and the content of a file changed.
    fs::write(it.path().join("second"), "third-secret").unwrap();
    it.configure(&site_before.replace("site = \"first\"", "site = \"first\"\nnext = \"second\""));
    it.reload(by_signal, RELOADED);
    let statuses = ["first-secret", "second-secret", "third-secret"].map(|secret| it.status_with(secret));
    assert_eq!(statuses, [200, 401, 200]);
    assert_eq!(it.logged("notification without event"), 1, "only the one posted at level debug");
    eventually("the name is the old one", || it.names() == ["Main stage"]);
    assert_eq!(it.secrets_used(), ["next", "site"]);
}

#[test]
fn last_use_of_a_removed_secret_is_forgotten_on_reload_and_on_restart() {
    let both = "[webhook.secret_files]\nold = \"first\"\nnew = \"second\"\n";
    let last = "[webhook.secret_files]\nnew = \"second\"\n";
    for by_reload in [true, false] {
        let mut it = Site::start(both);
        assert_eq!([it.status_with("first-secret"), it.status_with("second-secret")], [200, 200]);
        assert_eq!(it.secrets_used(), ["new", "old"]);
        it.configure(last);
        if by_reload {
            it.reload(false, RELOADED);
            eventually("the old secret disappears", || it.secrets_used() == ["new"]);
        } else {
            it.daemon.signal("TERM");
            it.daemon.wait_for("stopped");
            it.daemon = Daemon::start_with(it.path(), ["--config.file=exporter.toml"]);
        }
        assert_eq!(it.secrets_used(), ["new"]);
        // A secret that is added again starts without a last use.
        it.configure(both);
        it.reload(false, RELOADED);
        assert_eq!(it.status_with("second-secret"), 200);
        assert_eq!(it.secrets_used(), ["new"]);
        assert_eq!(it.status_with("first-secret"), 200);
        assert_eq!(it.secrets_used(), ["new", "old"]);
    }
}

#[test]
fn sighup_applies_names_secrets_and_log_level() {
    check_reload_of_names_secrets_and_level(true);
}

#[test]
fn reload_request_applies_names_secrets_and_log_level() {
    check_reload_of_names_secrets_and_level(false);
}

#[test]
fn reload_applies_limits() {
    let limits = |max: u32, size: &str, window: &str| {
        format!(
            "[webhook]\nmax_body_size = \"{size}\"\n\n[inputs]\nmax = {max}\nreconnect_window = \"{window}\"\n\n\
             [[inputs.list]]\nid = \"{MAIN}\"\nname = \"Main stage\"\n"
        )
    };
    for by_signal in [true, false] {
        let it = Site::start(&limits(1, "1KiB", "60s"));
        let post =
            |id, event, time: &str| it.daemon.post(&notification(id, event, &format!("2026-11-20T{time}Z"))).body;
        let limit = || it.daemon.metric("stream_live_exporter_inputs_limit");
        let large = format!("{}{}", fixture("connected"), " ".repeat(1024));
        assert_eq!(limit(), Some(1.0));
        assert_eq!(post(YARD, "connected", "18:00:00"), r#"{"outcome":"ignored"}"#);
        assert_eq!(it.daemon.post(&large).status, 413);

        it.configure(&limits(2, "2KiB", "1s"));
        it.reload(by_signal, RELOADED);
        eventually("the limit is the new one", || limit() == Some(2.0));
        for (event, time) in [("connected", "18:00:01"), ("disconnected", "18:00:30"), ("connected", "18:00:40")] {
            assert_eq!(post(YARD, event, time), r#"{"outcome":"recorded"}"#);
        }
        assert_eq!(it.daemon.post(&large).status, 200);
        // A gap of ten seconds is longer than the new reconnect window.
        let sessions = format!("cloudflare_stream_live_input_sessions_total{{input_id=\"{YARD}\"}}");
        assert_eq!(it.daemon.metric(&sessions), Some(2.0));
    }
}

#[test]
fn invalid_configuration_changes_nothing_and_reports_all_problems() {
    let good = site("first", "info", "Main stage");
    let bad = format!(
        "[webhook]\nmax_body_size = \"big\"\nmax_body_sise = \"64KiB\"\n\n[webhook.secret_files]\nsite = \"second\"\n\n\
         [log]\nlevel = \"loud\"\n\n[[inputs]]\nid = \"{MAIN}\"\nname = \"Other name\"\n\n\
         [[inputs]]\nid = \"1\"\nname = \"\"\n"
    );
    let problems = [
        "exporter.toml: webhook.max_body_size: ",
        "exporter.toml: inputs[1].id: ",
        "exporter.toml: inputs[1].name: ",
        "exporter.toml: log.level: ",
        "exporter.toml: webhook.max_body_sise: ",
    ];
    let it = Site::start(&good);
    let loaded_at = it.daemon.metric(SUCCESS_TIMESTAMP);
    assert!(loaded_at.is_some());
    assert_eq!(it.daemon.metric(SUCCESSFUL), Some(1.0));
    let missing_secret = good.replace("\"first\"", "\"nowhere\"");
    let unfinished = "[log]\nlevel = ";
    for (configuration, problems) in
        [(bad.as_str(), &problems[..]), (&missing_secret, &["nowhere: "]), (unfinished, &["exporter.toml: "])]
    {
        let check = |reported: &str| {
            let reported = reported.replace(&path_in(it.folder.path(), ""), "");
            let lines: Vec<_> = reported.lines().collect();
            let expected = lines.iter().zip(problems).all(|(line, start)| line.starts_with(start));
            assert!(expected && lines.len() == problems.len(), "{reported}");
        };
        it.configure(configuration);
        for by_signal in [true, false] {
            let line = it.reload(by_signal, FAILED);
            assert_eq!(line["level"], "ERROR");
            check(line["problems"].as_str().expect("the problems are logged"));
            assert_eq!(it.daemon.metric(SUCCESSFUL), Some(0.0));
            assert_eq!(it.daemon.metric(SUCCESS_TIMESTAMP), loaded_at);
            assert_eq!([it.status_with("first-secret"), it.status_with("second-secret")], [200, 401]);
            assert_eq!(it.names(), ["Main stage"]);
        }
        let count = it.logged(FAILED) + 1;
        let Answer { status, body } = it.daemon.post_private("/-/reload");
        // The next round must not count this line.
        it.daemon.wait_for_count(FAILED, count);
        assert_eq!(status, 500);
        check(body.split_once('\n').expect("the problems follow a first line").1);
    }
    it.configure(&good);
    assert_eq!(it.daemon.post_private("/-/reload"), Answer { status: 200, body: "reloaded\n".into() });
    assert_eq!(it.daemon.metric(SUCCESSFUL), Some(1.0));
    assert!(it.daemon.metric(SUCCESS_TIMESTAMP) > loaded_at);
}

#[test]
fn changed_keys_that_need_a_restart_are_logged() {
    let it = Site::start("");
    let secret = it.daemon.secret().to_owned();
    let warning = "some changed keys need a restart to take effect";
    let moved = "[webhook]\npath = \"/elsewhere\"\n\n[web]\ntelemetry_path = \"/elsewhere\"\n";
    for by_signal in [true, false] {
        it.configure("");
        it.reload(by_signal, RELOADED);
        it.configure(moved);
        let count = it.logged(warning) + 1;
        it.reload(by_signal, RELOADED);
        let line = it.daemon.wait_for_count(warning, count);
        assert_eq!((&line["level"], &line["keys"]), (&"WARN".into(), &"webhook.path, web.telemetry_path".into()));
    }
    assert_eq!(it.status_with(&secret), 200, "the webhook keeps its path");
    assert_eq!(it.daemon.get("/metrics").status, 200);
}

#[test]
fn changed_data_folder_keeps_the_secret_until_the_restart() {
    let it = Site::start("");
    let secret = it.daemon.secret().to_owned();
    fs::create_dir(it.path().join("moved")).unwrap();
    it.configure("[storage]\npath = \"moved\"\n");
    it.reload(false, RELOADED);
    let line = it.daemon.wait_for("some changed keys need a restart to take effect");
    assert_eq!(line["keys"], "storage.path");
    assert_eq!(it.status_with(&secret), 200);
}
