//! A small world for tests of pages: inputs with events, at a time.

use std::time::Duration;

use super::snapshot::Snapshot;
use crate::event::{
    AccountId, ErrorCode, ErrorDetail, Event, EventKind, InputId, Origin, Record, RecordKind, Rules, Timestamp,
};
use crate::live::{Fold, LastSeen, View, apply};
use crate::schedule::{Configured, Expectation};

/// The fold, and the time of the snapshots.
pub(super) struct World {
    pub(super) fold: Fold,
    pub(super) now: Timestamp,
}

/// A time some seconds after the beginning.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(1_795_000_000 + seconds))
}

pub(super) fn input_id(number: u16) -> InputId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    InputId::from_bytes(bytes)
}

impl World {
    /// A world at this time with these configured inputs.
    pub(super) fn new(now: Timestamp, configured: &[(u16, &str, Expectation)]) -> Self {
        let ids = configured.iter().map(|(number, ..)| input_id(*number)).collect();
        let window = Duration::from_secs(60);
        let mut fold =
            Fold::new(Rules { reconnect_window: window, reorder_window: window, max_inputs: 20_000, configured: ids });
        let configured = configured.iter().map(|(number, name, expectation)| {
            let configured = Configured { name: (*name).into(), expectation: expectation.clone() };
            (input_id(*number), configured)
        });
        fold.set_configured(configured.collect());
        fold.set_last_seen(LastSeen { last: Some(at(0)), ..LastSeen::default() });
        Self { fold, now }
    }

    /// Applies an event of an input: `connected`, `disconnected`, or an error code.
    pub(super) fn event(mut self, input: u16, name: &str, updated_at: Timestamp) -> Self {
        let kind = match name {
            "connected" => EventKind::Connected,
            "disconnected" => EventKind::Disconnected,
            code => EventKind::Errored(Box::new(ErrorDetail { code: ErrorCode::from(code), ..ErrorDetail::default() })),
        };
        let origin = Origin { account_id: Some(AccountId::from_bytes([0xac; 16])), ..Origin::default() };
        let (input_id, received_at) = (input_id(input), updated_at);
        let event = Event { input_id, kind, updated_at, sent_at: Some(updated_at), received_at, origin };
        let kind = RecordKind::Event(event, None);
        let record = Record { position: 0, recorded_at: updated_at, shown_until: at(0), kind };
        let (changes, _) = apply(&self.fold, &[record]);
        self.fold.adopt(changes);
        self
    }

    /// The state now.
    pub(super) fn view(&self) -> View {
        View { state: self.fold.state().clone(), as_of: self.now, wall_clock: self.now, ..View::default() }
    }

    /// A snapshot of a daemon that is ready.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { view: Some(self.view()), now: self.now, ..Snapshot::default() }
    }
}
