//! How Grafana sends the queries of a dashboard and reads the responses.
//!
//! It follows Grafana's Prometheus data source: the choice of steps, the alignment of ranges, the interpolation of
//! variables, and the options of a variable.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

use super::dashboard::{Annotation, Dashboard, Panel, Target, Variable};
use super::timeline::prometheus::Prometheus;

/// The scrape interval of the provisioned data source, in seconds.
pub const SCRAPE_INTERVAL: u64 = 5;
/// Data points of a panel that does not configure their number.
const MAX_DATA_POINTS: u32 = 1000;
/// Maximum number of points in a range query of Prometheus.
const SAFE_POINTS: f64 = 11_000.0;

/// A dashboard with a range and values of its variables.
#[derive(Clone)]
pub struct View<'a> {
    pub prometheus: &'a Prometheus,
    pub dashboard: &'a Dashboard,
    /// Seconds since the epoch.
    pub from: f64,
    pub to: f64,
    /// The chosen values by variable; a variable that is missing here has all values.
    pub chosen: BTreeMap<&'static str, Vec<String>>,
}

/// A series of a response: its labels, and values by time.
#[derive(Debug)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub points: Vec<(f64, f64)>,
}

/// An option of a variable.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    pub text: String,
    pub value: String,
}

impl View<'_> {
    /// Runs the query of a target.
    pub fn query(&self, panel: &Panel, target: &Target) -> Vec<Series> {
        let step = self.step_of(panel, target);
        let expression = self.interpolate(&target.expr, Some(step));
        assert!(!(target.instant && target.range), "{}: a target is either instant or range", panel.title);
        if target.instant { self.instant(&expression) } else { self.range(&expression, step) }
    }

    /// The time that the response of a target covers. The first bar of a range ends where the range begins; Grafana
    /// aligns both ends to multiples of the step.
    pub fn span(&self, panel: &Panel, target: &Target) -> (f64, f64) {
        if target.instant {
            return (self.from, self.to);
        }
        let step = self.step_of(panel, target);
        let (first, last) = (aligned(self.from, step), aligned(self.to, step));
        // Cells of a state timeline look ahead by one interval, the last one up to the end of the data.
        if target.expr.contains("offset -$__interval") { (first, self.to) } else { (first - step as f64, last) }
    }

    fn step_of(&self, panel: &Panel, target: &Target) -> u64 {
        let interval = target.interval.as_deref().filter(|text| !text.is_empty()).or(panel.interval.as_deref());
        self.step(interval, panel.max_data_points.unwrap_or(MAX_DATA_POINTS))
    }

    /// Runs the query of an annotation.
    pub fn query_annotation(&self, annotation: &Annotation) -> Vec<Series> {
        let step = self.step(Some(&annotation.step), MAX_DATA_POINTS);
        self.range(&self.interpolate(&annotation.expr, Some(step)), step)
    }

    /// The options of a variable.
    pub fn options(&self, variable: &Variable) -> Vec<Choice> {
        let definition = self.interpolate(&variable.definition, None);
        let mut options = match call(&definition) {
            Some(("label_values", arguments)) => self.label_values(arguments),
            Some(("query_result", expression)) => self.query_result(expression),
            _ => panic!("add the definition of the variable {}: {definition}", variable.name),
        };
        if !variable.regex.is_empty() {
            options = options.iter().filter_map(|option| matched(&variable.regex, &option.value)).collect();
        }
        options.sort();
        options.dedup_by(|one, other| one.value == other.value);
        options
    }

    /// The step of a range, in seconds: the value of `$__interval`.
    fn step(&self, least: Option<&str>, points: u32) -> u64 {
        let least = least.map_or(SCRAPE_INTERVAL, duration);
        let range = self.to - self.from;
        let calculated = rounded(range / f64::from(points)).max(least);
        calculated.max(rounded(range / SAFE_POINTS))
    }

    fn range(&self, expression: &str, step: u64) -> Vec<Series> {
        let [start, end] = [self.from, self.to].map(|time| aligned(time, step).to_string());
        let step = step.to_string();
        let parameters = [("query", expression), ("start", &start), ("end", &end), ("step", &step)];
        self.series("query_range", &parameters, "values")
    }

    fn instant(&self, expression: &str) -> Vec<Series> {
        self.series("query", &[("query", expression), ("time", &self.to.to_string())], "value")
    }

    fn series(&self, path: &str, parameters: &[(&str, &str)], key: &str) -> Vec<Series> {
        let answer = self.prometheus.get(path, parameters);
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error:#}\n{}", self.dashboard.uid, parameters[0].1));
        if answer["resultType"] == "scalar" {
            return vec![Series { labels: BTreeMap::new(), points: vec![point(&answer["result"])] }];
        }
        let series = answer["result"].as_array().expect("the result is a list of series").iter();
        let read = series.map(|series| {
            let labels = serde_json::from_value(series["metric"].clone()).expect("labels are texts");
            let points = match key {
                "value" => vec![point(&series[key])],
                _ => series[key].as_array().expect("values by time").iter().map(point).collect(),
            };
            Series { labels, points }
        });
        read.collect()
    }

    fn label_values(&self, arguments: &str) -> Vec<Choice> {
        let (selector, label) = arguments.rsplit_once(',').expect("label_values has a selector and a label");
        let (from, to) = (self.from.to_string(), self.to.to_string());
        let parameters = [("match[]", selector.trim()), ("start", from.as_str()), ("end", to.as_str())];
        let answer = self.prometheus.get(&format!("label/{}/values", label.trim()), &parameters);
        let values: Vec<String> =
            serde_json::from_value(answer.expect("prometheus answers")).expect("values are texts");
        values.into_iter().map(|value| Choice { text: value.clone(), value }).collect()
    }

    /// One text per series, in Grafana's format.
    fn query_result(&self, expression: &str) -> Vec<Choice> {
        let texts = self.instant(expression).into_iter().map(|mut series| {
            let name = series.labels.remove("__name__").unwrap_or_default();
            let labels: Vec<_> = series.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let (time, value) = series.points[0];
            let text = format!("{name}{{{}}} {value} {}", labels.join(","), time * 1000.0);
            Choice { text: text.clone(), value: text }
        });
        texts.collect()
    }

    /// Replaces variables by their values.
    fn interpolate(&self, text: &str, step: Option<u64>) -> String {
        let names = Regex::new(r"\$(\w+)|\$\{(\w+)(?::(\w+))?\}").expect("the expression is regular");
        let replaced = names.replace_all(text, |found: &regex_lite::Captures<'_>| {
            let name = found.get(1).or(found.get(2)).expect("one of the forms has matched").as_str();
            assert!(found.get(3).is_none(), "add the format of {}", &found[0]);
            self.value(name, step).unwrap_or_else(|| found[0].to_owned())
        });
        replaced.into_owned()
    }

    /// The value of a variable; `None` for a group of a regular expression.
    fn value(&self, name: &str, step: Option<u64>) -> Option<String> {
        let range = (self.to - self.from).round();
        let step = || step.expect("a query for the options of a variable has no step");
        Some(match name {
            "__interval" => format!("{}s", step()),
            "__rate_interval" => format!("{}s", (step() + SCRAPE_INTERVAL).max(4 * SCRAPE_INTERVAL)),
            "__range" => format!("{range}s"),
            "__range_s" => format!("{range}"),
            "__from" => format!("{}", (self.from * 1000.0).round()),
            group if group.bytes().all(|byte| byte.is_ascii_digit()) => return None,
            _ => self.variable(name),
        })
    }

    fn variable(&self, name: &str) -> String {
        let variable = self.dashboard.variable(name);
        let variable = variable.unwrap_or_else(|| panic!("{} has no variable {name}", self.dashboard.uid));
        match self.chosen.get(name).map(Vec::as_slice) {
            None if variable.kind == "custom" => {
                variable.current["value"].as_str().expect("a custom variable has a choice").to_owned()
            }
            None => {
                assert!(variable.include_all, "{name} needs a value");
                variable.all_value.clone().unwrap_or_else(|| panic!("add the value of All of {name}"))
            }
            Some([value]) if !variable.multi && !variable.include_all => value.replace('\\', "\\\\"),
            Some([value]) => escaped(value),
            Some(values) => {
                assert!(variable.multi, "{name} allows one value");
                format!("({})", values.iter().map(|value| escaped(value)).collect::<Vec<_>>().join("|"))
            }
        }
    }
}

/// The last multiple of the step up to this time.
fn aligned(time: f64, step: u64) -> f64 {
    (time / step as f64).floor() * step as f64
}

/// The value as a regular expression inside a string of PromQL.
fn escaped(value: &str) -> String {
    let special = |c: char| "$^*{}[]'+?.()|\\".contains(c);
    value.chars().map(|c| if special(c) { format!("\\\\{c}") } else { c.to_string() }).collect()
}

fn call(definition: &str) -> Option<(&str, &str)> {
    definition.trim().strip_suffix(')')?.split_once('(')
}

/// The option that the regular expression of a variable extracts from a text; `None` if it does not match.
fn matched(regex: &str, text: &str) -> Option<Choice> {
    let inner = regex.strip_prefix('/').and_then(|regex| regex.strip_suffix('/')).unwrap_or(regex);
    let found = Regex::new(inner).expect("the regular expression of a variable is valid").captures(text)?;
    let group = |name| found.name(name).map(|group| group.as_str().to_owned());
    let first = || found.get(1).or(found.get(0)).map(|group| group.as_str().to_owned());
    let value = group("value").or_else(|| group("text")).or_else(first)?;
    Some(Choice { text: group("text").unwrap_or_else(|| value.clone()), value })
}

fn point(value: &Value) -> (f64, f64) {
    let time = value[0].as_f64().expect("a point has a time");
    (time, value[1].as_str().expect("a value is a text").parse().expect("a value is a number"))
}

/// Seconds of a duration such as `15s`; Grafana writes `>15s` for a minimum.
fn duration(text: &str) -> u64 {
    let text = text.trim_start_matches('>');
    humantime::parse_duration(text).unwrap_or_else(|error| panic!("{text}: {error}")).as_secs()
}

/// The rounded interval that Grafana uses, at least one second.
fn rounded(seconds: f64) -> u64 {
    let steps = [
        (1.5, 1),
        (3.5, 2),
        (7.5, 5),
        (12.5, 10),
        (17.5, 15),
        (25.0, 20),
        (45.0, 30),
        (90.0, 60),
        (210.0, 120),
        (450.0, 300),
        (750.0, 600),
        (1050.0, 900),
        (1500.0, 1200),
        (2700.0, 1800),
    ];
    steps.into_iter().find(|(below, _)| seconds < *below).map_or(3600, |(_, rounded)| rounded)
}
