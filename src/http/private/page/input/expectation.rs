//! When the input is expected to be live.

use askama::Template;

use super::subject::Subject;
use crate::http::private::page::fragment::Fragment;
use crate::http::private::page::time::Time;
use crate::live::ExceptionEntry;
use crate::schedule::Expectation;

/// Number of the next changes to show.
const FORECAST: usize = 4;

#[derive(Template)]
#[template(path = "input_expectation.html", config = "src/http/private/page/askama.toml")]
struct Expected<'a> {
    is_expected: bool,
    /// What is configured: `always`, `never`, or `None` if there are windows.
    constant: Option<&'static str>,
    windows: Vec<String>,
    exception: Option<(&'a ExceptionEntry, Change)>,
    forecast: Vec<(bool, Change)>,
    id: String,
}

/// A time, also in the time zone of the schedule.
struct Change {
    at: Time,
    local: String,
}

/// The fragment.
pub(super) fn fragment(subject: &Subject<'_>) -> Fragment {
    let Subject { id, view, snapshot, .. } = *subject;
    let (state, now) = (view.gauge_state(), snapshot.now);
    let plan = state.plan(&id);
    let change = |at| Change { at: Time(at), local: plan.local(at).strftime("%a %d %b %H:%M %Z").to_string() };
    let (constant, windows) = match plan.expectation() {
        Expectation::Always => (Some("always"), Vec::new()),
        Expectation::Never => (Some("never"), Vec::new()),
        Expectation::Scheduled(schedule) => (None, schedule.windows().iter().map(ToString::to_string).collect()),
    };
    let forecast = plan.changes(now, FORECAST).into_iter().map(|next| (next.expected, change(next.at))).collect();
    let exception = state.exception(&id, now).map(|entry| (entry, change(entry.exception.until)));
    let is_expected = plan.at(now);
    Fragment::new("expectation", &Expected { is_expected, constant, windows, exception, forecast, id: id.to_string() })
}
