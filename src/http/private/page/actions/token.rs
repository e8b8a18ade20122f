//! Tokens of forms: only who was shown a confirmation page can send its form.
//!
//! A token is a message authentication code of what the form does and for whom, and of when it expires, with a key that
//! exists only in this process. So nothing has to be remembered, and a restart makes all tokens invalid.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::error::Unspecified;
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::SystemRandom;

use crate::clock::Stopwatch;

/// How long a form can be sent after its page was shown.
pub(super) const VALIDITY: Duration = Duration::from_secs(15 * 60);
/// Size of the time at which a token expires, in bytes.
const TIME: usize = size_of::<u64>();

/// What a form does, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purpose<'a> {
    pub(super) action: &'a str,
    /// What the action is applied to; empty if there is only one such thing.
    pub(super) subject: &'a str,
    pub(super) user: Option<&'a str>,
}

/// Issues and checks tokens.
pub(in crate::http::private) struct Tokens {
    key: hmac::Key,
    /// A clock that is never set.
    started: Stopwatch,
}

impl Tokens {
    /// With a random key.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(in crate::http::private) fn new() -> Result<Self, Unspecified> {
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new())?;
        Ok(Self { key, started: Stopwatch::start() })
    }

    /// A token for this purpose, valid for [`VALIDITY`].
    pub(super) fn issue(&self, purpose: &Purpose<'_>) -> String {
        self.issue_at(self.started.elapsed(), purpose)
    }

    /// Whether the token was issued for this purpose and has not expired.
    pub(super) fn is_valid(&self, token: &str, purpose: &Purpose<'_>) -> bool {
        self.is_valid_at(self.started.elapsed(), token, purpose)
    }

    fn issue_at(&self, now: Duration, purpose: &Purpose<'_>) -> String {
        let expires = seconds(now + VALIDITY).to_be_bytes();
        let code = hmac::sign(&self.key, &message(expires, purpose));
        URL_SAFE_NO_PAD.encode([&expires, code.as_ref()].concat())
    }

    fn is_valid_at(&self, now: Duration, token: &str, purpose: &Purpose<'_>) -> bool {
        let Ok(token) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((expires, code)) = token.split_first_chunk::<TIME>() else { return false };
        // It compares in constant time.
        let is_ours = hmac::verify(&self.key, &message(*expires, purpose), code).is_ok();
        is_ours && seconds(now) < u64::from_be_bytes(*expires)
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs()
}

/// Each part with its length, so that no two purposes have the same message.
fn message(expires: [u8; TIME], purpose: &Purpose<'_>) -> Vec<u8> {
    let Purpose { action, subject, user } = purpose;
    let mut message = expires.to_vec();
    for part in [Some(*action), Some(*subject), *user].into_iter().flatten() {
        message.extend((part.len() as u64).to_be_bytes());
        message.extend(part.as_bytes());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: Purpose<'static> = Purpose { action: "forget", subject: "2c28", user: Some("ann") };
    const START: Duration = Duration::from_secs(100);

    fn tokens() -> Tokens {
        Tokens::new().unwrap()
    }

    #[test]
    fn token_is_valid_until_its_time() {
        let tokens = tokens();
        let token = tokens.issue_at(START, &PURPOSE);
        let second = Duration::from_secs(1);
        for (now, valid) in [(START, true), (START + VALIDITY - second, true), (START + VALIDITY, false)] {
            assert_eq!(tokens.is_valid_at(now, &token, &PURPOSE), valid, "{now:?}");
        }
        assert!(tokens.is_valid(&tokens.issue(&PURPOSE), &PURPOSE));
    }

    #[test]
    fn token_is_valid_only_for_its_action_subject_and_user() {
        let tokens = tokens();
        let token = tokens.issue_at(START, &PURPOSE);
        for other in [
            Purpose { action: "reload", ..PURPOSE },
            Purpose { subject: "eb22", ..PURPOSE },
            Purpose { subject: "", ..PURPOSE },
            Purpose { user: Some("bob"), ..PURPOSE },
            Purpose { user: Some(""), ..PURPOSE },
            Purpose { user: None, ..PURPOSE },
            Purpose { action: "forget2", subject: "c28", ..PURPOSE },
            Purpose { action: "forget", subject: "2c28ann", user: None },
        ] {
            assert!(!tokens.is_valid_at(START, &token, &other), "{other:?}");
        }
    }

    #[test]
    fn token_of_another_process_or_with_a_changed_byte_is_invalid() {
        let (ours, theirs) = (tokens(), tokens());
        assert!(!ours.is_valid_at(START, &theirs.issue_at(START, &PURPOSE), &PURPOSE));
        let token = URL_SAFE_NO_PAD.decode(ours.issue_at(START, &PURPOSE)).unwrap();
        for index in 0..token.len() {
            let mut changed = token.clone();
            changed[index] ^= 1;
            assert!(!ours.is_valid_at(START, &URL_SAFE_NO_PAD.encode(&changed), &PURPOSE), "{index}");
            assert!(!ours.is_valid_at(START, &URL_SAFE_NO_PAD.encode(&token[..index]), &PURPOSE), "{index}");
        }
        assert!(!ours.is_valid_at(START, "not base64!", &PURPOSE));
    }
}
