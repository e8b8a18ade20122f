//! What must hold after every failure. Each check returns its faults, so that tests can plant some.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::events::{Identity, Sent};

const INPUTS: &str = "cloudflare_stream_live_";
const APPLIED: &str = "stream_live_exporter_journal_applied_position";
const POSITION: &str = "stream_live_exporter_journal_position";
const CONNECTED: &str = "stream_live_exporter_journal_connected";
const SPOOLED: &str = "stream_live_exporter_spooled_records";
const RELOADS: &str = "stream_live_exporter_journal_reloads_total";
const PROCESS: &str = "process_start_time_seconds";
/// Series that change as time passes, without a record.
const TIMED: [&str; 4] = [
    "cloudflare_stream_live_input_connected_seconds_total",
    "cloudflare_stream_live_input_session_duration_seconds",
    "cloudflare_stream_live_input_reconnect_delay_seconds",
    "cloudflare_stream_live_input_inconsistent_events_total",
];
/// A scrape that waits this long may show the time of the scrape before.
const PROMPT: Duration = Duration::from_millis(250);

/// Values by series, as in the exposition.
pub type Values = HashMap<Arc<str>, f64>;

/// The response of a replica to a scrape.
#[derive(Debug, Clone)]
pub struct Scrape {
    pub replica: usize,
    /// When the request began and ended, since the start of the run.
    pub from: Duration,
    pub until: Duration,
    pub values: Values,
}

impl Scrape {
    pub fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    pub fn applied(&self) -> Option<u64> {
        self.value(APPLIED).map(whole)
    }

    pub fn spooled(&self) -> Option<u64> {
        self.value(SPOOLED).map(whole)
    }

    pub fn reaches_journal(&self) -> bool {
        self.value(CONNECTED) == Some(1.0)
    }

    /// It shows everything in the journal, and nothing waits in its spool.
    pub fn is_current(&self) -> bool {
        self.reaches_journal() && self.spooled() == Some(0) && self.value(APPLIED) == self.value(POSITION)
    }
}

/// A position or a number, which the exposition has as a float.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions are small and not negative")]
fn whole(value: f64) -> u64 {
    value as u64
}

fn name(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}

fn is_counter(series: &str) -> bool {
    ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name(series).ends_with(end))
}

fn is_timed(series: &str) -> bool {
    TIMED.iter().any(|timed| series.starts_with(timed))
}

/// The connection state of the input that a series is about.
fn is_connected(series: &str, values: &Values) -> bool {
    let labels = series.find('{').map_or("", |at| &series[at..]);
    values.get(format!("{INPUTS}input_connected{labels}").as_str()) != Some(&0.0)
}

/// Counters that fell or disappeared on a replica: those about inputs at any time, others during the life of a process.
pub fn fallen_counters(scrapes: &[Scrape], loss: Loss) -> Vec<String> {
    let (mut before, mut faults) = (HashMap::<usize, &Scrape>::new(), Vec::new());
    for scrape in scrapes {
        if let Some(before) = before.insert(scrape.replica, scrape) {
            if loss == Loss::OfServer && before.value(RELOADS) != scrape.value(RELOADS) {
                continue;
            }
            let same_process = before.value(PROCESS) == scrape.value(PROCESS);
            for (series, value) in &before.values {
                if !is_counter(series) || !(same_process || series.starts_with(INPUTS)) {
                    continue;
                }
                match scrape.values.get(series) {
                    Some(now) if now >= value => {}
                    now => faults.push(format!(
                        "replica {}, {:?} at {:?} to {:?} at {:?}: {series} fell from {value} to {now:?}",
                        scrape.replica,
                        before.from,
                        before.applied(),
                        scrape.from,
                        scrape.applied()
                    )),
                }
            }
        }
    }
    faults
}

/// Compares what replicas show at equal positions. Returns the faults and the number of compared pairs of scrapes.
///
/// After the server lost records, it gives their positions to others.
pub fn disagreements(scrapes: &[Scrape], loss: Loss) -> (Vec<String>, usize) {
    let mut at = BTreeMap::<(u64, u64), Vec<&Scrape>>::new();
    for scrape in scrapes {
        let reloads = scrape.value(RELOADS).filter(|_| loss == Loss::OfServer).map_or(0, whole);
        if let Some(position) = scrape.applied() {
            at.entry((reloads, position)).or_default().push(scrape);
        }
    }
    let (mut faults, mut pairs) = (Vec::new(), 0);
    for ((_, position), group) in at {
        for (index, first) in group.iter().enumerate() {
            // One scrape of each other replica is enough: the scrapes of one replica are compared with these.
            let mut seen = vec![first.replica];
            for second in &group[index + 1..] {
                if !seen.contains(&second.replica) {
                    seen.push(second.replica);
                    pairs += 1;
                    let unequal = compare(first, second);
                    faults.extend(unequal.into_iter().map(|fault| format!("position {position}: {fault}")));
                }
            }
        }
    }
    (faults, pairs)
}

/// Series about inputs that differ between two scrapes at one position, the first of which began earlier.
fn compare(first: &Scrape, second: &Scrape) -> Vec<String> {
    // While a replica is away, its gauges show its spool.
    let gauges = [first, second].iter().all(|scrape| scrape.reaches_journal() && scrape.spooled() == Some(0));
    let in_turn = gauges
        && first.until < second.from
        && [first, second].iter().all(|scrape| scrape.until.saturating_sub(scrape.from) < PROMPT);
    let series = first.values.keys().chain(second.values.keys().filter(|series| !first.values.contains_key(*series)));
    let differs = |series: &Arc<str>| {
        let values = [first, second].map(|scrape| scrape.values.get(series).copied());
        // A connection may be running although the spool has its end.
        let may_run = || !gauges || is_connected(series, &first.values);
        let may_grow = is_timed(series) && (!name(series).ends_with("connected_seconds_total") || may_run());
        let equal = match values {
            [Some(first), Some(second)] if may_grow => !in_turn || first <= second,
            [first, second] => first == second || !(gauges || is_counter(series)),
        };
        (!equal).then(|| {
            let [a, b] = [first, second].map(|scrape| format!("replica {} at {:?}", scrape.replica, scrape.from));
            format!("{series} is {:?} ({a}) and {:?} ({b})", values[0], values[1])
        })
    };
    series.filter(|series| series.starts_with(INPUTS)).filter_map(differs).collect()
}

/// Compares the journal's events with those that were answered 2xx, and those that were sent.
pub fn journal_faults(journal: &[Identity], sent: &Sent, loss: Loss) -> Vec<String> {
    let mut times = HashMap::<&Identity, u32>::new();
    for event in journal {
        *times.entry(event).or_default() += 1;
    }
    let lost = sent.accepted().filter(|event| loss == Loss::None && !times.contains_key(event));
    let lost = lost.map(|event| format!("answered 2xx, but not in the journal: {event:?}"));
    let twice = times.iter().filter(|(_, times)| **times > 1);
    let twice = twice.map(|(event, times)| format!("{times} times in the journal: {event:?}"));
    let unknown = times.keys().filter(|event| !sent.was_sent(event));
    let unknown = unknown.map(|event| format!("in the journal, but never sent: {event:?}"));
    lost.chain(twice).chain(unknown).collect()
}

/// Whether the failure may lose events that were answered 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    None,
    /// What the server lost.
    OfServer,
}

/// Compares the counters of events and errors, and the connection states, with the journal's events.
pub fn metric_faults(scrape: &Scrape, journal: &[Identity]) -> Vec<String> {
    let mut counts = BTreeMap::<String, f64>::new();
    let mut newest = BTreeMap::<&str, (i64, f64)>::new();
    for Identity { input_id, kind, updated_at, code } in journal {
        let label = |name: &str, label: &str| format!("{INPUTS}input_{name}{{input_id=\"{input_id}\",{label}}}");
        *counts.entry(label("events_total", &format!("event=\"{kind}\""))).or_default() += 1.0;
        if kind == "errored" {
            *counts.entry(label("errors_total", &format!("code=\"{code}\""))).or_default() += 1.0;
        } else {
            let state = (*updated_at, f64::from(u8::from(kind == "connected")));
            let newest = newest.entry(input_id).or_insert(state);
            *newest = if newest.0 < state.0 { state } else { *newest };
        }
    }
    counts.extend(newest.iter().map(|(id, state)| (format!("{INPUTS}input_connected{{input_id=\"{id}\"}}"), state.1)));
    let differs = |(series, expected): (String, f64)| {
        let shown = scrape.value(&series);
        (shown != Some(expected)).then(|| format!("replica {}: {series} is {shown:?}, not {expected}", scrape.replica))
    };
    counts.into_iter().filter_map(differs).collect()
}

/// Panics with the first faults, if there are any.
pub fn assert_none(what: &str, faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{what}: {} faults, among them\n{}",
        faults.len(),
        faults[..faults.len().min(8)].join("\n")
    );
}
