//! Requests and responses of the API, without HTTP.

use std::time::Duration;

use serde_json::{Value, json};

/// A request to the API.
#[derive(Debug, Clone, Copy)]
pub struct MockRequest<'a> {
    /// The HTTP method, in upper case.
    pub method: &'a str,
    /// Path and query, with or without the prefix `/client/v4`.
    pub path: &'a str,
    /// The header `authorization`.
    pub authorization: Option<&'a str>,
    /// The body; empty if there is none.
    pub body: &'a [u8],
}

/// The response to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MockResponse {
    /// The HTTP status.
    pub status: u16,
    /// All headers, in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How the body reaches the client.
    pub transfer: Transfer,
}

/// How a body reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transfer {
    /// Completely and at once.
    #[default]
    Complete,
    /// After this time.
    Slow(Duration),
    /// The connection ends after the first half.
    Truncated,
}

impl MockResponse {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes(), transfer: Transfer::Complete }
    }
}

/// A successful result, or the refusal of a request.
pub(super) type Reply = Result<Success, Refusal>;

/// The parts of a successful response. A null result is left out, as documented for what only succeeds.
#[derive(Debug, Clone)]
pub(super) struct Success {
    pub(super) result: Value,
    pub(super) result_info: Option<Value>,
    pub(super) messages: Value,
}

impl Success {
    pub(super) fn new(result: Value) -> Self {
        Self { result, result_info: None, messages: json!([]) }
    }
}

/// An error of the API. The texts are Cloudflare's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: u64,
    pub(super) message: &'static str,
}

impl Refusal {
    pub(super) const NO_HEADER: Self =
        Self::new(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers");
    pub(super) const MALFORMED_HEADER: Self = Self::new(400, 6003, "Invalid request headers");
    pub(super) const INVALID_TOKEN: Self = Self::new(401, 1000, "Invalid API Token");
    pub(super) const UNAUTHENTICATED: Self = Self::new(401, 10000, "Authentication error");
    pub(super) const FORBIDDEN: Self = Self::new(403, 10000, "Authentication error");
    pub(super) const NO_SUBSCRIPTION: Self =
        Self::new(403, 10002, "Unauthorized: Stream subscription is required for this account");
    pub(super) const NO_INPUT: Self = Self::new(404, 10003, "Not Found: live input not found");
    pub(super) const NO_ROUTE: Self = Self::new(404, 7003, "Could not route to the requested resource");
    pub(super) const RATE_LIMITED: Self = Self::new(429, 971, "Please wait and consider throttling your request speed");

    pub(super) const fn new(status: u16, code: u64, message: &'static str) -> Self {
        Self { status, code, message }
    }
}

/// The envelope of every answer but GraphQL's.
pub(super) fn enveloped(reply: &Reply) -> MockResponse {
    match reply {
        Ok(Success { result, result_info, messages }) => {
            let mut body = json!({ "success": true, "errors": [], "messages": messages });
            if !result.is_null() {
                body["result"] = result.clone();
            }
            if let Some(result_info) = result_info {
                body["result_info"] = result_info.clone();
            }
            MockResponse::json(200, &body)
        }
        Err(Refusal { status, code, message }) => {
            let errors = json!([{ "code": code, "message": message }]);
            MockResponse::json(*status, &json!({ "success": false, "errors": errors, "messages": [], "result": null }))
        }
    }
}

/// The parts of a path: `/client/v4/accounts/x?page=2` is `["accounts", "x"]` and `page=2`.
pub(super) fn split(path: &str) -> (Vec<&str>, Query<'_>) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.strip_prefix("/client/v4").unwrap_or(path);
    (path.split('/').filter(|part| !part.is_empty()).collect(), Query(query))
}

/// The query of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a>(&'a str);

impl Query<'_> {
    /// The decoded value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).next()
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }
}

/// Decodes percent signs. What is not valid stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let code = (first == b'%').then(|| others.get(..2).and_then(|digits| str::from_utf8(digits).ok()));
        match code.flatten().and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_split_and_decoded() {
        let (parts, query) = split("/client/v4/accounts/x?since=2026-11-28T10%3A00%3A00Z&page=2&flag&x=100%");
        assert_eq!(parts, ["accounts", "x"]);
        assert_eq!(query.get("since").as_deref(), Some("2026-11-28T10:00:00Z"));
        assert_eq!((query.number("page"), query.get("flag").as_deref(), query.get("none")), (Some(2), Some(""), None));
        assert_eq!(query.get("x").as_deref(), Some("100%"));
    }
}
