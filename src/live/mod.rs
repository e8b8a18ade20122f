//! Stage 3: apply records to the state of all inputs.
//!
//! Pure: no clock, no I/O, no errors. The same records in the same order give the same [`State`], regardless of how
//! they are split into batches, so a restart changes nothing.
//!
//! Within the reorder window, the order of arrival makes no difference: the state is that of the events in the order
//! of their times. Only what a scrape has shown is kept, because a counter must not fall.
//!
//! ```text
//! records ──▶ apply(&Fold, ..) ──▶ verdicts, Changes ──▶ Fold::adopt ──▶ State ──▶ readers (a pointer copy)
//! ```
//!
//! [`apply()`] does not change the fold. It returns [`Changes`] with copies of the changed inputs. They are adopted once
//! the records are durable, and dropped if that fails.

mod apply;
mod changes;
mod dedup;
mod errors;
mod exceptions;
mod fold;
mod forgotten;
mod histogram;
mod input;
mod inventory;
mod past_sessions;
mod sessions;
mod state;
mod timeline;
mod view;

pub use apply::{Verdict, apply};
pub use dedup::SeenEvents;
pub use errors::Errors;
pub use exceptions::{ExceptionEntry, Exceptions};
pub use fold::{Changes, Fold};
pub use forgotten::ForgottenInputs;
pub use histogram::Histogram;
pub use input::{Counters, Evidence, Input};
pub use inventory::{Inventory, Listed, Quality, Statistics};
pub use past_sessions::PastSessions;
pub use sessions::SessionRows;
pub use state::{Durations, InputEntry, LastSeen, SearchLimits, SilentInputs, State, Totals};
pub use timeline::{Part, Session, Timeline};
pub use view::{Downtime, PendingChange, SharedStatus, View};

#[cfg(test)]
mod tests;
