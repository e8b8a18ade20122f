//! What a journal has besides records.

use std::borrow::Cow;

use crate::event::{Rules, Timestamp};

/// Maximum number of kept bodies.
pub(super) const MAX_BODIES: u64 = 1000;
/// Maximum size of all kept bodies together, in bytes.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// What the creation of a journal found, and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// There was no journal. It is empty now.
    New,
    /// The tables were of an older version.
    Migrated,
    /// The tables are of this version. Nothing was changed.
    Existing,
    /// Another process owns the journal. Nothing was changed.
    InUse,
}

/// State of all inputs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Position up to which every part of the checkpoint has every record.
    pub position: u64,
    /// The rules at this position.
    pub rules: Rules,
    /// Format version of `state`.
    pub version: u32,
    /// The other parts of the state, opaque.
    pub state: String,
}

/// Saved state of one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRow {
    /// Position up to which the row has every record; 0 if that is not known, in rows from before schema version 3.
    pub position: u64,
    /// Format version of `state` and `seen`.
    pub version: u32,
    /// Its state, opaque.
    pub state: String,
    /// The events that it remembers, opaque.
    pub seen: Vec<u8>,
}

/// An authenticated body that was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecognized {
    /// When it was received.
    pub received_at: Timestamp,
    /// Why it was not used: the label of an ignored or rejected delivery.
    pub reason: Cow<'static, str>,
    /// The body, verbatim.
    pub body: Vec<u8>,
}

/// A body in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBody {
    /// Its number. Later bodies have higher numbers.
    pub number: u64,
    /// When it was received.
    pub received_at: Timestamp,
    /// Why it was not used; a newer version may have other reasons.
    pub reason: String,
    /// The body, verbatim.
    pub body: Vec<u8>,
}

/// A body in the journal without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBodySummary {
    /// Its number. Later bodies have higher numbers.
    pub number: u64,
    /// When it was received.
    pub received_at: Timestamp,
    /// Why it was not used; a newer version may have other reasons.
    pub reason: String,
    /// Its size in bytes.
    pub size: u64,
}
