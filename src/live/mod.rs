//! Stage 3: fold events into what is true now, per input.
//!
//! Pure: no clock, no I/O, no error. The same events in the same order give the same [`State`], which
//! is why a restart changes nothing. The only other thing that matters is how late a view somebody
//! may have seen when an event came (`shown_until`), because what was shown cannot be taken back; it
//! is kept with every event.
//!
//! What depends on no order, and is equal for every shuffle and repetition of the same events:
//! `connected`, all timestamps, events and errors. Sessions, reconnects, connected time and
//! inconsistencies follow the order of arrival, because a counter cannot take anything back.
//!
//! ```text
//!              ┌──────────────── Fold ────────────────┐
//! Event ─────▶ │ SeenEvents: seen it before?          │ ─▶ Verdict
//!              │ State: Inputs with theirs, Totals    │ ─▶ snapshot for readers (a pointer copy)
//!              └──────────────────────────────────────┘
//! ```
//!
//! A batch is folded into a [`Draft`], which has copies of the inputs that it changes. When it has become durable the
//! draft is adopted; when it has not, the draft is dropped and nothing ever happened.

mod errors;
mod fold;
mod histogram;
mod input;
mod dedup;
mod state;
mod view;

pub use dedup::SeenEvents;
pub use errors::Errors;
pub use fold::{Changes, Draft, Fold, Note, Search, SearchLimits, Verdict};
pub use histogram::Histogram;
pub use input::{Evidence, Input};
pub use state::{InputEntry, LastSeen, Rules, State, Totals};
pub use view::View;

#[cfg(test)]
mod tests;
