//! State, last day, last error, and counters of an input.

use std::fmt;
use std::time::Duration;

use askama::Template;

use super::evidence::{self, Reason};
use super::subject::Subject;
use crate::event::{ErrorClass, ErrorCode, EventKind};
use crate::http::configuration::Configuration;
use crate::http::private::input_summary::{InputState, InputSummary};
use crate::http::private::page::fragment::Fragment;
use crate::http::private::page::overview::Status;
use crate::http::private::page::time::Time;
use crate::live::Statistics;
use crate::text::escaped;
use crate::timeline::{Bar, InputHistory, Today, in_words, midnight};

#[derive(Template)]
#[template(path = "input_state.html", config = "src/http/private/page/askama.toml")]
struct State<'a> {
    summary: InputSummary<'a>,
    status: Status,
    is_disabled: bool,
    since: Option<Time>,
    /// Why the state is this one; `None` if it is unknown.
    reason: Option<Reason<'a>>,
    error: Option<LastError>,
    bar: Option<Bar>,
    today: Option<Today>,
    /// Where today begins.
    midnight: Time,
    /// Why there is no bar.
    problem: Option<&'a str>,
    grafana: Option<String>,
    cloudflare: Option<String>,
}

struct LastError {
    code: ErrorCode,
    class: ErrorClass,
    at: Time,
    message: Option<String>,
    codecs: Vec<String>,
}

#[derive(Template)]
#[template(path = "input_counters.html", config = "src/http/private/page/askama.toml")]
struct Counters<'a> {
    summary: InputSummary<'a>,
    inconsistent: [(&'static str, u64); 2],
    quality: Vec<(&'static str, Statistics)>,
}

/// What the input is, and why.
pub(super) fn fragment(subject: &Subject<'_>) -> Fragment {
    let Subject { id, input, view, snapshot, .. } = *subject;
    let state = view.gauge_state();
    let summary = InputSummary::of(id, input, view);
    let plan = state.plan(&id);
    let midnight = midnight(&plan, snapshot.now);
    let day = snapshot.days.as_ref().map(|days| days.of(&id, input).with_evidence(view.evidence(&id, input)));
    Fragment::new(
        "input",
        &State {
            status: Status { state: summary.state, expected: summary.expected },
            is_disabled: summary.enabled == Some(false),
            since: summary.since.map(Time),
            reason: (summary.state != InputState::Unknown).then(|| evidence::of(subject)),
            error: last_error(subject),
            bar: day.map(|day| day.bar(snapshot.now, &plan)),
            today: day.map(|day| day.today(midnight, view.as_of, state.rules())),
            midnight: Time(midnight),
            problem: snapshot.days_problem.as_deref(),
            grafana: snapshot.configuration.grafana_input_url(&id),
            cloudflare: Configuration::cloudflare_url(state.account_id(&id, input), &id),
            summary,
        },
    )
}

fn last_error(subject: &Subject<'_>) -> Option<LastError> {
    let (at, code) = subject.input.errors.newest()?;
    let detail = subject.history.iter().flat_map(InputHistory::records).find_map(|record| {
        let event = record.event().filter(|event| event.updated_at == at)?;
        if let EventKind::Errored(detail) = &event.kind { Some(detail) } else { None }
    });
    let codecs = [("video", detail.and_then(|detail| detail.video_codec.as_deref()))]
        .into_iter()
        .chain([("audio", detail.and_then(|detail| detail.audio_codec.as_deref()))]);
    let codecs = codecs.filter_map(|(kind, codec)| codec.map(|codec| format!("{kind} {}", escaped(codec)))).collect();
    let message = detail.and_then(|detail| detail.message.as_deref()).map(|text| escaped(text).into_owned());
    Some(LastError { class: code.class(), code, at: Time(at), message, codecs })
}

/// The counters, as `/metrics` has them.
pub(super) fn counters(subject: &Subject<'_>) -> Fragment {
    let Subject { id, input, view, .. } = *subject;
    let [connected, disconnected] = view.counted(&id, input).counters(view.as_of, view.state.rules()).inconsistent;
    let quality = view.gauge_state().quality(&id).map_or_else(Vec::new, |quality| {
        vec![
            ("Keyframe interval in seconds", quality.gop_duration),
            ("Upload time divided by media time", quality.upload_duration_ratio),
            ("Bits per second", quality.bitrate),
        ]
    });
    Fragment::new(
        "counters",
        &Counters {
            summary: InputSummary::of(id, input, view),
            inconsistent: [("connected", connected), ("disconnected", disconnected)],
            quality,
        },
    )
}

impl LastError {
    fn code(&self) -> impl fmt::Display {
        let code = Some(self.code.as_str()).filter(|code| !code.is_empty()).unwrap_or("no code");
        escaped(code).into_owned()
    }
}

impl State<'_> {
    /// The bar as an image. It has numbers and fixed words only.
    fn svg(&self) -> String {
        self.bar.as_ref().map(Bar::svg).unwrap_or_default()
    }

    fn on_air(&self) -> String {
        in_words(Duration::from_secs(60 * self.minutes_on_air()))
    }

    /// Whole minutes, so that the fragment seldom changes.
    fn minutes_on_air(&self) -> u64 {
        self.today.map_or(0, |today| today.time_on_air.as_secs() / 60)
    }

    fn words(&self) -> String {
        self.bar.as_ref().map(Bar::words).unwrap_or_default()
    }
}

impl Counters<'_> {
    fn statistic(value: &Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
    }
}
