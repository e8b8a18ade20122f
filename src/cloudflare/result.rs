//! Reads responses: the result, or what is wrong.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::Answer;
use super::{ApiError, ApiErrorKind, Request, Response, TransportError};
use crate::text::escaped;

/// The code for an account without a Stream subscription.
const NO_SUBSCRIPTION: u64 = 10002;
/// The code for a token that is not valid, or lacks a permission.
const NOT_AUTHENTICATED: u64 = 10000;
/// An error message of the API is shown up to this many characters.
const MAX_MESSAGE: usize = 200;

/// A result, and which part of a list it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The result.
    pub result: T,
    /// Which part of the list it is.
    pub info: PageInfo,
}

/// Which part of a list a result is. No member is certain to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct PageInfo {
    /// The number of the page, from 1 on.
    pub page: Option<u64>,
    /// The maximum length of a page.
    pub per_page: Option<u64>,
    /// The length of this page.
    pub count: Option<u64>,
    /// The length of the list.
    pub total_count: Option<u64>,
}

/// The member `result` of the response.
///
/// # Errors
///
/// There is no response, its status is not 2xx, or it has no result of this form.
pub fn result<T: DeserializeOwned>(request: &Request, answer: &Answer) -> Result<T, ApiError> {
    page(request, answer).map(|page| page.result)
}

/// The members `result` and `result_info` of the response.
///
/// # Errors
///
/// There is no response, its status is not 2xx, or it has no result of this form.
pub fn page<T: DeserializeOwned>(request: &Request, answer: &Answer) -> Result<Page<T>, ApiError> {
    /// All answers but those of GraphQL have this form.
    #[derive(Deserialize)]
    struct Envelope<'a> {
        success: bool,
        #[serde(borrow)]
        result: Option<&'a RawValue>,
        #[serde(default)]
        result_info: Option<PageInfo>,
    }
    let response = successful(request, answer)?;
    let envelope: Envelope<'_> =
        serde_json::from_slice(&response.body).map_err(|error| unreadable(request, "the body", &error))?;
    if !envelope.success {
        let errors = Errors::of(&response.body);
        let kind = if errors.has(NO_SUBSCRIPTION) {
            ApiErrorKind::NoSubscription
        } else if errors.has(NOT_AUTHENTICATED) {
            ApiErrorKind::Unauthorized
        } else {
            // Also for 10003: only a 404 says that an input does not exist.
            ApiErrorKind::ClientError
        };
        return Err(failed(request, kind, &format!("it did not succeed{errors}")));
    }
    let result = envelope.result.map_or("null", RawValue::get);
    let result = serde_json::from_str(result).map_err(|error| unreadable(request, "the result", &error))?;
    Ok(Page { result, info: envelope.result_info.unwrap_or_default() })
}

/// The response, if its status is 2xx.
///
/// # Errors
///
/// There is no response, or it has another status.
pub fn successful<'a>(request: &Request, answer: &'a Answer) -> Result<&'a Response, ApiError> {
    let response = answer.as_ref().map_err(|error| {
        let kind = match error {
            TransportError::Timeout => ApiErrorKind::Timeout,
            TransportError::Network(_) => ApiErrorKind::Network,
            TransportError::TooLarge => ApiErrorKind::Invalid,
        };
        failed(request, kind, &error.to_string())
    })?;
    let status = response.status;
    if (200..300).contains(&status) {
        return Ok(response);
    }
    let errors = Errors::of(&response.body);
    let kind = match status {
        403 if errors.has(NO_SUBSCRIPTION) => ApiErrorKind::NoSubscription,
        401 | 403 => ApiErrorKind::Unauthorized,
        404 => ApiErrorKind::NotFound { code: errors.first_code() },
        429 => ApiErrorKind::RateLimited,
        400..=499 => ApiErrorKind::ClientError,
        500.. => ApiErrorKind::ServerError,
        _ => ApiErrorKind::Invalid,
    };
    let what = if (300..400).contains(&status) { " (redirects are not followed)" } else { "" };
    Err(failed(request, kind, &format!("status {status}{what}{errors}")))
}

/// An error about an answer that has a complete body, but not the expected one.
pub fn invalid(request: &Request, what: &str) -> ApiError {
    failed(request, ApiErrorKind::Invalid, what)
}

fn unreadable(request: &Request, what: &str, error: &serde_json::Error) -> ApiError {
    // Not serde's own message: it can contain a part of the body.
    let problem = match error.classify() {
        Category::Eof => "ends early",
        Category::Syntax | Category::Io => "is not JSON",
        Category::Data => "does not have the expected form",
    };
    invalid(request, &format!("{what} {problem} (line {} column {})", error.line(), error.column()))
}

fn failed(request: &Request, kind: ApiErrorKind, what: &str) -> ApiError {
    let path = request.path.split('?').next().unwrap_or_default();
    ApiError { kind, message: format!("{} {path}: {what}", request.method.name()) }
}

/// The member `errors` of a response, as far as it can be read.
struct Errors(Vec<(Option<u64>, String)>);

impl Errors {
    fn of(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Failed {
            #[serde(default)]
            errors: Value,
        }
        let errors = serde_json::from_slice(body).map_or(Value::Null, |Failed { errors }| errors);
        let errors = if let Value::Array(errors) = errors { errors } else { vec![errors] };
        Self(errors.iter().filter(|error| !error.is_null()).map(read_error).collect())
    }

    fn has(&self, code: u64) -> bool {
        self.0.iter().any(|error| error.0 == Some(code))
    }

    fn first_code(&self) -> Option<u64> {
        self.0.first()?.0
    }
}

fn read_error(error: &Value) -> (Option<u64>, String) {
    let code = &error["code"];
    let code = code.as_u64().or_else(|| code.as_str()?.parse().ok());
    let message = error.as_str().or_else(|| error["message"].as_str()).unwrap_or_default();
    let shown: String = message.chars().take(MAX_MESSAGE).collect();
    (code, escaped(&shown).into_owned())
}

/// `: Authentication error (10000)`, or nothing.
impl std::fmt::Display for Errors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (code, message)) in self.0.iter().take(3).enumerate() {
            write!(f, "{}{message}", if index == 0 { ": " } else { "; " })?;
            if let Some(code) = code {
                write!(f, "{}({code})", if message.is_empty() { "" } else { " " })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudflare::{Endpoint, RateLimit};

    fn request() -> Request {
        Request::get(Endpoint::Inputs, "/accounts/a/stream/live_inputs?token=hunter2")
    }

    fn answer(status: u16, body: &str) -> Answer {
        Ok(Response { status, limit: RateLimit::default(), date: None, body: body.as_bytes().to_vec() })
    }

    fn error(code: u64) -> String {
        format!(
            r#"{{"success": false, "errors": [{{"code": {code}, "message": "No"}}], "messages": [], "result": null}}"#
        )
    }

    #[test]
    fn every_answer_without_a_result_has_its_kind_and_a_message_with_its_place() {
        use ApiErrorKind::*;
        let codeless = r#"{"success": false, "errors": []}"#.to_owned();
        let string_code = r#"{"success": false, "errors": [{"code": "10002"}]}"#.to_owned();
        for (status, body, kind) in [
            (401, String::new(), Unauthorized),
            (401, error(1000), Unauthorized),
            (403, error(10000), Unauthorized),
            (403, "<html>blocked</html>".to_owned(), Unauthorized),
            (403, error(10002), NoSubscription),
            (403, string_code, NoSubscription),
            (404, error(10003), NotFound { code: Some(10003) }),
            (404, error(7003), NotFound { code: Some(7003) }),
            (404, codeless.clone(), NotFound { code: None }),
            (404, r#"{"errors": null}"#.to_owned(), NotFound { code: None }),
            (404, r#"{"errors": {"code": 7000}}"#.to_owned(), NotFound { code: Some(7000) }),
            (404, r#"{"errors": "none"}"#.to_owned(), NotFound { code: None }),
            (404, "not found".to_owned(), NotFound { code: None }),
            (429, error(971), RateLimited),
            (429, String::new(), RateLimited),
            (400, error(6003), ClientError),
            (405, error(10000), ClientError),
            (409, String::new(), ClientError),
            (422, error(10000), ClientError),
            (500, error(10000), ServerError),
            (502, "<html>bad gateway</html>".to_owned(), ServerError),
            (530, String::new(), ServerError),
            (302, String::new(), Invalid),
            (307, error(10000), Invalid),
            (304, String::new(), Invalid),
            (200, error(10000), Unauthorized),
            (200, error(10002), NoSubscription),
            (200, error(10003), ClientError),
            (200, codeless, ClientError),
            (200, String::new(), Invalid),
            (200, "<html>hello</html>".to_owned(), Invalid),
            (200, r#"{"success": true, "result": [1, 2"#.to_owned(), Invalid),
            (200, "[1, 2]".to_owned(), Invalid),
            (200, "null".to_owned(), Invalid),
            (200, r#"{"result": [1]}"#.to_owned(), Invalid),
            (200, r#"{"success": "yes", "result": [1]}"#.to_owned(), Invalid),
            (200, r#"{"success": true}"#.to_owned(), Invalid),
            (200, r#"{"success": true, "result": null}"#.to_owned(), Invalid),
            (200, r#"{"success": true, "result": {"a": 1}}"#.to_owned(), Invalid),
            (200, r#"{"success": true, "result": ["hunter2"]}"#.to_owned(), Invalid),
            (200, r#"{"success": true, "result": [1]} {}"#.to_owned(), Invalid),
        ] {
            let failed = result::<Vec<u64>>(&request(), &answer(status, &body)).unwrap_err();
            assert_eq!(failed.kind, kind, "{status} {body}: {failed}");
            assert!(failed.message.starts_with("GET /accounts/a/stream/live_inputs: "), "{failed}");
            assert!(!failed.message.contains("hunter2"), "{failed}");
        }
    }

    #[test]
    fn transport_errors_have_their_kinds() {
        use ApiErrorKind::*;
        for (error, kind) in [
            (TransportError::Timeout, Timeout),
            (TransportError::Network("refused".to_owned()), Network),
            (TransportError::TooLarge, Invalid),
        ] {
            assert_eq!(result::<Vec<u64>>(&request(), &Err(error)).unwrap_err().kind, kind);
        }
    }

    #[test]
    fn result_is_read_with_its_place_in_the_list() {
        let body = r#"{"success": true, "errors": [], "messages": null, "result": [1, 2],
            "result_info": {"page": 1, "per_page": 2, "count": 2, "total_count": 5, "total_pages": 3}}"#;
        let page: Page<Vec<u64>> = page(&request(), &answer(200, body)).unwrap();
        let info = PageInfo { page: Some(1), per_page: Some(2), count: Some(2), total_count: Some(5) };
        assert_eq!(page, Page { result: vec![1, 2], info });
        for body in [r#"{"success": true, "result": [7]}"#, r#"{"success": true, "result": [7], "result_info": null}"#]
        {
            assert_eq!(result::<Vec<u64>>(&request(), &answer(201, body)), Ok(vec![7]));
        }
    }

    #[test]
    fn absent_result_is_none_where_none_is_expected() {
        for body in [r#"{"success": true}"#, r#"{"success": true, "result": null}"#] {
            assert_eq!(result::<Option<u64>>(&request(), &answer(200, body)), Ok(None));
        }
    }

    #[test]
    fn message_of_the_api_is_shortened_and_escaped() {
        let long = "x".repeat(9999);
        let body = format!(r#"{{"success": false, "errors": [{{"code": 1, "message": "\u001b[2J{long}"}}]}}"#);
        let failed = result::<Vec<u64>>(&request(), &answer(400, &body)).unwrap_err();
        assert!(failed.message.len() < 300 && !failed.message.contains('\u{1b}'), "{failed}");
    }
}
