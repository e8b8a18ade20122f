//! Stage 4: computes and writes the metrics when Prometheus scrapes.
//!
//! Metrics of live inputs are not stored: [`Exposition`] computes them from one consistent
//! [`View`](crate::live::View) and writes them in chunks. A slow or a second client therefore costs no copy of the
//! whole text. The exporter's own metrics are kept in a `prometheus` registry ([`Exporter`]).
//!
//! Each metric is defined in one place, with its documentation and the code that reads its value:
//!
//! | file | metrics |
//! |---|---|
//! | `inputs.rs` | of each live input |
//! | `overall.rs` | computed from the view, not per input |
//! | `shared.rs` | about a journal that several replicas share, computed from the view |
//! | `exporter.rs` | observed by the exporter while it runs |
//! | `cloudflare.rs` | sets those of `exporter.rs` about Cloudflare's API |
//! | `process.rs` | read from `/proc` |
//!
//! [`catalogue`] lists them all; METRICS.md is generated from it.

pub mod catalogue;
mod family;
mod inputs;
mod overall;
mod shared;
mod exporter;
mod cloudflare;
mod registry;
mod process;
mod exposition;
mod gzip;
mod encode;

pub use cloudflare::AccountGauges;
pub use encode::Format;
pub use exporter::Exporter;
pub use exposition::Exposition;
pub use gzip::Gzip;
pub use process::started_at;

#[cfg(test)]
mod tests;
