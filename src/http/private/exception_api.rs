//! `POST` and `DELETE /api/v1/inputs/{id}/expectation`: exceptions to the schedule of an input as JSON.

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::Private;
use super::correction::{Refusal, except, exception};
use super::correction_api::json_body;
use super::correction_policy::CorrectionPolicy;
use super::input_summary::ExceptionSummary;
use super::parameters::Parameters;
use crate::event::{InputId, InvalidTimestamp, ScheduleException, Timestamp};

/// The body of `POST`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    expected: Expected,
    until: Box<str>,
    reason: Option<Box<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    On,
    Off,
}

/// The answer.
#[derive(Serialize)]
struct Done<'a> {
    id: InputId,
    exception: Option<ExceptionSummary<'a>>,
    /// Whether the input had another exception before.
    changed: bool,
}

/// `POST`: the input is expected to be live, or not, until a time.
pub(super) async fn expect(
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
        let Expectation { expected, until, reason } =
            serde_json::from_slice(&body).map_err(|_| Refusal::Expectation)?;
        let until: Timestamp = until.parse().map_err(|InvalidTimestamp| Refusal::Expectation)?;
        exception(&id, Some((expected == Expected::On, until)), operator, reason.as_deref())
    };
    answer(&private, parse()).await
}

/// `DELETE`: clears the exception.
pub(super) async fn clear(
    request: HttpRequest,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
    id: Path<String>,
) -> HttpResponse {
    let parse = || {
        let operator = policy.check(&request)?;
        let parameters = Parameters::of(&request, &["reason"])?;
        exception(&id, None, operator, parameters.text("reason"))
    };
    answer(&private, parse()).await
}

async fn answer(private: &Private, exception: Result<ScheduleException, Refusal>) -> HttpResponse {
    let recorded = async {
        let exception = exception?;
        except(private, exception.clone()).await.map(|changed| (exception, changed))
    };
    match recorded.await {
        Ok((exception, changed)) => HttpResponse::Ok().json(Done {
            id: exception.input_id,
            exception: ExceptionSummary::of_decision(&exception),
            changed,
        }),
        Err(refusal) => refusal.response(),
    }
}
