//! The rules of Grafana's dashboard-linter, with its names; some are stricter here.

use serde_json::Value;

use super::document::{Dashboard, list, text, variable_query};
use super::promql::{Parsed, Selector, parse};

/// Findings of a rule: place and problem.
pub type Problems = Vec<(String, String)>;
pub type Rule = (&'static str, fn(&Dashboard) -> Problems);

pub const RULES: [Rule; 17] = [
    ("template-datasource-rule", template_datasource),
    ("template-job-rule", |dashboard| template(dashboard, "job", "Job")),
    ("template-instance-rule", |dashboard| template(dashboard, "instance", "Instance")),
    ("template-label-promql-rule", template_label_promql),
    ("template-on-time-change-reload-rule", template_reload),
    ("panel-datasource-rule", panel_datasource),
    ("panel-title-description-rule", panel_title_description),
    ("panel-units-rule", panel_units),
    ("panel-no-targets-rule", panel_no_targets),
    ("target-promql-rule", target_promql),
    ("target-rate-interval-rule", |dashboard| of_selectors(dashboard, rate_interval)),
    ("target-job-rule", |dashboard| of_selectors(dashboard, |_, selector| variable_matcher(selector, "job"))),
    ("target-instance-rule", |dashboard| of_selectors(dashboard, |_, selector| variable_matcher(selector, "instance"))),
    ("target-counter-agg-rule", |dashboard| of_selectors(dashboard, counter_aggregation)),
    // These two are about Loki: the dashboards must not query it.
    ("target-logql-rule", no_loki),
    ("target-logql-auto-rule", no_loki),
    ("uneditable-dashboard-rule", uneditable),
];

/// Exceptions: the rule, a part of the finding, and the reason.
pub const EXCEPTIONS: [(&str, &str, &str); 8] = [
    ("target-job-rule", "ALERTS{", "some alerts have no job: `$job|` also matches these"),
    ("target-instance-rule", "ALERTS{", "an alert about an input or a job has no instance"),
    ("target-job-rule", "ALERTS_FOR_STATE{", "it has the labels of ALERTS"),
    ("target-instance-rule", "ALERTS_FOR_STATE{", "it has the labels of ALERTS"),
    ("target-instance-rule", "job_input_id:", "the rules combine the replicas of a job"),
    ("target-counter-agg-rule", "journal_reloads_total", "a table of replicas has the number since the start of each"),
    ("target-job-rule", "stream_live:threshold:", "a setting of the rules has no labels"),
    ("target-instance-rule", "stream_live:threshold:", "a setting of the rules has no labels"),
];

/// The Grafana units that these dashboards use. Check that Grafana has a unit before you add it.
const UNITS: [&str; 8] = ["none", "s", "ms", "bytes", "bps", "percentunit", "dateTimeAsIso", "dateTimeFromNow"];

const DATASOURCE: &str = "${datasource}";

/// All findings without the exceptions.
pub fn lint(dashboard: &Dashboard) -> Vec<String> {
    RULES.iter().flat_map(|rule| findings(rule, dashboard)).collect()
}

/// The findings of one rule without its exceptions.
pub fn findings((rule, check): &Rule, dashboard: &Dashboard) -> Vec<String> {
    let excepted = |what: &str| EXCEPTIONS.iter().any(|(of, part, _)| of == rule && what.contains(part));
    let found = check(dashboard).into_iter().filter(|(_, what)| !excepted(what));
    found.map(|(place, what)| format!("{rule}: {place}: {what}")).collect()
}

fn problem(place: &str, what: impl Into<String>) -> (String, String) {
    (place.to_owned(), what.into())
}

fn template_datasource(dashboard: &Dashboard) -> Problems {
    let sources = dashboard.variables().iter().filter(|variable| variable["type"] == "datasource");
    // The Alertmanager is for links; no panel queries it.
    let found: Vec<_> = sources.filter(|variable| variable["query"] != "alertmanager").collect();
    let [variable] = found[..] else {
        return vec![problem(&dashboard.file, format!("{} data source variables instead of one", found.len()))];
    };
    let wanted = [("name", "datasource"), ("label", "Data source"), ("query", "prometheus")];
    let wrong = wanted.into_iter().filter(|(member, value)| text(variable, member) != *value);
    wrong
        .map(|(member, value)| problem(&dashboard.file, format!("{member} of the data source is not {value}")))
        .collect()
}

fn template(dashboard: &Dashboard, name: &str, label: &str) -> Problems {
    let Some(variable) = dashboard.variable(name) else {
        return vec![problem(&dashboard.file, format!("no variable {name}"))];
    };
    let wanted = [
        ("label", Value::from(label)),
        ("type", "query".into()),
        ("multi", true.into()),
        ("includeAll", true.into()),
        ("allValue", ".+".into()),
    ];
    let wrong = wanted.into_iter().filter(|(member, value)| variable[member] != *value);
    wrong.map(|(member, value)| problem(&dashboard.file, format!("{member} of ${name} is not {value}"))).collect()
}

fn queried(dashboard: &Dashboard) -> impl Iterator<Item = &Value> {
    dashboard.variables().iter().filter(|variable| variable["type"] == "query")
}

fn template_label_promql(dashboard: &Dashboard) -> Problems {
    let check = |variable: &Value| match variable_query(variable) {
        Some((function, expression)) if ["label_values", "query_result"].contains(&&*function) => {
            parse(&expression).err()
        }
        other => Some(format!("not a query: {other:?}")),
    };
    queried(dashboard).filter_map(|variable| Some(problem(text(variable, "name"), check(variable)?))).collect()
}

fn template_reload(dashboard: &Dashboard) -> Problems {
    let wrong = queried(dashboard).filter(|variable| variable["refresh"] != 2);
    wrong.map(|variable| problem(text(variable, "name"), "does not reload when the time range changes")).collect()
}

/// The data sources of panels, their targets, variables and annotations, each with its place.
fn sources(dashboard: &Dashboard) -> Vec<(String, &Value)> {
    let charts = dashboard.charts().into_iter();
    let panels = charts.flat_map(|panel| {
        std::iter::once(panel).chain(list(&panel["targets"])).map(|part| (dashboard.place(panel), &part["datasource"]))
    });
    let variables = queried(dashboard).map(|variable| (text(variable, "name").to_owned(), &variable["datasource"]));
    let annotations = dashboard.annotations().iter();
    let annotations = annotations.map(|annotation| (text(annotation, "name").to_owned(), &annotation["datasource"]));
    panels.chain(variables).chain(annotations).collect()
}

fn panel_datasource(dashboard: &Dashboard) -> Problems {
    let fixed = sources(dashboard).into_iter().filter(|(_, source)| source["uid"] != DATASOURCE);
    fixed.map(|(place, source)| (place, format!("the data source is {source} instead of the variable"))).collect()
}

fn no_loki(dashboard: &Dashboard) -> Problems {
    let others = sources(dashboard).into_iter().filter(|(_, source)| source["type"] != "prometheus");
    others.map(|(place, source)| (place, format!("the data source is {source} instead of a Prometheus"))).collect()
}

fn panel_title_description(dashboard: &Dashboard) -> Problems {
    let mut problems = Vec::new();
    for panel in dashboard.panels() {
        let place = format!("{}: panel {}", dashboard.file, panel["id"]);
        if text(panel, "title").is_empty() {
            problems.push(problem(&place, "no title"));
        }
        let description = text(panel, "description");
        if text(panel, "type") != "row" && !(description.ends_with('.') && description.len() > 40) {
            problems.push(problem(&place, format!("the description is not a sentence: {description:?}")));
        }
    }
    problems
}

fn panel_units(dashboard: &Dashboard) -> Problems {
    let mut problems = Vec::new();
    for panel in dashboard.charts() {
        let config = &panel["fieldConfig"];
        let properties = list(&config["overrides"]).iter().flat_map(|over| list(&over["properties"]));
        let overrides = properties.filter(|property| property["id"] == "unit").map(|property| &property["value"]);
        for unit in overrides.chain([&config["defaults"]["unit"]]) {
            if !UNITS.iter().any(|known| unit == known) {
                problems.push(problem(&dashboard.place(panel), format!("the unit is {unit}")));
            }
        }
    }
    problems
}

fn panel_no_targets(dashboard: &Dashboard) -> Problems {
    let empty = dashboard.charts().into_iter().filter(|panel| list(&panel["targets"]).is_empty());
    empty.map(|panel| problem(&dashboard.place(panel), "no target")).collect()
}

fn target_promql(dashboard: &Dashboard) -> Problems {
    let wrong = |expression: &str| match expression {
        "" => Some("no expression".to_owned()),
        expression => parse(expression).err().map(|error| format!("{error}: {expression}")),
    };
    dashboard.queries().into_iter().filter_map(|query| Some((query.place, wrong(&query.expression)?))).collect()
}

/// Applies a check to every selector of every query, except queries that fill variables.
fn of_selectors(dashboard: &Dashboard, check: fn(&Parsed, &Selector) -> Option<String>) -> Problems {
    let mut problems = Vec::new();
    for query in dashboard.queries().into_iter().filter(|query| !query.of_variable) {
        let parsed = parse(&query.expression).unwrap_or_default();
        let found = parsed.selectors.iter().filter_map(|selector| check(&parsed, selector));
        problems.extend(found.map(|what| problem(&query.place, what)));
    }
    problems
}

fn rate_interval(_: &Parsed, selector: &Selector) -> Option<String> {
    let rate = matches!(selector.function.as_deref()?, "rate" | "irate");
    let window = selector.window.as_deref()?;
    (rate && window != "$__rate_interval").then(|| format!("rate of {} over {window}", selector.metric))
}

fn variable_matcher(selector: &Selector, label: &str) -> Option<String> {
    let value = format!("${label}");
    (!selector.has(label, "=~", &value))
        .then(|| format!("{}{{…}} does not match {label}=~\"{value}\"", selector.metric))
}

/// The linter only allows rates and increases of counters. These dashboards also subtract, because `increase`
/// extrapolates and misses the first event of a series. A query may read a counter directly if it also reads it at an
/// earlier time.
fn counter_aggregation(parsed: &Parsed, selector: &Selector) -> Option<String> {
    let function = selector.function.as_deref().unwrap_or_default();
    let increase = selector.window.is_some()
        && matches!(function, "rate" | "irate" | "increase" | "last_over_time" | "count_over_time" | "resets");
    let subtracted = parsed.selectors.iter().any(|other| other.metric == selector.metric && other.earlier);
    let counter = selector.metric.ends_with("_total");
    (counter && !increase && !subtracted).then(|| format!("reads the counter {} directly", selector.metric))
}

fn uneditable(dashboard: &Dashboard) -> Problems {
    let editable = dashboard.json["editable"] != false;
    editable.then(|| problem(&dashboard.file, "is editable")).into_iter().collect()
}
