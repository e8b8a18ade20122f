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
