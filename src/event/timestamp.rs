//! Instants with nanosecond precision, as in Cloudflare's documentation.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An instant from 1970 to 2262, in nanoseconds since the Unix epoch.
///
/// Later instants are clamped to the last one. Texts are RFC 3339 with any offset and up to nine
/// fraction digits; output is in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
// The nanoseconds plus one, so that `Option<Timestamp>` takes no more space.
pub struct Timestamp(NonZeroU64);

/// The text is not an RFC 3339 instant since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an RFC 3339 instant since 1970")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(NonZeroU64::MIN);

    /// The last instant, in the year 2262.
    pub const MAX: Self = Self(NonZeroU64::new(1 << 63).unwrap());

    /// The instant this many nanoseconds after the epoch. Negative values are clamped to the epoch.
    pub fn from_nanos(nanos: i64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos.max(0).unsigned_abs()))
    }

    /// The instant this many seconds after the epoch. Negative values are clamped to the epoch.
    pub fn from_seconds(seconds: i64) -> Self {
        Self::from_nanos(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch, never negative.
    pub fn as_nanos(self) -> i64 {
        (self.0.get() - 1).cast_signed()
    }

    /// Whole milliseconds since the epoch, never negative.
    pub fn as_millis(self) -> i64 {
        self.as_nanos() / 1_000_000
    }

    /// The duration since `earlier`; `None` if this instant is before it.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.get().checked_sub(earlier.0.get()).map(Duration::from_nanos)
    }

    /// The instant this much later.
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add(clamped_nanos(duration)))
    }

    /// The instant this much earlier, but not before the epoch.
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_sub(clamped_nanos(duration)))
    }

    pub(crate) fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(i128::from(self.as_nanos())).expect("i64 nanoseconds are within jiff's range")
    }

    /// Converts from jiff. Instants before the epoch are clamped to the epoch.
    pub(crate) fn from_jiff(instant: jiff::Timestamp) -> Self {
        let nanos = instant.as_nanosecond().max(0);
        Self::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

fn clamped_nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::EPOCH
    }
}

impl From<i64> for Timestamp {
    fn from(nanos: i64) -> Self {
        Self::from_nanos(nanos)
    }
}

impl From<Timestamp> for i64 {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.as_nanos()
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        if instant.as_nanosecond() < 0 { Err(InvalidTimestamp) } else { Ok(Self::from_jiff(instant)) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_jiff(), f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_texts_are_parsed() {
        for (text, nanos) in [
            ("2022-01-13T11:43:41.855717910Z", 1_642_074_221_855_717_910),
            ("2026-11-20T18:06:00Z", 1_795_197_960_000_000_000),
            ("2026-11-20T20:06:00.5+02:00", 1_795_197_960_500_000_000),
            ("9999-01-01T00:00:00Z", i64::MAX),
        ] {
            assert_eq!(text.parse::<Timestamp>().map(Timestamp::as_nanos), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn other_texts_and_instants_before_1970_are_invalid() {
        for text in ["", "yesterday", "2026-11-20", "2026-11-20T18:06:00", "0001-01-01T00:00:00Z"] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text:?}");
        }
    }

    #[test]
    fn option_takes_no_more_space_and_arithmetic_saturates() {
        assert_eq!(size_of::<Option<Timestamp>>(), 8);
        for nanos in [0, 1, i64::MAX] {
            assert_eq!(Timestamp::from_nanos(nanos).as_nanos(), nanos);
        }
        assert_eq!(Timestamp::MAX.as_nanos(), i64::MAX);
        assert_eq!(Timestamp::from_nanos(i64::MIN), Timestamp::EPOCH);
        assert_eq!(Timestamp::from_nanos(i64::MAX).plus(Duration::MAX).as_nanos(), i64::MAX);
        assert_eq!(Timestamp::from_nanos(5).minus(Duration::MAX), Timestamp::EPOCH);
    }

    #[test]
    fn output_equals_the_parsed_text() {
        let text = "2026-11-20T18:00:02.104233871Z";
        assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
    }
}
