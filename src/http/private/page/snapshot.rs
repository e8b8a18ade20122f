//! Everything that a page is rendered from, at one moment.

use std::borrow::Cow;

use crate::clock;
use crate::event::Timestamp;
use crate::http::private::Private;
use crate::live::View;

/// Everything that a page is rendered from.
pub(super) struct Snapshot {
    /// The state; `None` until it is restored.
    pub(super) view: Option<View>,
    /// The wall clock.
    pub(super) now: Timestamp,
    /// The check of the readiness that fails.
    pub(super) failing: Option<Cow<'static, str>>,
}

impl Snapshot {
    /// Takes all parts.
    pub(super) fn take(private: &Private) -> Self {
        let failing = private.state_reader.readiness().failing();
        Self { view: private.state_reader.view(), now: clock::wall(), failing }
    }
}
