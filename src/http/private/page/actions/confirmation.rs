//! The page that asks for a confirmation.

use actix_web::http::StatusCode;
use askama::Template;

use super::action::{Action, Words};
use super::{expectation, failure_page};
use crate::http::private::correction::Refusal;
use crate::http::private::input_summary::{InputState, InputSummary};
use crate::http::private::page::fragment::Fragment;
use crate::http::private::page::layout::Page;
use crate::http::private::page::snapshot::Snapshot;
use crate::http::private::page::time::Time;
use crate::http::web_config::Operator;
use crate::live::ExceptionEntry;

#[derive(Template)]
#[template(path = "confirmation.html", config = "src/http/private/page/askama.toml")]
struct Confirmation<'a> {
    words: Words,
    input: Option<InputSummary<'a>>,
    state: &'static str,
    state_text: &'static str,
    subject: &'a str,
    origin: String,
    token: &'a str,
    user: Option<&'a str>,
    is_correction: bool,
    /// When the input is expected otherwise than now.
    expected_until: Option<Time>,
    exception: Option<&'a ExceptionEntry>,
    asks_for_end: bool,
}

/// The page. For an input that is not known, it says so.
pub(super) fn page(snapshot: &Snapshot, action: Action, user: Option<&Operator>, token: &str) -> Page {
    let input = match action.input().map(|_| summary(snapshot, action)).transpose() {
        Ok(input) => input,
        Err(refusal) => return failure_page::page(&refusal.into(), Some(action), snapshot.now),
    };
    let words = action.words();
    let title = words.title.to_owned();
    let (state, state_text) = match input.as_ref().map(|input| input.state) {
        Some(InputState::Connected) => ("live", "on air"),
        Some(InputState::Disconnected) => ("off", "off air"),
        Some(InputState::Unknown) | None => ("unknown", "unknown"),
    };
    let subject = &action.subject();
    let user = user.map(|Operator(name)| &**name);
    let (origin, is_correction) = (action.origin(), action.input().is_some());
    let state_of = |id| snapshot.view.as_ref().map(|view| (view.gauge_state(), id));
    let known = action.input().and_then(state_of);
    let change = known.and_then(|(state, id)| state.plan(&id).next_change(snapshot.now));
    let exception = known.and_then(|(state, id)| state.exception(&id, snapshot.now));
    let confirmation = Confirmation {
        words,
        input,
        state,
        state_text,
        subject,
        origin,
        token,
        user,
        is_correction,
        expected_until: change.map(|change| Time(change.at)),
        exception,
        asks_for_end: matches!(action, Action::Expect(_)),
    };
    let fragments = vec![Fragment::new("confirmation", &confirmation)];
    let now = snapshot.now;
    Page { status: StatusCode::OK, title, root: "..", now, address: None, notice: None, fragments }
}

fn summary(snapshot: &Snapshot, action: Action) -> Result<InputSummary<'_>, Refusal> {
    let view = snapshot.view.as_ref().ok_or(Refusal::Restoring)?;
    let input_id = action.input().ok_or(Refusal::UnknownInput)?;
    let entry = view.gauge_state().known_input(&input_id).ok_or(Refusal::UnknownInput)?;
    Ok(InputSummary::of(input_id, &entry.input, view))
}
