//! The status of a live input, in every form that is documented or was seen.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::super::fact::{Fact, FactKind};
use crate::event::Timestamp;

/// A connect within this time after a disconnect is a reconnect.
const RECONNECT: Duration = Duration::from_secs(60);

/// The documented words for an input that is not connected. Each can be the word of any disconnect.
const DOWN: [&str; 4] = ["client_disconnect", "ttl_exceeded", "failed_to_reconnect", "failed_to_connect"];
/// A word that was seen only in objects.
const DOWN_IN_OBJECTS: &str = "disconnected";

/// The form of the member `status` of an input that was connected before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusForm {
    /// Documented: a word.
    Word,
    /// Seen: an object with `current`, which has the time at which the state was entered, and `history`.
    Object,
    /// The same without `statusEnteredAt`.
    ObjectWithoutTime,
    /// An object with `state`.
    State,
    /// `null`.
    Null,
    /// No member `status`.
    Absent,
    /// This text in place of the word, whatever the state is.
    Text(&'static str),
    /// A number.
    Number,
}

impl StatusForm {
    /// Every form that states the connection.
    pub const EVIDENCE: [Self; 4] = [Self::Word, Self::Object, Self::ObjectWithoutTime, Self::State];

    /// The member `status`, if there is one, given the input's connects and disconnects up to now, oldest first.
    /// `shift` converts a time to the API's clock.
    pub(super) fn status(self, changes: &[Fact], shift: impl Fn(Timestamp) -> Timestamp, seed: u64) -> Option<Value> {
        let Some((newest, earlier)) = changes.split_last() else {
            return (Rng::with_seed(seed).bool() || self == Self::Null).then_some(Value::Null);
        };
        let word = word(newest, earlier.last(), seed, self != Self::Word);
        match self {
            Self::Word => Some(json!(word)),
            Self::Object => Some(object(changes, word, &shift, true)),
            Self::ObjectWithoutTime => Some(object(changes, word, &shift, false)),
            Self::State => Some(json!({ "state": word })),
            Self::Null => Some(Value::Null),
            Self::Absent => None,
            Self::Text(text) => Some(json!(text)),
            Self::Number => Some(json!(7)),
        }
    }
}

fn word(newest: &Fact, previous: Option<&Fact>, seed: u64, in_object: bool) -> &'static str {
    match newest.kind {
        FactKind::Connected => {
            let gap = previous.and_then(|previous| newest.updated_at.since(previous.updated_at));
            if gap.is_some_and(|gap| gap <= RECONNECT) { "reconnected" } else { "connected" }
        }
        FactKind::Disconnected | FactKind::Errored(_) => {
            let mut rng = Rng::with_seed(seed ^ newest.updated_at.as_nanos().unsigned_abs());
            let chosen = rng.usize(..DOWN.len() + usize::from(in_object));
            DOWN.get(chosen).copied().unwrap_or(DOWN_IN_OBJECTS)
        }
    }
}

fn object(changes: &[Fact], word: &str, shift: &impl Fn(Timestamp) -> Timestamp, timed: bool) -> Value {
    let entry = |fact: &Fact, word: &str| {
        let at = shift(fact.updated_at);
        let mut entry = json!({
            "ingestProtocol": "rtmp",
            "reason": word,
            "state": word,
            "statusEnteredAt": format!("{at:.6}"),
            "statusLastSeen": format!("{at:.6}"),
        });
        if !timed {
            entry.as_object_mut().expect("it is an object").remove("statusEnteredAt");
        }
        entry
    };
    let history = changes.iter().rev().skip(1).take(5).map(|fact| entry(fact, fact.kind.name())).collect::<Vec<_>>();
    let newest = changes.last().expect("an input with a status has a change");
    json!({ "current": entry(newest, word), "history": history })
}
