//! The views of a shared journal: docs/sql.md and the dashboard of grafana/postgresql, with a real server.

#![expect(clippy::wildcard_enum_match_arm, reason = "most parts of a document are ignored")]

use std::fs::{self, Permissions};
use std::iter::empty;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};
use regex_lite::Regex;
use serde_json::{Value, json};
use stream_live_exporter::event::{Rules, SessionChange, SessionState, Timestamp};
use stream_live_exporter::journal::{Checkpoint, Journal, PostgresJournal, Server};
use tempfile::TempDir;

use crate::daemon::{Daemon, command, eventually, fixture, notification};
use crate::markdown::{read, tables};
use crate::postgres::Cluster;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ONE: &str = "11111111111111111111111111111111";
const OTHER: &str = "22222222222222222222222222222222";
const SESSIONS: &str = "SELECT input_id, started_at, ended_at, reconnects, duration_seconds \
    FROM stream_live_exporter.sessions ORDER BY input_id, started_at";

/// A folder for replicas that share the journal of the cluster.
fn replica_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
    folder
}

fn start(folder: &Path, cluster: &Cluster) -> Daemon {
    let mut command = command(folder);
    command.arg(format!("--storage.url={}", cluster.url()));
    command.arg(format!("--storage.password-file={}", cluster.password_file().display()));
    command.args(["--webhook.secret-file=current=secret", "--inputs.reconnect-window=60s"]);
    Daemon::spawn(command, folder)
}

fn post(daemon: &Daemon, events: &[(&str, &str, &str)]) {
    for (input, event, time) in events {
        let body = notification(input, event, &format!("2026-11-20T{time}Z"));
        assert_eq!(daemon.post_with(SECRET, &body).status, 200, "{input} {event} {time}");
    }
}

fn wait_for_sessions(cluster: &Cluster, expected: &[&str]) {
    eventually("the sessions are written", || cluster.psql(SESSIONS).lines().eq(expected.iter().copied()));
}

/// The blocks of SQL in a document.
fn blocks(markdown: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut inside = false;
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) if &*language == "sql" => {
                inside = true;
                blocks.push(String::new());
            }
            Event::Text(text) if inside => blocks.last_mut().unwrap().push_str(&text),
            _ => inside = false,
        }
    }
    blocks
}

/// Runs a query as the role of docs/sql.md.
fn query(cluster: &Cluster, sql: &str) -> String {
    cluster.psql(&format!(
        "SET SESSION AUTHORIZATION grafana; SET search_path = stream_live_exporter; \
         SET default_transaction_read_only = on; {sql}"
    ))
}

/// A query as Grafana's PostgreSQL data source sends it, for two days and all inputs.
fn expanded(sql: &str) -> String {
    let (from, to) = ("'2026-11-20T00:00:00Z'", "'2026-11-21T23:59:59.5Z'");
    let filter = Regex::new(r"\$__timeFilter\(([^)]*)\)").unwrap();
    let sql = filter.replace_all(sql, format!("$1 BETWEEN {from} AND {to}"));
    sql.replace("$__timeFrom()", from).replace("$__timeTo()", to).replace("$input", "SELECT input_id FROM sessions")
}

fn dashboard() -> Value {
    serde_json::from_str(&read("grafana/postgresql/stream-live-sessions.json")).unwrap()
}

/// Every query of the dashboard with its place.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let panels = list(&dashboard["panels"]).into_iter().flat_map(|panel| {
        let title = text(&panel["title"]);
        list(&panel["targets"]).into_iter().map(move |target| (title.clone(), text(&target["rawSql"])))
    });
    let annotations = list(&dashboard["annotations"]["list"]).into_iter();
    let annotations = annotations.map(|annotation| (text(&annotation["name"]), text(&annotation["target"]["rawSql"])));
    let variables = list(&dashboard["templating"]["list"]).into_iter().filter(|variable| variable["type"] == "query");
    let variables = variables.map(|variable| (text(&variable["name"]), text(&variable["query"])));
    panels.chain(annotations).chain(variables).collect()
}

#[test]
fn sessions_follow_late_events_and_survive_a_kill_right_after_the_answer() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = replica_folder();
    let daemon = start(folder.path(), &cluster);
    post(
        &daemon,
        &[
            (ONE, "connected", "10:00:00.123456789"),
            (ONE, "disconnected", "10:10:00"),
            (ONE, "connected", "10:11:30"),
            (ONE, "disconnected", "10:20:00"),
            (OTHER, "connected", "10:00:00"),
        ],
    );
    wait_for_sessions(
        &cluster,
        &[
            &format!("{ONE}|2026-11-20 10:00:00.123456+00|2026-11-20 10:10:00+00|0|599.876543211"),
            &format!("{ONE}|2026-11-20 10:11:30+00|2026-11-20 10:20:00+00|0|510"),
            &format!("{OTHER}|2026-11-20 10:00:00+00||0|"),
        ],
    );
    post(
        &daemon,
        &[(ONE, "connected", "10:10:50"), (ONE, "disconnected", "10:10:55"), (OTHER, "disconnected", "10:01:00")],
    );
    daemon.kill();
    let _daemon = start(folder.path(), &cluster);
    wait_for_sessions(
        &cluster,
        &[
            &format!("{ONE}|2026-11-20 10:00:00.123456+00|2026-11-20 10:20:00+00|2|1199.876543211"),
            &format!("{OTHER}|2026-11-20 10:00:00+00|2026-11-20 10:01:00+00|0|60"),
        ],
    );
}

#[test]
fn ended_sessions_expire_with_the_retention_and_one_that_goes_on_stays() {
    let Some(cluster) = Cluster::start() else { return };
    let schema = "stream_live_exporter".parse().unwrap();
    let server = Server::new(cluster.url().parse().unwrap(), Some(cluster.password_file()), schema);
    let mut journal = PostgresJournal::open(server, "test", || ()).unwrap();
    assert!(journal.renew_lease().unwrap());
    let at = |seconds| Timestamp::EPOCH.plus(Duration::from_secs(seconds));
    let change = |started_at, ended_at: Option<u64>| SessionChange {
        input_id: ONE.parse().unwrap(),
        started_at: at(started_at),
        session: Some(SessionState { ended_at: ended_at.map(at), reconnects: 0 }),
    };
    let changes = [change(10, Some(20)), change(30, Some(40)), change(50, Some(60)), change(70, None)];
    let checkpoint = Checkpoint { position: 0, rules: Rules::default(), version: 1, state: String::new() };
    journal.save_checkpoint(&checkpoint, &mut empty(), &mut changes.into_iter()).unwrap();
    let starts =
        || cluster.psql("SELECT extract(epoch FROM started_at)::int FROM stream_live_exporter.sessions ORDER BY 1");
    assert_eq!(starts(), "10\n30\n50\n70");
    journal.expire(at(60), at(100), 1).unwrap();
    assert_eq!(starts(), "30\n50\n70");
    journal.expire(at(60), at(100), 500).unwrap();
    assert_eq!(starts(), "50\n70");
}

#[test]
fn views_have_the_documented_columns_and_every_documented_query_runs_as_the_documented_role() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = replica_folder();
    let daemon = start(folder.path(), &cluster);
    post(
        &daemon,
        &[(ONE, "connected", "10:00:00"), (ONE, "disconnected", "10:10:00"), (OTHER, "connected", "10:00:00")],
    );
    for name in ["errored-unhealthy", "errored-unknown-code", "errored-without-details", "connected", "disconnected"] {
        assert_eq!(daemon.post_with(SECRET, &fixture(name)).status, 200, "{name}");
    }
    eventually("the sessions are written", || cluster.psql(SESSIONS).lines().count() == 3);

    let document = read("docs/sql.md");
    let tables = tables(&document);
    for (view, table) in ["events", "sessions"].into_iter().zip(&tables) {
        let documented: Vec<_> =
            table.iter().skip(1).map(|row| format!("{}|{}", row[0].trim_matches('`'), row[1])).collect();
        let columns = cluster.psql(&format!(
            "SELECT column_name, replace(data_type, 'timestamp with time zone', 'timestamptz') \
             FROM information_schema.columns WHERE table_schema = 'stream_live_exporter' AND table_name = '{view}' \
             ORDER BY ordinal_position"
        ));
        assert_eq!(columns.lines().collect::<Vec<_>>(), documented, "{view}");
    }

    let blocks = blocks(&document);
    let (role, examples) = blocks.split_first().unwrap();
    cluster.psql(role);
    let readable = "SELECT relname FROM pg_class WHERE relnamespace = 'stream_live_exporter'::regnamespace \
        AND has_table_privilege('grafana', oid, 'SELECT, INSERT, UPDATE, DELETE') ORDER BY 1";
    assert_eq!(cluster.psql(readable), "events\nsessions");
    assert_eq!(examples.len(), 5);
    for example in examples {
        query(&cluster, example);
    }
    assert_eq!(query(&cluster, &examples[0]).lines().count(), 1, "one input is live");
    let codes = query(&cluster, "SELECT count(*), count(code), count(account_id) FROM events WHERE event = 'errored'");
    assert_eq!(codes, "3|2|3");

    let dashboard = dashboard();
    let queries = queries(&dashboard);
    assert_eq!(queries.len(), 4);
    let rows = queries.iter().map(|(place, sql)| {
        assert!(!sql.is_empty(), "{place}");
        (place.as_str(), query(&cluster, &expanded(sql)).lines().count())
    });
    let rows: Vec<_> = rows.collect();
    // Three begins and two ends; the sessions; the errors; the inputs.
    assert_eq!(rows, [("Sessions", 5), ("Sessions in this range", 3), ("Errors", 3), ("input", 3)]);
}

#[test]
fn dashboard_of_sessions_has_the_settings_of_the_others() {
    let dashboard = dashboard();
    for (member, value) in [
        ("uid", json!("stream-live-sessions")),
        ("id", Value::Null),
        ("schemaVersion", json!(42)),
        ("tags", json!(["stream-live"])),
        ("timezone", json!("browser")),
        ("graphTooltip", json!(1)),
        ("editable", json!(false)),
    ] {
        assert_eq!(dashboard[member], value, "{member}");
    }
    let sources = config::File::from(crate::markdown::repository("grafana/postgresql/datasources.yml"));
    let sources = config::Config::builder().add_source(sources.format(config::FileFormat::Yaml)).build().unwrap();
    let sources: Value = sources.try_deserialize().unwrap();
    let types = &dashboard["templating"]["list"][0]["query"];
    assert_eq!(&sources["datasources"][0]["type"], types);
}
