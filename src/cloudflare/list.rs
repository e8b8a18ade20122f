//! Reads the list of live inputs, in both forms, and whether it is complete.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Answer, ApiError, Endpoint, Request, invalid, page};
use crate::event::{AccountId, InputId};
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

/// The request for the list.
pub fn request(account_id: AccountId) -> Request {
    Request::get(Endpoint::Inputs, format!("/accounts/{account_id}/stream/live_inputs?include_counts=true"))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloudflare::{ApiErrorKind, Endpoint, RateLimit, Response};

    fn read_body(body: &Value) -> Result<List, ApiError> {
        let request = Request::get(Endpoint::Inputs, "/list");
        let body = body.to_string().into_bytes();
        read(&request, &Ok(Response { status: 200, limit: RateLimit::default(), date: None, body }))
    }

    fn read_result(result: &Value) -> Result<List, ApiError> {
        read_body(&json!({ "success": true, "result": result }))
    }

    const ONE: &str = "2c28dd2cc444cb77578c4840b51e43a8";
    const TWO: &str = "eb222fcca08eeb1ae84c981ebe8aeeb6";

    #[test]
    fn list_is_complete_unless_something_says_that_inputs_are_missing() {
        let inputs = json!([{ "uid": ONE, "meta": { "name": "One" } }, { "uid": TWO, "enabled": false }]);
        let object = |counts: Value| {
            let mut object = json!({ "liveInputs": inputs });
            object.as_object_mut().unwrap().extend(counts.as_object().unwrap().clone());
            object
        };
        for (result, is_complete) in [
            (inputs.clone(), true),
            (object(json!({})), true),
            (object(json!({ "range": 2 })), true),
            (object(json!({ "range": 0, "total": 2 })), true),
            (object(json!({ "range": null, "total": null })), true),
            (object(json!({ "range": "2", "total": "2" })), true),
            (object(json!({ "range": 3 })), false),
            (object(json!({ "range": 1 })), false),
            (object(json!({ "range": 2, "total": 3 })), false),
            (object(json!({ "total": 1 })), false),
            (object(json!({ "total": "many" })), false),
            (object(json!({ "total": [2] })), false),
        ] {
            let list = read_result(&result).unwrap();
            assert_eq!((list.is_complete, list.inputs.len()), (is_complete, 2), "{result}");
            let one = Listed { name: "One".into(), enabled: None };
            let two = Listed { name: "".into(), enabled: Some(false) };
            assert_eq!(list.inputs.into_values().collect::<Vec<_>>(), [one, two]);
        }
        for (info, is_complete) in [
            (json!(null), true),
            (json!({ "page": 1, "per_page": 2, "count": 2, "total_count": 2 }), true),
            (json!({ "page": 1, "per_page": 2, "count": 2, "total_count": 3 }), false),
            (json!({ "count": 1 }), false),
        ] {
            let body = json!({ "success": true, "result": inputs, "result_info": info });
            assert_eq!(read_body(&body).unwrap().is_complete, is_complete, "{info}");
        }
    }

    #[test]
    fn entry_that_cannot_be_read_makes_the_list_incomplete() {
        for entry in
            [json!(null), json!("x"), json!({}), json!({ "uid": null }), json!({ "uid": "x" }), json!({ "uid": ONE })]
        {
            let list = read_result(&json!([{ "uid": ONE }, entry])).unwrap();
            assert_eq!((list.is_complete, list.inputs.len()), (false, 1), "{entry}");
        }
    }

    #[test]
    fn unexpected_meta_is_no_name_and_a_long_name_is_cut() {
        for (meta, name) in [
            (json!(null), String::new()),
            (json!("x"), String::new()),
            (json!({ "name": 7 }), String::new()),
            (json!({ "name": "Stage" }), "Stage".to_owned()),
            (json!({ "name": "\u{e4}".repeat(999) }), "\u{e4}".repeat(LONGEST_NAME)),
        ] {
            let list = read_result(&json!([{ "uid": ONE, "meta": meta }])).unwrap();
            assert_eq!(&*list.inputs.into_values().next().unwrap().name, name, "{meta}");
        }
    }

    #[test]
    fn other_results_are_not_lists() {
        for result in
            [json!(null), json!({}), json!({ "liveInputs": 7 }), json!({ "liveInputs": null }), json!("x"), json!(7)]
        {
            assert_eq!(read_result(&result).unwrap_err().kind, ApiErrorKind::Invalid, "{result}");
        }
    }
}
