//! Runs every query of every dashboard against a real Prometheus with a generated history, and compares the results
//! with the truth.

#[path = "../../examples/history/timeline/mod.rs"]
pub mod timeline;
mod claims;
mod dashboard;
mod grafana;
mod scene;
mod sessions;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use stream_live_exporter::event::Timestamp;
use tempfile::TempDir;

use crate::tools::tool;
use claims::claims;
use dashboard::{Annotation, Dashboard, Target};
use grafana::{Choice, SCRAPE_INTERVAL, Series, View};
use scene::Scene;
use timeline::input_truth::RangeTruth;
use timeline::inputs::Input;
use timeline::prometheus::Prometheus;
use timeline::truth::Truth;
use timeline::{History, Journals, Tools};

const STEP: Duration = Duration::from_secs(SCRAPE_INTERVAL);
/// 2026-11-20T18:19:30Z. The restart of a replica is then at 17:00, where a bar ends.
const END: i64 = 1_795_198_770;
/// The replica that receives every event.
const COMPLETE: &str = "exporter-1:10419";
/// A dashboard, its annotation, and the condition under which it is empty.
type Empty = (&'static str, &'static str, fn(&RangeTruth) -> bool);
/// Annotations that are empty for some inputs.
const EMPTY: [Empty; 4] = [
    ("stream-live-input", "Critical alerts", |input| input.expected_seconds - input.on_air_seconds < 120.0),
    ("stream-live-input", "Connects", |input| !input.metrics.last_event_ms.contains_key("connected")),
    ("stream-live-input", "Disconnects", |input| !input.metrics.last_event_ms.contains_key("disconnected")),
    ("stream-live-input", "Errors", |input| input.metrics.last_error_ms.is_empty()),
];

/// A history and the Prometheus that serves it.
struct Served {
    history: History,
    prometheus: Prometheus,
    _folder: TempDir,
}

/// A dashboard with a range and chosen variables.
struct Look<'a> {
    served: &'a Served,
    dashboard: &'a Dashboard,
    hours: u64,
    /// The end of the range, after the last scrape.
    seconds_later: f64,
    chosen: BTreeMap<&'static str, Vec<String>>,
}

fn dashboards() -> Vec<Dashboard> {
    Dashboard::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards"))
}

/// Generates and serves the history; `None` if a program is missing.
fn serve(journals: Journals) -> Option<Served> {
    let promtool = tool("PROMTOOL", Path::new("promtool"))?;
    let prometheus = tool("PROMETHEUS", Path::new("prometheus"))?;
    let folder = tempfile::tempdir().expect("a temporary folder is created");
    let tools = Tools { promtool, prometheus };
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules");
    let end = Timestamp::from_seconds(END);
    let history = History::generate(&tools, folder.path(), &rules, end, STEP, journals);
    let history = history.expect("the history is generated");
    let prometheus = Prometheus::serve(&tools.prometheus, folder.path(), None, STEP).expect("Prometheus serves it");
    Some(Served { history, prometheus, _folder: folder })
}

#[test]
fn dashboards_show_the_truth_of_the_history() {
    let dashboards = dashboards();
    let Some(served) = serve(Journals::Own) else { return };
    let looks = dashboards.iter().flat_map(|dashboard| Look::all(&served, dashboard));
    let mut problems: Vec<_> = looks.flat_map(|look| look.problems()).collect();
    problems.extend(dashboards.iter().flat_map(|dashboard| claims_of_now(&served, dashboard)));
    problems.extend(dashboards.iter().filter_map(|dashboard| order_of_outages(&served, dashboard)));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_counting_target_has_a_claim_and_every_claim_has_a_target() {
    for dashboard in dashboards() {
        let claims = claims(&dashboard.uid);
        for (panel, target) in dashboard.targets().filter(|(_, target)| counts(target)) {
            let claimed = claims.iter().any(|claim| claim.is_of(panel, target));
            assert!(claimed, "{}: there is no claim for {} {}", dashboard.uid, panel.title, target.ref_id);
        }
        for claim in claims {
            let panels = dashboard.targets().filter(|(panel, target)| claim.is_of(panel, target)).count();
            assert_eq!(panels, 1, "{}: number of targets {} {}", dashboard.uid, claim.panel, claim.target);
        }
    }
}

#[test]
fn scrape_interval_equals_that_of_the_provisioned_data_source() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/provisioning/datasources/prometheus.yml");
    let source = std::fs::read_to_string(source).expect("the data source can be read");
    let interval = source.lines().find_map(|line| line.trim().strip_prefix("timeInterval: "));
    assert_eq!(interval, Some(format!("{SCRAPE_INTERVAL}s").as_str()));
}

/// The panel of outages at a time when two inputs are off air: the longest outage must be the first.
fn order_of_outages(served: &Served, dashboard: &Dashboard) -> Option<String> {
    let (panel, target) = dashboard.targets().find(|(panel, _)| panel.title == "Off air for")?;
    let to = END as f64 - 6300.0;
    let view = View { prometheus: &served.prometheus, dashboard, from: to - 3600.0, to, chosen: BTreeMap::new() };
    let shown: Vec<_> = view.query(panel, target).into_iter().map(|mut one| one.labels.remove("name")).collect();
    let longest_first = [Input::LobbyCamera, Input::Auditorium].map(|input| Some(input.name().to_owned()));
    (shown != longest_first).then(|| format!("outages are shown in the order {shown:?}"))
}

/// Panels that show a present state although no exporter is scraped.
fn claims_of_now(served: &Served, dashboard: &Dashboard) -> Vec<String> {
    let to = END as f64 + 300.0;
    let chosen = dashboard.variable("input").filter(|input| !input.include_all);
    let chosen = chosen.map(|_| ("input", vec![Input::Auditorium.id().to_string()])).into_iter().collect();
    let view = View { prometheus: &served.prometheus, dashboard, from: to - 6.0 * 3600.0, to, chosen };
    let present: &[u64] = match dashboard.uid.as_str() {
        "stream-live-overview" => &[2, 30, 3, 4, 10],
        "stream-live-input" => &[2, 3, 4],
        _ => &[9],
    };
    let mut queried = 0;
    let mut problems = Vec::new();
    for (panel, target) in dashboard.targets() {
        let of_inputs = dashboard.uid == "stream-live-overview" && panel.id == 14 && target.ref_id == "A";
        if !of_inputs && !present.contains(&panel.id) {
            continue;
        }
        queried += 1;
        let series = view.query(panel, target);
        let known = |series: &Series| series.points.iter().any(|(_, value)| *value != -1.0);
        let claims =
            if of_inputs { series.len() != Input::ALL.len() || series.iter().any(known) } else { !is_empty(&series) };
        if claims {
            problems
                .push(format!("{}: {} shows {series:?} although no exporter is scraped", dashboard.uid, panel.title));
        }
    }
    assert!(queried > 0, "{} has no panel of the present state", dashboard.uid);
    problems
}

/// Whether the target counts over the range, or per bar.
fn counts(target: &Target) -> bool {
    ["[$__range", "offset $__range", "offset $__interval", "offset -$__interval"]
        .iter()
        .any(|part| target.expr.contains(part))
}

impl<'a> Look<'a> {
    /// All ranges and choices that are tested.
    fn all(served: &'a Served, dashboard: &'a Dashboard) -> Vec<Self> {
        let ids = |inputs: &[Input]| ("input", inputs.iter().map(|input| input.id().to_string()).collect::<Vec<_>>());
        let complete = [("job", "stream-live-exporter"), ("instance", COMPLETE)];
        let complete = complete.map(|(name, value)| (name, vec![value.to_owned()]));
        let choices: Vec<BTreeMap<_, _>> = if dashboard.variable("input").is_some_and(|input| !input.include_all) {
            let first = [Input::StudioB, Input::Unconfigured, Input::Auditorium];
            let others = Input::ALL.into_iter().filter(|input| !first.contains(input));
            first.into_iter().chain(others).map(|input| [ids(&[input])].into()).collect()
        } else {
            let two = [ids(&[Input::MainStage, Input::Auditorium])].into();
            let account = [("account", vec!["campus".to_owned()])].into();
            vec![BTreeMap::new(), two, [ids(&[Input::StudioB])].into_iter().chain(complete).collect(), account]
        };
        // Twelve hours are longer than the history.
        let ranges = [(6, 0.0), (1, 0.0), (3, 3.0), (12, 0.0)];
        let looks = choices.into_iter().enumerate().flat_map(|(number, chosen)| {
            // All ranges for the first three choices, and the longest for every input.
            ranges.into_iter().take(if number < 3 { ranges.len() } else { 1 }).map(move |range| (range, chosen.clone()))
        });
        looks.map(|((hours, seconds_later), chosen)| Look { served, dashboard, hours, seconds_later, chosen }).collect()
    }

    fn problems(&self) -> Vec<String> {
        let to = END as f64 + self.seconds_later;
        let from = to - (self.hours * 3600) as f64;
        let (prometheus, dashboard) = (&self.served.prometheus, self.dashboard);
        let view = View { prometheus, dashboard, from, to, chosen: self.chosen.clone() };
        let truth = self.truth(from, to);
        let mut problems = self.figures(&view);
        problems.extend(self.annotations(&view, &truth));
        problems.extend(self.options(&view, &truth));
        let choice: Vec<_> = self.chosen.values().flatten().map(String::as_str).collect();
        let look = format!("{}, {} h, {}", self.dashboard.uid, self.hours, choice.join(" "));
        problems.into_iter().map(|problem| format!("{look}: {problem}")).collect()
    }

    fn truth(&self, from: f64, to: f64) -> Truth {
        let [from, to] = [from, to].map(|time| Timestamp::EPOCH.plus(Duration::from_secs_f64(time)));
        self.served.history.truth(from, to)
    }

    /// Panels that are empty or differ from the truth.
    fn figures(&self, view: &View<'_>) -> Vec<String> {
        let [month, hour] = [30 * 86_400, 3600].map(|length: u32| self.truth(view.to - f64::from(length), view.to));
        let range = self.truth(view.from, view.to);
        let mut problems = sessions::differences(view, &self.scene([&range, &month, &hour], view.to));
        for (panel, target) in self.dashboard.targets() {
            let (from, to) = view.span(panel, target);
            let truth = self.truth(from, to);
            let scene = self.scene([&truth, &month, &hour], to);
            let series = view.query(panel, target);
            let mut problem = |what: &str| problems.push(format!("{} {}: {what}", panel.title, target.ref_id));
            let mut claims = claims(&self.dashboard.uid).iter().filter(|claim| claim.is_of(panel, target)).peekable();
            // Claims decide whether their target may be empty.
            let must_be_empty = self.dashboard.row(panel) == Some(shared::ROW);
            if (claims.peek().is_none() || must_be_empty) && is_empty(&series) != must_be_empty {
                problem(if must_be_empty { "needs no shared journal" } else { "is empty" });
            }
            claims.filter_map(|claim| claim.difference(&series, &scene)).for_each(|what| problem(&what));
        }
        problems
    }

    fn scene<'t>(&self, [truth, month, hour]: [&'t Truth; 3], to: f64) -> Scene<'t> {
        let chosen = |variable| self.chosen.get(variable).into_iter().flatten();
        Scene {
            truth,
            month,
            hour,
            inputs: chosen("input").map(|id| id.parse().expect("an input's id")).collect(),
            accounts: chosen("account").cloned().collect(),
            instances: chosen("instance").cloned().collect(),
            to,
        }
    }

    /// Annotations that are empty, or whose starts differ from the truth.
    fn annotations(&self, view: &View<'_>, truth: &Truth) -> Vec<String> {
        let mut problems = Vec::new();
        for annotation in &self.dashboard.annotations.list {
            let series = view.query_annotation(annotation);
            if ["Downtime", "Backfilled"].contains(&annotation.name.as_str()) {
                problems.extend(self.downtimes(annotation, &series, truth));
            } else if is_empty(&series) && !self.may_be_empty(annotation, truth) {
                problems.push(format!("the annotation {} is empty", annotation.name));
            }
            if annotation.name == "Exporter starts" {
                problems.extend(self.starts(annotation, &series, truth));
            }
        }
        problems
    }

    fn may_be_empty(&self, annotation: &Annotation, truth: &Truth) -> bool {
        let is_it = |empty: &&Empty| empty.0 == self.dashboard.uid && empty.1 == annotation.name;
        let mut chosen = self.chosen.get("input").into_iter().flatten();
        EMPTY.iter().find(is_it).is_some_and(|(_, _, is_empty)| {
            chosen.all(|id| is_empty(&truth.inputs[&id.parse().expect("an input's id")]))
        })
    }

    /// Each moment of the annotation is in a downtime of its kind, and each downtime of the range has a moment.
    fn downtimes(&self, annotation: &Annotation, series: &[Series], truth: &Truth) -> Option<String> {
        let chosen = self.chosen.get("instance");
        let is_chosen = |instance: &str| chosen.is_none_or(|chosen| chosen.iter().any(|one| one == instance));
        let replicas = truth.replicas.iter().filter(|(instance, _)| is_chosen(instance));
        let backfilled = annotation.name == "Backfilled";
        let downtimes: Vec<_> = replicas.flat_map(|(_, replica)| &replica.downtimes).collect();
        let of_kind: Vec<_> = downtimes.into_iter().filter(|down| down.backfilled == backfilled).collect();
        let marked: Vec<_> = series.iter().flat_map(|series| series.points.iter().map(|(at, _)| *at)).collect();
        let within = |at: f64| of_kind.iter().any(|down| down.from <= at && at < down.until);
        let all_right = marked.iter().all(|at| within(*at))
            && of_kind.iter().all(|down| marked.iter().any(|at| down.from <= *at && *at < down.until));
        (!all_right).then(|| format!("{} marks {marked:?}, expected {of_kind:?}", annotation.name))
    }

    fn starts(&self, annotation: &Annotation, series: &[Series], truth: &Truth) -> Option<String> {
        assert!(annotation.use_value_for_time, "the value is the start time");
        let marks = series.iter().flat_map(|series| &series.points).map(|(_, value)| value / 1000.0);
        let marked: BTreeSet<_> =
            marks.filter(|at| truth.from < *at && *at <= truth.to).map(|at| format!("{at:.3}")).collect();
        let chosen = self.chosen.get("instance");
        let is_chosen = |instance: &str| chosen.is_none_or(|chosen| chosen.iter().any(|one| one == instance));
        let replicas = truth.replicas.iter().filter(|(instance, _)| is_chosen(instance));
        let starts: u64 = replicas.map(|(_, replica)| replica.starts).sum();
        (marked.len() as u64 != starts).then(|| format!("starts are marked at {marked:?}, expected {starts}"))
    }

    /// Variables whose options differ from the truth.
    fn options(&self, view: &View<'_>, truth: &Truth) -> Vec<String> {
        let queried = self.dashboard.templating.list.iter().filter(|variable| variable.kind == "query");
        let wrong = queried.filter_map(|variable| {
            let offered: BTreeMap<_, _> =
                view.options(variable).into_iter().map(|Choice { text, value }| (value, text)).collect();
            let accounts = self.chosen.get("account").map(Vec::as_slice).unwrap_or_default();
            let expected = expected_options(&variable.name, truth, accounts);
            (offered != expected).then(|| format!("{} offers {offered:?} instead of {expected:?}", variable.name))
        });
        wrong.collect()
    }
}

/// The expected options of a variable for the chosen accounts: values with their texts.
fn expected_options(variable: &str, truth: &Truth, accounts: &[String]) -> BTreeMap<String, String> {
    let same = |value: &str| (value.to_owned(), value.to_owned());
    match variable {
        "job" => [same("stream-live-exporter")].into(),
        "instance" => truth.replicas.keys().map(|instance| same(instance)).collect(),
        "account" => ["campus", "main"].map(same).into(),
        "input" => {
            let of_accounts =
                |input: &RangeTruth| accounts.is_empty() || accounts.iter().any(|one| one == input.account);
            let named = truth.inputs.iter().filter(|(_, input)| of_accounts(input)).map(|(id, input)| {
                let id = id.to_string();
                (id.clone(), if input.name.is_empty() { id } else { input.name.to_owned() })
            });
            named.collect()
        }
        unknown => panic!("add the options of {unknown}"),
    }
}

fn is_empty(series: &[Series]) -> bool {
    series.iter().flat_map(|series| &series.points).all(|(_, value)| value.is_nan())
}
