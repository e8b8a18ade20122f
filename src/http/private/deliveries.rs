//! The newest deliveries, for the API and the pages.

use std::sync::Arc;

use super::Private;
use crate::http::unused_deliveries::Rejected;
use crate::recorder::RecentDelivery;

/// A delivery, or an event of the notification history.
#[derive(Debug, Clone)]
pub(super) enum Recent {
    Accepted(Arc<RecentDelivery>),
    Rejected(Rejected),
}

/// The newest deliveries, newest first: this many accepted ones, and this many rejected ones of each cause, so that a
/// flood of one kind does not hide the others. `None` until the state is restored.
pub(super) fn newest(private: &Private, accepted: usize, rejected_per_cause: usize) -> Option<Vec<Recent>> {
    let accepted = private.state_reader.recent_deliveries(accepted)?;
    let mut rejected = private.unused_deliveries.newest_rejected(rejected_per_cause).into_iter().peekable();
    let mut newest = Vec::new();
    for delivery in accepted {
        while let Some(newer) = rejected.next_if(|rejected| rejected.received_at > delivery.received_at) {
            newest.push(Recent::Rejected(newer));
        }
        newest.push(Recent::Accepted(delivery));
    }
    newest.extend(rejected.map(Recent::Rejected));
    Some(newest)
}
