//! Identifies a batch.

use std::fmt::{self, Write as _};

/// A random number that identifies a batch. If it is not known whether a batch was committed, it is appended again with
/// the same id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BatchId([u8; 16]);

impl BatchId {
    /// A new random id.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        fastrand::fill(&mut bytes);
        Self(bytes)
    }

    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchId(")?;
        fmt::Display::fmt(self, f)?;
        f.write_char(')')
    }
}
