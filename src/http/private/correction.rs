//! Corrections and exceptions to schedules by an operator: what the API and the status page have in common.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Private;
use super::parameters::InvalidParameter;
use crate::clock;
use crate::event::{Corrected, Correction, InvalidEnd, InvalidInputId, InvalidReason, ScheduleException, Timestamp};
use crate::http::web_config::Operator;
use crate::recorder::{CorrectionOutcome, Handle, Overloaded};

/// Largest body, in bytes.
pub(super) const MAX_BODY: usize = 4096;
/// Longest wait for the journal.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

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
    /// 400: the body is not what it should be.
    #[error(
        r#"the body must be {{"expected": "on" or "off", "until": "2026-11-29T22:00:00Z", "reason": "text"}}; the reason is optional"#
    )]
    Expectation,
    /// 400: an exception cannot end at this time.
    #[error(transparent)]
    End(#[from] InvalidEnd),
    /// 400: the query is not what it should be.
    #[error(transparent)]
    Query(#[from] InvalidParameter),
    /// 400: the reason is too long, or has control characters.
    #[error(transparent)]
    Reason(#[from] InvalidReason),
    /// 404: the input is not known.
    #[error("no such input: /api/v1/inputs lists all")]
    UnknownInput,
    /// 409: exceptions to schedules of inputs that are no longer known take the place.
    #[error("there are as many exceptions to schedules as inputs.max allows; clear one, or wait until one ends")]
    TooManyExceptions,
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
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::CrossOrigin | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Id(_) | Self::Body | Self::Expectation | Self::End(_) | Self::Query(_) | Self::Reason(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::UnknownInput => StatusCode::NOT_FOUND,
            Self::TooManyExceptions => StatusCode::CONFLICT,
            Self::Restoring | Self::Overloaded | Self::Late | Self::Journal => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn response(&self) -> HttpResponse {
        let status = self.status();
        let mut response = HttpResponse::build(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, "5"));
        }
        response.json(serde_json::json!({ "error": self.to_string() }))
    }
}

/// Whether a body is of this content type, with any parameters.
pub(super) fn has_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mime = content_type.and_then(|text| text.split(';').next()).unwrap_or_default();
    mime.trim().eq_ignore_ascii_case(wanted)
}

/// A correction of this input, as of now.
pub(super) fn correction(
    id: &str,
    to: Corrected,
    operator: Option<Operator>,
    reason: Option<&str>,
) -> Result<Correction, Refusal> {
    let input_id = id.parse()?;
    let reason = reason.map(Correction::reason).transpose()?.flatten();
    Ok(Correction { input_id, to, at: clock::now(), user: operator.map(|Operator(name)| name), reason })
}

/// Makes a correction durable. Returns whether the input was in another state before.
pub(super) async fn correct(private: &Private, correction: Correction) -> Result<bool, Refusal> {
    recorded(private, |recorder| recorder.correct(correction)).await
}

/// An exception to the schedule of this input from now on: what is expected and until when, or `None` to end it.
pub(in crate::http) fn exception(
    id: &str,
    decision: Option<(bool, Timestamp)>,
    operator: Option<Operator>,
    reason: Option<&str>,
) -> Result<ScheduleException, Refusal> {
    let input_id = id.parse()?;
    let reason = reason.map(Correction::reason).transpose()?.flatten();
    let user = operator.map(|Operator(name)| name);
    Ok(ScheduleException::new(input_id, decision, clock::earlier(), user, reason)?)
}

/// Makes an exception durable. Returns whether the input had another one before.
pub(in crate::http) async fn except(private: &Private, exception: ScheduleException) -> Result<bool, Refusal> {
    recorded(private, |recorder| recorder.except(exception)).await
}

/// Waits until what `submit` queues is durable. Returns whether it changed something.
pub(super) async fn recorded(
    private: &Private,
    submit: impl FnOnce(&Handle) -> Result<oneshot::Receiver<Option<CorrectionOutcome>>, Overloaded>,
) -> Result<bool, Refusal> {
    if private.state_reader.view().is_none() {
        return Err(Refusal::Restoring);
    }
    let answer = submit(&private.recorder).map_err(|Overloaded| Refusal::Overloaded)?;
    match timeout(PATIENCE, answer).await {
        Err(_) => Err(Refusal::Late),
        // The recorder has ended.
        Ok(Err(_)) | Ok(Ok(None)) => Err(Refusal::Journal),
        Ok(Ok(Some(CorrectionOutcome::UnknownInput))) => Err(Refusal::UnknownInput),
        Ok(Ok(Some(CorrectionOutcome::TooMany))) => Err(Refusal::TooManyExceptions),
        Ok(Ok(Some(CorrectionOutcome::Recorded))) => Ok(true),
        Ok(Ok(Some(CorrectionOutcome::Unchanged))) => Ok(false),
    }
}
