//! Stage 1: interprets the bytes of a request. It identifies the secret and parses the notification.
//!
//! Pure: no I/O, no state and no clock; the time of receipt is an argument. Later stages do not see bytes.
//!
//! ```text
//! secret ── authenticate ──▶ its name
//! body ──── notification ──▶ Notification | NotJson
//! ```

mod authenticate;
mod notification;
mod object;
mod times;

pub use authenticate::{SecretName, Secrets};
pub use notification::{NotJson, Reading, read};
pub use times::Received;
