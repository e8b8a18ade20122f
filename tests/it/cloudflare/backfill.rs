//! Events from the notification history, and ingest quality.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use stream_live_exporter::clock;
use stream_live_exporter::event::Timestamp;
use stream_live_exporter::simulate::cloudflare::Fault;
use stream_live_exporter::simulate::{Fact, FactKind, Notification, POLICIES};

use super::{MAIN, Mock, account, account_id, daemon, requests, section};
use crate::daemon::{Daemon, Ran, ended, eventually, notification, run};
use crate::postgres::Cluster;

const BACKFILLED: &str = "stream_live_exporter_last_downtime_backfilled";
const APPENDS: &str = "stream_live_exporter_journal_appends_total";

fn ago(seconds: u64) -> Timestamp {
    clock::now().minus(Duration::from_secs(seconds))
}

/// Adds events of the main input to the history, each as two policies sent it.
fn add(mock: &Mock, facts: &[(FactKind, Timestamp)]) {
    let mut api = mock.api();
    let history = &mut api.account(account_id(1)).alerting.history;
    for (number, (kind, updated_at)) in facts.iter().enumerate() {
        let fact = Fact { input_id: MAIN.parse().unwrap(), kind: *kind, updated_at: *updated_at };
        let sent_at = updated_at.plus(Duration::from_secs(3));
        for policy in &POLICIES[..2] {
            let notification = Notification { fact, policy, correlation_id: number as u128, sent_at };
            history.add(notification, &Arc::from("exporter"));
        }
    }
}

/// A session with a reconnect and an error.
fn session() -> [(FactKind, Timestamp); 5] {
    let begin = ago(400);
    let after = |seconds| begin.plus(Duration::from_secs(seconds));
    [
        (FactKind::Connected, begin),
        (FactKind::error("ERR_GOP_OUT_OF_RANGE"), after(50)),
        (FactKind::Disconnected, after(100)),
        (FactKind::Connected, after(120)),
        (FactKind::Disconnected, after(300)),
    ]
}

fn metric(daemon: &Daemon, name: &str) -> Option<f64> {
    let (name, labels) = name.split_once('{').unwrap_or((name, ""));
    let separator = if labels.is_empty() { "}" } else { "," };
    daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{MAIN}\"{separator}{labels}"))
}

/// The numbers of the main input: events by kind, sessions, reconnects, connected, and seconds connected.
fn numbers(daemon: &Daemon) -> [Option<f64>; 7] {
    let names = [
        "events_total{event=\"connected\"}",
        "events_total{event=\"disconnected\"}",
        "events_total{event=\"errored\"}",
        "sessions_total",
        "reconnects_total",
        "connected",
        "connected_seconds_total",
    ];
    names.map(|name| metric(daemon, name).map(f64::round))
}

fn sources(daemon: &Daemon) -> Vec<String> {
    let events: Value = serde_json::from_str(&daemon.get("/api/v1/events").body).unwrap();
    let events = events["events"].as_array().unwrap();
    events.iter().map(|event| event["source"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn events_of_a_downtime_are_recorded_once_at_the_start() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    let configuration = account(&mock.base_url(), "backfill = true\nrequest_share = 1");
    let start = || daemon(folder.path(), &configuration);
    let first = start();
    let connected = ago(1800);
    for (event, at) in [("connected", connected), ("disconnected", connected.plus(Duration::from_secs(100)))] {
        assert_eq!(first.post(&notification(MAIN, event, &at.to_string())).status, 200);
    }
    assert_eq!(first.metric(BACKFILLED), None, "it has not run before");
    assert!(first.stop().success());

    let session = session();
    add(&mock, &session);
    mock.api().inject("/alerting/v3/history", Fault::ErrorPage(503));
    let second = start();
    eventually("the first request fails", || requests(&second, "history", "server_error") == Some(1.0));
    assert_eq!(second.metric(BACKFILLED), Some(0.0));
    eventually("the downtime is backfilled", || second.metric(BACKFILLED) == Some(1.0));
    // Two connects and disconnects more, an error, a session and a reconnect.
    let truth = [3.0, 3.0, 1.0, 2.0, 1.0, 0.0, 380.0].map(Some);
    assert_eq!(numbers(&second), truth);
    assert_eq!(second.metric(APPENDS), Some(5.0));
    let (from_history, delivered) = (["history"; 5], ["webhook"; 2]);
    assert_eq!(sources(&second), [&from_history[..], &delivered[..]].concat());
    let delays = "cloudflare_stream_live_notification_delivery_delay_seconds_count";
    assert_eq!(second.metric(delays), Some(0.0), "the history has no delay of a delivery");
    // A notification that is late is known.
    let late = notification(MAIN, "disconnected", &session[2].1.to_string());
    assert!(second.post(&late).body.contains("duplicate"));
    assert!(second.stop().success());
    let exported = run(folder.path(), &["journal", "export"]).stdout;
    assert_eq!(exported.matches("\"source\":\"history\"").count(), 5);

    let third = start();
    eventually("the downtime is backfilled", || third.metric(BACKFILLED) == Some(1.0));
    assert_eq!(numbers(&third), truth);
    assert_eq!(third.metric(APPENDS), Some(0.0), "nothing is recorded twice");
}

#[test]
fn downtime_is_backfilled_when_the_history_of_every_account_was_read() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    let mut configuration = section(&mock.base_url(), "backfill = true\nrequest_share = 1");
    for number in [1, 2] {
        let id = account_id(number);
        mock.api().account(id);
        let _ = write!(
            configuration,
            "[[cloudflare.accounts]]\nname = \"a{number}\"\naccount_id = \"{id}\"\ntoken_file = \"token\"\n"
        );
    }
    assert!(daemon(folder.path(), &configuration).stop().success());
    add(&mock, &session());
    mock.api().inject(format!("{}/alerting/v3/history", account_id(2)), Fault::ErrorPage(503));
    let daemon = daemon(folder.path(), &configuration);
    eventually("one history is read, the other is not", || {
        requests(&daemon, "history", "ok") >= Some(1.0) && requests(&daemon, "history", "server_error") == Some(1.0)
    });
    assert_eq!(daemon.metric(BACKFILLED), Some(0.0));
    eventually("both are read", || daemon.metric(BACKFILLED) == Some(1.0));
    assert_eq!(numbers(&daemon)[..2], [Some(2.0); 2]);
}

#[test]
fn request_to_backfill_is_guarded_and_needs_a_past_time_and_an_account() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    let daemon = Daemon::start(folder.path());
    let post =
        |daemon: &Daemon, query: &str| daemon.post_private(&format!("/api/v1/cloudflare/backfill{query}")).status;
    let since = format!("?since={}", ago(3600));
    assert_eq!(post(&daemon, &since), 409, "no account is configured");
    assert_eq!(daemon.get("/api/v1/cloudflare/backfill").status, 405);
    assert!(daemon.stop().success());

    let daemon = super::daemon(folder.path(), &account(&mock.base_url(), ""));
    for (query, status) in [
        ("", 400),
        ("?since=", 400),
        ("?since=1h", 400),
        ("?since=9999-01-01T00:00:00Z", 400),
        (&format!("{since}&until=x"), 400),
        (&since, 202),
    ] {
        assert_eq!(post(&daemon, query), status, "{query}");
    }
    let url = format!("{}/api/v1/cloudflare/backfill{since}", daemon.private);
    let foreign = ureq::post(&url).header("origin", "http://example.com").config().http_status_as_error(false).build();
    assert_eq!(foreign.send_empty().unwrap().status(), 403);
    eventually("the history is read", || status(&daemon)["backfill"]["running"] == false);
}

/// The state of the tasks of the account.
fn status(daemon: &Daemon) -> Value {
    let status: Value = serde_json::from_str(&daemon.get("/api/v1/cloudflare").body).unwrap();
    status["accounts"][0].clone()
}

#[test]
fn state_of_the_tasks_names_last_success_and_last_error() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    mock.api().account(account_id(1));
    let daemon = daemon(folder.path(), &account(&mock.base_url(), "inventory = true\nquality = true"));
    let success = |task: &str| status(&daemon)["tasks"][task]["last_success"].is_string();
    eventually("inventory and quality are asked", || success("inventory") && success("quality"));
    assert_eq!(status(&daemon)["account_id"], account_id(1).to_string());
    assert_eq!(status(&daemon)["tasks"]["inventory"]["error"], Value::Null);
    assert_eq!(status(&daemon)["backfill"], Value::Null);

    mock.api().inject("/alerting/v3/history", Fault::Error { status: 403, code: 10000 });
    let since = format!("/api/v1/cloudflare/backfill?since={}", ago(3600));
    assert_eq!(daemon.post_private(&since).status, 202);
    eventually("the backfill ends", || status(&daemon)["backfill"]["running"] == false);
    for error in [&status(&daemon)["backfill"]["error"], &status(&daemon)["tasks"]["history"]["error"]] {
        assert!(error.as_str().unwrap().contains("403"), "{error}");
    }
    assert!(status(&daemon)["tasks"]["history"]["last_failure"].is_string());
}

#[test]
fn ingest_quality_is_shown_while_there_are_samples() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    let input_id = MAIN.parse().unwrap();
    let fact = Fact { input_id, kind: FactKind::Connected, updated_at: ago(300) };
    mock.api().account(account_id(1)).learn(&fact);
    let keys = "quality = true\nquality_interval = \"5s\"\ninventory = true\ninventory_interval = \"5s\"";
    let daemon = daemon(folder.path(), &account(&mock.base_url(), keys));
    let gop = || metric(&daemon, "gop_duration_seconds{stat=\"avg\"}");
    eventually("the quality is known", || gop() == Some(2.0));
    assert_eq!(metric(&daemon, "gop_duration_seconds{stat=\"max\"}"), Some(2.2));
    assert_eq!(metric(&daemon, "upload_duration_ratio{stat=\"avg\"}"), Some(0.4));
    assert_eq!(metric(&daemon, "bitrate_bits_per_second{stat=\"avg\"}"), Some(4_500_000.0));
    mock.api().account(account_id(1)).delete_input(input_id);
    eventually("the series end", || gop().is_none());
}

/// Runs `cloudflare backfill` with the configuration of [`daemon`].
fn backfill(folder: &std::path::Path, arguments: &[&str]) -> Ran {
    run(folder, &[&["cloudflare", "backfill", "--config.file=exporter.toml"], arguments].concat())
}

/// The numbers of a line that begins with this text.
fn line_numbers(output: &str, beginning: &str) -> Vec<u64> {
    let line = output.lines().find_map(|line| line.strip_prefix(beginning)).unwrap_or_else(|| panic!("{output}"));
    line.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn command_reads_the_history_of_a_running_daemon_and_of_a_stopped_one() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    let configuration = account(&mock.base_url(), "");
    let session = session();
    add(&mock, &session[..3]);
    let other = serde_json::json!({ "alert_type": "billing_usage_alert" });
    mock.api().account(account_id(1)).alerting.history.add_other(ago(50), other, Value::Null);
    let running = daemon(folder.path(), &configuration);
    let title = format!("account {}: ", account_id(1));
    let summary = |ran: &Ran| {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        (line_numbers(&ran.stdout, &title), line_numbers(&ran.stdout, "  "))
    };
    let url = running.private.clone();
    let online = |since: &str| backfill(folder.path(), &["--url", &url, "--since", since]);
    // Seven notifications: two of each event, and one of another product.
    assert_eq!(summary(&online("1h")), (vec![7, 3, 0, 1], vec![1]));
    assert_eq!(summary(&online(&ago(3600).to_string())), (vec![7, 0, 3, 1], vec![1]));

    let offline = |since: &str| backfill(folder.path(), &["--offline", "--since", since]);
    assert_eq!(offline("1h").code, Some(1), "the daemon runs");
    assert!(running.stop().success());
    assert_eq!(online("1h").code, Some(1), "the daemon is stopped");
    add(&mock, &session[3..]);
    assert_eq!(summary(&offline("1h")), (vec![11, 2, 3, 1], vec![1]));
    assert_eq!(summary(&offline("1h")), (vec![11, 0, 5, 1], vec![1]));
    mock.api().inject("/alerting/v3/history", Fault::Error { status: 403, code: 10000 });
    let refused = offline("1h");
    assert_eq!((refused.code, line_numbers(&refused.stdout, &title)), (Some(1), vec![0, 0, 0, 0]));
    assert!(refused.stderr.contains("403") && !refused.stderr.contains(super::TOKEN), "{refused:?}");
    for since in ["yesterday", "9999-01-01T00:00:00Z"] {
        assert_eq!(offline(since).code, Some(2), "{since}");
    }

    let running = daemon(folder.path(), &configuration);
    assert_eq!(numbers(&running), [2.0, 2.0, 1.0, 1.0, 1.0, 0.0, 280.0].map(Some));
}

#[test]
fn command_reads_the_history_into_a_shared_journal_that_a_replica_uses() {
    let Some(cluster) = Cluster::start() else { return };
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    add(&mock, &session());
    let secret = folder.path().join("secret");
    fs::write(&secret, "0123456789abcdef").unwrap();
    fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
    let (url, password) = (cluster.url(), cluster.password_file());
    let storage = format!(
        "[storage]\nurl = \"{url}\"\npassword_file = \"{}\"\n[webhook.secret_files]\ndefault = \"secret\"\n",
        password.display()
    );
    let running = daemon(folder.path(), &format!("{storage}{}", account(&mock.base_url(), "")));
    let read = || {
        let ran = backfill(folder.path(), &["--offline", "--since", "1h"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        line_numbers(&ran.stdout, &format!("account {}: ", account_id(1)))
    };
    assert_eq!(read(), [10, 5, 0, 0]);
    eventually("the replica follows", || numbers(&running)[0] == Some(2.0));
    assert_eq!(read(), [10, 0, 5, 0]);
    assert!(running.stop().success());
    let running = daemon(folder.path(), &format!("{storage}{}", account(&mock.base_url(), "")));
    assert_eq!(numbers(&running), [2.0, 2.0, 1.0, 1.0, 1.0, 0.0, 280.0].map(Some));
}

#[test]
fn interrupted_command_ends_and_the_daemon_goes_on() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    add(&mock, &session());
    let daemon = daemon(folder.path(), &account(&mock.base_url(), ""));
    mock.api().inject("/alerting/v3/history", Fault::Slow(Duration::from_secs(5)));
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder.path()).args(["cloudflare", "backfill", "--since=1h", "--url", &daemon.private]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the history is asked for", || mock.api().requests() > 0);
    let interrupted = Command::new("kill").args(["-INT", &command.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let ran = ended(command);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(130), ""), "{ran:?}");
    eventually("the history is read", || status(&daemon)["backfill"]["new"] == 5);
}
