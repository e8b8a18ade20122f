//! `DELETE /api/v1/inputs/{id}` and `POST /api/v1/inputs/{id}/state`: corrections as JSON.

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::Private;
use super::correction::{Refusal, correct, correction, has_content_type};
use super::correction_policy::CorrectionPolicy;
use super::parameters::Parameters;
use crate::event::{Corrected, Correction, InputId};

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
        let body = json_body(&request, body)?;
        let StateAndReason { state, reason } = serde_json::from_slice(&body).map_err(|_| Refusal::Body)?;
        let to = Corrected::from_label(&state).filter(|to| *to != Corrected::Forgotten).ok_or(Refusal::Body)?;
        correction(&id, to, operator, reason.as_deref())
    };
    answer(&private, parse()).await
}

/// The body of a request that may have only JSON.
pub(super) fn json_body(request: &HttpRequest, body: Result<Bytes, actix_web::Error>) -> Result<Bytes, Refusal> {
    if !has_content_type(request.headers(), "application/json") {
        return Err(Refusal::NotJson);
    }
    body.map_err(|_| Refusal::TooLarge)
}

async fn answer(private: &Private, correction: Result<Correction, Refusal>) -> HttpResponse {
    match done(private, correction).await {
        Ok(done) => HttpResponse::Ok().json(done),
        Err(refusal) => refusal.response(),
    }
}

async fn done(private: &Private, correction: Result<Correction, Refusal>) -> Result<Done, Refusal> {
    let correction = correction?;
    let (id, state) = (correction.input_id, correction.to.label());
    Ok(Done { id, state, changed: correct(private, correction).await? })
}
