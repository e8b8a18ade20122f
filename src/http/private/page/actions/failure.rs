//! Why an action was not done.

use actix_web::http::StatusCode;
use thiserror::Error;

use crate::event::InvalidInputId;
use crate::http::private::NotReplayed;
use crate::http::private::correction::Refusal;
use crate::http::private::management::ReloadFailure;
use crate::http::private::parameters::InvalidParameter;

/// Largest form, in bytes: a reason of the longest kind with every byte escaped, and a token.
pub(in crate::http::private) const MAX_FORM: usize = 8192;

/// Why an action was not done. The page has the message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Failure {
    /// As by the API.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// 403: the form is not from this page, or is too old.
    #[error(
        "this form was not made for you and this action, or it is older than 15 minutes, or the exporter was restarted: \
         open the page of the action again"
    )]
    Token,
    /// 404: there is no such page.
    #[error("no such action")]
    UnknownAction,
    /// 400: the query names no body.
    #[error("the query parameter `body` must be the number of a kept body")]
    MissingNumber,
    /// 415: not what a form sends.
    #[error("the content type must be application/x-www-form-urlencoded")]
    NotForm,
    /// 413: the form is larger than allowed.
    #[error("the form must be at most {MAX_FORM} bytes long")]
    TooLarge,
    /// 400: the form is not the one of the page.
    #[error("the form must have each of these fields at most once and no others: {0}")]
    Fields(&'static str),
    /// 400: the form does not say what is expected.
    #[error("choose whether the input is expected to be on air or off air")]
    Expected,
    /// 400: the form has no usable end.
    #[error("choose one end: a duration, or a time in UTC such as 2026-11-29T22:00, and not both")]
    End,
    /// The kept body was not recorded.
    #[error(transparent)]
    NotReplayed(#[from] NotReplayed),
    /// 503: the disk may hang.
    #[error("another body is being read; try again")]
    Replaying,
    /// The configuration was not reloaded.
    #[error(transparent)]
    Reload(#[from] ReloadFailure),
}

impl From<InvalidInputId> for Failure {
    fn from(invalid: InvalidInputId) -> Self {
        Self::Refusal(invalid.into())
    }
}

impl From<InvalidParameter> for Failure {
    fn from(invalid: InvalidParameter) -> Self {
        Self::Refusal(invalid.into())
    }
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Refusal(refusal) => refusal.status(),
            Self::Token => StatusCode::FORBIDDEN,
            Self::UnknownAction | Self::NotReplayed(NotReplayed::NoSuchBody) => StatusCode::NOT_FOUND,
            Self::MissingNumber | Self::Fields(_) | Self::Expected | Self::End => StatusCode::BAD_REQUEST,
            Self::NotForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotReplayed(NotReplayed::NotUnderstood) => StatusCode::CONFLICT,
            Self::NotReplayed(NotReplayed::Overloaded | NotReplayed::Unreadable(_)) | Self::Replaying => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Reload(failure) => failure.status(),
        }
    }
}
