//! Hours of generated history in a real Prometheus: every query of every dashboard runs there, and what
//! the dashboards show is true.

#[path = "../../examples/history/timeline/mod.rs"]
mod timeline;
mod claims;
mod dashboard;
mod grafana;
mod scene;

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
use timeline::input_truth::InputTruth;
use timeline::inputs::Input;
use timeline::prometheus::Prometheus;
use timeline::truth::Truth;
use timeline::{History, Tools};

const STEP: Duration = Duration::from_secs(SCRAPE_INTERVAL);
/// 2026-11-20T18:19:30Z. Then 17:00 lies within the exporter's restart, and every bar that ends with a
/// full hour is looked at while a replica is away.
const END: i64 = 1_795_198_770;
/// The replica that hears everything.
const COMPLETE: &str = "exporter-1:10419";
/// A dashboard, an annotation of it, and when it rightly shows nothing.
type Unmarked = (&'static str, &'static str, fn(&InputTruth) -> bool);
/// It never happened to the chosen input.
const UNMARKED: [Unmarked; 4] = [
    ("stream-live-input", "Critical alerts", |input| input.expected_seconds - input.on_air_seconds < 120.0),
    ("stream-live-input", "Connects", |input| !input.last_event.contains_key("connected")),
    ("stream-live-input", "Disconnects", |input| !input.last_event.contains_key("disconnected")),
    ("stream-live-input", "Errors", |input| input.last_error.is_empty()),
];

/// A history that a Prometheus serves.
struct Served {
    history: History,
    prometheus: Prometheus,
    _folder: TempDir,
}

/// What a user looks at: a dashboard over so many hours, up to so many seconds after the last scrape,
/// with these choices of variables.
struct Look<'a> {
    served: &'a Served,
    dashboard: &'a Dashboard,
    hours: u64,
    seconds_later: f64,
    chosen: BTreeMap<&'static str, Vec<String>>,
}

fn dashboards() -> Vec<Dashboard> {
    Dashboard::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards"))
}

/// Makes the history and serves it; nothing when a program for it cannot be had.
fn serve() -> Option<Served> {
    let promtool = tool("PROMTOOL", Path::new("promtool"))?;
    let prometheus = tool("PROMETHEUS", Path::new("prometheus"))?;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let tools = Tools { promtool, prometheus };
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules");
    let end = Timestamp::from_seconds(END);
    let history = History::make(&tools, folder.path(), &rules, end, STEP).expect("a history can be made");
    let prometheus = Prometheus::start(&tools.prometheus, folder.path(), None, STEP).expect("prometheus serves it");
    Some(Served { history, prometheus, _folder: folder })
}

#[test]
fn the_dashboards_tell_the_truth_about_six_hours() {
    let dashboards = dashboards();
    let Some(served) = serve() else { return };
    let looks = dashboards.iter().flat_map(|dashboard| Look::all(&served, dashboard));
    let mut problems: Vec<_> = looks.flat_map(|look| look.problems()).collect();
    problems.extend(dashboards.iter().flat_map(|dashboard| claims_of_now(&served, dashboard)));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn what_counts_is_claimed_and_what_is_claimed_is_there() {
    for dashboard in dashboards() {
        let claims = claims(&dashboard.uid);
        for (panel, target) in dashboard.targets().filter(|(_, target)| counts(target)) {
            let claimed = claims.iter().any(|claim| claim.is_of(panel, target));
            assert!(claimed, "{}: nobody says what is true of {} {}", dashboard.uid, panel.title, target.ref_id);
        }
        for claim in claims {
            let panels = dashboard.targets().filter(|(panel, target)| claim.is_of(panel, target)).count();
            assert_eq!(panels, 1, "{}: so many of {} {}", dashboard.uid, claim.panel, claim.target);
        }
    }
}

#[test]
fn the_history_is_scraped_as_often_as_grafana_is_told() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/provisioning/datasources/prometheus.yml");
    let source = std::fs::read_to_string(source).expect("the data source can be read");
    let told = source.lines().find_map(|line| line.trim().strip_prefix("timeInterval: "));
    assert_eq!(told, Some(format!("{SCRAPE_INTERVAL}s").as_str()));
}

/// What a dashboard says of the present while no exporter is scraped: nothing of this can be known.
fn claims_of_now(served: &Served, dashboard: &Dashboard) -> Vec<String> {
    let to = END as f64 + 300.0;
    let chosen = dashboard.variable("input").filter(|input| !input.include_all);
    let chosen = chosen.map(|_| ("input", vec![Input::Auditorium.id().to_string()])).into_iter().collect();
    let view = View { prometheus: &served.prometheus, dashboard, from: to - 6.0 * 3600.0, to, chosen };
    let present = [
        "Expected but off air",
        "Off air for",
        "Live",
        "State unknown",
        "Last notification",
        "State",
        "For",
        "Expected",
    ];
    let mut asked = 0;
    let mut problems = Vec::new();
    for (panel, target) in dashboard.targets() {
        let of_inputs = panel.title == "Inputs" && target.ref_id == "A";
        if !of_inputs && !present.contains(&panel.title.as_str()) {
            continue;
        }
        asked += 1;
        let series = view.ask(panel, target);
        let known = |series: &Series| series.points.iter().any(|(_, value)| *value != -1.0);
        let claims =
            if of_inputs { series.len() != Input::ALL.len() || series.iter().any(known) } else { !is_empty(&series) };
        if claims {
            problems.push(format!("{}: {} says {series:?} although nobody is scraped", dashboard.uid, panel.title));
        }
    }
    assert!(asked > 0, "{} says nothing of the present", dashboard.uid);
    problems
}

/// Whether it counts over the range, or bar by bar.
fn counts(target: &Target) -> bool {
    ["[$__range", "offset $__range", "offset $__interval", "offset -$__interval"]
        .iter()
        .any(|part| target.expr.contains(part))
}

impl<'a> Look<'a> {
    /// All that is looked at of a dashboard.
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
            vec![BTreeMap::new(), two, [ids(&[Input::StudioB])].into_iter().chain(complete).collect()]
        };
        // Twelve hours are more than there are.
        let ranges = [(6, 0.0), (1, 0.0), (3, 3.0), (12, 0.0)];
        let looks = choices.into_iter().enumerate().flat_map(|(number, chosen)| {
            // Three choices make the difference between ranges; of ten inputs all have their day.
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

    /// Panels that show nothing, or something else than the truth.
    fn figures(&self, view: &View<'_>) -> Vec<String> {
        let chosen = |variable| self.chosen.get(variable).into_iter().flatten();
        let mut problems = Vec::new();
        for (panel, target) in self.dashboard.targets() {
            let (from, to) = view.span(panel, target);
            let scene = Scene {
                truth: &self.truth(from, to),
                inputs: chosen("input").map(|id| id.parse().expect("an input's id")).collect(),
                instances: chosen("instance").cloned().collect(),
                to,
            };
            let series = view.ask(panel, target);
            let mut problem = |what: &str| problems.push(format!("{} {}: {what}", panel.title, target.ref_id));
            let mut claims = claims(&self.dashboard.uid).iter().filter(|claim| claim.is_of(panel, target)).peekable();
            // Of what is claimed the truth says whether it is to show something.
            if claims.peek().is_none() && is_empty(&series) {
                problem("shows nothing");
            }
            claims.filter_map(|claim| claim.difference(&series, &scene)).for_each(|what| problem(&what));
        }
        problems
    }

    /// Annotations that show nothing, or other starts than there were.
    fn annotations(&self, view: &View<'_>, truth: &Truth) -> Vec<String> {
        let mut problems = Vec::new();
        for annotation in &self.dashboard.annotations.list {
            let series = view.ask_annotation(annotation);
            if is_empty(&series) && !self.is_rightly_unmarked(annotation, truth) {
                problems.push(format!("the annotation {} shows nothing", annotation.name));
            }
            if annotation.name == "Exporter starts" {
                problems.extend(self.starts(annotation, &series, truth));
            }
        }
        problems
    }

    fn is_rightly_unmarked(&self, annotation: &Annotation, truth: &Truth) -> bool {
        let is_it = |unmarked: &&Unmarked| unmarked.0 == self.dashboard.uid && unmarked.1 == annotation.name;
        let mut chosen = self.chosen.get("input").into_iter().flatten();
        UNMARKED.iter().find(is_it).is_some_and(|(_, _, never_happened)| {
            chosen.all(|id| never_happened(&truth.inputs[&id.parse().expect("an input's id")]))
        })
    }

    fn starts(&self, annotation: &Annotation, series: &[Series], truth: &Truth) -> Option<String> {
        assert!(annotation.use_value_for_time, "the value tells when it started");
        let marks = series.iter().flat_map(|series| &series.points).map(|(_, value)| value / 1000.0);
        let marked: BTreeSet<_> =
            marks.filter(|at| truth.from < *at && *at <= truth.to).map(|at| format!("{at:.3}")).collect();
        let chosen = self.chosen.get("instance");
        let is_chosen = |instance: &str| chosen.is_none_or(|chosen| chosen.iter().any(|one| one == instance));
        let replicas = truth.replicas.iter().filter(|(instance, _)| is_chosen(instance));
        let starts: u64 = replicas.map(|(_, replica)| replica.starts).sum();
        (marked.len() as u64 != starts).then(|| format!("starts are marked at {marked:?}, and there were {starts}"))
    }

    /// Variables that offer something else than there is.
    fn options(&self, view: &View<'_>, truth: &Truth) -> Vec<String> {
        let asking = self.dashboard.templating.list.iter().filter(|variable| variable.kind == "query");
        let wrong = asking.filter_map(|variable| {
            let offered: BTreeMap<_, _> =
                view.options(variable).into_iter().map(|Choice { text, value }| (value, text)).collect();
            let there = there_is(&variable.name, truth);
            (offered != there).then(|| format!("{} offers {offered:?} and not {there:?}", variable.name))
        });
        wrong.collect()
    }
}

/// What there is of a variable: values with the text that a user reads.
fn there_is(variable: &str, truth: &Truth) -> BTreeMap<String, String> {
    let same = |value: &str| (value.to_owned(), value.to_owned());
    match variable {
        "job" => [same("stream-live-exporter")].into(),
        "instance" => truth.replicas.keys().map(|instance| same(instance)).collect(),
        "input" => {
            let named = truth.inputs.iter().map(|(id, input)| {
                let id = id.to_string();
                (id.clone(), if input.name.is_empty() { id } else { input.name.to_owned() })
            });
            named.collect()
        }
        unknown => panic!("say here what {unknown} offers"),
    }
}

fn is_empty(series: &[Series]) -> bool {
    series.iter().flat_map(|series| &series.points).all(|(_, value)| value.is_nan())
}
