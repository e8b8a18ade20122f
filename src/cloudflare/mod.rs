//! Cloudflare's own view of the live inputs, by its API. Optional: without an account nothing here runs.
//!
//! A notification can be lost, and only the API can tell. For each configured account, an [`Engine`] decides what to ask
//! next and what the answer means. It is pure: time, view and answers come in as arguments, requests and [`Effect`]s go
//! out. The daemon runs it on a thread of its own, between the [`Client`] and the recorder.
//!
//! ```text
//! view, time ─▶ Engine ─▶ Request ─▶ Client ─▶ Response ─▶ Engine ─▶ Effect ─▶ recorder, metrics
//! ```
//!
//! Whatever the API does, nothing here changes how notifications are answered.
//!
//! Source of all facts about the API: <https://developers.cloudflare.com/api/>.

mod request;
mod response;
mod result;
mod settings;
mod facts;
mod task;
mod engine;
mod budget;
mod inventory;
mod list;
mod status;
mod rings;
mod reconcile;
mod destination;
mod client;
pub mod model;
pub mod setup;
mod history;
mod backfill;
mod quality;

pub use client::{Client, InvalidClient};
pub use engine::{Engine, Next};
pub use facts::{BackfillProgress, Entries, Facts, TaskFacts};
pub use history::Period;
pub use list::{List, read as read_list, request as list_request};
pub use quality::{probe as quality_probe, read as read_quality};
pub use request::{Endpoint, Method, Request};
pub use response::{ApiError, ApiErrorKind, RateLimit, Response, TransportError};
pub use result::{Page, PageInfo, invalid, page, result, successful};
pub use settings::Settings;
pub use task::{Answer, Due, Effect, Priority, Progress, Task, TaskName};

#[cfg(test)]
mod tests;
