//! What the page of an input is about.

use crate::event::InputId;
use crate::http::private::page::snapshot::Snapshot;
use crate::live::{Input, View};
use crate::timeline::{HistoryError, InputHistory};

/// What the journal has about the input; the error is why it cannot be read.
pub(in crate::http::private::page) type History = Result<InputHistory, HistoryError>;

/// The input of a page.
pub(super) struct Subject<'a> {
    pub(super) id: InputId,
    pub(super) input: &'a Input,
    pub(super) view: &'a View,
    pub(super) snapshot: &'a Snapshot,
    pub(super) history: &'a History,
}
