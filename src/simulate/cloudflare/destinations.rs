//! Webhook destinations.

use std::fmt;

use serde_json::{Value, json};

use super::message::Refusal;
use crate::event::Timestamp;

type Send = dyn FnMut(&str, Option<&str>) -> bool + std::marker::Send;

/// Sends a "Save and Test" message to a URL with a secret. Returns whether it was answered 2xx.
pub struct SaveAndTest(Box<Send>);

impl SaveAndTest {
    /// The callback for each message.
    pub fn new(send: impl FnMut(&str, Option<&str>) -> bool + std::marker::Send + 'static) -> Self {
        Self(Box::new(send))
    }
}

impl fmt::Debug for SaveAndTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaveAndTest")
    }
}

/// The webhook destinations of an account.
#[derive(Debug, Default)]
pub struct Destinations(Vec<Destination>);

/// A webhook destination.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Its identifier.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where notifications are sent.
    pub url: String,
    /// Sent in the header `cf-webhook-auth`.
    pub secret: Option<String>,
    /// The newest notification that was answered 2xx.
    pub last_success: Option<Timestamp>,
    /// The newest notification that was not.
    pub last_failure: Option<Timestamp>,
    /// When it was created.
    pub created: Timestamp,
}

const TEST_FAILED: Refusal = Refusal::new(422, 17001, "Webhook test request failed");
const INVALID: Refusal = Refusal::new(400, 17002, "name and url are required");

impl Destinations {
    /// Adds a destination without testing it.
    pub fn add(&mut self, destination: Destination) {
        self.0.push(destination);
    }

    /// All destinations.
    pub fn all(&self) -> &[Destination] {
        &self.0
    }

    /// Notes how a notification was answered.
    pub fn note(&mut self, id: &str, answered: bool, at: Timestamp) {
        for destination in self.0.iter_mut().filter(|destination| destination.id == id) {
            let newest = if answered { &mut destination.last_success } else { &mut destination.last_failure };
            *newest = (*newest).max(Some(at));
        }
    }

    pub(super) fn list(&self) -> Value {
        self.0.iter().map(Destination::shown).collect()
    }

    pub(super) fn get(&self, id: &str) -> Option<Value> {
        self.0.iter().find(|destination| destination.id == id).map(Destination::shown)
    }

    pub(super) fn delete(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|destination| destination.id != id);
        self.0.len() < before
    }

    /// Creates or replaces a destination, if its test is answered 2xx. Without a secret, the previous one stays.
    pub(super) fn put(
        &mut self,
        id: &str,
        body: &Value,
        test: &mut SaveAndTest,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        let text = |member: &str| body[member].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let (name, url) = text("name").zip(text("url")).ok_or(INVALID)?;
        let index = self.0.iter().position(|destination| destination.id == id);
        let previous = index.map(|index| self.0[index].clone());
        let secret = text("secret").or_else(|| previous.as_ref().and_then(|previous| previous.secret.clone()));
        if !(test.0)(&url, secret.as_deref()) {
            return Err(TEST_FAILED);
        }
        let (last_failure, created) =
            previous.map_or((None, now), |previous| (previous.last_failure, previous.created));
        let id = id.to_owned();
        let answer = json!({ "id": id });
        let destination = Destination { id, name, url, secret, last_success: Some(now), last_failure, created };
        match index {
            Some(index) => self.0[index] = destination,
            None => self.0.push(destination),
        }
        Ok(answer)
    }
}

impl Destination {
    /// All members but the secret.
    fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "url": self.url,
            "type": "generic",
            "created_at": time(self.created),
            "last_success": self.last_success.map(time),
            "last_failure": self.last_failure.map(time),
        })
    }
}

fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}
