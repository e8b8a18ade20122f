//! Dashboards of replicas that share a journal: no panel counts twice.

use std::collections::BTreeMap;

use super::dashboard::{Dashboard, Panel, Target};
use super::grafana::{Series, View};
use super::timeline::Journals;
use super::timeline::inputs::Input;
use super::timeline::shared::UNDISTURBED;
use super::{END, Served, dashboards, is_empty, serve};

/// The row of panels that need a shared journal.
pub const ROW: &str = "Shared journal";
/// The panel that counts how often replicas restored everything.
const RELOADS: &str = "Reloads";
/// Ingest quality is not in the journal: a replica has what it asked for.
const QUALITY: [&str; 3] = ["_gop_duration_seconds", "_upload_duration_ratio", "_bitrate_bits_per_second"];

/// One of the replicas goes down, one is away for a time and behind for another. All must show what the third one shows.
#[test]
fn panels_about_inputs_show_the_same_for_three_replicas_of_a_journal_as_for_one() {
    let Some(served) = serve(Journals::Shared) else { return };
    let mut compared = 0;
    let mut problems = Vec::new();
    for dashboard in dashboards() {
        for (panel, target) in dashboard.targets() {
            let of_all = query(&served, &dashboard, panel, target, None);
            if dashboard.row(panel) == Some(ROW) && is_empty(&of_all) {
                problems.push(format!("{} is empty", panel.title));
            }
            if panel.title == RELOADS && total(&of_all) != 3.0 {
                problems.push(format!("{} shows {of_all:?}", panel.title));
            }
            let is_exempt = QUALITY.iter().any(|name| target.expr.contains(name));
            if is_exempt || !target.expr.contains("cloudflare_stream_live_") {
                continue;
            }
            compared += 1;
            let of_one = query(&served, &dashboard, panel, target, Some(UNDISTURBED));
            if let Some(difference) = difference(&of_all, &of_one) {
                problems.push(format!("{}: {} {}: {difference}", dashboard.uid, panel.title, target.ref_id));
            }
        }
    }
    assert!(compared > 50, "{compared} targets are about inputs");
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// The last six hours, of all replicas or of one.
fn query(
    served: &Served,
    dashboard: &Dashboard,
    panel: &Panel,
    target: &Target,
    instance: Option<&str>,
) -> Vec<Series> {
    let mut chosen = BTreeMap::new();
    if dashboard.variable("input").is_some_and(|input| !input.include_all) {
        chosen.insert("input", vec![Input::Auditorium.id().to_string()]);
    }
    chosen.extend(instance.map(|instance| ("instance", vec![instance.to_owned()])));
    let to = END as f64;
    let view = View { prometheus: &served.prometheus, dashboard, from: to - 6.0 * 3600.0, to, chosen };
    let mut series = view.query(panel, target);
    series.sort_by(|one, other| one.labels.cmp(&other.labels));
    series
}

/// The first series that only one of them has, or that differs.
fn difference(all: &[Series], one: &[Series]) -> Option<String> {
    let labels = |series: &[Series]| series.iter().map(|series| series.labels.clone()).collect::<Vec<_>>();
    if labels(all) != labels(one) {
        return Some(format!("shows {:?} instead of {:?}", labels(all), labels(one)));
    }
    let pairs = all.iter().zip(one).flat_map(|(all, one)| {
        let points = all.points.len().max(one.points.len());
        (0..points).map(move |index| (&all.labels, all.points.get(index), one.points.get(index)))
    });
    let mut different = pairs.filter(|(_, all, one)| !is_equal(*all, *one));
    different.next().map(|(labels, all, one)| format!("{labels:?} shows {all:?} instead of {one:?}"))
}

/// Whether the points are equal, except for the order of additions.
fn is_equal(one: Option<&(f64, f64)>, other: Option<&(f64, f64)>) -> bool {
    let (Some((at, value)), Some((other_at, other_value))) = (one, other) else { return false };
    let tolerance = 1e-9 * value.abs().max(1.0);
    at == other_at && ((value.is_nan() && other_value.is_nan()) || (value - other_value).abs() <= tolerance)
}

fn total(series: &[Series]) -> f64 {
    series.iter().flat_map(|series| &series.points).map(|(_, value)| value).filter(|value| !value.is_nan()).sum()
}
