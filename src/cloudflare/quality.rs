//! Ingest quality, from Cloudflare's GraphQL analytics.
//!
//! | field | unit | source |
//! |---|---|---|
//! | `gopDuration` | seconds; values above [`LONGEST_GOP_SECONDS`] are milliseconds | the guide's chart is in seconds, the schema has no unit |
//! | `uploadDurationRatio` | a ratio: 1 is real time | the guide: below 90 % is good, above 100 % viewers buffer |
//! | `bitRate` | bits per second | its name; the schema has no unit |
//!
//! The guide: <https://developers.cloudflare.com/stream/stream-live/troubleshooting/>.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{Endpoint, Method};
use super::{
    Answer, ApiError, ApiErrorKind, Due, Effect, Priority, Progress, Request, Settings, Task, invalid, successful,
};
use crate::event::{AccountId, InputId, Timestamp};
use crate::live::{Quality, Statistics, View};

/// How far back the newest complete minute of an input is looked for. Cloudflare's data are some minutes old.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Maximum number of rows that Cloudflare returns.
const MAX_ROWS: u64 = 10_000;
/// Cloudflare refuses keyframe intervals above 10 seconds, so a larger value is in milliseconds.
const LONGEST_GOP_SECONDS: f64 = 100.0;
/// Cloudflare allows 320 queries in five minutes.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);
const MINUTE: i64 = 60_000_000_000;

/// Public programs disagree about the name of the bit rate, and whether it has a maximum. An unknown field fails the whole
/// query, so after such an error the next of these is asked for: the fields of `avg` and `max`.
const BIT_RATES: [[&str; 2]; 4] = [["bitRate", "bitRate"], ["bitRate", ""], ["bitRateMinute", ""], ["", ""]];

/// Asks for the quality of all inputs of an account, with one query per interval.
#[derive(Debug)]
pub struct QualityTask {
    account_id: AccountId,
    interval: Option<Duration>,
    /// Whether a request is in flight.
    asked: bool,
    /// Index into [`BIT_RATES`].
    bit_rate: usize,
    completed: Option<Timestamp>,
    /// Whether inputs have quality according to the last effect.
    shown: bool,
}

impl QualityTask {
    /// Asks for the quality of an account.
    pub fn new(settings: &Settings) -> Self {
        let account_id = settings.account_id;
        let mut task = Self { account_id, interval: None, asked: false, bit_rate: 0, completed: None, shown: false };
        task.configure(settings);
        task
    }
}

impl Task for QualityTask {
    fn configure(&mut self, settings: &Settings) {
        self.interval = settings.quality.map(|interval| interval.max(SHORTEST_INTERVAL));
    }

    fn due(&mut self, now: Timestamp, _view: &View) -> Option<Due> {
        let interval = self.interval.filter(|_| !self.asked)?;
        Some(Due::after(self.completed, interval, now, Priority::Periodic))
    }

    fn request(&mut self, now: Timestamp, _view: &View) -> Option<Request> {
        self.asked = true;
        Some(query(self.account_id, now, BIT_RATES[self.bit_rate]))
    }

    fn answered(
        &mut self,
        request: &Request,
        answer: &Answer,
        now: Timestamp,
        _view: &View,
        effects: &mut Vec<Effect>,
    ) -> Result<Progress, ApiError> {
        self.asked = false;
        match read(request, answer) {
            Ok(inputs) => {
                self.completed = Some(now);
                self.shown = !inputs.is_empty();
                effects.push(Effect::Quality(self.account_id, inputs));
                Ok(Progress::Completed)
            }
            Err(error) => {
                if error.message.contains("bitRate") {
                    self.bit_rate = (self.bit_rate + 1).min(BIT_RATES.len() - 1);
                }
                let is_old = self.completed.and_then(|completed| now.since(completed)).is_none_or(|age| age > WINDOW);
                if self.shown && is_old {
                    self.shown = false;
                    effects.push(Effect::Quality(self.account_id, BTreeMap::new()));
                }
                Err(error)
            }
        }
    }
}

/// The request of a command that checks whether a token may ask for the quality.
pub fn probe(account_id: AccountId, now: Timestamp) -> Request {
    query(account_id, now, BIT_RATES[BIT_RATES.len() - 1])
}

/// The query for the newest complete minutes before `now`.
fn query(account_id: AccountId, now: Timestamp, [avg, max]: [&str; 2]) -> Request {
    let until = Timestamp::from_nanos(now.as_nanos() / MINUTE * MINUTE);
    let query = format!(
        "query ($account: string!, $since: Time!, $until: Time!, $limit: uint64!) {{ viewer {{ \
         accounts(filter: {{accountTag: $account}}) {{ \
         liveInputEventsAdaptiveGroups(filter: {{datetime_geq: $since, datetime_lt: $until}}, limit: $limit, \
         orderBy: [datetimeMinute_DESC]) {{ count dimensions {{ datetimeMinute inputId eventCode }} \
         avg {{ gopDuration uploadDurationRatio {avg} }} max {{ gopDuration uploadDurationRatio {max} }} }} }} }} }}"
    );
    let variables = json!({ "account": account_id, "since": until.minus(WINDOW).to_string(),
                            "until": until.to_string(), "limit": MAX_ROWS });
    Request {
        endpoint: Endpoint::Quality,
        method: Method::Post,
        path: "/graphql".to_owned(),
        body: Some(json!({ "query": query, "variables": variables })),
    }
}

/// The quality of each input in its newest minute that has any.
///
/// # Errors
///
/// The answer has none, for example because the token may not ask.
pub fn read(request: &Request, answer: &Answer) -> Result<BTreeMap<InputId, Quality>, ApiError> {
    /// GraphQL reports errors with status 200.
    #[derive(Deserialize)]
    struct Body {
        data: Option<Value>,
        errors: Option<Value>,
    }
    let response = successful(request, answer)?;
    let Body { data, errors } =
        serde_json::from_slice(&response.body).map_err(|_| invalid(request, "the body is not that of GraphQL"))?;
    if let Some(errors) = errors.filter(|errors| !is_empty(errors)) {
        return Err(refused(request, &errors));
    }
    let accounts = data.as_ref().and_then(|data| data["viewer"]["accounts"].as_array());
    let accounts = accounts.ok_or_else(|| invalid(request, "the body has no accounts"))?;
    let groups = accounts.iter().filter_map(|account| account["liveInputEventsAdaptiveGroups"].as_array()).flatten();
    Ok(newest(groups))
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// What the errors of GraphQL say.
fn refused(request: &Request, errors: &Value) -> ApiError {
    let error = errors.get(0).unwrap_or(errors);
    let message: String = error["message"].as_str().unwrap_or_default().chars().take(200).collect();
    let mut refused = invalid(request, &crate::text::escaped(&message));
    let has = |texts: [&str; 2]| texts.iter().any(|text| message.to_lowercase().contains(text));
    if error["extensions"]["code"].as_str().is_some_and(|code| ["authn", "authz"].contains(&code))
        || has(["not authorized", "does not have access"])
    {
        refused.kind = ApiErrorKind::Unauthorized;
    } else if has(["rate limit", "budget"]) {
        refused.kind = ApiErrorKind::RateLimited;
    }
    refused
}

/// A group has the samples of one input, minute and kind of event. Only some kinds have media.
fn newest<'a>(groups: impl Iterator<Item = &'a Value>) -> BTreeMap<InputId, Quality> {
    let mut minutes: BTreeMap<InputId, (Timestamp, Vec<&Value>)> = BTreeMap::new();
    for group in groups.filter(|group| has_media(group)) {
        let dimensions = &group["dimensions"];
        let input_id = dimensions["inputId"].as_str().and_then(|id| id.parse().ok());
        let minute = dimensions["datetimeMinute"].as_str().and_then(|minute| minute.parse().ok());
        let Some((input_id, minute)) = input_id.zip(minute) else { continue };
        let newest = minutes.entry(input_id).or_insert((minute, Vec::new()));
        if minute > newest.0 {
            *newest = (minute, Vec::new());
        }
        if minute == newest.0 {
            newest.1.push(group);
        }
    }
    minutes.into_iter().map(|(input_id, (_, groups))| (input_id, quality(&groups))).collect()
}

fn has_media(group: &Value) -> bool {
    number(&group["avg"]["gopDuration"]).or(number(&group["max"]["gopDuration"])).is_some_and(|duration| duration > 0.0)
}

fn quality(groups: &[&Value]) -> Quality {
    let gop = statistics(groups, &["gopDuration"]);
    Quality {
        gop_duration: Statistics { avg: gop.avg.map(seconds), max: gop.max.map(seconds) },
        upload_duration_ratio: statistics(groups, &["uploadDurationRatio"]),
        bitrate: statistics(groups, &["bitRate", "bitRateMinute"]),
    }
}

/// The mean over all samples, and the maximum.
fn statistics(groups: &[&Value], fields: &[&str]) -> Statistics {
    let value = |group: &Value, kind: &str| fields.iter().find_map(|field| number(&group[kind][field]));
    let (mut sum, mut count, mut max) = (0.0, 0.0, None::<f64>);
    for group in groups {
        let weight = number(&group["count"]).filter(|count| *count > 0.0).unwrap_or(1.0);
        if let Some(avg) = value(group, "avg") {
            (sum, count) = (sum + avg * weight, count + weight);
        }
        if let Some(value) = value(group, "max") {
            max = Some(max.map_or(value, |max| max.max(value)));
        }
    }
    Statistics { avg: (count > 0.0).then(|| sum / count), max }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite() && *number >= 0.0)
}

fn seconds(duration: f64) -> f64 {
    if duration > LONGEST_GOP_SECONDS { duration / 1000.0 } else { duration }
}

#[cfg(test)]
mod tests;
