//! The history of notifications.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::super::notification::Notification;
use super::message::{Query, Refusal, Reply, Success};
use crate::event::Timestamp;

/// Older notifications are not listed.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

const PER_PAGE: usize = 25;

/// The oldest ones are dropped beyond this number, so that a long simulation has limited memory.
const MOST_ENTRIES: usize = 100_000;

/// The notifications that an account sent.
#[derive(Debug)]
pub struct History {
    /// The form of `alert_body`.
    pub form: BodyForm,
    seed: u64,
    /// Oldest first.
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    sent: Timestamp,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A notification about a live input, and the name of its destination.
    LiveInput(Notification, Arc<str>),
    /// All members but `alert_body` and `sent`, and the body.
    Other(Value, Value),
}

/// The form of `alert_body`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// Documented: a text. Here it is the body of the notification.
    Text,
    /// Shown: an object. Here it is the body of the notification.
    Object,
    /// An object that has only `data` and `metadata`.
    DataOnly,
    /// A text for people.
    Prose,
    /// Any of the forms with data, by the seed.
    Mixed,
}

impl History {
    pub(super) fn new(seed: u64) -> Self {
        Self { form: BodyForm::Mixed, seed, entries: VecDeque::new() }
    }

    /// Adds a notification about a live input, whether or not it arrived.
    pub fn add(&mut self, notification: Notification, destination: &Arc<str>) {
        self.insert(Entry { sent: notification.sent_at, what: What::LiveInput(notification, destination.clone()) });
    }

    /// Adds any entry: all its members but `alert_body` and `sent`, and its body, whose form changes as the others'.
    pub fn add_other(&mut self, sent: Timestamp, members: Value, body: Value) {
        self.insert(Entry { sent, what: What::Other(members, body) });
    }

    fn insert(&mut self, entry: Entry) {
        let index = self.entries.partition_point(|earlier| earlier.sent <= entry.sent);
        self.entries.insert(index, entry);
        if self.entries.len() > MOST_ENTRIES {
            self.entries.pop_front();
        }
    }

    pub(super) fn list(&self, query: Query<'_>, now: Timestamp) -> Reply {
        let invalid = Refusal::new(400, 17106, "invalid since, before, page or per_page");
        let bound = |name| query.get(name).map(|text| text.parse::<Timestamp>()).transpose().map_err(|_| invalid);
        let (since, before) = (bound("since")?, bound("before")?);
        let number = |name, default| query.get(name).map_or(Ok(default), |text| text.parse().map_err(|_| invalid));
        let (page, per_page): (usize, usize) = (number("page", 1)?, number("per_page", PER_PAGE)?);
        if page == 0 || !(5..=1000).contains(&per_page) {
            return Err(invalid);
        }
        let oldest = since.unwrap_or_default().max(now.minus(KEPT));
        let matches = |entry: &&Entry| entry.sent >= oldest && before.is_none_or(|before| entry.sent < before);
        let matching: Vec<_> = self.entries.iter().rev().filter(matches).collect();
        let skipped = (page - 1).saturating_mul(per_page);
        let listed: Vec<_> = matching.iter().skip(skipped).take(per_page).map(|entry| self.shown(entry)).collect();
        let info = json!({ "page": page, "per_page": per_page, "count": listed.len(), "total_count": matching.len() });
        Ok(Success { result_info: Some(info), ..Success::new(json!(listed)) })
    }

    fn shown(&self, entry: &Entry) -> Value {
        let ((mut shown, body), at) = match &entry.what {
            What::LiveInput(notification, destination) => {
                (described(notification, destination), notification.fact.updated_at)
            }
            What::Other(members, body) => ((members.clone(), body.clone()), entry.sent),
        };
        shown["alert_body"] = self.form.body(&body, self.seed ^ at.as_nanos().unsigned_abs());
        shown["sent"] = json!(format!("{:.6}", entry.sent));
        shown
    }
}

/// The members and the body of an entry about a live input.
fn described(notification: &Notification, destination: &str) -> (Value, Value) {
    let members = json!({
        "id": format!("{:032x}", notification.correlation_id),
        "name": notification.policy.name,
        "description": "",
        "alert_type": "stream_live_notifications",
        "policy_id": notification.policy.id,
        "mechanism": destination,
        "mechanism_type": "webhook",
    });
    (members, serde_json::from_slice(&notification.body()).unwrap_or_default())
}

impl BodyForm {
    fn body(self, body: &Value, seed: u64) -> Value {
        match self {
            Self::Text => json!(body.to_string()),
            Self::Object => body.clone(),
            Self::DataOnly => json!({ "data": body["data"], "metadata": { "account": null, "zone": null } }),
            Self::Prose => json!("Something happened to a live input."),
            Self::Mixed => {
                let forms = [Self::Text, Self::Object, Self::DataOnly];
                forms[Rng::with_seed(seed).usize(..forms.len())].body(body, seed)
            }
        }
    }
}
