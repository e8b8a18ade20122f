//! What is wrong with a configuration, and where.

use std::fmt;

/// A problem and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    origin: String,
    key: Option<String>,
    message: String,
}

impl Problem {
    /// A problem in `origin`: a file, a variable or a flag.
    pub fn new(origin: impl Into<String>, key: Option<&str>, message: impl Into<String>) -> Self {
        Self { origin: origin.into(), key: key.map(str::to_owned), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {key}: {}", self.origin, self.message),
            None => write!(f, "{}: {}", self.origin, self.message),
        }
    }
}
