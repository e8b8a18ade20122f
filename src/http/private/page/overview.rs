//! All known inputs, as far as the banner and the order of the list need them.

use std::time::Duration;

use crate::event::{InputId, Timestamp};
use crate::http::private::input_summary::InputState;
use crate::live::{Input, View};
use crate::timeline::Today;

/// An error is recent for this long, as for the alerts about errors.
pub(super) const RECENT_ERROR: Duration = Duration::from_secs(15 * 60);

/// A known input.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownInput<'a> {
    pub(super) id: InputId,
    /// Empty if it has none.
    pub(super) name: &'a str,
    pub(super) input: &'a Input,
    pub(super) status: Status,
    /// Event time of the first change since the state is this one.
    pub(super) since: Option<Timestamp>,
    /// Event time of the newest error.
    pub(super) error_at: Option<Timestamp>,
    pub(super) has_recent_error: bool,
    /// What happened today, if the order of the list needs it.
    pub(super) today: Option<Today>,
}

/// State and expectation of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) state: InputState,
    pub(super) expected: bool,
}

/// How urgent an input is, the worst first.
///
/// An input that is on air although it is not expected is not a problem: most inputs have no schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    OffAirWhileExpected,
    /// It should be live, and nothing is known of it.
    UnknownWhileExpected,
    /// It is on air or not expected, and Cloudflare reported an error within the last minutes.
    RecentError,
    OnAir,
    OffAir,
    Unknown,
}

/// All known inputs, by id, and how many have each state.
#[derive(Debug, Default)]
pub(super) struct Overview<'a> {
    pub(super) inputs: Vec<KnownInput<'a>>,
    pub(super) on_air: usize,
    pub(super) expected: usize,
}

impl Status {
    /// The class of its badge.
    pub(super) fn class(self) -> &'static str {
        match (self.state, self.expected) {
            (InputState::Connected, _) => "live",
            (InputState::Disconnected, true) => "off-expected",
            (InputState::Disconnected, false) => "off",
            (InputState::Unknown, _) => "unknown",
        }
    }

    /// In words.
    pub(super) fn text(self) -> &'static str {
        match (self.state, self.expected) {
            (InputState::Connected, _) => "on air",
            (InputState::Disconnected, true) => "off air while expected",
            (InputState::Disconnected, false) => "off air",
            (InputState::Unknown, true) => "unknown while expected",
            (InputState::Unknown, false) => "unknown",
        }
    }
}

impl KnownInput<'_> {
    pub(super) fn urgency(&self) -> Urgency {
        match (self.status.state, self.status.expected) {
            (InputState::Disconnected, true) => Urgency::OffAirWhileExpected,
            (InputState::Unknown, true) => Urgency::UnknownWhileExpected,
            _ if self.has_recent_error => Urgency::RecentError,
            (InputState::Connected, _) => Urgency::OnAir,
            (InputState::Disconnected, false) => Urgency::OffAir,
            (InputState::Unknown, false) => Urgency::Unknown,
        }
    }
}

impl<'a> Overview<'a> {
    /// All inputs of a view.
    pub(super) fn of(view: &'a View) -> Self {
        let mut overview = Self { inputs: Vec::with_capacity(view.gauge_state().known_count()), ..Self::default() };
        let recent = view.wall_clock.minus(RECENT_ERROR);
        for (id, entry) in view.gauge_state().known(None) {
            let input = &entry.input;
            let evidence = view.evidence(&id, input);
            let (state, since) = (InputState::of(evidence), evidence.map(|evidence| evidence.since));
            let status = Status { state, expected: view.gauge_state().expected(&id, view.wall_clock) };
            let error_at = input.errors.newest_at();
            let has_recent_error = error_at > Some(recent);
            let name = view.gauge_state().name(&id);
            overview.on_air += usize::from(state == InputState::Connected);
            overview.expected += usize::from(status.expected);
            overview.inputs.push(KnownInput {
                id,
                name,
                input,
                status,
                since,
                error_at,
                has_recent_error,
                today: None,
            });
        }
        overview
    }
}
