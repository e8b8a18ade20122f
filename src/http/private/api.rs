//! `GET /api/v1/inputs`: the state of all inputs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter;

use actix_web::http::header::AcceptEncoding;
use actix_web::web::{Bytes, Data, Header};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::Private;
use super::parameters::Parameters;
use super::streaming::{Compressor, JSON, json_list};
use crate::event::{ErrorClass, EventKind, InputId, Timestamp};
use crate::http::connection;
use crate::http::responses::restoring;
use crate::live::{Input, State, View};

#[derive(Serialize)]
struct InputStatus<'a> {
    id: InputId,
    name: &'a str,
    /// The configured name of its account, otherwise the id; empty if neither is known.
    account: Cow<'a, str>,
    /// Whether it may be streamed to, if Cloudflare's API said so.
    enabled: Option<bool>,
    state: &'static str,
    expected: bool,
    since: Option<String>,
    connected_seconds: f64,
    sessions: u64,
    reconnects: u64,
    events: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, u64>,
    last_event_at: Option<String>,
    last_error: Option<LastError>,
}

#[derive(Serialize)]
struct LastError {
    code: Option<String>,
    at: String,
}

/// The inputs in the order of their ids.
pub(super) async fn inputs(
    request: HttpRequest,
    private: Data<Private>,
    compressor: Data<Compressor>,
    encodings: Option<Header<AcceptEncoding>>,
) -> HttpResponse {
    if let Err(invalid) = Parameters::of(&request, &[]) {
        return invalid.response();
    }
    let hold = connection::hold(&private.state_reader);
    let Some(View { state, as_of, wall_clock, .. }) = private.state_reader.view() else { return restoring() };
    compressor.respond(JSON, encodings.as_ref(), hold, chunks(state, as_of, wall_clock))
}

/// The answer of `GET /api/v1/inputs`: all inputs as of a time, and whether they are expected by the wall clock.
pub fn inputs_json(state: &State, as_of: Timestamp, wall_clock: Timestamp) -> String {
    let json: Vec<u8> = chunks(state.clone(), as_of, wall_clock).flatten().collect();
    String::from_utf8(json).expect("JSON is text")
}

fn chunks(state: State, as_of: Timestamp, wall_clock: Timestamp) -> impl Iterator<Item = Bytes> {
    let beginning = format!(r#"{{"as_of":"{as_of}","inputs":["#);
    let mut after = None;
    let inputs = iter::from_fn(move || {
        let (id, entry) = state.known(after).next()?;
        after = Some(id);
        let status = input_status(id, &entry.input, &state, as_of, wall_clock);
        Some(to_raw_value(&status).expect("texts and numbers can be written"))
    });
    json_list(beginning, inputs)
}

fn input_status<'a>(
    id: InputId,
    input: &Input,
    state: &'a State,
    as_of: Timestamp,
    wall_clock: Timestamp,
) -> InputStatus<'a> {
    let nonzero = |(label, count): (&'static str, u64)| (count > 0).then_some((label, count));
    let evidence = input.evidence();
    let counters = input.counters(as_of, state.rules());
    let errors = ErrorClass::LABELS.into_iter().zip(input.errors.counts());
    InputStatus {
        id,
        name: state.name(&id),
        account: state.account(&id, input),
        enabled: state.listed(&id).and_then(|(_, listed)| listed.enabled),
        expected: state.expected(&id, wall_clock),
        state: match evidence.map(|evidence| evidence.connected) {
            Some(true) => "connected",
            Some(false) => "disconnected",
            None => "unknown",
        },
        since: evidence.map(|evidence| evidence.since.to_string()),
        connected_seconds: counters.connected_time.as_secs_f64(),
        sessions: counters.sessions,
        reconnects: counters.reconnects,
        events: EventKind::NAMES.into_iter().zip(input.events()).collect(),
        errors: errors.filter_map(nonzero).collect(),
        last_event_at: input.newest_event().map(|at| at.to_string()),
        last_error: input.errors.newest().map(|(at, code)| LastError {
            code: Some(code.as_str().to_owned()).filter(|code| !code.is_empty()),
            at: at.to_string(),
        }),
    }
}
