//! Which series exist, with their labels and label values: the exporter's catalogue of metrics and what Prometheus adds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stream_live_exporter::metrics::catalogue::{Family, Kind, Label, families};

use super::document::{Dashboard, files, list, root, text};
use super::promql::{Matcher, Parsed, parse};

/// Labels that Prometheus adds to every scraped series.
const TARGET: [&str; 2] = ["job", "instance"];

/// Labels of `ALERTS`: those of Prometheus and those of the shipped rules.
const ALERTS: [&str; 12] = [
    "alertname",
    "alertstate",
    "severity",
    "job",
    "instance",
    "input_id",
    "name",
    "account",
    "code",
    "stage",
    "reason",
    "listener",
];

/// The labels of a series, with their values if they are a closed set.
type Labels = BTreeMap<String, Option<BTreeSet<String>>>;

/// All series by name.
pub struct Catalogue(BTreeMap<String, Labels>);

impl Catalogue {
    pub fn new() -> Self {
        let mut series = BTreeMap::new();
        for family in families() {
            for (name, labels) in series_of(family) {
                assert!(series.insert(name, labels).is_none(), "{} exists twice", family.name);
            }
        }
        series.insert("up".to_owned(), open(&TARGET));
        let mut alerts = open(&ALERTS);
        // StreamLiveSecretUnused has it.
        alerts.insert("secret".to_owned(), None);
        alerts.insert("alertstate".to_owned(), Some(["pending", "firing"].map(str::to_owned).into()));
        alerts.insert("severity".to_owned(), Some(["critical", "warning", "info", "none"].map(str::to_owned).into()));
        let mut since = alerts.clone();
        since.remove("alertstate");
        series.insert("ALERTS".to_owned(), alerts);
        series.insert("ALERTS_FOR_STATE".to_owned(), since);
        series.extend(recorded());
        Self(series)
    }

    /// The values of the label `code`.
    pub fn codes(&self) -> &BTreeSet<String> {
        let errors = &self.0["cloudflare_stream_live_input_errors_total"];
        errors["code"].as_ref().expect("codes are a closed set")
    }

    /// The values of a label in the series that an expression reads, if they are a closed set.
    fn values(&self, parsed: &Parsed, label: &str) -> BTreeSet<String> {
        let read = parsed.selectors.iter().filter_map(|selector| self.0.get(&selector.metric)?.get(label)?.clone());
        read.flatten().collect()
    }

    /// Metrics, labels and label values of an expression that are not in the catalogue.
    pub fn problems(&self, parsed: &Parsed) -> Vec<String> {
        let mut problems = Vec::new();
        for selector in &parsed.selectors {
            let Some(labels) = self.0.get(&selector.metric) else {
                problems.push(format!("there is no metric {:?}", selector.metric));
                continue;
            };
            problems.extend(selector.matchers.iter().filter_map(|matcher| unknown(matcher, labels)));
        }
        let labels = self.labels(parsed);
        let unknown = parsed.named.iter().filter(|label| !labels.contains(*label));
        problems.extend(unknown.map(|label| format!("no selector here has the label {label}")));
        problems
    }

    /// All labels that the result of an expression can have.
    pub fn labels(&self, parsed: &Parsed) -> BTreeSet<String> {
        let read = parsed.selectors.iter().filter_map(|selector| self.0.get(&selector.metric)).flat_map(BTreeMap::keys);
        read.chain(&parsed.made).cloned().collect()
    }
}

/// The series of the recording rules. The first part of a name has the labels, except in settings, which have none.
fn recorded() -> Vec<(String, Labels)> {
    let rules = files(&root().join("deploy/prometheus/rules"), "yml").into_iter();
    let rules: String = rules.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let labels = |name: &str| match name.split(':').next().unwrap() {
        "stream_live" => open(&[]),
        "job_input_id" => open(&["job", "input_id"]),
        _ => open(&["job", "input_id", "name", "account"]),
    };
    names.map(|name| (name.to_owned(), labels(name))).collect()
}

fn unknown(matcher: &Matcher, labels: &Labels) -> Option<String> {
    let Matcher { label, operator, value } = matcher;
    let Some(values) = labels.get(label) else {
        return Some(format!("there is no label {label}"));
    };
    let regex = operator.contains('~');
    let values = values.as_ref()?;
    let mut alternatives = value.split(if regex { '|' } else { '\0' });
    alternatives.find(|one| !values.contains(*one)).map(|one| format!("{label} is never {one:?}"))
}

fn open(labels: &[&str]) -> Labels {
    labels.iter().map(|label| ((*label).to_owned(), None)).collect()
}

fn series_of(family: &Family) -> Vec<(String, Labels)> {
    let mut labels = open(&TARGET);
    let values = |label: &Label| Some(label.closed_set()?.iter().map(|value| (*value).to_owned()).collect());
    labels.extend(family.labels.iter().map(|label| (label.name.to_owned(), values(label))));
    if family.kind != Kind::Histogram {
        return vec![(family.name.to_owned(), labels)];
    }
    let with = |suffix: &str, labels: &Labels| (format!("{}{suffix}", family.name), labels.clone());
    let mut series = vec![with("_sum", &labels), with("_count", &labels)];
    labels.insert("le".to_owned(), None);
    series.push(with("_bucket", &labels));
    series
}

#[test]
fn every_metric_label_and_value_is_in_the_catalogue() {
    let catalogue = Catalogue::new();
    let mut problems = Vec::new();
    for query in super::document::dashboards().iter().flat_map(Dashboard::queries) {
        let parsed = parse(&query.expression).unwrap_or_else(|error| panic!("{}: {error}", query.place));
        problems.extend(catalogue.problems(&parsed).into_iter().map(|problem| format!("{}: {problem}", query.place)));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn unknown_metrics_labels_and_values_are_found() {
    let catalogue = Catalogue::new();
    for (expression, problem) in [
        ("cloudflare_stream_live_input_connectd", "there is no metric \"cloudflare_stream_live_input_connectd\""),
        ("cloudflare_stream_live_input_connected{name=\"a\"}", "there is no label name"),
        ("cloudflare_stream_live_input_events_total{event=\"error\"}", "event is never \"error\""),
        ("cloudflare_stream_live_input_errors_total{code=~\"other|ERR_GOP\"}", "code is never \"ERR_GOP\""),
        ("sum by (code) (cloudflare_stream_live_input_events_total)", "no selector here has the label code"),
        ("up * on (job) group_left (version) process_threads", "no selector here has the label version"),
        ("cloudflare_stream_live_input_session_duration_seconds", "there is no metric"),
        ("cloudflare_stream_live_input_session_duration_seconds_sum{le=\"10\"}", "there is no label le"),
        ("stream_live_exporter_requests_rejected_total{reason!=\"video_webhook\"}", "reason is never"),
        ("ALERTS{severity=\"page\"}", "severity is never \"page\""),
    ] {
        let problems = catalogue.problems(&parse(expression).unwrap());
        assert!(matches!(&problems[..], [one] if one.starts_with(problem)), "{expression}: {problems:?}");
    }
    let fine = "sum by (code) (increase(cloudflare_stream_live_input_errors_total{code=~\"other|ERR_UNHEALTHY\"}[1h]))";
    assert!(catalogue.problems(&parse(fine).unwrap()).is_empty());
}

/// The column names that Grafana derives from a panel's queries.
fn columns(panel: &Value, catalogue: &Catalogue) -> BTreeSet<String> {
    let mut columns: BTreeSet<_> = ["Time", "Value"].map(str::to_owned).into();
    for target in list(&panel["targets"]) {
        columns.insert(format!("Value #{}", text(target, "refId")));
        columns.extend(catalogue.labels(&parse(text(target, "expr")).unwrap()));
    }
    list(&panel["transformations"]).iter().fold(columns, transformed)
}

/// The columns after a transformation that makes new ones.
fn transformed(mut columns: BTreeSet<String>, transformation: &Value) -> BTreeSet<String> {
    let options = &transformation["options"];
    match text(transformation, "id") {
        "groupBy" => {
            let fields = options["fields"].as_object().unwrap();
            let unknown: Vec<_> = fields.keys().filter(|field| !columns.contains(*field)).collect();
            assert!(unknown.is_empty(), "groupBy has {unknown:?}");
            let grouped = fields.iter().flat_map(|(field, how)| match list(&how["aggregations"]) {
                [] => vec![field.clone()],
                reducers => reducers.iter().map(|one| format!("{field} ({})", one.as_str().unwrap())).collect(),
            });
            grouped.collect()
        }
        "calculateField" => {
            for side in ["left", "right"] {
                let operand = text(&options["binary"][side]["matcher"], "options");
                assert!(columns.contains(operand), "calculateField has {operand}");
            }
            columns.insert(text(options, "alias").to_owned());
            columns
        }
        _ => columns,
    }
}

#[test]
fn legends_and_columns_refer_to_existing_labels() {
    let catalogue = Catalogue::new();
    for dashboard in super::document::dashboards() {
        for panel in dashboard.charts() {
            let place = dashboard.place(panel);
            let columns = columns(panel, &catalogue);
            let mut names: BTreeSet<String> = BTreeSet::new();
            for target in list(&panel["targets"]) {
                let legend = text(target, "legendFormat");
                let parsed = parse(text(target, "expr")).unwrap();
                for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
                    assert!(columns.contains(label), "{place}: the legend has {{{{{label}}}}}");
                    let names_of = |value: String| legend.replace(&format!("{{{{{label}}}}}"), &value);
                    names.extend(catalogue.values(&parsed, label).into_iter().map(names_of));
                }
                names.insert(legend.to_owned());
            }
            for organize in list(&panel["transformations"]).iter().filter(|one| one["id"] == "organize") {
                let options = &organize["options"];
                for member in ["excludeByName", "indexByName", "renameByName"] {
                    let organized = options[member].as_object().unwrap().keys();
                    let missing: Vec<_> = organized.filter(|column| !columns.contains(*column)).collect();
                    assert!(missing.is_empty(), "{place}: {member} has {missing:?}");
                }
                // All other columns keep their names.
                let replaced = |column: &&String| {
                    !options["renameByName"][column].is_null() || options["excludeByName"][column] == true
                };
                names.extend(columns.iter().filter(|column| !replaced(column)).cloned());
                names.extend(
                    options["renameByName"].as_object().unwrap().values().map(|name| name.as_str().unwrap().to_owned()),
                );
            }
            names.extend(list(&panel["targets"]).iter().map(|target| format!("query {}", text(target, "refId"))));
            let overrides = list(&panel["fieldConfig"]["overrides"]).iter().map(|over| &over["matcher"]);
            let overrides = overrides.map(|matcher| match text(matcher, "id") {
                "byFrameRefID" => format!("query {}", text(matcher, "options")),
                _ => text(matcher, "options").to_owned(),
            });
            let sorts = list(&panel["options"]["sortBy"]).iter().map(|sort| text(sort, "displayName"));
            for name in overrides.chain(sorts.map(str::to_owned)) {
                assert!(names.contains(&name), "{place}: {name} is not one of {names:?}");
            }
        }
    }
}

#[test]
fn tables_of_error_codes_map_every_code() {
    let catalogue = Catalogue::new();
    let mut mappings = 0;
    for dashboard in super::document::dashboards() {
        for panel in dashboard.charts().into_iter().filter(|panel| panel["type"] == "table") {
            let overrides = list(&panel["fieldConfig"]["overrides"]).iter();
            let properties = overrides.flat_map(|over| list(&over["properties"]));
            let mapped = properties.filter_map(|property| property["value"][0]["options"].as_object());
            for mapped in mapped.filter(|mapped| mapped.contains_key("other")) {
                let codes: BTreeSet<_> = mapped.keys().cloned().collect();
                assert_eq!(&codes, catalogue.codes(), "{}", dashboard.place(panel));
                mappings += 1;
            }
        }
    }
    assert_eq!(mappings, 4, "meaning and fix, on two dashboards");
}
