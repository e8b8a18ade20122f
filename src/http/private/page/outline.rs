//! What fragments look like, without their HTML. Pages with equal fragments have equal outlines.

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::assets;
use super::fragment::Fragment;

/// Identifies what a page shows: its fragments, style sheet and script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u64);

/// A fragment without its HTML.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) id: Cow<'static, str>,
    /// What is outside of the rows.
    pub(super) frame: u64,
    pub(super) rows: Vec<(Cow<'static, str>, u64)>,
}

impl State {
    /// The state of a page with these fragments.
    pub(super) fn of(fragments: &[Fragment]) -> Self {
        Self::of_outline(&outline(fragments))
    }

    pub(super) fn of_outline(outline: &[Part]) -> Self {
        Self(hash(&(assets::VERSION.as_str(), outline)))
    }

    pub(super) fn parse(state: &str) -> Option<Self> {
        u64::from_str_radix(state, 16).ok().map(Self)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The outline of these fragments.
pub(super) fn outline(fragments: &[Fragment]) -> Vec<Part> {
    let part = |fragment: &Fragment| {
        let rows = fragment.rows.iter().map(|row| (row.id.clone(), hash(&row.frame()))).collect();
        Part { id: fragment.id.clone(), frame: hash(&fragment.frame()), rows }
    };
    fragments.iter().map(part).collect()
}

/// The same in all processes of a version.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
