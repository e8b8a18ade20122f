//! The dashboards of grafana/: Grafana's linter's rules, the catalogue of metrics, links, layout, provisioning.

mod catalogue;
mod document;
mod linter;
mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use regex_lite::Regex;
use serde_json::{Value, json};

use crate::tools::tool;
use document::{Dashboard, dashboards, files, list, root, text};
use promql::{parse, substitute};

const UIDS: [&str; 3] = ["stream-live-exporter", "stream-live-input", "stream-live-overview"];
const COLUMNS: u64 = 24;
/// The runbooks, as the shipped rules and the tables of alerts name them.
const RUNBOOKS: &str = "https://github.com/stream-live-exporter/stream-live-exporter/blob/main/docs/runbooks.md";

#[test]
fn the_linter_is_content() {
    let problems: Vec<_> = dashboards().iter().flat_map(linter::lint).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_exception_from_the_linter_is_needed() {
    let dashboards = dashboards();
    for (rule, part, reason) in linter::EXCEPTIONS {
        let (_, check) = linter::RULES.iter().find(|(name, _)| *name == rule).expect("an exception from a rule");
        let found = dashboards.iter().flat_map(check).any(|(_, what)| what.contains(part));
        assert!(found, "nothing is excepted from {rule} because {reason}");
    }
}

/// Each rule refuses what it is there for.
#[test]
fn the_linter_finds_faults() {
    let whole = dashboards().into_iter().find(|dashboard| dashboard.file == "stream-live-overview").unwrap();
    let at = |title: &str| {
        let panels = list(&whole.json["panels"]).iter();
        let found = panels.clone().position(|panel| panel["title"] == title && panel["type"] != "row");
        format!("/panels/{}", found.unwrap_or_else(|| panic!("there is a panel {title}")))
    };
    let expr = |title: &str| format!("{}/targets/0/expr", at(title));
    let selector = "{job=~\"$job\", instance=~\"$instance\"}";
    let events = format!("cloudflare_stream_live_input_events_total{selector}");
    for (rule, pointer, fault) in [
        ("template-datasource-rule", "/templating/list/0/name".to_owned(), json!("prometheus")),
        ("template-datasource-rule", "/templating/list/1/type".to_owned(), json!("datasource")),
        ("template-job-rule", "/templating/list/1/allValue".to_owned(), json!(".*")),
        ("template-instance-rule", "/templating/list/2/name".to_owned(), json!("target")),
        ("template-label-promql-rule", "/templating/list/2/query/query".to_owned(), json!("label_values(up{, job)")),
        ("template-label-promql-rule", "/templating/list/3/query/query".to_owned(), json!("values(up)")),
        ("template-on-time-change-reload-rule", "/templating/list/3/refresh".to_owned(), json!(1)),
        ("panel-datasource-rule", format!("{}/datasource/uid", at("Live")), json!("prometheus")),
        ("panel-datasource-rule", format!("{}/targets/0/datasource/uid", at("Live")), json!("prometheus")),
        ("panel-datasource-rule", "/annotations/list/0/datasource/uid".to_owned(), json!("prometheus")),
        ("panel-title-description-rule", format!("{}/title", at("Live")), json!("")),
        ("panel-title-description-rule", format!("{}/description", at("Live")), json!("Inputs")),
        ("panel-units-rule", format!("{}/fieldConfig/defaults/unit", at("Live")), json!("inputs")),
        ("panel-no-targets-rule", format!("{}/targets", at("Live")), json!([])),
        ("target-promql-rule", expr("Live"), json!("sum(")),
        ("target-promql-rule", expr("Live"), json!("")),
        ("target-rate-interval-rule", expr("Live"), json!(format!("rate({events}[5m])"))),
        ("target-job-rule", expr("Live"), json!("up{instance=~\"$instance\"}")),
        ("target-instance-rule", expr("Live"), json!("up{job=~\"$job\", instance=\"$instance\"}")),
        ("target-counter-agg-rule", expr("Live"), json!(format!("sum({events})"))),
        ("target-counter-agg-rule", expr("Live"), json!(format!("deriv({events}[$__rate_interval])"))),
        ("target-logql-rule", format!("{}/targets/0/datasource/type", at("Live")), json!("loki")),
        ("target-logql-auto-rule", format!("{}/targets/0/datasource/type", at("Live")), json!("loki")),
        ("uneditable-dashboard-rule", "/editable".to_owned(), json!(true)),
    ] {
        let mut broken = whole.clone();
        *broken.json.pointer_mut(&pointer).unwrap_or_else(|| panic!("{pointer} is there")) = fault.clone();
        let rule = linter::RULES.iter().find(|(name, _)| *name == rule).unwrap();
        assert!(!linter::findings(rule, &broken).is_empty(), "{} lets {pointer} be {fault}", rule.0);
    }
}

#[test]
fn the_frame_is_as_it_should_be() {
    let dashboards = dashboards();
    assert_eq!(dashboards.iter().map(|dashboard| &*dashboard.file).collect::<Vec<_>>(), UIDS);
    for Dashboard { file, json } in &dashboards {
        for (member, value) in [
            ("uid", json!(file)),
            ("id", Value::Null),
            ("schemaVersion", json!(42)),
            ("tags", json!(["stream-live"])),
            ("timezone", json!("browser")),
            ("graphTooltip", json!(1)),
        ] {
            assert_eq!(json.get(member), Some(&value), "{file}: {member}");
        }
        // What an export for sharing adds would make the file useless for provisioning.
        assert!(json.get("__inputs").is_none() && json.get("__requires").is_none(), "{file} is an export");
        assert!(!text(json, "title").is_empty() && !text(json, "description").is_empty(), "{file}");
    }
}

#[test]
fn panels_have_ids_of_their_own_and_fill_the_grid() {
    for dashboard in dashboards() {
        let panels = dashboard.panels();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("a panel has an id")).collect();
        assert_eq!(ids.len(), panels.len(), "{}: two panels have one id", dashboard.file);
        let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        for panel in panels {
            let side = |name: &str| panel["gridPos"][name].as_u64().unwrap_or_else(|| panic!("{panel} has a place"));
            let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
            assert!(x + w <= COLUMNS && w > 0 && h > 0, "{}: leaves the grid", dashboard.place(panel));
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (y, x))) {
                let other = taken.insert(cell, text(panel, "title"));
                assert_eq!(other, None, "{}: lies over another", dashboard.place(panel));
            }
        }
        let lines = taken.keys().last().unwrap().0 + 1;
        assert_eq!(taken.len() as u64, lines * COLUMNS, "{}: the grid has holes", dashboard.file);
    }
}

/// Counts are whole: no panel of a number without unit shows decimals that it did not ask for, nor a column or a cell.
#[test]
fn counts_have_no_fractions() {
    let mut heatmaps = 0;
    for dashboard in dashboards() {
        for panel in dashboard.charts() {
            let place = dashboard.place(panel);
            let defaults = &panel["fieldConfig"]["defaults"];
            let decimals = u64::from(panel["title"] == "Batch size");
            if defaults["unit"] == "none" {
                assert_eq!(defaults["decimals"], decimals, "{place}");
            }
            for over in list(&panel["fieldConfig"]["overrides"]) {
                let set = |id: &str| list(&over["properties"]).iter().find(|property| property["id"] == id);
                let set = |id: &str| set(id).map(|property| &property["value"]);
                if set("unit").unwrap_or(&defaults["unit"]) == "none" {
                    assert_eq!(*set("decimals").unwrap_or(&json!(decimals)), decimals, "{place}: {over}");
                }
            }
            if panel["type"] == "heatmap" {
                assert_eq!(panel["options"]["cellValues"], json!({"unit": "none", "decimals": 0}), "{place}");
                heatmaps += 1;
            }
        }
    }
    assert!(heatmaps > 1, "there are heatmaps");
}

/// A way into a dashboard: whose it is, and which variables it sets.
fn follow(url: &str) -> Option<(&str, Vec<&str>)> {
    let (uid, query) = url.split_once("/d/")?.1.split_once('?').unwrap_or((url.split_once("/d/")?.1, ""));
    let set = query.split('&').filter_map(|part| {
        let named = part.strip_prefix("var-").and_then(|part| part.split_once('='));
        named.map(|(name, _)| name).or_else(|| part.strip_prefix("${")?.strip_suffix(":queryparam}"))
    });
    Some((uid, set.collect()))
}

#[test]
fn links_lead_to_dashboards_with_time_and_variables() {
    let dashboards = dashboards();
    for dashboard in &dashboards {
        let mut targets = BTreeSet::new();
        let links = dashboard.links().into_iter().filter(|(url, _)| !url.starts_with(RUNBOOKS));
        // A row of alerts leads to any of them.
        for (url, keeps_time) in links.flat_map(|(url, keeps_time)| {
            let each = UIDS.map(|uid| (url.replace("stream-live-${__data.fields.dashboard}", uid), keeps_time));
            each.into_iter().collect::<BTreeSet<_>>()
        }) {
            let (uid, set) = follow(&url).unwrap_or_else(|| panic!("{}: {url} is no dashboard", dashboard.file));
            let target = dashboards.iter().find(|target| target.file == uid);
            let target = target.unwrap_or_else(|| panic!("{}: there is no {uid}", dashboard.file));
            assert!(keeps_time || url.contains("${__url_time_range}"), "{}: {url} forgets the time", dashboard.file);
            for variable in ["datasource", "job", "instance", "input"] {
                assert!(set.contains(&variable), "{}: {url} forgets {variable}", dashboard.file);
            }
            for variable in set {
                assert!(target.variable(variable).is_some(), "{uid} has no variable {variable}");
            }
            targets.insert(uid.to_owned());
        }
        let others = UIDS.into_iter().filter(|uid| *uid != dashboard.file).map(str::to_owned);
        assert!(others.collect::<BTreeSet<_>>().is_subset(&targets), "{} leads to {targets:?}", dashboard.file);
    }
}

#[test]
fn every_alert_leads_to_a_dashboard() {
    let dashboards = dashboards();
    let mut urls = 0;
    for path in files(&root().join("deploy/prometheus/rules"), "yml") {
        for line in fs::read_to_string(&path).unwrap().lines().filter(|line| line.contains("dashboard_url:")) {
            let (uid, set) = follow(line.trim_end_matches('\'')).unwrap_or_else(|| panic!("{line} leads nowhere"));
            let target = dashboards.iter().find(|target| target.file == uid);
            let target = target.unwrap_or_else(|| panic!("{}: there is no {uid}", path.display()));
            for variable in set {
                assert!(target.variable(variable).is_some(), "{}: {uid} has no {variable}", path.display());
            }
            urls += 1;
        }
    }
    assert!(urls > 20, "only {urls} alerts have a dashboard");
}

/// The name of every alert that somebody is told of, its runbook's anchor, and the uid of its dashboard.
fn alerts() -> Vec<(String, String, String)> {
    let mut alerts = Vec::new();
    for path in files(&root().join("deploy/prometheus/rules"), "yml") {
        let rules = fs::read_to_string(&path).unwrap();
        for rule in rules.split("- alert: ").skip(1).filter(|rule| !rule.contains("severity: none")) {
            let after = |start: &str| rule.split(start).nth(1).unwrap_or_else(|| panic!("{rule} has {start}"));
            let word = |text: &str| text.split(['\n', '\'', '?']).next().unwrap().to_owned();
            let runbook = word(after("label \"runbooks\" }}{{ end }}#"));
            alerts.push((word(rule), runbook, word(after("label \"grafana\" }}{{ end }}/d/"))));
        }
    }
    assert!(alerts.len() > 20, "only {} alerts were found", alerts.len());
    alerts
}

/// The tables of firing alerts, each with its dashboard.
fn alert_tables(dashboards: &[Dashboard]) -> Vec<(&Dashboard, &Value)> {
    let charts =
        dashboards.iter().flat_map(|dashboard| dashboard.charts().into_iter().map(move |one| (dashboard, one)));
    let tables = charts.filter(|(_, panel)| panel["title"] == "Firing alerts" && panel["type"] == "table");
    let tables: Vec<_> = tables.collect();
    assert_eq!(tables.len(), 2);
    tables
}

/// The tables make of an alert's name and labels what its annotations say.
#[test]
fn an_alert_in_a_table_leads_where_its_message_leads() {
    let settings = fs::read_to_string(root().join("deploy/prometheus/rules/settings.yml")).unwrap();
    assert!(settings.contains(&format!("runbooks: {RUNBOOKS}\n")));
    let dashboards = dashboards();
    for (dashboard, panel) in alert_tables(&dashboards) {
        let links = dashboard.links();
        assert!(links.iter().any(|(url, _)| *url == format!("{RUNBOOKS}#${{__data.fields.runbook}}")));
        let lower = json!({"stringField": "runbook", "outputFormat": "Lower Case"});
        assert!(
            list(&panel["transformations"]).iter().any(|one| one["id"] == "formatString" && one["options"] == lower)
        );
        let expression = text(&panel["targets"][0], "expr");
        let overview = expression.split("\"dashboard\", \"overview\", \"alertname\", \"").nth(1).unwrap();
        let overview = anchored(overview.split('"').next().unwrap());
        for (name, runbook, uid) in alerts() {
            assert_eq!(runbook, name.to_lowercase());
            let input = name.starts_with("StreamLiveInput");
            let table = if input {
                "input"
            } else if overview.is_match(&name) {
                "overview"
            } else {
                "exporter"
            };
            assert_eq!(uid, format!("stream-live-{table}"), "{}: {name}", dashboard.file);
        }
    }
}

/// Who looks at one input is told of what all share, and the exporter that watches it is among that.
#[test]
fn an_input_shows_the_alerts_that_concern_everybody() {
    let dashboard = dashboards().into_iter().find(|dashboard| dashboard.file == "stream-live-input").unwrap();
    let everybody = [
        "StreamLiveAccountBlocked",
        "StreamLiveExporterAbsent",
        "StreamLiveExporterDown",
        "StreamLiveManyInputsOffAir",
    ];
    let mut selectors = 0;
    for query in dashboard.queries().iter().filter(|query| query.expression.contains("ALERTS{")) {
        for selector in parse(&query.expression).unwrap().selectors {
            if selector.has("alertname", "=", "StreamLiveWatchdog") {
                continue;
            }
            let names = selector.matchers.iter().find(|matcher| matcher.label == "alertname").unwrap();
            let names = anchored(&names.value);
            let alerts = alerts().into_iter().map(|(name, ..)| name);
            let shown: BTreeSet<_> =
                alerts.filter(|name| names.is_match(name) && !name.starts_with("StreamLiveInput")).collect();
            assert_eq!(shown, everybody.map(str::to_owned).into(), "{}", query.place);
            assert!(selector.has("input_id", "=~", "$input|"), "{}", query.place);
            selectors += 1;
        }
    }
    assert_eq!(selectors, 6, "two of the tile, two of the table, two of the annotation");
}

/// What PromQL makes of a regular expression.
fn anchored(expression: &str) -> Regex {
    Regex::new(&format!("^(?:{expression})$")).unwrap()
}

/// Promtool has the last word on what PromQL is.
#[test]
fn prometheus_accepts_every_query() {
    let Some(promtool) = tool("PROMTOOL", Path::new("promtool")) else { return };
    let queries = dashboards().iter().flat_map(Dashboard::queries).collect::<Vec<_>>();
    assert!(queries.len() > 100, "only {} queries were found", queries.len());
    // Selectors are only read: a variable's value is not needed. JSON is YAML.
    let rules = queries.iter().enumerate().map(|(number, query)| {
        json!({"record": format!("query:{number}"), "expr": substitute(&query.expression), "labels": {"place": query.place}})
    });
    let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    let groups = json!({"groups": [{"name": "dashboards", "rules": rules.collect::<Vec<_>>()}]});
    fs::write(file.path(), groups.to_string()).unwrap();
    let output = Command::new(promtool).args(["check", "rules", "--lint=none"]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = format!("{} rules found", queries.len());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&found), "promtool read all {} queries", queries.len());
}

#[test]
fn provisioning_finds_the_dashboards_and_a_prometheus() {
    let read = |file: &str| -> Value {
        let source =
            config::File::from(root().join("grafana/provisioning").join(file)).format(config::FileFormat::Yaml);
        config::Config::builder().add_source(source).build().unwrap().try_deserialize().unwrap()
    };
    let dashboards = read("dashboards/stream-live.yml");
    let [provider] = list(&dashboards["providers"]) else { panic!("{dashboards}") };
    assert_eq!((text(provider, "type"), &provider["allowUiUpdates"]), ("file", &json!(false)));
    assert_eq!(text(&provider["options"], "path"), "/var/lib/grafana/dashboards");
    let sources = read("datasources/prometheus.yml");
    let default = list(&sources["datasources"]).iter().filter(|source| source["isDefault"] == true);
    let default: Vec<_> = default.map(|source| (text(source, "type"), text(source, "url"))).collect();
    assert_eq!(default, [("prometheus", "http://prometheus:9090")]);
}
