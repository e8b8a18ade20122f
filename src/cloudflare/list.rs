//! Reads the list of live inputs, in both forms, and whether it is complete.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Answer, ApiError, Request, invalid, page};
use crate::event::InputId;
use crate::live::Listed;

/// Longer names are cut. They are a label of a metric.
const LONGEST_NAME: usize = 200;

/// A list of live inputs.
#[derive(Debug, PartialEq, Eq)]
pub struct List {
    /// The inputs.
    pub inputs: BTreeMap<InputId, Listed>,
    /// Whether nothing says that inputs are left out.
    pub is_complete: bool,
}

/// The documented form.
#[derive(Deserialize)]
struct Object {
    #[serde(rename = "liveInputs")]
    live_inputs: Vec<Box<RawValue>>,
    #[serde(default)]
    range: Value,
    #[serde(default)]
    total: Value,
}

/// What is needed of an input.
#[derive(Deserialize)]
struct Item {
    uid: InputId,
    #[serde(default)]
    meta: Value,
    #[serde(default)]
    enabled: Value,
}

/// Reads a list.
///
/// # Errors
///
/// The answer is not a list of live inputs.
pub fn read(request: &Request, answer: &Answer) -> Result<List, ApiError> {
    let page = page::<Box<RawValue>>(request, answer)?;
    let text = page.result.get();
    let unexpected = |_| invalid(request, "the result is not a list of live inputs");
    let object = if text.starts_with('[') {
        let live_inputs = serde_json::from_str(text).map_err(unexpected)?;
        Object { live_inputs, range: Value::Null, total: Value::Null }
    } else {
        serde_json::from_str::<Object>(text).map_err(unexpected)?
    };
    let items = object.live_inputs.iter().filter_map(|item| serde_json::from_str::<Item>(item.get()).ok());
    let inputs: BTreeMap<_, _> = items.map(|item| (item.uid, listed(&item))).collect();
    let listed = inputs.len() as u64;
    // `range` counts the listed inputs, or those that follow.
    let is_complete = listed == object.live_inputs.len() as u64
        && is_one_of(&object.range, &[listed, 0])
        && is_one_of(&object.total, &[listed])
        && page.info.count.is_none_or(|count| count == listed)
        && page.info.total_count.is_none_or(|count| count == listed);
    Ok(List { inputs, is_complete })
}

fn listed(item: &Item) -> Listed {
    let name: String = item.meta["name"].as_str().unwrap_or_default().chars().take(LONGEST_NAME).collect();
    Listed { name: name.into(), enabled: item.enabled.as_bool() }
}

/// Whether a count is absent, or one of these. A count that cannot be read may be any number.
fn is_one_of(count: &Value, expected: &[u64]) -> bool {
    let number = count.as_u64().or_else(|| count.as_str()?.parse().ok());
    count.is_null() || number.is_some_and(|number| expected.contains(&number))
}
