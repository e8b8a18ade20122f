//! The tables of sessions. Grafana joins the rows of their five queries by time and input, groups them by input and number
//! of the session, and reduces each group to one row.

use std::collections::BTreeMap;

use super::grafana::View;
use super::scene::Scene;
use super::timeline::input_truth::Session;

const TITLE: &str = "Recent sessions";
/// Values in place of an end.
const RUNS: f64 = 0.0;
const UNKNOWN: f64 = -1000.0;

/// One row before the grouping: the values of the five queries.
#[derive(Default)]
struct Row {
    number: Option<f64>,
    start: Option<f64>,
    end: Option<f64>,
    errors: Option<f64>,
    until: Option<f64>,
}

/// One row of the table, in milliseconds.
#[derive(Debug, Default)]
struct Shown {
    start: Option<f64>,
    end: Option<f64>,
    errors: f64,
    until: Option<f64>,
}

/// The sessions that a dashboard shows and that differ from the truth.
pub fn differences(view: &View<'_>, scene: &Scene<'_>) -> Vec<String> {
    if view.dashboard.targets().all(|(panel, _)| panel.title != TITLE) {
        return Vec::new();
    }
    let mut shown = table(view);
    let mut problems = Vec::new();
    for (input_id, input) in scene.chosen() {
        let rows: Vec<_> = shown.remove(&input_id.to_string()).unwrap_or_default().into_values().collect();
        let same = rows.len() == input.ran.len() && rows.iter().zip(&input.ran).all(|(row, ran)| row.is(ran, scene.to));
        if !same {
            problems.push(format!("the sessions of {input_id} are {rows:?} instead of {:?}", input.ran));
        }
    }
    problems.extend(shown.keys().map(|input_id| format!("there are sessions of {input_id}, which is not chosen")));
    problems
}

/// The rows by input and number of the session.
fn table(view: &View<'_>) -> BTreeMap<String, BTreeMap<String, Shown>> {
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    for (panel, target) in view.dashboard.targets().filter(|(panel, _)| panel.title == TITLE) {
        for series in view.query(panel, target) {
            for (at, value) in series.points {
                let row = rows.entry((series.labels["input_id"].clone(), sortable(at))).or_default();
                let column = match target.ref_id.as_str() {
                    "A" => &mut row.number,
                    "B" => &mut row.start,
                    "C" => &mut row.end,
                    "D" => &mut row.errors,
                    _ => &mut row.until,
                };
                *column = Some(value);
            }
        }
    }
    let mut table: BTreeMap<String, BTreeMap<String, Shown>> = BTreeMap::new();
    for ((input_id, _), row) in rows {
        // Without a number the row would be in a group of its own: number 0, which no session has.
        let number = sortable(row.number.unwrap_or_default());
        let shown = table.entry(input_id).or_default().entry(number).or_default();
        shown.start = shown.start.or(row.start);
        shown.end = row.end.or(shown.end);
        shown.errors += row.errors.unwrap_or_default();
        shown.until = row.until.or(shown.until);
    }
    table
}

/// A number as a key: floating-point numbers have no total order.
fn sortable(number: f64) -> String {
    format!("{number:020.3}")
}

impl Shown {
    fn is(&self, ran: &Session, to: f64) -> bool {
        let near = |shown: Option<f64>, seconds: f64, tolerance: f64| {
            shown.is_some_and(|shown| (shown - 1000.0 * seconds).abs() <= 1000.0 * tolerance)
        };
        let errors_are_the_same = (self.errors - ran.errors as f64).abs() < 0.5;
        if ran.ended_unseen {
            return near(self.start, ran.start, 0.001) && self.end == Some(UNKNOWN) && errors_are_the_same;
        }
        // A session that runs is shown until the last step of the range.
        let (until, tolerance) = ran.end.map_or((to, 125.0), |end| (end, if ran.end_corrected { 15.0 } else { 0.001 }));
        near(self.start, ran.start, 0.001)
            && ran.end.map_or(self.end == Some(RUNS), |end| near(self.end, end, tolerance))
            && near(self.until, until, tolerance)
            && errors_are_the_same
    }
}
