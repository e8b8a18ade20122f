//! Corrections by an operator: `DELETE /api/v1/inputs/{id}` and `POST /api/v1/inputs/{id}/state`.
//!
//! They change what people are alerted to, so they need more than the other requests: a user, a verified client
//! certificate, a listener on loopback, or the operator's explicit permission.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::timeout;

use super::Private;
use super::management::is_cross_origin;
use super::parameters::{InvalidParameter, Parameters};
use crate::clock;
use crate::event::{Corrected, Correction, InputId, InvalidInputId, InvalidReason};
use crate::http::web_config::Operator;
use crate::recorder::{CorrectionOutcome, Overloaded};

/// Largest body, in bytes.
pub(super) const MAX_BODY: usize = 4096;
/// Longest wait for the journal.
const PATIENCE: Duration = Duration::from_secs(5);

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
        if is_cross_origin(request.headers()) {
            return Err(Refusal::CrossOrigin);
        }
        let operator = Operator::of(request);
        let permitted = self.enabled || (self.loopback && is_local(request.headers()));
        if operator.is_some() || permitted { Ok(operator) } else { Err(Refusal::Forbidden) }
    }
}

/// Whether a request to a listener on loopback is meant for it. A web page can have its own name resolved to a loopback
/// address, and is then of the same origin; programs other than browsers send no `Origin`.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_browser = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    !is_browser || host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Why a correction was not made. The client receives the message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// 403: a browser sends it for a page of another origin.
    #[error("cross-origin requests may not change anything")]
    CrossOrigin,
    /// 403: anyone who can connect could send it.
    #[error(
        "this is allowed only for users or with verified client certificates (web.config_file), through a listener on \
         loopback, or with --web.enable-admin-api"
    )]
    Forbidden,
    /// 415: a browser may send other types from pages of other origins without asking.
    #[error("the content type must be application/json")]
    NotJson,
    /// 400: the id is none.
    #[error(transparent)]
    Id(#[from] InvalidInputId),
    /// 413: the body is larger than allowed.
    #[error("the body must be at most {MAX_BODY} bytes long")]
    TooLarge,
    /// 400: the body is not what it should be.
    #[error(r#"the body must be {{"state": "connected" or "disconnected", "reason": "text"}}; the reason is optional"#)]
    Body,
    /// 400: the query is not what it should be.
    #[error(transparent)]
    Query(#[from] InvalidParameter),
    /// 400: the reason is too long, or has control characters.
    #[error(transparent)]
    Reason(#[from] InvalidReason),
    /// 404: the input is not known.
    #[error("no such input: /api/v1/inputs lists all")]
    UnknownInput,
    /// 503: nothing is known yet.
    #[error("the journal is being restored; try again later")]
    Restoring,
    /// 503: the recorder's queue is full.
    #[error("overloaded, try again")]
    Overloaded,
    /// 503: it may still be recorded.
    #[error("the journal did not answer in time; try again, which does not change the input twice")]
    Late,
    /// 503: the journal could not be written.
    #[error("could not be recorded, try again; /-/ready says why")]
    Journal,
}

impl Refusal {
    pub(super) fn response(&self) -> HttpResponse {
        let status = match self {
            Self::CrossOrigin | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Id(_) | Self::Body | Self::Query(_) | Self::Reason(_) => StatusCode::BAD_REQUEST,
            Self::UnknownInput => StatusCode::NOT_FOUND,
            Self::Restoring | Self::Overloaded | Self::Late | Self::Journal => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut response = HttpResponse::build(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, "5"));
        }
        response.json(serde_json::json!({ "error": self.to_string() }))
    }
}

/// The body of `POST`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateAndReason {
    state: Box<str>,
    reason: Option<Box<str>>,
}

/// The answer.
#[derive(Serialize)]
struct Done {
    id: InputId,
    state: &'static str,
    /// Whether the input was in another state before.
    changed: bool,
}

/// `DELETE /api/v1/inputs/{id}`: forgets an input.
pub(super) async fn forget(
    request: HttpRequest,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
    id: Path<String>,
) -> HttpResponse {
    let parse = || {
        let operator = policy.check(&request)?;
        let parameters = Parameters::of(&request, &["reason"])?;
        correction(&id, Corrected::Forgotten, operator, parameters.text("reason"))
    };
    answer(&private, parse()).await
}

/// `POST /api/v1/inputs/{id}/state`: sets an input connected or disconnected.
pub(super) async fn set_state(
    request: HttpRequest,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
    id: Path<String>,
    body: Result<Bytes, actix_web::Error>,
) -> HttpResponse {
    let parse = || {
        let operator = policy.check(&request)?;
        Parameters::of(&request, &[])?;
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let mime = content_type.and_then(|text| text.split(';').next()).unwrap_or_default();
        if !mime.trim().eq_ignore_ascii_case("application/json") {
            return Err(Refusal::NotJson);
        }
        let body = body.map_err(|_| Refusal::TooLarge)?;
        let StateAndReason { state, reason } = serde_json::from_slice(&body).map_err(|_| Refusal::Body)?;
        let to = Corrected::from_label(&state).filter(|to| *to != Corrected::Forgotten).ok_or(Refusal::Body)?;
        correction(&id, to, operator, reason.as_deref())
    };
    answer(&private, parse()).await
}

fn correction(
    id: &str,
    to: Corrected,
    operator: Option<Operator>,
    reason: Option<&str>,
) -> Result<Correction, Refusal> {
    let input_id = id.parse()?;
    let reason = reason.map(Correction::reason).transpose()?.flatten();
    Ok(Correction { input_id, to, at: clock::now(), user: operator.map(|Operator(name)| name), reason })
}

async fn answer(private: &Private, correction: Result<Correction, Refusal>) -> HttpResponse {
    match correct(private, correction).await {
        Ok(done) => HttpResponse::Ok().json(done),
        Err(refusal) => refusal.response(),
    }
}

async fn correct(private: &Private, correction: Result<Correction, Refusal>) -> Result<Done, Refusal> {
    let correction = correction?;
    let (id, state) = (correction.input_id, correction.to.label());
    if private.state_reader.view().is_none() {
        return Err(Refusal::Restoring);
    }
    let answer = private.recorder.correct(correction).map_err(|Overloaded| Refusal::Overloaded)?;
    match timeout(PATIENCE, answer).await {
        Err(_) => Err(Refusal::Late),
        // The recorder has ended.
        Ok(Err(_)) | Ok(Ok(None)) => Err(Refusal::Journal),
        Ok(Ok(Some(CorrectionOutcome::UnknownInput))) => Err(Refusal::UnknownInput),
        Ok(Ok(Some(CorrectionOutcome::Recorded))) => Ok(Done { id, state, changed: true }),
        Ok(Ok(Some(CorrectionOutcome::Unchanged))) => Ok(Done { id, state, changed: false }),
    }
}
