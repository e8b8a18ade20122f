//! The dashboards of grafana/: linter rules, metric catalogue, links, layout, provisioning.

mod catalogue;
mod document;
mod import;
mod linter;
mod links;
mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use regex_lite::Regex;
use serde_json::{Value, json};

use crate::tools::tool;
use document::{Dashboard, dashboards, files, list, root, text};
use links::follow;
use promql::{parse, substitute};

const UIDS: [&str; 3] = ["stream-live-exporter", "stream-live-input", "stream-live-overview"];
const COLUMNS: u64 = 24;
/// URL of the runbooks in the shipped rules and in the alert tables.
const RUNBOOKS: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/runbooks.md");

#[test]
fn dashboards_pass_the_linter() {
    let problems: Vec<_> = dashboards().iter().flat_map(linter::lint).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_linter_exception_is_needed() {
    let dashboards = dashboards();
    for (rule, part, reason) in linter::EXCEPTIONS {
        let (_, check) = linter::RULES.iter().find(|(name, _)| *name == rule).expect("the exception names a rule");
        let found = dashboards.iter().flat_map(check).any(|(_, what)| what.contains(part));
        assert!(found, "{rule}: the exception is not needed: {reason}");
    }
}

/// Every rule reports at least one fault that violates it.
#[test]
fn every_linter_rule_finds_its_fault() {
    let whole = dashboards().into_iter().find(|dashboard| dashboard.file == "stream-live-overview").unwrap();
    let stat = list(&whole.json["panels"]).iter().position(|panel| panel["type"] == "stat").unwrap();
    let stat = format!("/panels/{stat}");
    let expr = format!("{stat}/targets/0/expr");
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
        ("panel-datasource-rule", format!("{stat}/datasource/uid"), json!("prometheus")),
        ("panel-datasource-rule", format!("{stat}/targets/0/datasource/uid"), json!("prometheus")),
        ("panel-datasource-rule", "/annotations/list/0/datasource/uid".to_owned(), json!("prometheus")),
        ("panel-title-description-rule", format!("{stat}/title"), json!("")),
        ("panel-title-description-rule", format!("{stat}/description"), json!("Inputs")),
        ("panel-units-rule", format!("{stat}/fieldConfig/defaults/unit"), json!("inputs")),
        ("panel-no-targets-rule", format!("{stat}/targets"), json!([])),
        ("target-promql-rule", expr.clone(), json!("sum(")),
        ("target-promql-rule", expr.clone(), json!("")),
        ("target-rate-interval-rule", expr.clone(), json!(format!("rate({events}[5m])"))),
        ("target-job-rule", expr.clone(), json!("up{instance=~\"$instance\"}")),
        ("target-instance-rule", expr.clone(), json!("up{job=~\"$job\", instance=\"$instance\"}")),
        ("target-counter-agg-rule", expr.clone(), json!(format!("sum({events})"))),
        ("target-counter-agg-rule", expr.clone(), json!(format!("deriv({events}[$__rate_interval])"))),
        ("target-logql-rule", format!("{stat}/targets/0/datasource/type"), json!("loki")),
        ("target-logql-auto-rule", format!("{stat}/targets/0/datasource/type"), json!("loki")),
        ("uneditable-dashboard-rule", "/editable".to_owned(), json!(true)),
    ] {
        let mut broken = whole.clone();
        *broken.json.pointer_mut(&pointer).unwrap_or_else(|| panic!("{pointer} exists")) = fault.clone();
        let rule = linter::RULES.iter().find(|(name, _)| *name == rule).unwrap();
        assert!(!linter::findings(rule, &broken).is_empty(), "{} accepts {fault} at {pointer}", rule.0);
    }
}

#[test]
fn dashboards_have_the_expected_settings() {
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
        // Grafana's export for sharing adds members that provisioning does not resolve.
        assert!(json.get("__inputs").is_none() && json.get("__requires").is_none(), "{file} is an export for sharing");
        assert!(!text(json, "title").is_empty() && !text(json, "description").is_empty(), "{file}");
    }
}

#[test]
fn panels_have_unique_ids_and_fill_the_grid() {
    for dashboard in dashboards() {
        let panels = dashboard.panels();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("a panel has an id")).collect();
        assert_eq!(ids.len(), panels.len(), "{}: duplicate panel id", dashboard.file);
        let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        // A folded row that is opened moves all panels below it.
        let mut moved = 0;
        let rows = list(&dashboard.json["panels"]).iter().flat_map(|panel| {
            let before = moved;
            moved += list(&panel["panels"]).iter().map(|one| side(one, "y") + side(one, "h")).max().unwrap_or(0)
                - if list(&panel["panels"]).is_empty() { 0 } else { side(panel, "y") + 1 };
            std::iter::once(panel).chain(list(&panel["panels"])).map(move |panel| (panel, before))
        });
        for (panel, moved) in rows {
            let (x, y, w, h) = (side(panel, "x"), side(panel, "y") + moved, side(panel, "w"), side(panel, "h"));
            assert!(x + w <= COLUMNS && w > 0 && h > 0, "{}: outside the grid", dashboard.place(panel));
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (y, x))) {
                let other = taken.insert(cell, text(panel, "title"));
                assert_eq!(other, None, "{}: overlaps another panel", dashboard.place(panel));
            }
        }
        let lines = taken.keys().last().unwrap().0 + 1;
        assert_eq!(taken.len() as u64, lines * COLUMNS, "{}: the grid has holes", dashboard.file);
    }
}

fn side(panel: &Value, name: &str) -> u64 {
    panel["gridPos"][name].as_u64().unwrap_or_else(|| panic!("no {name} in gridPos: {panel}"))
}

/// Id of the exporter dashboard's panel of average batch sizes, the only number without unit that has a fraction.
const BATCH_SIZE: u64 = 23;

#[test]
fn counts_are_shown_without_decimals() {
    let mut heatmaps = 0;
    for dashboard in dashboards() {
        for panel in dashboard.charts() {
            let place = dashboard.place(panel);
            let defaults = &panel["fieldConfig"]["defaults"];
            let is_average = dashboard.file == "stream-live-exporter" && panel["id"] == BATCH_SIZE;
            let decimals = u64::from(is_average);
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
    assert!(heatmaps > 1, "only {heatmaps} heatmaps were found");
}

/// Without access to Cloudflare's API these panels have no data: they are folded, and say what they need.
#[test]
fn panels_that_need_the_api_are_in_folded_rows() {
    let needs_api = |metric: &str| {
        let quality = ["gop_duration", "upload_duration", "bitrate"];
        metric.starts_with("stream_live_exporter_cloudflare_")
            || quality.iter().any(|name| metric.starts_with(&format!("cloudflare_stream_live_input_{name}")))
    };
    let mut folded = 0;
    for dashboard in dashboards() {
        let unfolded = dashboard.unfolded();
        for panel in dashboard.charts() {
            let targets = list(&panel["targets"]).iter().map(|target| parse(text(target, "expr")).unwrap());
            if !targets.flat_map(|parsed| parsed.selectors).any(|selector| needs_api(&selector.metric)) {
                continue;
            }
            assert!(!unfolded.contains(&panel), "{} is not in a folded row", dashboard.place(panel));
            assert!(!text(&panel["fieldConfig"]["defaults"], "noValue").is_empty(), "{}", dashboard.place(panel));
            folded += 1;
        }
    }
    assert_eq!(folded, 11, "panels that need the API");
}

#[test]
fn every_alert_links_to_an_existing_dashboard() {
    let dashboards = dashboards();
    let mut urls = 0;
    for path in files(&root().join("deploy/prometheus/rules"), "yml") {
        for line in fs::read_to_string(&path).unwrap().lines().filter(|line| line.contains("dashboard_url:")) {
            let (uid, set) =
                follow(line.trim_end_matches('\'')).unwrap_or_else(|| panic!("not a dashboard link: {line}"));
            let target = dashboards.iter().find(|target| target.file == uid);
            let target = target.unwrap_or_else(|| panic!("{}: there is no {uid}", path.display()));
            for variable in set {
                assert!(target.variable(variable).is_some(), "{}: {uid} has no {variable}", path.display());
            }
            urls += 1;
        }
    }
    assert!(urls > 20, "only {urls} alerts with a dashboard were found");
}

/// Name, runbook anchor and dashboard uid of every alert that has a receiver.
fn alerts() -> Vec<(String, String, String)> {
    let mut alerts = Vec::new();
    for path in files(&root().join("deploy/prometheus/rules"), "yml") {
        let rules = fs::read_to_string(&path).unwrap();
        for rule in rules.split("- alert: ").skip(1).filter(|rule| !rule.contains("severity: none")) {
            let after = |start: &str| rule.split(start).nth(1).unwrap_or_else(|| panic!("no {start} in {rule}"));
            let word = |text: &str| text.split(['\n', '\'', '?']).next().unwrap().to_owned();
            let runbook = word(after("label \"runbooks\" }}{{ end }}#"));
            alerts.push((word(rule), runbook, word(after("label \"grafana\" }}{{ end }}/d/"))));
        }
    }
    assert!(alerts.len() > 20, "only {} alerts were found", alerts.len());
    alerts
}

/// Whether the alert has the label `input_id`.
fn concerns_one_input(alert: &str) -> bool {
    alert.starts_with("StreamLiveInput") || ["StreamLiveKeyframeInterval", "StreamLiveUploadTooSlow"].contains(&alert)
}

/// The tables of firing alerts, each with its dashboard.
fn alert_tables(dashboards: &[Dashboard]) -> Vec<(&Dashboard, &Value)> {
    let charts =
        dashboards.iter().flat_map(|dashboard| dashboard.charts().into_iter().map(move |one| (dashboard, one)));
    let asks_alerts = |panel: &Value| text(&panel["targets"][0], "expr").contains("ALERTS{");
    let tables = charts.filter(|(_, panel)| panel["type"] == "table" && asks_alerts(panel));
    let tables: Vec<_> = tables.collect();
    assert_eq!(tables.len(), 2);
    tables
}

/// The tables derive the links from an alert's name and labels; the rules state them as annotations.
#[test]
fn alert_tables_link_to_the_same_pages_as_the_annotations() {
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
            let table = if concerns_one_input(&name) {
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

/// Alerts about the account, about many inputs or about the exporter concern every input.
#[test]
fn input_dashboard_shows_the_alerts_that_concern_every_input() {
    let dashboard = dashboards().into_iter().find(|dashboard| dashboard.file == "stream-live-input").unwrap();
    let shared = [
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
            let shown: BTreeSet<_> = alerts.filter(|name| names.is_match(name) && !concerns_one_input(name)).collect();
            assert_eq!(shown, shared.map(str::to_owned).into(), "{}", query.place);
            assert!(selector.has("input_id", "=~", "$input|"), "{}", query.place);
            selectors += 1;
        }
    }
    assert_eq!(selectors, 8, "two each in the stat panel and the annotation, four in the table");
}

/// A regular expression as PromQL matches it: anchored at both ends.
fn anchored(expression: &str) -> Regex {
    Regex::new(&format!("^(?:{expression})$")).unwrap()
}

#[test]
fn promtool_accepts_every_query() {
    let Some(promtool) = tool("PROMTOOL", Path::new("promtool")) else { return };
    let queries = dashboards().iter().flat_map(Dashboard::queries).collect::<Vec<_>>();
    assert!(queries.len() > 100, "only {} queries were found", queries.len());
    // promtool parses matchers without evaluating them, so that variables in quotes need no value. JSON is valid YAML.
    let rules = queries.iter().enumerate().map(|(number, query)| {
        json!({"record": format!("query:{number}"), "expr": substitute(&query.expression), "labels": {"place": query.place}})
    });
    let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    let groups = json!({"groups": [{"name": "dashboards", "rules": rules.collect::<Vec<_>>()}]});
    fs::write(file.path(), groups.to_string()).unwrap();
    let output = Command::new(promtool).args(["check", "rules", "--lint=none"]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = format!("{} rules found", queries.len());
    assert!(
        String::from_utf8_lossy(&output.stdout).contains(&found),
        "promtool did not read all {} queries",
        queries.len()
    );
}

#[test]
fn provisioning_names_the_dashboards_folder_and_prometheus() {
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
