//! What a form does: its name in the address, what it is applied to, and what people read about it.

use actix_web::HttpRequest;

use super::failure::Failure;
use crate::event::{Corrected, InputId};
use crate::http::private::parameters::Parameters;

/// What a form does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Corrects an input.
    Correct(InputId, Corrected),
    /// Makes an exception to the schedule of an input.
    Expect(InputId),
    /// Ends it.
    ClearExpectation(InputId),
    /// Reads a kept body again.
    Replay(u64),
    /// Reads the configuration again.
    Reload,
}

/// What people read about an action.
pub(super) struct Words {
    pub(super) title: &'static str,
    /// What will happen.
    pub(super) effect: &'static str,
    /// Whether it cannot be undone by another action.
    pub(super) is_final: bool,
}

impl Action {
    /// The action with this name, with its subject from the query of the request.
    pub(super) fn of(name: &str, request: &HttpRequest) -> Result<Self, Failure> {
        let input = || {
            let parameters = Parameters::of(request, &["input"])?;
            Ok::<InputId, Failure>(parameters.text("input").unwrap_or_default().parse()?)
        };
        let correct = |to| Ok(Self::Correct(input()?, to));
        match name {
            "set-connected" => correct(Corrected::Connected),
            "set-disconnected" => correct(Corrected::Disconnected),
            "forget" => correct(Corrected::Forgotten),
            "expect" => Ok(Self::Expect(input()?)),
            "clear-expectation" => Ok(Self::ClearExpectation(input()?)),
            "replay" => {
                let number = Parameters::of(request, &["body"])?.number("body", 1..=u64::MAX)?;
                Ok(Self::Replay(number.ok_or(Failure::MissingNumber)?))
            }
            "reload" => Parameters::of(request, &[]).map(|_| Self::Reload).map_err(Failure::from),
            _ => Err(Failure::UnknownAction),
        }
    }

    /// Its name in addresses.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Correct(_, Corrected::Connected) => "set-connected",
            Self::Correct(_, Corrected::Disconnected) => "set-disconnected",
            Self::Correct(_, Corrected::Forgotten) => "forget",
            Self::Expect(_) => "expect",
            Self::ClearExpectation(_) => "clear-expectation",
            Self::Replay(_) => "replay",
            Self::Reload => "reload",
        }
    }

    /// The input that it changes.
    pub(super) fn input(self) -> Option<InputId> {
        match self {
            Self::Correct(input_id, _) | Self::Expect(input_id) | Self::ClearExpectation(input_id) => Some(input_id),
            Self::Replay(_) | Self::Reload => None,
        }
    }

    /// The names of the fields of its form.
    pub(super) fn fields(self) -> &'static str {
        match self {
            Self::Expect(_) => "token, reason, expected, end, until",
            Self::Correct(..) | Self::ClearExpectation(_) | Self::Replay(_) | Self::Reload => "token, reason",
        }
    }

    /// What it is applied to, as in the query.
    pub(super) fn subject(self) -> String {
        match self {
            Self::Correct(input_id, _) | Self::Expect(input_id) | Self::ClearExpectation(input_id) => {
                input_id.to_string()
            }
            Self::Replay(number) => number.to_string(),
            Self::Reload => String::new(),
        }
    }

    /// The address of its confirmation, relative to that of any.
    pub(super) fn address(self) -> String {
        match self {
            Self::Correct(input_id, _) | Self::Expect(input_id) | Self::ClearExpectation(input_id) => {
                format!("{}?input={input_id}", self.name())
            }
            Self::Replay(number) => format!("{}?body={number}", self.name()),
            Self::Reload => self.name().to_owned(),
        }
    }

    /// The page that it began on, relative to that of its confirmation.
    pub(super) fn origin(self) -> String {
        match self {
            Self::Correct(input_id, _) | Self::Expect(input_id) | Self::ClearExpectation(input_id) => {
                format!("../inputs/{input_id}")
            }
            Self::Replay(number) => format!("../unrecognized/{number}"),
            Self::Reload => "../".to_owned(),
        }
    }

    /// The page that shows what it did, relative to that of its confirmation.
    pub(super) fn destination(self) -> String {
        match self {
            Self::Correct(_, Corrected::Forgotten) => "../".to_owned(),
            Self::Replay(_) => "../unrecognized".to_owned(),
            Self::Correct(..) | Self::Expect(_) | Self::ClearExpectation(_) | Self::Reload => self.origin(),
        }
    }

    pub(super) fn words(self) -> Words {
        let (title, effect, is_final) = match self {
            Self::Correct(_, Corrected::Connected) => (
                "Set connected",
                "The input counts as on air from now on. Do this if it is on air and the notification was lost. The next \
                 notification about the input counts as usual.",
                false,
            ),
            Self::Correct(_, Corrected::Disconnected) => (
                "Set disconnected",
                "The input counts as off air from now on. Do this if it is off air and the notification was lost. The \
                 next notification about the input counts as usual.",
                false,
            ),
            Self::Correct(_, Corrected::Forgotten) => (
                "Forget the input",
                "The input disappears with its state, its counters and its series. Do this if it was deleted at \
                 Cloudflare. Late notifications about the past do not bring it back, new ones do. If it is configured, \
                 it is known again, without a state. The journal keeps its records.",
                true,
            ),
            Self::Expect(_) => (
                "Change when the input is expected",
                "From now until the end that you choose, the input is expected to be on air, or not, whatever its schedule \
                 says. Alerts follow. The schedule counts again after that. This replaces another exception of the input.",
                false,
            ),
            Self::ClearExpectation(_) => {
                ("Follow the schedule again", "The exception to the schedule of the input ends now.", false)
            }
            Self::Replay(_) => (
                "Read the body again",
                "The body is read as if it was received at its time of receipt. If this release understands it, its \
                 event is recorded, and the body is no longer kept.",
                false,
            ),
            Self::Reload => (
                "Reload the configuration",
                "The configuration is read again, with the secrets. If it has a problem, nothing changes and the problems \
                 are listed. The result is also in the log.",
                false,
            ),
        };
        Words { title, effect, is_final }
    }
}
