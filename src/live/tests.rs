//! Scenarios in a small language, through one `check`: a list of steps. `10s connected` happens at 10 s and arrives at
//! once, `10s disconnected @25s` arrives late, `20s scrape` is a scrape.

mod batches;
mod clock;
mod corrections;
mod exceptions;
mod forgotten;
mod inventory;
mod observations;
mod order;
mod properties;
mod replicas;
mod rows;
mod seen_events;
mod sessions;
mod timeline;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::event::{
    AccountId, Corrected, Correction, ErrorCode, ErrorDetail, Event, EventKind, IgnoredReason, InputId, Note,
    Observation, Observed, Origin, Record, RecordKind, Rules, ScheduleException, Timestamp,
};
use crate::schedule::{Configured, Exception, Expectation};

const START: u64 = 1_795_000_000;

fn rules() -> Rules {
    Rules {
        reconnect_window: Duration::from_secs(60),
        reorder_window: Duration::from_secs(300),
        max_inputs: 3,
        configured: BTreeSet::new(),
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(START + seconds))
}

fn input_id(number: u8) -> InputId {
    InputId::from_bytes([number; 16])
}

fn event(input: u8, name: &str, updated_at: Timestamp, received_at: Timestamp) -> Event {
    let kind = match name {
        "connected" => EventKind::Connected,
        "disconnected" => EventKind::Disconnected,
        code => EventKind::Errored(Box::new(ErrorDetail { code: ErrorCode::from(code), ..ErrorDetail::default() })),
    };
    Event {
        input_id: input_id(input),
        kind,
        updated_at,
        sent_at: Some(updated_at),
        received_at,
        origin: Origin::default(),
    }
}

/// A record that is not in the journal yet.
fn record(kind: RecordKind, shown_until: Timestamp) -> Record {
    Record { position: 0, recorded_at: shown_until, shown_until, kind }
}

/// A fold, and the time of the latest scrape.
struct World {
    fold: Fold,
    shown_until: Timestamp,
}

impl World {
    fn new() -> Self {
        Self { fold: Fold::new(rules()), shown_until: at(0) }
    }

    fn record(&mut self, kind: RecordKind) -> Verdict {
        let (changes, verdicts) = apply(&self.fold, &[record(kind, self.shown_until)]);
        self.fold.adopt(changes);
        verdicts[0]
    }

    fn apply(&mut self, event: &Event) -> Verdict {
        let recorded_at = event.received_at.max(self.shown_until);
        let record = Record { recorded_at, ..record(RecordKind::Event(event.clone(), None), self.shown_until) };
        let (changes, verdicts) = apply(&self.fold, &[record]);
        self.fold.adopt(changes);
        verdicts[0]
    }

    fn change_rules(&mut self, rules: Rules) {
        self.record(RecordKind::Rules(Arc::new(rules)));
    }

    fn known(&self) -> Vec<InputId> {
        self.fold.state().inputs().keys().copied().collect()
    }

    fn finished_sessions(&self, as_of: Timestamp) -> u64 {
        self.fold.state().durations(as_of).session_duration.count()
    }

    fn input(&self) -> Input {
        self.fold.state().inputs().get(&input_id(1)).map(|entry| entry.input.clone()).unwrap_or_default()
    }
}

/// Whether input 1 is connected, and since when.
fn state(world: &World) -> Option<(bool, u64)> {
    world.input().evidence().map(|evidence| (evidence.connected, evidence.since.since(at(0)).unwrap().as_secs()))
}

/// Inconsistent events, sessions, and connected seconds at 5000 s, when everything is settled.
fn counters(world: &World) -> ([u64; 2], u64, u64) {
    let counters = world.input().counters(at(5000), world.fold.state().rules());
    (counters.inconsistent, counters.sessions, counters.connected_time.as_secs())
}

const RECORDED: Verdict = Verdict::Recorded(None);

fn seconds(text: &str) -> u64 {
    text.strip_suffix('s').and_then(|text| text.parse().ok()).expect("a step begins with a time such as 10s")
}

fn play(scenario: &str) -> World {
    let mut world = World::new();
    for step in scenario.split(';') {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words[..] {
            [time, "scrape"] => world.shown_until = at(seconds(time)),
            [time, name] => drop(world.apply(&event(1, name, at(seconds(time)), at(seconds(time))))),
            [time, name, received] => {
                let received = seconds(received.strip_prefix('@').expect("a receipt is written @20s"));
                world.apply(&event(1, name, at(seconds(time)), at(received)));
            }
            _ => panic!("not a step: {step:?}"),
        }
    }
    world
}

/// Plays a scenario and compares the state at 1000 s, and what is settled at 5000 s.
fn check(scenario: &str, expected: &str) {
    let world = play(scenario);
    let input = world.input();
    let state = match input.evidence() {
        None => "unknown".to_owned(),
        Some(evidence) => {
            let since = evidence.since.since(at(0)).unwrap().as_secs();
            format!("{} since {since}s", if evidence.connected { "connected" } else { "disconnected" })
        }
    };
    let counters = input.counters(at(1000), &rules());
    let durations = world.fold.state().durations(at(5000)).session_duration;
    let described = format!(
        "{state}; sessions {}, reconnects {}, connected {}s; finished {} in {}s; inconsistent {:?}, late {}",
        counters.sessions,
        counters.reconnects,
        counters.connected_time.as_secs(),
        durations.count(),
        durations.sum_micros() / 1_000_000,
        input.counters(at(5000), &rules()).inconsistent,
        world.fold.state().totals().out_of_order,
    );
    assert_eq!(described, expected, "{scenario}");
}

#[test]
fn state_is_unknown_without_connect_or_disconnect() {
    check(
        "0s ERR_UNHEALTHY",
        "unknown; sessions 0, reconnects 0, connected 0s; finished 0 in 0s; inconsistent [0, 0], late 0",
    );
}

#[test]
fn state_follows_the_newest_event() {
    check(
        "0s connected",
        "connected since 0s; sessions 1, reconnects 0, connected 1000s; finished 0 in 0s; inconsistent [0, 0], late 0",
    );
    check(
        "0s connected; 100s disconnected",
        "disconnected since 100s; sessions 1, reconnects 0, connected 100s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    check(
        "100s disconnected; 0s connected @101s",
        "disconnected since 100s; sessions 1, reconnects 0, connected 100s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    check(
        "0s connected; 50s ERR_UNHEALTHY",
        "connected since 0s; sessions 1, reconnects 0, connected 1000s; finished 0 in 0s; inconsistent [0, 0], late 0",
    );
}

#[test]
fn changes_at_one_instant_alternate_from_the_state_before() {
    for scenario in ["5s connected; 5s disconnected", "5s disconnected; 5s connected"] {
        check(
            scenario,
            "disconnected since 5s; sessions 1, reconnects 0, connected 0s; finished 1 in 0s; inconsistent [0, 0], late 0",
        );
    }
    for scenario in ["0s connected; 9s disconnected; 9s connected", "9s connected; 9s disconnected; 0s connected @10s"]
    {
        check(
            scenario,
            "connected since 9s; sessions 1, reconnects 1, connected 1000s; finished 0 in 0s; inconsistent [0, 0], late 0",
        );
    }
}

#[test]
fn reconnect_within_the_window_continues_the_session() {
    check(
        "0s connected; 10s disconnected; 70s connected; 100s disconnected",
        "disconnected since 100s; sessions 1, reconnects 1, connected 40s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    check(
        "0s connected; 10s disconnected; 71s connected; 100s disconnected",
        "disconnected since 100s; sessions 2, reconnects 0, connected 39s; finished 2 in 39s; inconsistent [0, 0], late 0",
    );
}

#[test]
fn session_is_finished_after_both_windows() {
    let world = play("0s connected; 10s disconnected");
    // 10 s, 60 s in which it could reconnect, and 300 s in which a reconnect could arrive late.
    assert_eq!([369, 370, 371].map(|second| world.finished_sessions(at(second))), [0, 0, 1]);
}

#[test]
fn repeated_state_counts_as_inconsistent() {
    check(
        "0s connected; 500s connected",
        "connected since 0s; sessions 1, reconnects 0, connected 1000s; finished 0 in 0s; inconsistent [1, 0], late 0",
    );
    check(
        "0s connected; 10s disconnected; 500s disconnected",
        "disconnected since 10s; sessions 1, reconnects 0, connected 10s; finished 1 in 10s; inconsistent [0, 1], late 0",
    );
}

#[test]
fn late_events_do_not_reduce_counters_that_a_scrape_has_shown() {
    // Without a scrape in between, the late disconnect counts as it happened.
    check(
        "0s connected; 100s disconnected @900s",
        "disconnected since 100s; sessions 1, reconnects 0, connected 100s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    // A scrape before a late pair has shown nothing of it.
    check(
        "500s scrape; 0s connected @501s; 100s disconnected @502s",
        "disconnected since 100s; sessions 1, reconnects 0, connected 100s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    // A scrape at 800 s showed 800 s of connection.
    check(
        "0s connected; 800s scrape; 100s disconnected @900s",
        "disconnected since 100s; sessions 1, reconnects 0, connected 800s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    // The next connection counts once it exceeds what was shown.
    check(
        "0s connected; 800s scrape; 100s disconnected @801s; 810s connected; 990s scrape",
        "connected since 810s; sessions 2, reconnects 0, connected 800s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    // A scrape at 80 s did not show the session as finished, because a reconnect could arrive late.
    check(
        "0s connected; 10s disconnected; 80s scrape; 65s connected @90s; 100s disconnected",
        "disconnected since 100s; sessions 1, reconnects 1, connected 45s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    // A scrape at 800 s did.
    check(
        "0s connected; 10s disconnected; 800s scrape; 65s connected @801s; 100s disconnected @802s",
        "disconnected since 100s; sessions 1, reconnects 1, connected 45s; finished 2 in 110s; inconsistent [0, 0], late 0",
    );
}

#[test]
fn repeats_move_the_state_timestamp_and_nothing_else() {
    let world = play("0s connected; 100s disconnected; 150s disconnected; 170s connected; 180s connected");
    let evidence = world.input().evidence().unwrap();
    assert_eq!((evidence.since, evidence.updated_at), (at(170), at(180)));
    // The gap is 70 s, although the newest disconnect is only 20 s old.
    let counters = world.input().counters(at(1000), &rules());
    assert_eq!((counters.sessions, counters.reconnects), (2, 0));
}

#[test]
fn errors_are_counted_by_class_and_the_newest_unknown_code_is_kept() {
    let input = play("1s ERR_NEW; 3s ERR_NEWER; 2s ERR_OLD; 2s ERR_UNHEALTHY").input();
    assert_eq!(input.errors.counts(), [0, 0, 0, 0, 0, 1, 3]);
    assert_eq!(input.errors.last(), [None, None, None, None, None, Some(at(2)), Some(at(3))]);
    assert_eq!(input.errors.newest(), Some((at(3), ErrorCode::from("ERR_NEWER"))));
}

#[test]
fn delays_are_measured_without_long_pauses() {
    let world = play("0s connected; 10s disconnected; 3610s connected; 3700s disconnected; 7301s connected");
    let reconnects = world.fold.state().durations(at(99_999)).reconnect_delay;
    assert_eq!((reconnects.count(), reconnects.sum_micros()), (1, 3_600_000_000));

    let mut world = World::new();
    for (updated_at, sent_at, received_at) in
        [(10, Some(13), 20), (30, Some(41), 40), (50, Some(49), 60), (70, None, 80)]
    {
        let sent_at = sent_at.map(at);
        world.apply(&Event { sent_at, ..event(1, "ERR_UNHEALTHY", at(updated_at), at(received_at)) });
    }
    let totals = world.fold.state().totals();
    let sums =
        [&totals.source_delay, &totals.delivery_delay].map(|delay| (delay.count(), delay.sum_micros() / 1_000_000));
    assert_eq!((sums, totals.clock_skew), ([(3, 14), (3, 18)], 1));
    assert_eq!(totals.counted_since, Some(at(20)));
}

#[test]
fn repeat_in_another_envelope_is_a_duplicate() {
    let mut world = World::new();
    let connected = event(1, "connected", at(5), at(6));
    assert_eq!(world.apply(&connected), Verdict::Recorded(None));
    let in_another_envelope = Event { sent_at: None, received_at: at(99), ..connected };
    assert_eq!(world.apply(&in_another_envelope), Verdict::Duplicate);
    assert_eq!(world.input().events(), [1, 0, 0]);
}

#[test]
fn late_and_repeated_states_are_noted() {
    let mut world = World::new();
    let happenings = [("connected", 5), ("connected", 9), ("disconnected", 3), ("ERR_UNHEALTHY", 1)];
    let verdicts = happenings.map(|(name, second)| world.apply(&event(1, name, at(second), at(10))));
    let notes = [None, Some(Note::Inconsistent), None, None];
    assert_eq!(verdicts, notes.map(Verdict::Recorded));
    for second in 1001..1009 {
        world.apply(&event(1, "connected", at(second), at(second)));
    }
    let verdict = |second| world.apply(&event(1, "disconnected", at(second), at(1010)));
    assert_eq!([5, 9, 10].map(verdict), [Some(Note::OutOfOrder), Some(Note::OutOfOrder), None].map(Verdict::Recorded));
}

#[test]
fn newest_delivery_of_each_kind_and_secret_is_noted() {
    let mut seen = LastSeen::default();
    for (second, secret, test) in [(5, "old", true), (9, "new", false), (7, "new", false), (3, "old", true)] {
        seen.record(at(second), Some(secret), test);
    }
    let by_secret: std::collections::BTreeMap<_, _> = [("new".to_owned(), at(9)), ("old".to_owned(), at(5))].into();
    assert_eq!(seen, LastSeen { last: Some(at(9)), last_test: Some(at(5)), by_secret: by_secret.clone() });
    seen.record(at(11), None, false);
    assert_eq!(seen, LastSeen { last: Some(at(11)), last_test: Some(at(5)), by_secret });
}

#[test]
fn dropped_changes_do_not_affect_the_fold() {
    let mut world = World::new();
    let connected = event(1, "connected", at(5), at(6));
    drop(apply(&world.fold, &[record(RecordKind::Event(connected.clone(), None), at(0))]));
    assert_eq!(world.input(), Input::default());
    assert_eq!(world.apply(&connected), Verdict::Recorded(None));
}

#[test]
fn inputs_above_the_limit_are_ignored() {
    let mut world = World::new();
    let verdicts: Vec<_> = (0..4).map(|input| world.apply(&event(input, "connected", at(1), at(1)))).collect();
    let recorded = Verdict::Recorded(None);
    assert_eq!(verdicts, [recorded, recorded, recorded, Verdict::Ignored(IgnoredReason::TooManyInputs)]);
}

#[test]
fn configured_input_is_known_without_events_and_others_only_with_events() {
    let mut world = World::new();
    let configured = |inputs: &[u8]| Rules { configured: inputs.iter().copied().map(input_id).collect(), ..rules() };
    world.change_rules(configured(&[1, 2]));
    world.apply(&event(2, "connected", at(1), at(1)));
    assert_eq!(world.known(), [input_id(1), input_id(2)]);
    world.change_rules(configured(&[3]));
    assert_eq!(world.known(), [input_id(2), input_id(3)]);
    let name = Configured { name: "name".into(), expectation: Expectation::Always };
    world.fold.set_configured([(input_id(3), name)].into());
    let state = world.fold.state();
    assert_eq!((state.name(&input_id(3)), state.name(&input_id(2))), ("name", ""));
    assert_eq!((state.expected(&input_id(3), at(0)), state.expected(&input_id(2), at(0))), (true, false));
}

#[test]
fn changed_rules_and_forgetting_keep_finished_sessions() {
    let finished = |world: &World| world.finished_sessions(at(9999));
    let mut world = play("0s connected; 10s disconnected; 100s scrape");
    assert_eq!(finished(&world), 1);
    world.change_rules(Rules { reconnect_window: Duration::from_secs(3600), ..rules() });
    world.apply(&event(1, "connected", at(20), at(110)));
    assert_eq!(finished(&world), 1);
    let mut world = play("0s connected; 10s disconnected; 100s scrape");
    world.record(RecordKind::Forgotten(input_id(1)));
    assert_eq!((finished(&world), world.known()), (1, vec![]));
}
