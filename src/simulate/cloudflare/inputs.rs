//! Live inputs: the list, and a single one.

use fastrand::Rng;
use serde_json::{Value, json};

use super::super::fact::{Fact, FactKind};
use super::ingest::Ingest;
use super::message::{Query, Success};
use super::status::StatusForm;
use crate::event::{InputId, Timestamp};

/// A part of every stream key, passphrase and playback key in the answers.
pub const STREAM_KEY: &str = "fakestreamkey";

/// Number of inputs on a page of the list, and the largest that a client can ask for.
const PER_PAGE: usize = 1000;

/// A live input of an account.
#[derive(Debug, Clone)]
pub struct LiveInput {
    /// Its name. Empty: `meta` has no name.
    pub name: String,
    /// Whether it accepts a broadcast.
    pub enabled: bool,
    /// When it was created.
    pub created: Timestamp,
    /// The form of its status.
    pub status: StatusForm,
    /// How its broadcast arrives.
    pub ingest: Ingest,
    /// Its connects and disconnects, oldest first.
    changes: Vec<Fact>,
}

/// The form of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// Whether the result is the array itself, without counts.
    pub array: bool,
    /// What `range` counts.
    pub range: Counts,
    /// Which inputs a request lists.
    pub pages: Pages,
}

/// What the member `range` of the list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// The inputs in the answer.
    Listed,
    /// Those that follow after the answer.
    Remaining,
    /// There is no such member.
    Absent,
}

/// Which inputs a request lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// All. Parameters are ignored.
    All,
    /// The newest ones up to this number. Parameters are ignored.
    Newest(usize),
    /// The pages of `page` and `per_page`, with `result_info`.
    Numbered,
}

impl Default for Listing {
    fn default() -> Self {
        Self { array: false, range: Counts::Listed, pages: Pages::All }
    }
}

impl LiveInput {
    /// An enabled input that was never connected. The form of its status follows from the seed.
    pub fn new(name: impl Into<String>, created: Timestamp, seed: u64) -> Self {
        let status = StatusForm::EVIDENCE[Rng::with_seed(seed).usize(..StatusForm::EVIDENCE.len())];
        Self { name: name.into(), enabled: true, created, status, ingest: Ingest::default(), changes: Vec::new() }
    }

    /// Adds a connect or disconnect to its truth, in any order. Errors say nothing about the connection.
    pub(super) fn learn(&mut self, fact: &Fact) {
        if matches!(fact.kind, FactKind::Connected | FactKind::Disconnected) {
            let index = self.changes.partition_point(|earlier| earlier.updated_at < fact.updated_at);
            self.changes.insert(index, *fact);
        }
    }

    /// Its connects and disconnects up to this time, oldest first.
    pub fn changes(&self, now: Timestamp) -> &[Fact] {
        &self.changes[..self.changes.partition_point(|fact| fact.updated_at <= now)]
    }

    /// The members that the list has too.
    fn summary(&self, id: InputId) -> Value {
        let meta = if self.name.is_empty() { json!({}) } else { json!({ "name": self.name }) };
        let created = format!("{:.6}", self.created);
        json!({
            "uid": id,
            "created": created,
            "modified": created,
            "meta": meta,
            "enabled": self.enabled,
            "deleteRecordingAfterDays": 45,
        })
    }

    /// All members, with stream keys.
    pub(super) fn details(
        &self,
        id: InputId,
        now: Timestamp,
        shift: impl Fn(Timestamp) -> Timestamp,
        seed: u64,
    ) -> Value {
        let mut details = self.summary(id);
        let members = json!({
            "keysRotatedAt": format!("{:.6}", self.created),
            "preferLowLatency": false,
            "recording": {
                "mode": "automatic",
                "timeoutSeconds": 0,
                "requireSignedURLs": false,
                "allowedOrigins": [],
                "hideLiveViewerCount": false,
            },
            "playback": {
                "hls": format!("https://customer-simulated.cloudflarestream.com/{id}/manifest/video.m3u8"),
                "dash": format!("https://customer-simulated.cloudflarestream.com/{id}/manifest/video.mpd"),
            },
            "rtmps": { "url": "rtmps://live.cloudflare.com:443/live/", "streamKey": key(id, "rtmps") },
            "rtmpsPlayback": { "url": "rtmps://live.cloudflare.com:443/live/", "streamKey": key(id, "rtmpsPlayback") },
            "srt": srt(id, "srt"),
            "srtPlayback": srt(id, "srtPlayback"),
            "webRTC": { "url": web_rtc(id, "publish") },
            "webRTCPlayback": { "url": web_rtc(id, "play") },
        });
        let details_map = details.as_object_mut().expect("a summary is an object");
        details_map.extend(members.as_object().cloned().unwrap_or_default());
        let status = self.status.status(self.changes(now), shift, seed);
        details_map.extend(status.map(|status| ("status".to_owned(), status)));
        details
    }
}

fn key(id: InputId, part: &str) -> String {
    format!("{STREAM_KEY}-{part}-{id}")
}

fn srt(id: InputId, part: &str) -> Value {
    json!({ "url": "srt://live.cloudflare.com:778", "streamId": id, "passphrase": key(id, part) })
}

fn web_rtc(id: InputId, part: &str) -> String {
    format!("https://customer-simulated.cloudflarestream.com/{}/webRTC/{part}", key(id, "webRTC"))
}

impl Listing {
    /// The list. The inputs are in any order.
    pub(super) fn list(self, mut inputs: Vec<(InputId, &LiveInput)>, query: Query<'_>) -> Success {
        inputs.sort_by_key(|(id, input)| (std::cmp::Reverse(input.created), *id));
        let total = inputs.len();
        let (page, per_page) = (query.number("page").unwrap_or(1).max(1), query.number("per_page"));
        let per_page = per_page.unwrap_or(PER_PAGE).clamp(1, PER_PAGE);
        let (from, number) = match self.pages {
            Pages::All => (0, total),
            Pages::Newest(number) => (0, number),
            Pages::Numbered => ((page - 1).saturating_mul(per_page), per_page),
        };
        let listed = inputs.iter().skip(from).take(number).map(|(id, input)| input.summary(*id)).collect::<Vec<_>>();
        let remaining = total.saturating_sub(from.saturating_add(listed.len()));
        let count = listed.len();
        let mut result = if self.array { json!(listed) } else { json!({ "liveInputs": listed }) };
        if !self.array {
            match self.range {
                Counts::Listed => result["range"] = json!(count),
                Counts::Remaining => result["range"] = json!(remaining),
                Counts::Absent => {}
            }
            if query.get("include_counts").as_deref() == Some("true") {
                result["total"] = json!(total);
            }
        }
        let info = json!({ "page": page, "per_page": per_page, "count": count, "total_count": total });
        Success { result_info: (self.pages == Pages::Numbered).then_some(info), ..Success::new(result) }
    }
}
