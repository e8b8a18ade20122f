//! When each line is not ok.

use serde_json::json;

use super::*;
use crate::http::configuration::FailedReload;
use crate::http::private::page::world::{World, at};
use crate::live::{LastSeen, SharedStatus};
use crate::recorder::{DiskOperation, QueueUsage};

const DAY: u64 = 86_400;

/// The lines that are not ok, with their alerts.
fn faults(snapshot: &Snapshot) -> Vec<(String, Level, Option<&'static str>)> {
    let items = all(snapshot);
    let states = items.iter().map(Item::state).filter(|(_, level, _)| *level != Level::Ok);
    states.map(|(id, level, alert)| (id.to_owned(), level, alert)).collect()
}

fn snapshot() -> Snapshot {
    World::new(at(100 * DAY), &[]).snapshot()
}

fn with_health(health: HealthFacts) -> Snapshot {
    Snapshot { health, ..snapshot() }
}

fn with_configuration(configuration: Configuration) -> Snapshot {
    Snapshot { configuration: configuration.into(), ..snapshot() }
}

#[test]
fn exporter_without_faults_is_ok() {
    assert_eq!(faults(&snapshot()), []);
    assert_eq!(faults(&Snapshot::default()), [], "before the state is restored");
}

#[test]
fn limits_are_those_of_the_alerts() {
    let settings = include_str!("../../../../../../deploy/prometheus/rules/settings.yml");
    for (name, limit) in [("secret_idle_seconds", SECRET_IDLE), ("certificate_seconds", CERTIFICATE_LEFT)] {
        let (_, rest) = settings.split_once(&format!("stream_live:threshold:{name}\n")).unwrap();
        let expression = format!("expr: vector({} * 86400)", limit.as_secs() / DAY);
        assert!(rest.trim_start().starts_with(&expression), "{name}: {rest:.60}");
    }
}

#[test]
fn every_alert_has_a_section_in_the_runbooks() {
    let runbooks = include_str!("../../../../../../docs/runbooks.md");
    let sources = [
        include_str!("../items.rs"),
        include_str!("../api.rs"),
        include_str!("../shared.rs"),
        include_str!("../../runbook.rs"),
    ];
    let quoted = sources.iter().flat_map(|source| source.split('"'));
    let alerts: Vec<_> = quoted.filter(|text| text.starts_with("StreamLive")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(runbooks.contains(&format!("\n### {alert}\n")), "{alert}");
    }
}

#[test]
fn secret_is_warned_of_if_it_was_never_used_or_no_longer_is() {
    let names = ["new", "old", "other", "unused"];
    let secret = |name: &str| ConfiguredSecret { name: name.to_owned(), file: None };
    let configuration = Configuration { secrets: names.map(secret).into(), ..Configuration::default() };
    let mut world = World::new(at(100 * DAY), &[]);
    let used = [("new", 50 * DAY), ("old", 42 * DAY), ("other", 42 * DAY + 1)];
    let by_secret = used.map(|(name, seconds)| (name.to_owned(), at(seconds))).into();
    world.fold.set_last_seen(LastSeen { by_secret, ..LastSeen::default() });
    let snapshot = Snapshot { configuration: configuration.into(), ..world.snapshot() };
    let expected = [
        ("health-secret-old".to_owned(), Level::Warn, Some("StreamLiveSecretUnused")),
        ("health-secret-unused".to_owned(), Level::Warn, None),
    ];
    assert_eq!(faults(&snapshot), expected);
}

#[test]
fn certificate_is_late_two_weeks_before_it_expires() {
    for (left, level) in [(15 * DAY, None), (14 * DAY - 1, Some(Level::Warn)), (0, Some(Level::Bad))] {
        let not_after = at(100 * DAY + left);
        let certificates = vec![CertificateFacts { listener: "web", file: "web.yml".into(), not_after }];
        let found = faults(&with_health(HealthFacts { certificates, ..HealthFacts::default() }));
        assert_eq!(found.first().map(|(_, level, _)| *level), level, "{left}");
    }
}

#[test]
fn full_queue_long_write_and_full_listener_are_not_ok() {
    let queue = |waiting, bytes| QueueUsage { waiting, limit: 10, bytes, bytes_limit: 100 };
    let since = at(100 * DAY - 5);
    for (waiting, bytes, level) in [(4, 49, None), (5, 0, Some(Level::Warn)), (0, 100, Some(Level::Bad))] {
        let facts = HealthFacts { queue: queue(waiting, bytes), ..HealthFacts::default() };
        assert_eq!(faults(&with_health(facts)).first().map(|(_, level, _)| *level), level, "{waiting} {bytes}");
    }
    let operation = Some(DiskOperation { name: "append", since });
    let slow = HealthFacts { operation, ..HealthFacts::default() };
    assert_eq!(faults(&with_health(slow)), []);
    let hanging = HealthFacts { operation, is_hanging: true, ..HealthFacts::default() };
    assert_eq!(faults(&with_health(hanging))[0].0, "health-write");
    let connections = vec![ConnectionFacts { listener: "web", open: 9.0, limit: 10, refused: 0 }];
    let full = HealthFacts { connections, ..HealthFacts::default() };
    assert_eq!(faults(&with_health(full))[0].0, "health-connections-web");
}

#[test]
fn failed_reload_and_keys_that_need_a_restart_are_not_ok() {
    let needs_restart = vec!["webhook.path".to_owned()];
    let changed = Configuration { needs_restart, ..Configuration::default() };
    assert_eq!(faults(&with_configuration(changed.clone())), [("health-reload".to_owned(), Level::Warn, None)]);
    let failed_reload = Some(FailedReload { at: at(1), problems: "x".to_owned() });
    let failed = Configuration { failed_reload, ..changed };
    let alert = Some("StreamLiveExporterConfigReloadFailed");
    assert_eq!(faults(&with_configuration(failed)), [("health-reload".to_owned(), Level::Bad, alert)]);
}

#[test]
fn account_is_not_ok_if_requests_fail_or_pause_or_no_policy_delivers() {
    let account = |task: serde_json::Value, next: Timestamp, delivering: bool| {
        let destination = json!({ "policy_delivering": delivering, "last_success": "2026-11-20T18:00:00Z" });
        let next = next.to_string();
        json!({ "name": "main", "tasks": { "status": task }, "next_request": next, "destination": destination })
    };
    let task = |error: Option<&str>, unauthorized| json!({ "error": error, "unauthorized": unauthorized });
    let now = at(100 * DAY);
    let found = |account| {
        let found = faults(&Snapshot { api_accounts: vec![account], ..snapshot() });
        found.into_iter().map(|(id, _, alert)| (id, alert)).collect::<Vec<_>>()
    };
    assert_eq!(found(account(task(None, false), now, true)), []);
    let unreachable = found(account(task(Some("timeout"), false), now, true));
    assert_eq!(
        unreachable,
        [("health-api-main-status".to_owned(), Some("StreamLiveExporterCloudflareApiUnreachable"))]
    );
    let refused = found(account(task(Some("status 401"), true), now.plus(Duration::from_secs(60)), false));
    let expected = [
        ("health-api-main-status", Some("StreamLiveExporterCloudflareTokenRefused")),
        ("health-api-main-budget", None),
        ("health-api-main-delivery", Some("StreamLiveExporterPolicyNotDelivering")),
    ];
    assert_eq!(refused, expected.map(|(id, alert)| (id.to_owned(), alert)));
}

#[test]
fn shared_journal_is_not_ok_while_it_is_away_and_the_spool_as_its_alerts_say() {
    let settings = include_str!("../../../../../../deploy/prometheus/rules/settings.yml");
    let (_, ratio) = settings.split_once("stream_live:threshold:spool_ratio\n").unwrap();
    assert!(ratio.trim_start().starts_with("expr: vector(0.5)"), "{ratio:.60}");
    let (away, full) = (("health-shared", Level::Bad), ("health-spool", Level::Bad));
    for (connected, spooled_records, expected) in [
        (true, 0, vec![]),
        (true, 5, vec![("health-spool", Level::Warn)]),
        (false, 4, vec![away]),
        (false, 9, vec![away, full]),
    ] {
        let since = Some(at(5)).filter(|_| !connected);
        let shared = SharedStatus {
            connected,
            away_since: since,
            spooled_records,
            spool_limit_records: 9,
            ..Default::default()
        };
        let view = World::new(at(100 * DAY), &[]).view();
        let snapshot = Snapshot { view: Some(View { shared: Some(shared), ..view }), ..snapshot() };
        let found: Vec<_> = faults(&snapshot).into_iter().map(|(id, level, _)| (id, level)).collect();
        let found: Vec<_> = found.iter().map(|(id, level)| (id.as_str(), *level)).collect();
        assert_eq!(found, expected, "{connected} {spooled_records}");
    }
}
