//! The last 24 hours of an input as a bar.

use std::fmt::Write;
use std::time::Duration;

use crate::event::Timestamp;

/// The bar has steps, so that it changes seldom and its size is bounded.
const STEP_SECONDS: u64 = 300;
const STEP: Duration = Duration::from_secs(STEP_SECONDS);
const STEPS: usize = 288;
const LENGTH: Duration = Duration::from_secs(24 * 3600);

/// The state of an input in a step of its bar. A step with several states has the last of them in this order, so that a
/// short interruption is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BarState {
    /// Nothing is known.
    Unknown,
    /// Off air, and not expected.
    Off,
    /// On air.
    Live,
    /// Off air while expected.
    OffExpected,
}

/// The last 24 hours of an input, up to the end of the current step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    steps: [BarState; STEPS],
    /// The begin of the current step: the end of what the durations say.
    counted_until: Timestamp,
    durations: [Duration; 4],
}

impl BarState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Off, Self::Live, Self::OffExpected];

    /// Its class in style sheets.
    pub fn class(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Off => "off",
            Self::Live => "live",
            Self::OffExpected => "off-expected",
        }
    }

    /// Its name for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Off => "off air",
            Self::Live => "on air",
            Self::OffExpected => "off air while expected",
        }
    }

    fn of(connected: Option<bool>, expected: bool) -> Self {
        match (connected, expected) {
            (None, _) => Self::Unknown,
            (Some(true), _) => Self::Live,
            (Some(false), true) => Self::OffExpected,
            (Some(false), false) => Self::Off,
        }
    }
}

impl Bar {
    /// The time that the bar at `now` shows.
    pub(super) fn span(now: Timestamp) -> (Timestamp, Timestamp) {
        let until = begin_of_step(now).plus(STEP);
        (until.minus(LENGTH), until)
    }

    /// The bar of these states and expectations. Both lists say what is the case from each time on. They are ascending,
    /// and begin before the bar.
    pub(super) fn new(now: Timestamp, states: &[(Timestamp, Option<bool>)], expected: &[(Timestamp, bool)]) -> Self {
        let (from, until) = Self::span(now);
        let counted_until = begin_of_step(now);
        let mut bar = Self { steps: [BarState::Unknown; STEPS], counted_until, durations: [Duration::ZERO; 4] };
        let mut states = Pieces::new(states, from);
        let mut expected = Pieces::new(expected, from);
        let mut at = from;
        while at < until {
            let next = states.next_change().min(expected.next_change()).min(until);
            let state = BarState::of(states.value().flatten(), expected.value().unwrap_or_default());
            bar.add(state, from, at, next);
            states.advance(next);
            expected.advance(next);
            at = next;
        }
        bar
    }

    fn add(&mut self, state: BarState, from: Timestamp, begin: Timestamp, end: Timestamp) {
        let step = |at: Timestamp| (at.since(from).unwrap_or_default().as_secs() / STEP_SECONDS) as usize;
        let touched = self.steps.iter_mut().take(step(end.minus(Duration::from_nanos(1))) + 1).skip(step(begin));
        touched.for_each(|step| *step = state.max(*step));
        self.durations[state as usize] += end.min(self.counted_until).since(begin).unwrap_or_default();
    }

    /// The states of its steps, oldest first.
    pub fn steps(&self) -> &[BarState] {
        &self.steps
    }

    /// How long the input was in this state, without the current step.
    pub fn duration(&self, state: BarState) -> Duration {
        self.durations[state as usize]
    }

    /// How long the input was in each state, in words.
    pub fn words(&self) -> String {
        let mut words = String::new();
        for (separator, state) in ["", ", ", ", ", ", "].into_iter().zip(self.present_states()) {
            let _ = write!(words, "{separator}{} {}", state.words(), in_words(self.duration(state)));
        }
        words
    }

    /// The states that the bar has, the best first.
    fn present_states(&self) -> impl Iterator<Item = BarState> {
        let order = [BarState::Live, BarState::Off, BarState::OffExpected, BarState::Unknown];
        order.into_iter().filter(|state| self.duration(*state) > Duration::ZERO)
    }

    /// The bar as an SVG image of at most 500 bytes, unless the input changed often.
    ///
    /// Each state is one path of lines. The style sheet gives it colour and height.
    pub fn svg(&self) -> String {
        let words = self.words();
        let mut svg = format!(r#"<svg class=bar viewBox="0 -4 {STEPS} 24" role=img><title>{words}</title>"#);
        for state in BarState::ALL {
            let lines = self.lines(state);
            if !lines.is_empty() {
                let _ = write!(svg, r#"<path class={} d="{lines}"/>"#, state.class());
            }
        }
        svg + "</svg>"
    }

    /// The steps with this state, as the data of a path.
    fn lines(&self, state: BarState) -> String {
        let mut lines = String::new();
        let (mut begin, mut end) = (0, 0);
        for run in self.steps.chunk_by(|one, next| one == next) {
            if run[0] == state {
                let _ = match lines.is_empty() {
                    true => write!(lines, "M{begin} 8h{}", run.len()),
                    false => write!(lines, "m{} 0h{}", begin - end, run.len()),
                };
                end = begin + run.len();
            }
            begin += run.len();
        }
        lines
    }
}

/// A value that changes over time, read in order.
struct Pieces<'a, T> {
    current: Option<T>,
    later: &'a [(Timestamp, T)],
}

impl<'a, T: Copy> Pieces<'a, T> {
    fn new(pieces: &'a [(Timestamp, T)], from: Timestamp) -> Self {
        let mut new = Self { current: None, later: pieces };
        new.advance(from);
        new
    }

    fn value(&self) -> Option<T> {
        self.current
    }

    fn next_change(&self) -> Timestamp {
        self.later.first().map_or(Timestamp::MAX, |(at, _)| *at)
    }

    fn advance(&mut self, until: Timestamp) {
        while let [(at, value), later @ ..] = self.later
            && *at <= until
        {
            (self.current, self.later) = (Some(*value), later);
        }
    }
}

fn begin_of_step(at: Timestamp) -> Timestamp {
    let seconds = at.since(Timestamp::EPOCH).unwrap_or_default().as_secs();
    Timestamp::EPOCH.plus(Duration::from_secs(seconds - seconds % STEP_SECONDS))
}

/// A duration in words: two units at most.
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
