//! The dataset of ingest quality.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::fact::{Fact, FactKind};
use super::account::Account;
use super::graphql::{Field, Query, QueryError};
use super::inputs::LiveInput;
use crate::event::{InputId, Timestamp};

/// Queries of a token in five minutes.
pub(super) const QUERIES_PER_WINDOW: u32 = 320;

const MINUTE: Duration = Duration::from_secs(60);
const LONGEST_QUERY: Duration = Duration::from_secs(31 * 24 * 3600);
const MOST_ROWS: usize = 10_000;
const DATASET: &str = "liveInputEventsAdaptiveGroups";

/// Answers a query. An account is found if the token may read it.
pub(super) fn answer<'a>(query: &Query, find: impl Fn(&str) -> Option<&'a Account>) -> Result<Value, QueryError> {
    let mut data = Map::new();
    for viewer in &query.fields {
        expect(viewer, "viewer")?;
        let mut accounts = Map::new();
        for account in &viewer.fields {
            expect(account, "accounts")?;
            let tag = account.argument("accountTag", &query.variables);
            let found = tag.as_ref().and_then(Value::as_str).and_then(&find);
            let path = ["viewer", "accounts", "0", DATASET];
            let refused = || QueryError::new("authz", "not authorized for that account").at(&path);
            let found = found.ok_or_else(refused)?;
            let mut datasets = Map::new();
            for dataset in &account.fields {
                expect(dataset, DATASET)?;
                let rows = rows(dataset, &query.variables, found).map_err(|error| error.at(&path))?;
                datasets.insert(dataset.alias.clone(), rows);
            }
            accounts.insert(account.alias.clone(), json!([datasets]));
        }
        data.insert(viewer.alias.clone(), Value::Object(accounts));
    }
    Ok(json!({ "data": data, "errors": null }))
}

fn expect(field: &Field, name: &str) -> Result<(), QueryError> {
    if field.name == name { Ok(()) } else { Err(field.unknown()) }
}

/// One row for each minute in which an input was connected, oldest first.
fn rows(dataset: &Field, variables: &Value, account: &Account) -> Result<Value, QueryError> {
    let time = |name: &str| {
        let text = dataset.argument(name, variables);
        let time = text.as_ref().and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
        time.ok_or_else(|| QueryError::new("validation", format!("filter: {name} is required")))
    };
    let (from, until) = (time("datetime_geq")?, time("datetime_lt")?);
    if until.since(from).is_some_and(|range| range > LONGEST_QUERY) {
        return Err(QueryError::new("quota", "cannot request a time range wider than 31d"));
    }
    let limit = dataset.argument("limit", variables).and_then(|limit| limit.as_u64());
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| (1..=MOST_ROWS).contains(limit));
    let limit = limit.ok_or_else(|| QueryError::new("quota", "limit must be between 1 and 10000"))?;
    // A query with an unknown field is an error even if there is no row.
    row(&dataset.fields, from, InputId::from_bytes([0; 16]), &LiveInput::new("", from, 0))?;
    let mut minutes: Vec<_> = account
        .inputs()
        .flat_map(|(id, input)| {
            connected_minutes(input, from, until).into_iter().map(move |minute| (minute, id, input))
        })
        .collect();
    minutes.sort_by_key(|(minute, id, _)| (*minute, *id));
    let rows = minutes.into_iter().take(limit).map(|(minute, id, input)| row(&dataset.fields, minute, id, input));
    rows.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn row(fields: &[Field], minute: Timestamp, id: InputId, input: &LiveInput) -> Result<Value, QueryError> {
    let group = |field: &Field, value: &dyn Fn(&str) -> Option<Value>| {
        let members = field.fields.iter().map(|member| {
            let value = value(&member.name).ok_or_else(|| member.unknown())?;
            Ok((member.alias.clone(), value))
        });
        members.collect::<Result<Map<_, _>, _>>().map(Value::Object)
    };
    let mut row = Map::new();
    for field in fields {
        let value = match field.name.as_str() {
            "count" => json!(30),
            "dimensions" => group(field, &|name| match name {
                "datetimeMinute" => Some(json!(format!("{minute:.0}"))),
                "inputId" => Some(json!(id)),
                "eventCode" => Some(json!("INGEST_SEGMENT")),
                _ => None,
            })?,
            "avg" => group(field, &|name| input.ingest.value(name).map(|value| json!(value)))?,
            "max" => group(field, &|name| input.ingest.value(name).map(|value| json!(value * 1.1)))?,
            _ => return Err(field.unknown()),
        };
        row.insert(field.alias.clone(), value);
    }
    Ok(Value::Object(row))
}

/// The minutes from `from` to `until` in which the input was connected.
fn connected_minutes(input: &LiveInput, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let mut minutes = Vec::new();
    let changes = input.changes(until);
    for (index, Fact { kind, updated_at, .. }) in changes.iter().enumerate() {
        let end = changes.get(index + 1).map_or(until, |next| next.updated_at);
        let mut minute = whole_minute((*updated_at).max(from));
        while *kind == FactKind::Connected && minute < end {
            if minute >= from && minutes.last() != Some(&minute) {
                minutes.push(minute);
            }
            minute = minute.plus(MINUTE);
        }
    }
    minutes
}

fn whole_minute(at: Timestamp) -> Timestamp {
    at.minus(Duration::from_nanos(at.as_nanos().unsigned_abs() % 60_000_000_000))
}
