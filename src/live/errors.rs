//! The errors of one live input.

use serde::{Deserialize, Serialize};

use crate::event::{ErrorClass, ErrorCode, Timestamp};

/// Errored events by class. Most inputs have none, and then it is a pointer: half of what is kept of
/// an input.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Counted", into = "Counted")]
pub struct Errors(Option<Box<Counted>>);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Counted {
    /// How many, by [`ErrorClass::index`].
    errors: [u64; 7],
    /// Event time of the newest one, by [`ErrorClass::index`].
    last_error: [Option<Timestamp>; 7],
    /// The newest code that is counted as [`ErrorClass::Other`], verbatim.
    last_other_code: ErrorCode,
}

impl Errors {
    /// How many there were, by [`ErrorClass::index`].
    pub fn counts(&self) -> [u64; 7] {
        self.0.as_ref().map_or([0; 7], |counted| counted.errors)
    }

    /// Event time of the newest one, by [`ErrorClass::index`].
    pub fn last(&self) -> [Option<Timestamp>; 7] {
        self.0.as_ref().map_or([None; 7], |counted| counted.last_error)
    }

    /// The newest one of all: its event time and its code as Cloudflare sent it.
    pub fn newest(&self) -> Option<(Timestamp, ErrorCode)> {
        let counted = self.0.as_ref()?;
        let newest = ErrorClass::ALL.into_iter().filter_map(|class| Some((counted.last_error[class.index()]?, class)));
        let (at, class) = newest.max_by_key(|(at, class)| (*at, class.index()))?;
        let is_other = class == ErrorClass::Other;
        Some((at, if is_other { counted.last_other_code.clone() } else { ErrorCode::Documented(class) }))
    }

    pub(super) fn count(&mut self, code: &ErrorCode, updated_at: Timestamp) {
        let counted = self.0.get_or_insert_default();
        let class = code.class();
        let last = &mut counted.last_error[class.index()];
        let newest = (Some(updated_at), code.as_str()) >= (*last, counted.last_other_code.as_str());
        if class == ErrorClass::Other && newest {
            counted.last_other_code = code.clone();
        }
        counted.errors[class.index()] += 1;
        *last = (*last).max(Some(updated_at));
    }
}

impl From<Counted> for Errors {
    fn from(counted: Counted) -> Self {
        Self((counted != Counted::default()).then(|| Box::new(counted)))
    }
}

impl From<Errors> for Counted {
    fn from(Errors(counted): Errors) -> Self {
        counted.map_or_else(Self::default, |counted| *counted)
    }
}
