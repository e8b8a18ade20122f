//! Sends requests to the API.

use std::time::Duration;

use thiserror::Error;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use ureq::http::{HeaderMap, Request as HttpRequest, Response as HttpResponse, Uri};
use ureq::{Agent, Body};

use super::Answer;
use super::response::http_date;
use super::{Method, RateLimit, Request, Response, TransportError};

/// Time limit for a request, from the name lookup to the last byte of the response.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Larger than the list of any number of inputs that an account can have.
const MAX_BODY: u64 = 32 << 20;

const BEARER: &str = "Bearer ";
/// Tokens of the API have 40 characters or more, in bytes.
const SHORTEST_TOKEN: usize = 16;

/// The client of one account.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    /// Without a slash at the end.
    base_url: String,
    authorization: HeaderValue,
}

/// No request can be sent with these values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidClient {
    /// The base URL cannot be that of the API.
    #[error("not a base URL: expected http:// or https:// and a host, without credentials and query")]
    BaseUrl,
    /// The token cannot be sent in a header. The message does not contain it.
    #[error("the token contains other characters than printable ASCII")]
    Token,
}

impl Client {
    /// A client for the API at this URL. It uses the proxies of the environment: `HTTPS_PROXY` and so on.
    ///
    /// # Errors
    ///
    /// No request can be sent with this URL or token.
    pub fn new(base_url: &str, token: &str) -> Result<Self, InvalidClient> {
        Self::with_limits(base_url, token, TIMEOUT)
    }

    fn with_limits(base_url: &str, token: &str, timeout: Duration) -> Result<Self, InvalidClient> {
        let uri: Uri = base_url.parse().map_err(|_| InvalidClient::BaseUrl)?;
        let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if !is_plain || uri.query().is_some() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(InvalidClient::BaseUrl);
        }
        let mut authorization = HeaderValue::from_str(&format!("{BEARER}{token}")).map_err(|_| InvalidClient::Token)?;
        authorization.set_sensitive(true);
        let agent = Agent::config_builder()
            .user_agent(concat!("stream-live-exporter/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A redirect could send the token to another host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build()
            .new_agent();
        Ok(Self { agent, base_url: base_url.trim_end_matches('/').to_owned(), authorization })
    }

    /// Sends the request and waits for the response.
    pub fn send(&self, request: &Request) -> Answer {
        let builder = HttpRequest::builder()
            .method(request.method.name())
            .uri(format!("{}{}", self.base_url, request.path))
            .header(AUTHORIZATION, self.authorization.clone());
        let response = match &request.body {
            Some(body) => {
                let builder = builder.header(CONTENT_TYPE, "application/json");
                builder.body(body.to_string()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request))
            }
            None => builder.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        };
        let mut response = read(response.map_err(transport_error)?)?;
        if self.is_in(&response.body) {
            // What an error says is logged. A body with the token is no answer of the API.
            response.body = Vec::new();
        }
        Ok(response)
    }

    /// Whether the token is in a text. One that is too short to be a token of the API is in many.
    fn is_in(&self, text: &[u8]) -> bool {
        let token = &self.authorization.as_bytes()[BEARER.len()..];
        token.len() >= SHORTEST_TOKEN && text.windows(token.len()).any(|window| window == token)
    }
}

fn read(mut response: HttpResponse<Body>) -> Answer {
    let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec();
    let status = response.status();
    let body = match body {
        Ok(body) => body,
        // The status and the headers say enough.
        Err(_) if !status.is_success() => Vec::new(),
        Err(error) => return Err(transport_error(error)),
    };
    let header = |name: &str| text(response.headers(), name);
    let date = header("date").and_then(http_date);
    let limit = RateLimit::new(header("retry-after"), header("ratelimit"), date);
    Ok(Response { status: status.as_u16(), limit, date, body })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn transport_error(error: ureq::Error) -> TransportError {
    if matches!(error, ureq::Error::Timeout(_)) {
        TransportError::Timeout
    } else if matches!(error, ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..)) {
        TransportError::TooLarge
    } else if let ureq::Error::Io(error) = error {
        TransportError::Network(error.to_string())
    } else {
        TransportError::Network(error.to_string())
    }
}

impl Method {
    /// Its name in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use serde_json::json;

    use super::*;
    use crate::cloudflare::Endpoint;

    const TOKEN: &str = "cf-token-of-the-test";

    /// Sends the request to a server that answers with these bytes and then closes the connection. Returns the answer
    /// and what the server read.
    fn exchange(request: &Request, response: Vec<u8>) -> (Answer, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/client/v4/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut read = Vec::new();
            let complete = |read: &[u8]| {
                let text = String::from_utf8_lossy(read);
                text.split_once("\r\n\r\n").is_some_and(|(head, body)| !head.contains("POST") || body.ends_with('}'))
            };
            while !complete(&read) {
                let mut chunk = [0; 4096];
                let length = connection.read(&mut chunk).unwrap();
                assert_ne!(length, 0);
                read.extend_from_slice(&chunk[..length]);
            }
            // A client that has seen enough closes the connection.
            _ = connection.write_all(&response);
            String::from_utf8(read).unwrap()
        });
        let answer = Client::new(&base_url, TOKEN).unwrap().send(request);
        (answer, server.join().unwrap())
    }

    fn get() -> Request {
        Request::get(Endpoint::Inputs, "/accounts/a/stream/live_inputs?include_counts=true")
    }

    fn http(head: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn request_has_path_token_and_body_and_its_response_is_read_with_the_headers_about_the_limit() {
        let head =
            "200 OK\r\ndate: Sun, 29 Nov 2026 18:00:00 GMT\r\nretry-after: 7\r\nratelimit: \"default\";r=50;t=30";
        let request = Request { method: Method::Post, body: Some(json!({"a": [1]})), ..get() };
        let (answer, sent) = exchange(&request, http(head, "{}"));
        let limit = RateLimit {
            retry_after: Some(Duration::from_secs(7)),
            remaining: Some(50),
            reset: Some(Duration::from_secs(30)),
        };
        let date = Some("2026-11-29T18:00:00Z".parse().unwrap());
        assert_eq!(answer, Ok(Response { status: 200, limit, date, body: b"{}".to_vec() }));
        assert!(sent.starts_with("POST /client/v4/accounts/a/stream/live_inputs?include_counts=true HTTP/1.1\r\n"));
        assert!(sent.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{sent}");
        assert!(sent.ends_with(r#"{"a":[1]}"#), "{sent}");
    }

    #[test]
    fn redirect_is_an_answer_and_is_not_followed() {
        for status in [301, 302, 303, 307, 308] {
            for method in [Method::Get, Method::Post] {
                let body = (method == Method::Post).then(|| json!({}));
                let request = Request { method, body, ..get() };
                let head = format!("{status} Moved\r\nlocation: http://127.0.0.1:9/elsewhere");
                let (answer, _) = exchange(&request, http(&head, ""));
                assert_eq!(answer.map(|response| response.status), Ok(status));
            }
        }
    }

    #[test]
    fn incomplete_body_is_a_network_error_unless_the_status_says_enough() {
        let cut =
            |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 99\r\nretry-after: 5\r\n\r\n{{").into_bytes();
        let (answer, _) = exchange(&get(), cut("200 OK"));
        assert!(matches!(answer, Err(TransportError::Network(_))), "{answer:?}");
        let (answer, _) = exchange(&get(), cut("429 Too Many Requests"));
        let response = answer.unwrap();
        assert_eq!((response.status, response.limit.retry_after), (429, Some(Duration::from_secs(5))));
    }

    #[test]
    fn body_that_repeats_the_token_is_dropped() {
        for (body, expected) in [(format!("{{\"errors\":[\"{TOKEN}\"]}}"), ""), (TOKEN[1..].to_owned(), &TOKEN[1..])] {
            let (answer, _) = exchange(&get(), http("401 Unauthorized", &body));
            let response = answer.unwrap();
            assert_eq!((response.status, response.body.as_slice()), (401, expected.as_bytes()));
        }
    }

    #[test]
    fn larger_body_than_any_expected_is_not_read_to_its_end() {
        let mut response = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        response.resize(response.len() + usize::try_from(MAX_BODY).unwrap() + 1, b' ');
        assert_eq!(exchange(&get(), response).0, Err(TransportError::TooLarge));
    }

    #[test]
    fn server_that_accepts_and_does_not_answer_is_a_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::with_limits(&base_url, TOKEN, Duration::from_millis(50)).unwrap();
        assert_eq!(client.send(&get()), Err(TransportError::Timeout));
    }

    #[test]
    fn refused_connection_is_a_network_error_without_the_token() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(&base_url, TOKEN).unwrap();
        let answer = client.send(&get());
        assert!(matches!(answer, Err(TransportError::Network(_))), "{answer:?}");
        assert!(!format!("{client:?} {answer:?}").contains(TOKEN));
    }

    #[test]
    fn only_plain_http_urls_and_tokens_that_fit_into_a_header_are_accepted() {
        for url in ["", "api.cloudflare.com", "ftp://a/", "https://", "https://user:password@a/", "https://a/?b=c"] {
            assert_eq!(Client::new(url, TOKEN).err(), Some(InvalidClient::BaseUrl), "{url}");
        }
        assert_eq!(Client::new("https://a", "two\nlines").err(), Some(InvalidClient::Token));
        assert!(Client::new("https://api.cloudflare.com/client/v4", TOKEN).is_ok());
    }
}
