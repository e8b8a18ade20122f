//! What can be wrong with an answer of the API.

use std::time::Duration;

use serde_json::{Value, json};

use super::message::{MockResponse, Refusal, Success, Transfer, enveloped};
use super::rate_limit::whole_seconds;

/// Larger than any answer that a client should read.
const HUGE: usize = 40 * 1024 * 1024;

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// An error in the envelope, with this status and code.
    Error {
        /// The HTTP status.
        status: u16,
        /// The code of the error.
        code: u64,
    },
    /// An error of a proxy in front of the API: this status, and a page instead of the envelope.
    ErrorPage(u16),
    /// Status 429, with `retry-after` if there is a time.
    RateLimited(Option<Duration>),
    /// The correct answer, after this time.
    Slow(Duration),
    /// The first half of the correct answer.
    Truncated,
    /// 40 MiB.
    Huge,
    /// A page with status 200.
    NotJson,
    /// JSON without an envelope.
    NoEnvelope,
    /// The envelope with another result than the correct one.
    WrongResult(Value),
    /// The list of inputs without its second half. `total` says so if it is asked for.
    PartialList,
    /// Status 302 to this URL.
    Redirect(String),
}

impl Fault {
    /// Replaces or changes the correct answer.
    pub(super) fn applied(self, correct: MockResponse) -> MockResponse {
        match self {
            Self::Error { status, code } => {
                MockResponse { headers: correct.headers, ..enveloped(&Err(Refusal::new(status, code, "injected"))) }
            }
            Self::ErrorPage(status) => page(status),
            Self::RateLimited(after) => {
                let mut response = enveloped(&Err(Refusal::RATE_LIMITED));
                let after = after.map(|after| ("retry-after", whole_seconds(after).to_string()));
                response.headers.extend(after);
                response
            }
            Self::Slow(delay) => MockResponse { transfer: Transfer::Slow(delay), ..correct },
            Self::Truncated => MockResponse { transfer: Transfer::Truncated, ..correct },
            Self::Huge => MockResponse { body: vec![b' '; HUGE], ..correct },
            Self::NotJson => page(200),
            Self::NoEnvelope => MockResponse::json(200, &json!(["unexpected"])),
            Self::WrongResult(result) => enveloped(&Ok(Success::new(result))),
            Self::PartialList => half_of_the_list(correct),
            Self::Redirect(location) => {
                let mut response = page(302);
                response.headers.push(("location", location));
                response
            }
        }
    }
}

fn page(status: u16) -> MockResponse {
    let headers = vec![("content-type", "text/html; charset=UTF-8".to_owned())];
    let body = format!("<!DOCTYPE html><title>{status}</title><h1>{status}</h1>").into_bytes();
    MockResponse { status, headers, body, transfer: Transfer::Complete }
}

fn half_of_the_list(correct: MockResponse) -> MockResponse {
    let mut body: Value = serde_json::from_slice(&correct.body).unwrap_or_default();
    let result = &mut body["result"];
    let list = if result.is_array() { result.as_array_mut() } else { result["liveInputs"].as_array_mut() };
    if let Some(list) = list {
        list.truncate(list.len() / 2);
    }
    MockResponse { body: body.to_string().into_bytes(), ..correct }
}
