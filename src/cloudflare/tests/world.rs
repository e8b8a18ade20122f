//! An account, its API, an engine and the fold, at one simulated clock.

use std::time::Duration;

use crate::cloudflare::response::http_date;
use crate::cloudflare::{
    Answer, Effect, Endpoint, Engine, Next, RateLimit, Request, Response, Settings, TransportError,
};
use crate::event::{
    AccountId, Event, EventKind, InputId, Observation, Observed, Origin, Record, RecordKind, Rules, Timestamp,
};
use crate::live::{Evidence, Fold, Input, Verdict, View, apply};
use crate::simulate::cloudflare::{Api, MockRequest, Transfer};
use crate::simulate::{Fact, FactKind};

/// The client's limits.
const TIMEOUT: Duration = Duration::from_secs(15);
const MAX_BODY: usize = 32 << 20;
/// How long the API takes for an answer.
const LATENCY: Duration = Duration::from_millis(150);

/// Time between two scrapes, in nanoseconds.
const SCRAPES: i64 = 15_000_000_000;

pub(super) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

pub(super) fn account() -> AccountId {
    ACCOUNT.parse().unwrap()
}

pub(super) fn input_id(number: u32) -> InputId {
    // Not ascending with the number.
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
    InputId::from_bytes(bytes)
}

/// This many seconds after the begin.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000).plus(Duration::from_secs(seconds))
}

pub(super) fn settings() -> Settings {
    Settings {
        account_id: account(),
        is_only_account: true,
        webhook_url: None,
        request_share: 0.25,
        inventory: Some(Duration::from_secs(300)),
        reconcile: true,
        backfill: false,
        destination: None,
        quality: None,
    }
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) api: Api,
    pub(super) engine: Engine,
    pub(super) fold: Fold,
    /// Requests that were sent, with their times.
    pub(super) sent: Vec<(Timestamp, Request)>,
    /// Observations of the engine, with the verdicts of the fold.
    pub(super) observed: Vec<(Observation, Verdict)>,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let rules = Rules {
            reconnect_window: Duration::from_secs(60),
            reorder_window: Duration::from_secs(300),
            max_inputs: 100_000,
            ..Rules::default()
        };
        let mut api = Api::new(7);
        api.account(account());
        Self {
            now: at(0),
            api,
            engine: Engine::new(settings, at(0), 1),
            fold: Fold::new(rules),
            sent: Vec::new(),
            observed: Vec::new(),
        }
    }

    pub(super) fn view(&self) -> View {
        View { state: self.fold.state().clone(), as_of: self.now, wall_clock: self.now, ..View::default() }
    }

    /// Adds inputs to the account.
    pub(super) fn add_inputs(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.api.account(account()).add_input(input_id(number), format!("Input {number}"), at(0));
        }
    }

    /// Something happens to an input, now. Its notification arrives, or is lost.
    pub(super) fn happens(&mut self, number: u32, connected: bool, arrives: bool) {
        let kind = if connected { FactKind::Connected } else { FactKind::Disconnected };
        let fact = Fact { input_id: input_id(number), kind, updated_at: self.now };
        self.api.account(account()).learn(&fact);
        if arrives {
            self.arrives(number, connected, self.now);
        }
    }

    /// The notification of an event at this time arrives.
    pub(super) fn arrives(&mut self, number: u32, connected: bool, updated_at: Timestamp) {
        let event = Event {
            input_id: input_id(number),
            kind: if connected { EventKind::Connected } else { EventKind::Disconnected },
            updated_at,
            sent_at: None,
            received_at: self.now,
            origin: Origin { account_id: Some(account()), ..Origin::default() },
        };
        assert_eq!(self.record(RecordKind::Event(event, None)), Verdict::Recorded(None));
    }

    pub(super) fn record(&mut self, kind: RecordKind) -> Verdict {
        let now = self.now.as_nanos();
        let shown_until = Timestamp::from_nanos(now - now % SCRAPES);
        let record = Record { recorded_at: self.now, shown_until, ..Record::new(kind) };
        let (changes, verdicts) = apply(&self.fold, &[record]);
        if matches!(verdicts[0], Verdict::Recorded(_)) {
            self.fold.adopt(changes);
        }
        verdicts[0]
    }

    /// Runs the engine up to this time.
    pub(super) fn run_until(&mut self, end: Timestamp) {
        while self.now < end {
            let view = self.view();
            match self.engine.next(self.now, &view) {
                Next::Wait(until) => {
                    assert!(until > self.now, "the engine waits for {until}, at {}", self.now);
                    self.now = until.min(end);
                }
                Next::Request(request) => {
                    self.sent.push((self.now, request.clone()));
                    let answer = self.respond(&request);
                    let view = self.view();
                    let effects = self.engine.answered(&answer, self.now, &view);
                    self.take(effects);
                }
            }
        }
    }

    /// Runs the engine until something happened, for an hour at most.
    pub(super) fn run_until_it(&mut self, happened: impl Fn(&Self) -> bool) {
        let end = self.now.plus(Duration::from_secs(3600));
        while !happened(self) {
            assert!(self.now < end, "it did not happen within an hour");
            let second = self.now.plus(Duration::from_secs(1));
            self.run_until(second);
        }
    }

    pub(super) fn respond(&mut self, request: &Request) -> Answer {
        let body = request.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let mock_request = MockRequest {
            method: request.method.name(),
            path: &request.path,
            authorization: Some("Bearer token"),
            body: body.as_bytes(),
        };
        let response = self.api.respond(&mock_request, self.now);
        self.now = self.now.plus(LATENCY);
        match response.transfer {
            Transfer::Slow(delay) if delay >= TIMEOUT => {
                self.now = self.now.plus(TIMEOUT);
                return Err(TransportError::Timeout);
            }
            Transfer::Truncated => return Err(TransportError::Network("the body ended early".to_owned())),
            Transfer::Slow(_) | Transfer::Complete => {}
        }
        if response.body.len() > MAX_BODY {
            return Err(TransportError::TooLarge);
        }
        let date = response.header("date").and_then(http_date);
        let limit = RateLimit::new(response.header("retry-after"), response.header("ratelimit"), date);
        Ok(Response { status: response.status, limit, date, body: response.body })
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Observe(observation) => {
                    let verdict = self.record(RecordKind::Observation(observation));
                    self.observed.push((observation, verdict));
                }
                Effect::Inventory(inventory) => self.fold.set_inventory(inventory),
                Effect::Record(_) | Effect::Quality(..) | Effect::Backfilled => panic!("no task for it is on"),
            }
        }
    }

    pub(super) fn input(&self, number: u32) -> Option<&Input> {
        self.fold.state().known_input(&input_id(number)).map(|entry| &entry.input)
    }

    pub(super) fn evidence(&self, number: u32) -> Option<Evidence> {
        self.input(number)?.evidence()
    }

    /// What was observed, as `(number of the input, what, seconds)`.
    pub(super) fn found(&self, inputs: u32) -> Vec<(u32, Observed, u64)> {
        let number = |id: InputId| (0..inputs).find(|number| input_id(*number) == id).unwrap();
        let seconds = |time: Timestamp| time.since(at(0)).unwrap().as_secs();
        self.observed.iter().map(|(it, _)| (number(it.input_id), it.found, seconds(it.at))).collect()
    }

    /// The endpoints that were asked since this time.
    pub(super) fn asked(&self, since: Timestamp) -> Vec<Endpoint> {
        self.sent.iter().filter(|(time, _)| *time >= since).map(|(_, request)| request.endpoint).collect()
    }

    /// Number of requests for an input.
    pub(super) fn asked_for(&self, number: u32) -> usize {
        let id = input_id(number).to_string();
        self.sent.iter().filter(|(_, request)| request.path.ends_with(&id)).count()
    }
}
