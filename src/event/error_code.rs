//! Error codes of `live_input.errored`.

use serde::{Deserialize, Serialize};

/// An error code as Cloudflare sent it. It may be undocumented or missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Option<Box<str>>")]
pub struct ErrorCode(Option<Box<str>>);

labelled! {
    /// The values of the label `code`, a closed set: Cloudflare's codes, and `other`.
    ///
    /// Source: <https://developers.cloudflare.com/stream/stream-live/webhooks/>. Cloudflare adds codes
    /// there; those that are not listed here are [`ErrorClass::Other`].
    ErrorClass {
        /// The keyframe interval is outside 2 to 10 seconds.
        GopOutOfRange = "ERR_GOP_OUT_OF_RANGE",
        /// The video is not H.264.
        UnsupportedVideoCodec = "ERR_UNSUPPORTED_VIDEO_CODEC",
        /// The audio is not AAC.
        UnsupportedAudioCodec = "ERR_UNSUPPORTED_AUDIO_CODEC",
        /// The account's storage is used up.
        StorageQuotaExhausted = "ERR_STORAGE_QUOTA_EXHAUSTED",
        /// The account has no Stream subscription.
        MissingSubscription = "ERR_MISSING_SUBSCRIPTION",
        /// The broadcast cannot be processed, usually because of the encoder's settings.
        Unhealthy = "ERR_UNHEALTHY",
        /// A code that is missing or not listed above.
        Other = "other",
    }
}

impl ErrorClass {
    /// The position of this class in arrays that hold one value per class.
    pub fn index(self) -> usize {
        self as usize
    }

    /// What Cloudflare says with such an error, for people. Source: the page that [`ErrorClass`] names.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::GopOutOfRange => "The keyframe interval is not between 2 and 10 seconds.",
            Self::UnsupportedVideoCodec => "The video is not H.264.",
            Self::UnsupportedAudioCodec => "The audio is not AAC.",
            Self::StorageQuotaExhausted => "The stored minutes of the account are used up: all its inputs are refused.",
            Self::MissingSubscription => "The account has no Stream subscription: all its inputs are refused.",
            Self::Unhealthy => "Cloudflare cannot process the stream, usually because of the encoder's settings.",
            Self::Other => "The code is missing, or this version of the exporter does not know it.",
        }
    }

    /// What to do about it, for people. Cloudflare documents the limits of the encoder's settings and of the account; the
    /// runbooks say the same in more words.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::GopOutOfRange => "Set a fixed keyframe interval of 2 seconds in the encoder.",
            Self::UnsupportedVideoCodec => "Set the encoder's video codec to H.264.",
            Self::UnsupportedAudioCodec => "Set the encoder's audio codec to AAC.",
            Self::StorageQuotaExhausted => "Buy minutes or delete recordings: Cloudflare's dashboard, Stream.",
            Self::MissingSubscription => "Check the plan and the payment: Cloudflare's dashboard, Billing.",
            Self::Unhealthy => "Set H.264, AAC, a keyframe every 2 seconds and a lower, constant bitrate.",
            Self::Other => "Look the code up in Cloudflare's documentation of live webhooks.",
        }
    }
}

impl ErrorCode {
    /// The class that this code is counted as.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::ALL.into_iter().find(|class| class.label() == self.as_str()).unwrap_or(ErrorClass::Other)
    }

    /// The code as Cloudflare sent it; empty if there is none.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl From<&str> for ErrorCode {
    fn from(code: &str) -> Self {
        Self(Some(code).filter(|code| !code.is_empty()).map(Into::into))
    }
}

impl From<Option<Box<str>>> for ErrorCode {
    fn from(code: Option<Box<str>>) -> Self {
        Self(code.filter(|code| !code.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undocumented_codes_are_counted_as_other() {
        for (code, class) in [
            ("ERR_UNHEALTHY", ErrorClass::Unhealthy),
            ("ERR_SOMETHING_NEW", ErrorClass::Other),
            ("err_unhealthy", ErrorClass::Other),
            ("other", ErrorClass::Other),
            ("", ErrorClass::Other),
        ] {
            assert_eq!(ErrorCode::from(code).class(), class, "{code:?}");
            assert_eq!(ErrorCode::from(code).as_str(), code);
        }
    }
}
