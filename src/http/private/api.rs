//! `GET /api/v1/inputs`: the state of all inputs.

use std::iter;

use actix_web::http::header::AcceptEncoding;
use actix_web::web::{Bytes, Data, Header};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::value::to_raw_value;

use super::Private;
use super::input_summary::InputSummary;
use super::parameters::Parameters;
use super::streaming::{Compressor, JSON, json_list};
use crate::event::Timestamp;
use crate::http::connection;
use crate::http::responses::restoring;
use crate::live::{State, View};

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
    let Some(view) = private.state_reader.view() else { return restoring() };
    compressor.respond(JSON, encodings.as_ref(), hold, chunks(view))
}

/// The answer of `GET /api/v1/inputs`: all inputs as of a time, and whether they are expected by the wall clock.
pub fn inputs_json(state: &State, as_of: Timestamp, wall_clock: Timestamp) -> String {
    let view = View { state: state.clone(), as_of, wall_clock, ..View::default() };
    let json: Vec<u8> = chunks(view).flatten().collect();
    String::from_utf8(json).expect("JSON is text")
}

fn chunks(view: View) -> impl Iterator<Item = Bytes> {
    let beginning = format!(r#"{{"as_of":"{}","inputs":["#, view.as_of);
    let mut after = None;
    let inputs = iter::from_fn(move || {
        let (id, entry) = view.gauge_state().known(after).next()?;
        after = Some(id);
        let summary = InputSummary::of(id, &entry.input, &view);
        Some(to_raw_value(&summary).expect("texts and numbers can be written"))
    });
    json_list(beginning, inputs)
}
