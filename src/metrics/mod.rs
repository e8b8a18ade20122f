//! Stage 4: state to samples, when somebody asks.
//!
//! No metric of a live input is kept anywhere: [`Exposition`] computes all of them from one
//! consistent [`View`](crate::live::View) and writes them in chunks, so that neither a slow reader nor many of them
//! cost a copy of the whole. How the exporter itself is doing is kept in one `prometheus` registry
//! ([`Exporter`]) and written by the same encoder.
//!
//! Every metric is described once, in [`catalogue`]: its help text, its labels, and METRICS.md.

pub mod catalogue;
mod encode;
mod exporter;
mod exposition;
mod inputs;
mod process;
mod samples;

pub use encode::Format;
pub use exporter::{Exporter, LabelValues};
pub use exposition::Exposition;

#[cfg(test)]
mod tests;
