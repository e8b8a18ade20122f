//! What `check-config` and a start say about PostgreSQL.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Daemon, Ran, command, eventually, fixture, path_in, ran, run};
use crate::postgres::{Cluster, DATABASE, USER};

const WEBHOOK_SECRET: &str = "webhook-p4ssword-0123456789";

/// A folder with the secret of the webhook.
fn site() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, WEBHOOK_SECRET).unwrap();
    fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
    folder
}

fn arguments(folder: &Path, cluster: &Cluster, url: &str) -> Vec<String> {
    vec![
        format!("--webhook.secret-file=default={}", path_in(folder, "secret")),
        format!("--storage.password-file={}", cluster.password_file().display()),
        format!("--storage.url={url}"),
    ]
}

fn check(folder: &Path, arguments: &[String]) -> Ran {
    const ANY_PORTS: [&str; 2] = ["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"];
    let arguments: Vec<&str> =
        ["check-config"].into_iter().chain(ANY_PORTS).chain(arguments.iter().map(String::as_str)).collect();
    let checked = run(folder, &arguments);
    assert_no_secret(&checked);
    checked
}

fn assert_no_secret(ran: &Ran) {
    assert!(!ran.stdout.contains("p4ssword") && !ran.stderr.contains("p4ssword"), "{ran:?}");
}

/// Both exit with 1, and name the server and the cause.
#[track_caller]
fn assert_refused(cluster: &Cluster, url: &str, cause: &str) {
    let folder = site();
    let arguments = arguments(folder.path(), cluster, url);
    let checked = check(folder.path(), &arguments);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let port = format!(":{}/", cluster.port());
    let is_named = |error: &str| error.contains(&port) && error.contains(cause);
    let is_problem = |line: &str| line.contains("storage.url: ") && is_named(line);
    assert!(checked.stderr.lines().any(is_problem), "{url}: {cause}\n{}", checked.stderr);
    let started = ran(command(folder.path()).args(&arguments));
    assert_no_secret(&started);
    assert_eq!(started.code, Some(1), "{started:?}");
    assert!(started.logged_errors().iter().any(|error| is_named(error)), "{url}: {cause}\n{}", started.stderr);
}

#[test]
fn server_that_needs_a_person_stops_check_and_start() {
    let Some(cluster) = Cluster::start() else { return };
    let url = cluster.url();
    assert_refused(&cluster, &url.replace(USER, "stranger"), "28P01");
    assert_refused(&cluster, &url.replace(DATABASE, "missing"), "3D000");
    assert_refused(&cluster, &url.replace("sslmode=disable", "sslmode=require"), "ssl");
    assert_refused(&cluster, &url.replace("sslmode=disable", ""), "ssl");
    cluster.change_password("other-p4ssword");
    assert_refused(&cluster, &url, "28P01");
    fs::write(cluster.password_file(), "").unwrap();
    assert_refused(&cluster, &url, &cluster.password_file().display().to_string());
}

#[test]
fn untrusted_certificate_stops_check_and_start_and_a_trusted_one_does_not() {
    let Some(cluster) = Cluster::start_with_tls() else { return };
    assert_refused(&cluster, &cluster.url_with(""), "sslrootcert");
    let trusted = cluster.url_with(&format!("sslrootcert={}", cluster.authority().display()));
    assert_refused(&cluster, &trusted.replace("localhost", "127.0.0.1"), "sslrootcert");
    let folder = site();
    let checked = check(folder.path(), &arguments(folder.path(), &cluster, &trusted));
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{checked:?}");
    assert_eq!(cluster.psql("SELECT to_regnamespace('stream_live_exporter') IS NULL"), "t", "a check creates nothing");
}

#[test]
fn newer_or_foreign_schema_stops_check_and_start() {
    let Some(cluster) = Cluster::start() else { return };
    let url = cluster.url();
    cluster.psql(&format!("CREATE SCHEMA stream_live_exporter AUTHORIZATION {USER}"));
    cluster.psql("CREATE TABLE stream_live_exporter.invoices ()");
    assert_refused(&cluster, &url, "stream_live_exporter");
    cluster.psql(
        "DROP TABLE stream_live_exporter.invoices; \
         CREATE TABLE stream_live_exporter.head AS SELECT 1 AS id, 1000 AS schema_version; \
         GRANT ALL ON stream_live_exporter.head TO exporter",
    );
    assert_refused(&cluster, &url, "1000");
    cluster.psql("DROP SCHEMA stream_live_exporter CASCADE");
    cluster.psql(&format!("ALTER DATABASE {DATABASE} OWNER TO postgres"));
    assert_refused(&cluster, &url, "storage.url");
}

#[test]
fn server_without_fsync_stops_check_and_start() {
    let Some(cluster) = Cluster::start_with(&["fsync=off"]) else { return };
    assert_refused(&cluster, &cluster.url(), "fsync");
}

#[test]
fn server_that_is_away_or_commits_asynchronously_is_warned_of() {
    let Some(mut cluster) = Cluster::start_with(&["synchronous_commit=off"]) else { return };
    let folder = site();
    let arguments = arguments(folder.path(), &cluster, &cluster.url());
    let checked = check(folder.path(), &arguments);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stderr.contains("synchronous_commit"), "{checked:?}");
    cluster.stop();
    let checked = check(folder.path(), &arguments);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stderr.contains(&format!(":{}/", cluster.port())), "{checked:?}");
}

#[test]
fn replica_without_a_configured_webhook_secret_is_refused() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = site();
    let arguments = arguments(folder.path(), &cluster, &cluster.url()).split_off(1);
    let checked = check(folder.path(), &arguments);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stderr.contains("webhook.secret_files"), "{checked:?}");
}

#[test]
fn running_daemon_uses_a_new_password_without_a_restart() {
    const CONNECTED: &str = "stream_live_exporter_journal_connected";
    let Some(cluster) = Cluster::start() else { return };
    let folder = site();
    let arguments = arguments(folder.path(), &cluster, &cluster.url());
    let mut command = command(folder.path());
    command.args(arguments);
    let daemon = Daemon::spawn_unready(command, folder.path());
    daemon.wait_for("ready");
    assert_eq!(daemon.post_with(WEBHOOK_SECRET, &fixture("connected")).status, 200);
    cluster.change_password("second-p4ssword");
    cluster.psql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'"));
    eventually("the journal is away", || daemon.metric(CONNECTED) == Some(0.0));
    let is_refused = |line: &Value| line["error"].as_str().is_some_and(|error| error.contains("28P01"));
    eventually("the log says why there is no connection", || daemon.log().iter().any(is_refused));
    fs::write(cluster.password_file(), "second-p4ssword").unwrap();
    eventually("the journal is connected", || daemon.metric(CONNECTED) == Some(1.0));
    assert_eq!(daemon.post_with(WEBHOOK_SECRET, &fixture("disconnected")).status, 200);
    let kinds = "SELECT string_agg(kind, ' ' ORDER BY position) FROM stream_live_exporter.records";
    eventually("both events are in PostgreSQL", || cluster.psql(kinds).ends_with("connected disconnected"));
    daemon.signal("TERM");
    let (ended, log) = daemon.wait_and_read();
    assert!(ended.success(), "{log}");
    assert!(!log.contains("p4ssword"), "{log}");
}
