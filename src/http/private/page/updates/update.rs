//! What a page needs to become a newer one. Pure.

use actix_web::web::Bytes;
use serde::{Serialize, Serializer};

use super::super::assets;
use super::super::fragment::Fragment;
use super::super::outline::{Part, State, outline};
use super::super::time::Time;
use crate::event::Timestamp;

/// The newest fragments of a page, as messages. They are kept without the HTML, because each open page may be another.
#[derive(Debug)]
pub(super) struct Update {
    /// The page that `changes` turns into this one; `None` if this is the first one.
    before: Option<State>,
    state: State,
    outline: Vec<Part>,
    changes: Bytes,
    whole: Bytes,
}

/// The data of an event. The script reads it.
#[derive(Serialize)]
struct Message<'a> {
    /// The server's time, from which the script computes ages.
    now: String,
    /// Style sheet and script of this version. A page that has others loads itself again.
    assets: &'a str,
    /// The ids of all fragments in their order, if that has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<&'a str>>,
    #[serde(serialize_with = "by_id")]
    fragments: Vec<&'a Fragment>,
}

impl Update {
    /// The first fragments of a page, or the next ones if they differ.
    pub(super) fn next(before: Option<&Self>, fragments: &[Fragment], now: Timestamp) -> Option<Self> {
        let outline = outline(fragments);
        let state = State::of_outline(&outline);
        if before.is_some_and(|before| before.state == state) {
            return None;
        }
        let whole = message(state, now, &outline, None, fragments.iter().collect());
        let changes = before.map_or_else(Bytes::new, |before| {
            let changed = changed(&before.outline, &outline, fragments);
            message(state, now, &outline, Some(&before.outline), changed)
        });
        Some(Self { before: before.map(|before| before.state), state, outline, changes, whole })
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// The message for a page in this state; `None` if it is up to date.
    pub(super) fn message(&self, seen: Option<State>) -> Option<Bytes> {
        match seen {
            Some(seen) if seen == self.state => None,
            Some(seen) if Some(seen) == self.before => Some(self.changes.clone()),
            Some(_) | None => Some(self.whole.clone()),
        }
    }
}

/// Fragments that are new or have changed. Of a fragment that has the same rows in the same order, only changed rows.
fn changed<'a>(before: &[Part], outline: &[Part], fragments: &'a [Fragment]) -> Vec<&'a Fragment> {
    let ids = |part: &Part| part.rows.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    let mut changed = Vec::new();
    for (fragment, part) in fragments.iter().zip(outline) {
        match before.iter().find(|before| before.id == part.id) {
            Some(before) if before == part => {}
            Some(before) if before.frame == part.frame && ids(before) == ids(part) => {
                let rows = fragment.rows.iter().zip(before.rows.iter().zip(&part.rows));
                changed.extend(rows.filter(|(_, (before, now))| before != now).map(|(row, _)| row));
            }
            Some(_) | None => changed.push(fragment),
        }
    }
    changed
}

/// An event of the stream. `before`: the outline of the page that it is for; `None` if that is unknown.
fn message(
    state: State,
    now: Timestamp,
    outline: &[Part],
    before: Option<&[Part]>,
    fragments: Vec<&Fragment>,
) -> Bytes {
    let ids = |outline: &'_ [Part]| outline.iter().map(|part| part.id.clone()).collect::<Vec<_>>();
    let order = before.is_none_or(|before| ids(before) != ids(outline));
    let order = order.then(|| outline.iter().map(|part| part.id.as_ref()).collect());
    let message = Message { now: Time(now).machine().to_string(), assets: &assets::VERSION, order, fragments };
    // JSON has no line breaks, which would end the data.
    let data = serde_json::to_string(&message).expect("writing texts to a string does not fail");
    format!("id: {state}\ndata: {data}\n\n").into()
}

fn by_id<S: Serializer>(fragments: &[&Fragment], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fragments.iter().map(|fragment| (&fragment.id, fragment.to_string())))
}

#[cfg(test)]
mod tests;
