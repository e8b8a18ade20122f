//! Scenarios in a small language, through one `check`.
//!
//! A scenario is a list of steps: `10s connected` happens at 10 s and arrives at once, `10s
//! disconnected @25s` arrives late, `20s view` is a scrape.

mod seen_events;
mod properties;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::event::{ErrorCode, ErrorDetail, Event, EventKind, InputId, Timestamp};
use crate::schedule::{Configured, Expectation};

const RULES: Rules = Rules { reconnect_window: Duration::from_secs(60), max_inputs: 3 };
const START: u64 = 1_795_000_000;

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
    Event { input_id: input_id(input), kind, updated_at, sent_at: Some(updated_at), received_at }
}

fn configured(inputs: &[u8]) -> BTreeMap<InputId, Configured> {
    let configured = Configured { name: "name".into(), expectation: Expectation::Always };
    inputs.iter().map(|input| (input_id(*input), configured.clone())).collect()
}

/// A fold, and the newest view that somebody has seen of it.
struct World {
    fold: Fold,
    shown_until: Timestamp,
}

impl World {
    fn new() -> Self {
        Self { fold: Fold::new(RULES), shown_until: at(0) }
    }

    fn apply(&mut self, event: &Event) -> Verdict {
        let mut draft = self.fold.draft(self.shown_until);
        let verdict = draft.consider(event);
        let changes = draft.finish();
        self.fold.adopt(changes);
        verdict
    }

    fn input(&self) -> Input {
        self.fold.state().inputs().get(&input_id(1)).map(|known| known.input.clone()).unwrap_or_default()
    }
}

fn seconds(text: &str) -> u64 {
    text.strip_suffix('s').and_then(|text| text.parse().ok()).expect("a step begins with a time such as 10s")
}

fn play(scenario: &str) -> World {
    let mut world = World::new();
    for step in scenario.split(';') {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words[..] {
            [time, "view"] => world.shown_until = at(seconds(time)),
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

/// Plays a scenario and compares what is true at 1000 s.
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
    let durations = world.fold.state().session_durations(at(1000));
    let described = format!(
        "{state}; sessions {}, reconnects {}, connected {}s; finished {} in {}s; inconsistent {:?}, late {}",
        input.sessions,
        input.reconnects,
        input.connected_time(at(1000)).as_secs(),
        durations.count(),
        durations.sum_micros() / 1_000_000,
        input.inconsistent,
        world.fold.state().totals().out_of_order,
    );
    assert_eq!(described, expected, "{scenario}");
}

#[test]
fn without_evidence_the_state_is_unknown() {
    check(
        "0s ERR_UNHEALTHY",
        "unknown; sessions 0, reconnects 0, connected 0s; finished 0 in 0s; inconsistent [0, 0], late 0",
    );
}

#[test]
fn the_newest_evidence_is_believed() {
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
        "disconnected since 100s; sessions 0, reconnects 0, connected 0s; finished 0 in 0s; inconsistent [0, 0], late 1",
    );
    check(
        "0s connected; 50s ERR_UNHEALTHY",
        "connected since 0s; sessions 1, reconnects 0, connected 1000s; finished 0 in 0s; inconsistent [0, 0], late 0",
    );
}

#[test]
fn at_an_exact_tie_disconnected_wins_in_either_order() {
    check(
        "5s connected; 5s disconnected",
        "disconnected since 5s; sessions 1, reconnects 0, connected 0s; finished 1 in 0s; inconsistent [0, 0], late 0",
    );
    check(
        "5s disconnected; 5s connected",
        "disconnected since 5s; sessions 0, reconnects 0, connected 0s; finished 0 in 0s; inconsistent [0, 0], late 1",
    );
}

#[test]
fn a_reconnect_within_the_window_continues_the_session() {
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
fn a_session_is_finished_when_no_reconnect_can_come_any_more() {
    let world = play("0s connected; 10s disconnected");
    let finished = |second| world.fold.state().session_durations(at(second)).count();
    assert_eq!((finished(69), finished(70), finished(71)), (0, 0, 1));
}

#[test]
fn a_repeated_state_is_a_measured_loss() {
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
fn what_was_shown_is_not_taken_back() {
    // Nobody looked in between: the late word is the truth.
    check(
        "0s connected; 100s disconnected @900s",
        "disconnected since 100s; sessions 1, reconnects 0, connected 100s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    // A view before a late pair has shown nothing of it.
    check(
        "500s view; 0s connected @501s; 100s disconnected @502s",
        "disconnected since 100s; sessions 1, reconnects 0, connected 100s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    // A view at 800 s showed 800 s of connection.
    check(
        "0s connected; 800s view; 100s disconnected @900s",
        "disconnected since 100s; sessions 1, reconnects 0, connected 800s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    // The next connection counts again once the truth has caught up.
    check(
        "0s connected; 800s view; 100s disconnected @801s; 810s connected; 990s view",
        "connected since 810s; sessions 2, reconnects 0, connected 800s; finished 1 in 100s; inconsistent [0, 0], late 0",
    );
    // A view at 80 s had shown the session as finished: a reconnect that is told later begins another.
    check(
        "0s connected; 10s disconnected; 80s view; 65s connected @90s; 100s disconnected",
        "disconnected since 100s; sessions 1, reconnects 1, connected 45s; finished 2 in 45s; inconsistent [0, 0], late 0",
    );
}

#[test]
fn errors_are_counted_by_class_and_the_newest_unknown_code_is_kept() {
    let input = play("1s ERR_NEW; 3s ERR_NEWER; 2s ERR_OLD; 2s ERR_UNHEALTHY").input();
    assert_eq!(input.errors.counts(), [0, 0, 0, 0, 0, 1, 3]);
    assert_eq!(input.errors.last(), [None, None, None, None, None, Some(at(2)), Some(at(3))]);
    assert_eq!(input.errors.newest(), Some((at(3), ErrorCode::from("ERR_NEWER"))));
}

#[test]
fn delays_are_measured_and_a_pause_is_none() {
    let world = play("0s connected; 10s disconnected; 3610s connected; 3700s disconnected; 7301s connected");
    let reconnects = &world.fold.state().totals().reconnect_delay;
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
fn a_repeat_is_known_within_a_batch_and_across_batches() {
    let mut world = World::new();
    let connected = event(1, "connected", at(5), at(6));
    let mut draft = world.fold.draft(at(0));
    assert_eq!(draft.consider(&connected), Verdict::Recorded(Note::Plain));
    assert_eq!(draft.consider(&connected), Verdict::Duplicate);
    let changes = draft.finish();
    world.fold.adopt(changes);
    let in_another_envelope = Event { sent_at: None, received_at: at(99), ..connected };
    assert_eq!(world.apply(&in_another_envelope), Verdict::Duplicate);
    assert_eq!(world.input().events(), [1, 0, 0]);
}

#[test]
fn what_is_remarkable_is_noted() {
    let mut world = World::new();
    let happenings = [("connected", 5), ("connected", 9), ("disconnected", 3), ("ERR_UNHEALTHY", 1)];
    let verdicts = happenings.map(|(name, second)| world.apply(&event(1, name, at(second), at(10))));
    let notes = [Note::Plain, Note::Inconsistent, Note::OutOfOrder, Note::Plain];
    assert_eq!(verdicts, notes.map(Verdict::Recorded));
}

#[test]
fn the_newest_delivery_of_each_kind_and_secret_is_seen() {
    let mut fold = Fold::new(RULES);
    for (second, secret, test) in [(5, "old", true), (9, "new", false), (7, "new", false), (3, "old", true)] {
        let mut draft = fold.draft(at(0));
        draft.record_delivery(at(second), secret, test);
        let changes = draft.finish();
        fold.adopt(changes);
    }
    let by_secret = [("new".to_owned(), at(9)), ("old".to_owned(), at(5))].into();
    assert_eq!(*fold.state().last_seen(), LastSeen { last: Some(at(9)), last_test: Some(at(5)), by_secret });
    fold.keep_secrets(["new".to_owned()].into());
    let mut draft = fold.draft(at(0));
    // It came before the old one was removed.
    draft.record_delivery(at(11), "old", false);
    let changes = draft.finish();
    let by_secret = [("new".to_owned(), at(9))].into();
    let seen = LastSeen { last: Some(at(11)), last_test: Some(at(5)), by_secret };
    assert_eq!(*changes.last_seen(), seen);
    fold.adopt(changes);
    assert_eq!(*fold.state().last_seen(), seen);
    let mut restored = Fold::new(RULES);
    restored.restore_last_seen(seen.clone());
    assert_eq!(*restored.state().last_seen(), seen);
}

#[test]
fn a_draft_that_is_dropped_never_happened() {
    let mut world = World::new();
    let connected = event(1, "connected", at(5), at(6));
    assert_eq!(world.fold.draft(at(0)).consider(&connected), Verdict::Recorded(Note::Plain));
    assert_eq!(world.input(), Input::default());
    assert_eq!(world.apply(&connected), Verdict::Recorded(Note::Plain));
}

#[test]
fn what_is_replayed_twice_is_counted_once() {
    let mut fold = Fold::new(RULES);
    for _ in 0..2 {
        fold.replay(&event(1, "connected", at(5), at(6)), at(0), true);
    }
    assert_eq!(fold.state().inputs()[&input_id(1)].input.events(), [1, 0, 0]);
}

#[test]
fn inputs_beyond_the_limit_are_ignored() {
    let mut world = World::new();
    let verdicts: Vec<_> = (0..4).map(|input| world.apply(&event(input, "connected", at(1), at(1)))).collect();
    let plain = Verdict::Recorded(Note::Plain);
    assert_eq!(verdicts, [plain, plain, plain, Verdict::Ignored(crate::event::IgnoredReason::TooManyInputs)]);
}

#[test]
fn a_configured_input_is_known_before_its_first_event_and_afterwards_only_with_one() {
    let mut fold = Fold::new(RULES);
    let known = |fold: &Fold| fold.state().inputs().keys().copied().collect::<Vec<_>>();
    fold.configure(configured(&[1, 2]));
    fold.replay(&event(2, "connected", at(1), at(1)), at(0), true);
    assert_eq!(known(&fold), [input_id(1), input_id(2)]);
    fold.configure(configured(&[3]));
    assert_eq!(known(&fold), [input_id(2), input_id(3)]);
    assert_eq!((fold.state().name(&input_id(3)), fold.state().name(&input_id(2))), ("name", ""));
    assert_eq!((fold.state().expected(&input_id(3), at(0)), fold.state().expected(&input_id(2), at(0))), (true, false));
}

#[test]
fn only_disconnected_silent_inputs_that_are_not_configured_are_forgotten() {
    let mut fold = Fold::new(RULES);
    fold.configure(configured(&[3]));
    for (input, name) in [(1, "disconnected"), (2, "connected"), (3, "disconnected")] {
        fold.replay(&event(input, name, at(10), at(10)), at(0), true);
    }
    let everything = SearchLimits { looked_at: 9, forgotten: 9 };
    assert_eq!(fold.forget_silent_since(at(10), at(500), None, everything).forgotten, []);
    let nothing = SearchLimits { forgotten: 0, ..everything };
    assert_eq!(fold.forget_silent_since(at(11), at(500), None, nothing).forgotten, []);
    assert_eq!(fold.forget_silent_since(at(11), at(500), None, everything).forgotten, [input_id(1)]);
    assert_eq!(fold.state().inputs().get(&input_id(1)), None);
}

#[test]
fn a_search_in_parts_looks_at_every_input_once_and_forgets_no_more_at_once_than_it_may() {
    for (looked_at, forgotten) in [(1, 9), (2, 9), (9, 1), (9, 3), (3, 2), (9, 9), (8, 9), (9, 8)] {
        let mut fold = Fold::new(RULES);
        for input in 1..=8 {
            let name = if input % 2 == 0 { "connected" } else { "disconnected" };
            fold.replay(&event(input, name, at(10), at(10)), at(0), true);
        }
        let (mut after, mut parts, mut gone) = (None, 0, Vec::new());
        loop {
            let limits = SearchLimits { looked_at, forgotten };
            let search = fold.forget_silent_since(at(11), at(500), after, limits);
            assert!(search.forgotten.len() <= forgotten);
            gone.extend(search.forgotten);
            parts += 1;
            let Some(looked_until) = search.looked_until else { break };
            assert!(after.is_none_or(|after| after < looked_until));
            after = Some(looked_until);
        }
        assert_eq!(gone, [1, 3, 5, 7].map(input_id), "{looked_at} {forgotten}");
        assert!(parts >= (8usize / looked_at).max(4 / forgotten), "{parts}");
    }
}

#[test]
fn other_rules_and_forgetting_take_no_finished_session_back() {
    let mut world = play("0s connected; 10s disconnected");
    let finished = |fold: &Fold| fold.state().session_durations(at(9999)).count();
    assert_eq!(finished(&world.fold), 1);
    let settled = world.fold.set_rules(Rules { reconnect_window: Duration::from_secs(3600), ..RULES }, at(100));
    assert_eq!((settled, finished(&world.fold)), (vec![input_id(1)], 1));
    let mut world = play("0s connected; 10s disconnected");
    world.fold.forget_silent_since(at(99), at(100), None, SearchLimits { looked_at: 9, forgotten: 9 });
    assert_eq!(finished(&world.fold), 1);
}

#[test]
fn a_checkpoint_keeps_its_form() {
    let kept = r#"{"known_since":1795197964000000000,"evidence":{"connected":false,"updated_at":1795197960000000000,"since":1795197960000000000,"unseen_until":0},"events":[1,1,2],"last_event":[1795197950000000000,1795197960000000000,1795197970000000000],"sessions":1,"reconnects":0,"inconsistent":[0,0],"session":{"started_at":1795197950000000000,"ended_at":1795197960000000000},"banked":{"secs":10,"nanos":0},"shown":{"secs":0,"nanos":0},"errors":[1,0,0,0,0,0,1],"last_error":[1795197970000000000,null,null,null,null,null,1795197965000000000],"last_other_code":"ERR_NEW"}"#;
    let again = |kept: &str| {
        let input: Input = serde_json::from_str(kept).unwrap();
        assert_eq!(serde_json::to_value(&input).unwrap(), serde_json::from_str::<serde_json::Value>(kept).unwrap());
        input.errors
    };
    assert_eq!(again(kept).counts(), [1, 0, 0, 0, 0, 0, 1]);
    let times = "[1795197970000000000,null,null,null,null,null,1795197965000000000]";
    let without = kept.replace("[1,0,0,0,0,0,1]", "[0,0,0,0,0,0,0]").replace("\"ERR_NEW\"", "null");
    let without = without.replace(times, "[null,null,null,null,null,null,null]").replace("[1,1,2]", "[1,1,0]");
    assert_eq!(again(&without.replace(",1795197970000000000]", ",null]")), Errors::default());
    let connected = r#"{"known_since":1795197964000000000,"evidence":{"connected":true,"updated_at":1795197980000000000,"since":1795197970000000000,"unseen_until":5},"events":[3,1,0],"last_event":[1795197980000000000,1795197960000000000,null],"sessions":1,"reconnects":1,"inconsistent":[1,0],"session":{"started_at":1795197950000000000,"ended_at":null},"banked":{"secs":10,"nanos":1},"shown":{"secs":9,"nanos":2},"errors":[0,0,0,0,0,0,0],"last_error":[null,null,null,null,null,null,null],"last_other_code":null}"#;
    assert_eq!(again(connected), Errors::default());
    let unknown = r#"{"known_since":null,"evidence":null,"events":[0,0,0],"last_event":[null,null,null],"sessions":0,"reconnects":0,"inconsistent":[0,0],"session":null,"banked":{"secs":0,"nanos":0},"shown":{"secs":0,"nanos":0},"errors":[0,0,0,0,0,0,0],"last_error":[null,null,null,null,null,null,null],"last_other_code":null}"#;
    assert_eq!(again(unknown), Errors::default());
}
