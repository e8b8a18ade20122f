//! Generated notifications, and the expected values of metrics after them.
//!
//! The command `simulate`, the history example and the benchmarks use this one generator. The model of the
//! truth is independent of the stages that it tests: it imports only the types of [`crate::event`] that
//! identify an input and an instant.

pub mod cloudflare;
mod fact;
mod notification;
mod truth;

pub use fact::{ERRORS, Fact, FactKind, SimulatedError};
pub use notification::{ACCOUNT_ID, Notification, POLICIES, Policy};
pub use truth::{Counts, InputTruth, Meaning};
