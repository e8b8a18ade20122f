//! A changed configuration while the daemon runs, by SIGHUP and by `POST /-/reload`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::daemon::{Answer, Daemon, eventually, fixture, notification};

const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const YARD: &str = "0123456789abcdef0123456789abcdef";
const KEPT: &str = "reload failed: the previous configuration stays in force";
const RELOADED: &str = "configuration reloaded";
const SUCCESSFUL: &str = "stream_live_exporter_config_last_reload_successful";
const SUCCESS_TIMESTAMP: &str = "stream_live_exporter_config_last_reload_success_timestamp_seconds";

/// A daemon with this configuration file, and its own account of what it logged.
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
        self.daemon.log().iter().filter(|line| line["message"] == message).count()
    }

    /// Reloads by SIGHUP or by request, and waits until the log says `message` once more.
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

    /// The names of the secrets whose last use is told.
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

fn takes_names_secrets_and_level(by_signal: bool) {
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
    assert_eq!(it.logged("notification without event"), 1, "what was posted at the level debug");
    eventually("the name is the old one", || it.names() == ["Main stage"]);
    assert_eq!(it.secrets_used(), ["next", "site"]);
}

#[test]
fn a_secret_that_was_removed_is_forgotten_by_a_reload_and_by_a_restart() {
    let both = "[webhook.secret_files]\nold = \"first\"\nnew = \"second\"\n";
    let last = "[webhook.secret_files]\nnew = \"second\"\n";
    for by_reload in [true, false] {
        let mut it = Site::start(both);
        assert_eq!([it.status_with("first-secret"), it.status_with("second-secret")], [200, 200]);
        assert_eq!(it.secrets_used(), ["new", "old"]);
        it.configure(last);
        if by_reload {
            it.reload(false, RELOADED);
            eventually("the old one is gone", || it.secrets_used() == ["new"]);
        } else {
            it.daemon.signal("TERM");
            it.daemon.wait_for("stopped");
            it.daemon = Daemon::start_with(it.path(), ["--config.file=exporter.toml"]);
        }
        assert_eq!(it.secrets_used(), ["new"]);
        // Who comes back has not been here.
        it.configure(both);
        it.reload(false, RELOADED);
        assert_eq!(it.status_with("second-secret"), 200);
        assert_eq!(it.secrets_used(), ["new"]);
        assert_eq!(it.status_with("first-secret"), 200);
        assert_eq!(it.secrets_used(), ["new", "old"]);
    }
}

#[test]
fn a_signal_takes_over_names_secrets_and_log_level() {
    takes_names_secrets_and_level(true);
}

#[test]
fn a_request_takes_over_names_secrets_and_log_level() {
    takes_names_secrets_and_level(false);
}

#[test]
fn limits_are_taken_over() {
    let limits = |max: u32, size: &str, window: &str| {
        format!(
            "[webhook]\nmax_body_size = \"{size}\"\n\n[inputs]\nmax = {max}\nreconnect_window = \"{window}\"\n\n\
             [[inputs.list]]\nid = \"{MAIN}\"\nname = \"Main stage\"\n"
        )
    };
    for by_signal in [true, false] {
        let it = Site::start(&limits(1, "300B", "60s"));
        let post =
            |id, event, time: &str| it.daemon.post(&notification(id, event, &format!("2026-11-20T{time}Z"))).body;
        let limit = || it.daemon.metric("stream_live_exporter_inputs_limit");
        let large = format!("{}{}", fixture("connected"), " ".repeat(300));
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
        // Ten seconds are a reconnect no longer.
        let sessions = format!("cloudflare_stream_live_input_sessions_total{{input_id=\"{YARD}\"}}");
        assert_eq!(it.daemon.metric(&sessions), Some(2.0));
    }
}

#[test]
fn a_bad_configuration_changes_nothing_and_says_everything_that_is_wrong() {
    let good = site("first", "info", "Main stage");
    let bad = format!(
        "[webhook]\nmax_body_size = \"big\"\nmax_body_sise = \"64KiB\"\n\n[webhook.secret_files]\nsite = \"second\"\n\n\
         [log]\nlevel = \"loud\"\n\n[[inputs]]\nid = \"{MAIN}\"\nname = \"Other name\"\n\n\
         [[inputs]]\nid = \"1\"\nname = \"\"\n"
    );
    let problems = "exporter.toml: webhook.max_body_size: not a size: \"big\" (expected for example 64KiB)\n\
                    exporter.toml: inputs[1].id: not an input id: expected 32 hexadecimal digits, not \"1\"\n\
                    exporter.toml: inputs[1].name: must not be empty\n\
                    exporter.toml: log.level: not a level: \"loud\" (expected error, warn, info, debug or trace)\n\
                    exporter.toml: webhook.max_body_sise: unknown key";
    let it = Site::start(&good);
    let loaded_at = it.daemon.metric(SUCCESS_TIMESTAMP);
    assert!(loaded_at.is_some());
    assert_eq!(it.daemon.metric(SUCCESSFUL), Some(1.0));
    let missing_secret = good.replace("\"first\"", "\"nowhere\"");
    let nowhere = "nowhere: the secret cannot be read: No such file or directory (os error 2)";
    let unfinished = "[log]\nlevel = ";
    for (configuration, problems) in
        [(bad.as_str(), Some(problems)), (&missing_secret, Some(nowhere)), (unfinished, None)]
    {
        it.configure(configuration);
        for by_signal in [true, false] {
            let line = it.reload(by_signal, KEPT);
            assert_eq!(line["level"], "ERROR");
            if let Some(problems) = problems {
                assert_eq!(line["problems"], problems);
            }
            assert_eq!(it.daemon.metric(SUCCESSFUL), Some(0.0));
            assert_eq!(it.daemon.metric(SUCCESS_TIMESTAMP), loaded_at);
            assert_eq!([it.status_with("first-secret"), it.status_with("second-secret")], [200, 401]);
            assert_eq!(it.names(), ["Main stage"]);
        }
        let count = it.logged(KEPT) + 1;
        let Answer { status, body } = it.daemon.post_private("/-/reload");
        // Or the next round would take it for its own.
        it.daemon.wait_for_count(KEPT, count);
        let (_, told) = body.split_once('\n').expect("the problems follow a first line");
        assert_eq!((status, told.trim_end()), (500, problems.unwrap_or(told.trim_end())));
        assert!(told.contains("exporter.toml: ") || told.starts_with("nowhere: "), "{told}");
    }
    it.configure(&good);
    assert_eq!(it.daemon.post_private("/-/reload"), Answer { status: 200, body: "reloaded\n".into() });
    assert_eq!(it.daemon.metric(SUCCESSFUL), Some(1.0));
    assert!(it.daemon.metric(SUCCESS_TIMESTAMP) > loaded_at);
}

#[test]
fn what_only_a_restart_changes_is_named() {
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
    assert_eq!(it.status_with(&secret), 200, "the webhook is where it was");
    assert_eq!(it.daemon.get("/metrics").status, 200);
}

#[test]
fn a_data_folder_that_waits_for_the_restart_does_not_change_the_secret_before() {
    let it = Site::start("");
    let secret = it.daemon.secret().to_owned();
    fs::create_dir(it.path().join("moved")).unwrap();
    it.configure("[storage]\npath = \"moved\"\n");
    it.reload(false, RELOADED);
    let line = it.daemon.wait_for("some changed keys need a restart to take effect");
    assert_eq!(line["keys"], "storage.path");
    assert_eq!(it.status_with(&secret), 200);
}
