//! The newest deliveries, for the API.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::Outcome;
use crate::event::{Event, EventKind, IgnoredReason, Note, Record, RecordKind, Timestamp};

/// Number of the newest deliveries to remember.
pub(super) const MAX_RECENT_DELIVERIES: usize = 1000;
/// Bytes for the texts of errors in them. Older deliveries are dropped above it.
const MAX_TEXT: usize = 2 << 20;

/// A delivery and its outcome.
#[derive(Debug, Clone)]
pub struct RecentDelivery {
    /// When it was received.
    pub received_at: Timestamp,
    /// Its sender; `None` if it was received before the start.
    pub peer: Option<IpAddr>,
    /// Its outcome.
    pub outcome: Outcome,
    /// The note on the event, if any.
    pub note: Option<Note>,
    /// The event, if it is one.
    pub event: Option<Event>,
}

impl RecentDelivery {
    /// The delivery of a record that this process did not receive; `None` if it is no event.
    pub(super) fn of(record: Record) -> Option<Self> {
        let RecordKind::Event(event, note) = record.kind else { return None };
        Some(Self { received_at: event.received_at, peer: None, outcome: Outcome::Recorded, note, event: Some(event) })
    }

    /// Why it was ignored, or a remark such as that the event was late.
    pub fn reason(&self) -> Option<&'static str> {
        self.outcome.ignored().map(IgnoredReason::label).or(self.note.map(Note::label))
    }

    fn text(&self) -> usize {
        let Some(EventKind::Errored(detail)) = self.event.as_ref().map(|event| &event.kind) else { return 0 };
        let texts = [&detail.message, &detail.video_codec, &detail.audio_codec];
        detail.code.as_str().len() + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
    }
}

/// The newest deliveries, bounded in number and in bytes.
#[derive(Debug, Default)]
pub(super) struct RecentDeliveries {
    oldest_first: VecDeque<Arc<RecentDelivery>>,
    text: usize,
    /// Bytes of dropped deliveries that a response still had.
    kept_by_readers: u64,
}

impl RecentDeliveries {
    /// Adds deliveries, oldest first.
    pub(super) fn extend(&mut self, deliveries: impl Iterator<Item = Arc<RecentDelivery>>) {
        for delivery in deliveries {
            self.text += delivery.text();
            self.oldest_first.push_back(delivery);
            while self.oldest_first.len() > MAX_RECENT_DELIVERIES || self.text > MAX_TEXT {
                let Some(dropped) = self.oldest_first.pop_front() else { break };
                self.text -= dropped.text();
                if Arc::strong_count(&dropped) > 1 {
                    self.kept_by_readers += (size_of::<RecentDelivery>() + dropped.text()) as u64;
                }
            }
        }
    }

    pub(super) fn kept_by_readers(&self) -> u64 {
        self.kept_by_readers
    }

    /// The newest deliveries, newest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<Arc<RecentDelivery>> {
        self.oldest_first.iter().rev().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;
    use crate::event::{ErrorDetail, InputId};

    fn delivery(message: usize) -> Arc<RecentDelivery> {
        let detail = ErrorDetail { message: Some("x".repeat(message).into()), ..ErrorDetail::default() };
        let event = Event {
            input_id: InputId::from_bytes([1; 16]),
            kind: EventKind::Errored(Box::new(detail)),
            updated_at: Timestamp::EPOCH,
            sent_at: None,
            received_at: Timestamp::EPOCH,
            origin: Origin::default(),
        };
        let (received_at, outcome) = (Timestamp::EPOCH, Outcome::Recorded);
        Arc::new(RecentDelivery { received_at, peer: None, outcome, note: None, event: Some(event) })
    }

    #[test]
    fn oldest_deliveries_are_dropped_above_the_number_and_above_the_bytes() {
        let mut recent = RecentDeliveries::default();
        let count = |recent: &RecentDeliveries| recent.newest(usize::MAX).len();
        recent.extend((0..MAX_RECENT_DELIVERIES + 5).map(|_| delivery(1)));
        assert_eq!((count(&recent), recent.text), (MAX_RECENT_DELIVERIES, MAX_RECENT_DELIVERIES));
        recent.extend((0..20).map(|_| delivery(MAX_TEXT / 10)));
        assert_eq!((count(&recent), recent.text), (10, MAX_TEXT / 10 * 10));
        recent.extend(std::iter::once(delivery(MAX_TEXT)));
        assert_eq!(count(&recent), 1);
        recent.extend(std::iter::once(delivery(3)));
        assert_eq!((count(&recent), recent.text), (1, 3));
        assert_eq!(recent.kept_by_readers, 0);
        let held = recent.newest(1);
        recent.extend(std::iter::once(delivery(MAX_TEXT)));
        assert_eq!(recent.kept_by_readers, (size_of::<RecentDelivery>() + 3) as u64);
        drop(held);
    }
}
