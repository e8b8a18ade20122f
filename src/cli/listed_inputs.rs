//! The answer of `/api/v1/inputs`, as far as commands need it.

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Inputs<T> {
    inputs: Vec<T>,
}

/// An exception to the schedule of an input.
#[derive(Deserialize)]
pub(super) struct ListedException {
    pub(super) expected: bool,
    pub(super) until: String,
    pub(super) user: Option<String>,
    pub(super) reason: Option<String>,
}

/// The inputs of the JSON document. `T` has the members that are needed of each.
pub(super) fn listed_inputs<T: DeserializeOwned>(json: &str) -> anyhow::Result<Vec<T>> {
    let Inputs { inputs } = serde_json::from_str(json).context("this is not the list of stream-live-exporter")?;
    Ok(inputs)
}
