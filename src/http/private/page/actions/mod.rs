//! Actions: what an operator can change from the pages.
//!
//! Each has a confirmation page, `GET /actions/{action}`, with a form that is sent to the same address. The guard of the
//! API's corrections applies to both. The form has a token that only this page gives out, so that no page of another
//! origin can send it.

mod action;
mod confirmation;
mod expectation;
mod failure;
mod failure_page;
mod form;
mod links;
mod notice;
mod perform;
mod token;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use self::action::Action;
use self::failure::Failure;
pub(in crate::http::private) use self::failure::MAX_FORM;
use self::form::Form;
pub(super) use self::links::{Permission, of_body, of_input, of_status};
pub(super) use self::notice::notice;
pub(in crate::http::private) use self::perform::Replays;
use self::token::Purpose;
pub(in crate::http::private) use self::token::Tokens;
use super::{render, respond};
use crate::clock;
use crate::http::private::Private;
use crate::http::private::correction_policy::CorrectionPolicy;
use crate::http::web_config::Operator;

/// `GET /actions/{action}`: says what the action will do, and asks for a confirmation.
pub(in crate::http::private) async fn confirm(
    request: HttpRequest,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
    tokens: Data<Tokens>,
    name: Path<String>,
) -> HttpResponse {
    let action = permitted(&policy, &request).and_then(|user| Ok((Action::of(&name, &request)?, user)));
    let (action, user) = match action {
        Ok(action) => action,
        Err(failure) => return fail(&private, &failure, None),
    };
    let token = tokens.issue(&purpose(action, &action.subject(), user.as_ref()));
    let mut response =
        render(private, move |snapshot| confirmation::page(&snapshot, action, user.as_ref(), &token)).await;
    // With `no-referrer`, browsers would send the form with the origin `null`.
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// `POST /actions/{action}`: does what was confirmed, and leads back to a page that shows it.
pub(in crate::http::private) async fn submit(
    request: HttpRequest,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
    (tokens, replays): (Data<Tokens>, Data<Replays>),
    name: Path<String>,
    body: Result<Bytes, actix_web::Error>,
) -> HttpResponse {
    let mut known = None;
    let checked = permitted(&policy, &request).and_then(|user| {
        let action = Action::of(&name, &request)?;
        known = Some(action);
        let body = body.map_err(|_| Failure::TooLarge)?;
        let form = Form::of(request.headers(), &body, action.fields())?;
        let subject = action.subject();
        let purpose = purpose(action, &subject, user.as_ref());
        if tokens.is_valid(form.text("token"), &purpose) { Ok((action, form, user)) } else { Err(Failure::Token) }
    });
    let done = match checked {
        Ok((action, form, user)) => perform::perform(&private, &replays, action, &form, user).await,
        Err(failure) => Err(failure),
    };
    match done {
        Ok(address) => HttpResponse::SeeOther().insert_header((header::LOCATION, address)).finish(),
        Err(failure) => fail(&private, &failure, known),
    }
}

fn permitted(policy: &CorrectionPolicy, request: &HttpRequest) -> Result<Option<Operator>, Failure> {
    Ok(policy.check_page(request)?)
}

fn purpose<'a>(action: Action, subject: &'a str, user: Option<&'a Operator>) -> Purpose<'a> {
    Purpose { action: action.name(), subject, user: user.map(|Operator(name)| &**name) }
}

fn fail(private: &Private, failure: &Failure, action: Option<Action>) -> HttpResponse {
    let mut response = respond(private, failure_page::page(failure, action, clock::wall()));
    if failure.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}
