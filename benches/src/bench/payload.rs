//! HTTP requests with notifications, each a new event.
//!
//! A template is a generated notification. Input id and times are overwritten in place, so that a request costs one
//! copy. Events of an input are one second apart.

use std::time::Duration;

use stream_live_exporter::clock::now;
use stream_live_exporter::event::{ErrorClass, Timestamp};
use stream_live_exporter::simulate::{ERRORS, Fact, FactKind, Notification, POLICIES};

const SAMPLE_ID: &str = "2c28dd2cc444cb77578c4840b51e43a8";
/// 2026-11-20T18:00:05Z, the time in the templates.
const SAMPLE_SECONDS: i64 = 1_795_197_605;
/// Maximum number of events of one input in a run, one per second.
const MAX_EVENTS: usize = 7200;
const SEED: u64 = 0x5eed;

/// The format of requests that a server accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Notifications of Cloudflare.
    Webhook,
    /// The metrics that a notification changes, for the group of the input in a Pushgateway.
    Pushgateway,
}

/// Sequence of events that an input repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// Connected, disconnected.
    NoErrors,
    /// Connected, one error, disconnected.
    OneError,
    /// Connected, an error of each kind, disconnected: every series of an input.
    EveryKind,
}

impl Cycle {
    /// Number of events.
    pub fn events(self) -> u64 {
        match self {
            Self::NoErrors => 2,
            Self::OneError => 3,
            // The class `other` is an error without a code.
            Self::EveryKind => 2 + ErrorClass::ALL.len() as u64,
        }
    }
}

/// A source of requests.
pub struct Payload {
    templates: Vec<Template>,
    /// Time of the first, second... event of an input: RFC 3339 to the second, and seconds since the epoch.
    times: Vec<(String, String)>,
    /// Number of events of each input so far.
    counts: Vec<usize>,
    order: Order,
}

enum Order {
    Random(fastrand::Rng),
    /// Round robin, with the number of the next event.
    RoundRobin(usize),
}

struct Template {
    bytes: Vec<u8>,
    ids: Vec<usize>,
    times: Vec<usize>,
    epochs: Vec<usize>,
}

impl Payload {
    pub fn new(dialect: Dialect, inputs: usize, secret: &str) -> Self {
        let templates = [FactKind::Connected, FactKind::Disconnected].map(|kind| match dialect {
            Dialect::Webhook => webhook(kind, secret),
            Dialect::Pushgateway => pushgateway(kind),
        });
        Self::of(templates.into(), inputs, Order::Random(fastrand::Rng::with_seed(SEED)))
    }

    /// Events of the inputs in round-robin order.
    pub fn round_robin(cycle: Cycle, inputs: usize, secret: &str) -> Self {
        let errors: Vec<_> = match cycle {
            Cycle::NoErrors => vec![],
            Cycle::OneError => vec![FactKind::error("ERR_UNHEALTHY")],
            // One error per class.
            Cycle::EveryKind => {
                let documented = ERRORS.iter().filter(|error| error.label != "other");
                documented.chain(ERRORS.last()).map(FactKind::Errored).collect()
            }
        };
        let kinds = [vec![FactKind::Connected], errors, vec![FactKind::Disconnected]].concat();
        let templates = kinds.into_iter().map(|kind| webhook(kind, secret)).collect();
        Self::of(templates, inputs, Order::RoundRobin(0))
    }

    fn of(templates: Vec<Template>, inputs: usize, order: Order) -> Self {
        // Prepared events are older than posted ones.
        let spans = if matches!(order, Order::Random(_)) { 1 } else { 2 };
        let began = now().minus(Duration::from_secs(spans * MAX_EVENTS as u64));
        let times = (0..MAX_EVENTS as u64).map(|second| time_texts(began.plus(Duration::from_secs(second))));
        Self { templates, times: times.collect(), counts: vec![0; inputs], order }
    }

    /// Replaces the contents of the buffer by the next request.
    pub fn write_next(&mut self, request: &mut Vec<u8>) {
        let input = match &mut self.order {
            Order::Random(random) => random.usize(..self.counts.len()),
            Order::RoundRobin(number) => {
                *number += 1;
                (*number - 1) % self.counts.len()
            }
        };
        let count = self.counts[input];
        self.counts[input] += 1;
        let template = &self.templates[count % self.templates.len()];
        request.clone_from(&template.bytes);
        let (time, epoch) = &self.times[count % MAX_EVENTS];
        let id = digits(input as u64);
        for (places, text) in [(&template.ids, &id), (&template.times, time), (&template.epochs, epoch)] {
            for place in places {
                request[*place..*place + text.len()].copy_from_slice(text.as_bytes());
            }
        }
    }
}

/// Id of the input with this number. Random like Cloudflare's ids, because their distribution affects the trees.
pub fn input_id(number: u64) -> [u8; 16] {
    fastrand::Rng::with_seed(number).u128(..).to_be_bytes()
}

fn digits(number: u64) -> String {
    format!("{:032x}", u128::from_be_bytes(input_id(number)))
}

fn webhook(kind: FactKind, secret: &str) -> Template {
    let sent_at = Timestamp::from_seconds(SAMPLE_SECONDS);
    let fact = Fact { input_id: SAMPLE_ID.parse().expect("it is an input id"), kind, updated_at: sent_at };
    let body = Notification { fact, policy: &POLICIES[0], correlation_id: 1, sent_at }.body();
    let body = String::from_utf8(body).expect("JSON is UTF-8");
    let head = format!(
        "POST /webhook HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: Go-http-client/1.1\r\ncontent-length: {}\r\n\
         content-type: application/json\r\ncf-webhook-auth: {secret}\r\n\r\n",
        body.len()
    );
    Template::new(head + &body)
}

fn pushgateway(kind: FactKind) -> Template {
    let connected = u8::from(kind == FactKind::Connected);
    let epoch = SAMPLE_SECONDS.to_string();
    let name = "cloudflare_stream_live_input";
    // A push replaces all series of a family.
    let mut body = format!(
        "# TYPE {name}_connected gauge\n{name}_connected {connected}\n# TYPE {name}_state_timestamp_seconds gauge\n\
         {name}_state_timestamp_seconds {epoch}.104\n"
    );
    for (family, kind, value) in
        [("events_total", "counter", "7"), ("last_event_timestamp_seconds", "gauge", epoch.as_str())]
    {
        body += &format!("# TYPE {name}_{family} {kind}\n");
        for event in ["connected", "disconnected", "errored"] {
            body += &format!("{name}_{family}{{event=\"{event}\"}} {value}\n");
        }
    }
    let counters: &[&str] =
        if connected == 1 { &["sessions_total", "reconnects_total"] } else { &["connected_seconds_total"] };
    for counter in counters {
        body += &format!("# TYPE {name}_{counter} counter\n{name}_{counter} 7\n");
    }
    let head = format!(
        "POST /metrics/job/stream/input_id/{SAMPLE_ID} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Template::new(head + &body)
}

/// A time to the second in RFC 3339, and in seconds since the epoch.
fn time_texts(time: Timestamp) -> (String, String) {
    let text = time.to_string().chars().take("2026-11-20T18:00:05".len()).collect();
    (text, (time.as_millis() / 1000).to_string())
}

impl Template {
    fn new(text: String) -> Self {
        let places = |sample: &str| text.match_indices(sample).map(|(place, _)| place).collect();
        let (time, epoch) = time_texts(Timestamp::from_seconds(SAMPLE_SECONDS));
        Self { ids: places(SAMPLE_ID), times: places(&time), epochs: places(&epoch), bytes: text.into() }
    }
}

/// Time of the first of this many events in a prepared journal: all of them are older than posted events.
pub fn history_began(events: u64) -> Timestamp {
    now().minus(Duration::from_secs(2 * MAX_EVENTS as u64)).minus(Duration::from_millis(10 * events))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stream_live_exporter::accept;
    use stream_live_exporter::event::Notification;

    use super::*;

    #[test]
    fn requests_alternate_between_connected_and_disconnected() {
        let mut payload = Payload::new(Dialect::Webhook, 1, "secret");
        let mut requests = vec![Vec::new(); 3];
        requests.iter_mut().for_each(|request| payload.write_next(request));
        for (request, event) in requests.iter().zip(["connected", "disconnected", "connected"]) {
            let text = std::str::from_utf8(request).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}", body.len())));
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["data"]["event_type"], format!("live_input.{event}"));
            assert_eq!(body["data"]["input_id"], digits(0));
            assert!(body["text"].as_str().unwrap().contains(body["data"]["updated_at"].as_str().unwrap()));
        }
        assert_ne!(requests[0], requests[2]);
    }

    #[test]
    fn cycle_has_one_event_of_each_kind_for_every_input() {
        let mut payload = Payload::round_robin(Cycle::EveryKind, 2, "secret");
        let mut kinds = BTreeSet::new();
        for _ in 0..2 * Cycle::EveryKind.events() {
            let mut request = Vec::new();
            payload.write_next(&mut request);
            let text = std::str::from_utf8(&request).unwrap();
            let notification = accept::read(text.split_once("\r\n\r\n").unwrap().1.as_bytes(), now()).unwrap();
            let Notification::Event(event) = notification.notification else { panic!("not an event: {text}") };
            kinds.insert(format!("{} {:?}", event.input_id, event.kind));
        }
        assert_eq!(kinds.len() as u64, 2 * Cycle::EveryKind.events());
    }
}
