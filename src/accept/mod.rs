//! Stage 1: bytes in; an event, a test ping, an ignored notification, or a rejection out.
//!
//! Pure: no I/O, no clock (the time of receipt is an argument), no state. Nothing that is behind
//! this stage looks at bytes again.
//!
//! ```text
//! secret ── authenticate ──▶ its name
//! body ──── notification ──▶ Notification | NotJson
//! ```

mod authenticate;
mod notification;
mod object;

pub use authenticate::{SecretName, Secrets};
pub use notification::{NotJson, Reading, read};
