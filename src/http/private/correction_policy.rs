//! Who may correct inputs: a guard for everything that changes what people are alerted to.
//!
//! It needs more than the other requests: a user, a verified client certificate, a listener on loopback, or the
//! operator's explicit permission.

use std::io;
use std::net::{IpAddr, TcpListener};

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};

use super::correction::Refusal;
use super::management::is_cross_origin;
use crate::http::web_config::Operator;

/// Who may correct inputs and start a backfill.
pub(super) struct CorrectionPolicy {
    enabled: bool,
    /// All sockets are on loopback.
    loopback: bool,
}

impl CorrectionPolicy {
    pub(super) fn new(listeners: &[TcpListener], enabled: bool) -> io::Result<Self> {
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let loopback = addresses.iter().all(|address| address.ip().to_canonical().is_loopback());
        Ok(Self { enabled, loopback })
    }

    /// Returns who sends the request, if that is known.
    pub(super) fn check(&self, request: &HttpRequest) -> Result<Option<Operator>, Refusal> {
        self.check_client(request, is_browser(request.headers()))
    }

    /// The same for a page. Every client counts as a browser, because for a `GET` a browser does not always say that it
    /// is one.
    pub(super) fn check_page(&self, request: &HttpRequest) -> Result<Option<Operator>, Refusal> {
        self.check_client(request, true)
    }

    fn check_client(&self, request: &HttpRequest, is_browser: bool) -> Result<Option<Operator>, Refusal> {
        if is_cross_origin(request.headers()) {
            return Err(Refusal::CrossOrigin);
        }
        let operator = Operator::of(request);
        let permitted = self.enabled || (self.loopback && (!is_browser || is_local(request.headers())));
        if operator.is_some() || permitted { Ok(operator) } else { Err(Refusal::Forbidden) }
    }
}

/// Programs other than browsers send no `Origin`.
fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// Whether a browser's request to a listener on loopback is meant for it. A web page can have its own name resolved to a
/// loopback address, and is then of the same origin.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
