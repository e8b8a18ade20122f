//! What Cloudflare's API says to a replica: freshness of its tasks, requests, deliveries, ingest quality.
//!
//! All values follow from the time, so that every run has the same.

use std::collections::BTreeMap;
use std::time::Duration;

use stream_live_exporter::event::{AccountId, InputId, Timestamp};
use stream_live_exporter::live::{Quality, State, Statistics};
use stream_live_exporter::metrics::Exporter;

use super::inputs::{ACCOUNTS, Input};

const MINUTE: Duration = Duration::from_secs(60);
const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// Requests: endpoint, result, and the seconds between two of them.
const REQUESTS: [(&str, &str, u64); 9] = [
    ("inputs", "ok", 150),
    ("input", "ok", 4),
    ("input", "timeout", 1700),
    ("input", "server_error", 5300),
    ("destinations", "ok", 150),
    ("policies", "ok", 150),
    ("silences", "ok", 150),
    ("history", "ok", 9000),
    ("quality", "ok", 30),
];
/// Tasks, and the interval of each.
const TASKS: [(&str, Duration); 4] = [
    ("inventory", FIVE_MINUTES),
    ("status", Duration::from_secs(20)),
    ("destination", FIVE_MINUTES),
    ("quality", MINUTE),
];

/// The API's view of one replica. Deliveries outlive its process.
#[derive(Debug, Default)]
pub struct Api {
    delivered: BTreeMap<AccountId, Timestamp>,
    failed: BTreeMap<AccountId, Timestamp>,
}

impl Api {
    /// A delivery about this input was answered 2xx, or not.
    pub fn deliver(&mut self, input: Input, at: Timestamp, succeeded: bool) {
        let Some((_, account_id)) = input.account() else { return };
        let times = if succeeded { &mut self.delivered } else { &mut self.failed };
        times.insert(account_id, at);
    }

    /// The notification history of all accounts was read.
    pub fn read_history(&self, metrics: &Exporter, at: Timestamp) {
        for account in ACCOUNTS {
            metrics.cloudflare_last_success.with_label_values(&[account.0, "history"]).set(seconds(at));
        }
    }

    /// Sets the metrics of a process that started at `started`.
    pub fn show(&self, metrics: &Exporter, started: Timestamp, at: Timestamp) {
        let age = at.since(started).unwrap_or_default();
        for (endpoint, result, every) in REQUESTS {
            let requests = metrics.cloudflare_requests.with_label_values(&[endpoint, result]);
            requests.inc_by(age.as_secs() / every - requests.get());
        }
        for (name, account_id) in ACCOUNTS.map(|account| (account.0, account.id())) {
            for (task, interval) in TASKS {
                let since_last = Duration::from_secs(age.as_secs() % interval.as_secs());
                if since_last < age {
                    metrics.cloudflare_last_success.with_label_values(&[name, task]).set(seconds(at.minus(since_last)));
                }
            }
            if age > MINUTE {
                let sweep = Duration::from_secs_f64(15.0 + 5.0 * (age.as_secs_f64() / 900.0).sin());
                metrics.cloudflare_oldest_status.with_label_values(&[name]).set(seconds(at.minus(sweep)));
            }
            metrics.cloudflare_policy_delivering.with_label_values(&[name]).set(1.0);
            for (gauge, times) in [
                (&metrics.cloudflare_destination_success, &self.delivered),
                (&metrics.cloudflare_destination_failure, &self.failed),
            ] {
                times.get(&account_id).into_iter().for_each(|at| gauge.with_label_values(&[name]).set(seconds(*at)));
            }
        }
    }
}

/// The ingest quality of the connected inputs of each account, in whole minutes.
pub fn quality(state: &State, at: Timestamp) -> BTreeMap<AccountId, BTreeMap<InputId, Quality>> {
    let mut all: BTreeMap<_, BTreeMap<_, _>> = ACCOUNTS.map(|account| (account.id(), BTreeMap::new())).into();
    for input in Input::ALL {
        let evidence = state.inputs().get(&input.id()).and_then(|entry| entry.input.evidence());
        let live = evidence.filter(|evidence| evidence.connected);
        let (Some(evidence), Some((_, account_id))) = (live, input.account()) else { continue };
        let minutes = at.since(evidence.updated_at).unwrap_or_default().as_secs() / 60;
        all.entry(account_id).or_default().insert(input.id(), of_input(input, minutes as f64));
    }
    all
}

/// The podcast room has a variable keyframe interval. Studio B is slow for some minutes after it connects.
fn of_input(input: Input, minutes: f64) -> Quality {
    let variation = 0.03 * (minutes / 7.0).sin();
    let keyframes = if input == Input::PodcastRoom { (6.2, 10.4) } else { (2.0, 2.0) };
    let is_slow = input == Input::StudioB;
    let ratio = if is_slow { 0.7 + 0.5 * (-minutes / 10.0).exp() } else { 0.6 };
    let bitrate = if is_slow { 3.2e6 } else { 4.5e6 };
    let statistics = |avg: f64, max: f64| Statistics { avg: Some(thousandths(avg)), max: Some(thousandths(max)) };
    Quality {
        gop_duration: statistics(keyframes.0, keyframes.1),
        upload_duration_ratio: statistics(ratio + variation, 1.1 * ratio + variation),
        bitrate: statistics((bitrate * (1.0 + variation)).round(), (1.1 * bitrate).round()),
    }
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}
