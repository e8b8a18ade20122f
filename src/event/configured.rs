//! What the configuration says of an input.

use std::sync::Arc;

use super::Timestamp;

/// An input of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Its name, for people.
    pub name: Arc<str>,
    /// When it should be live.
    pub expectation: Expectation,
}

/// When an input should be live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expectation {
    /// At all times.
    Always,
    /// Nobody misses it.
    #[default]
    Never,
}

impl Expectation {
    /// The word for it in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Whether the input should be live at this time.
    pub fn at(self, _: Timestamp) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
        }
    }
}
