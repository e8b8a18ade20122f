//! Corrections by an operator.

use super::*;

pub(super) fn correction(input: u8, to: Corrected, at: Timestamp) -> RecordKind {
    RecordKind::Correction(Correction { input_id: input_id(input), to, at, user: None, reason: None })
}

/// Corrects input 1 of a world.
fn correct(world: &mut World, to: Corrected, second: u64) -> Verdict {
    world.record(correction(1, to, at(second)))
}

fn apply_event(world: &mut World, name: &str, second: u64) -> Verdict {
    world.apply(&event(1, name, at(second), at(900)))
}

#[test]
fn correction_changes_the_state_and_counts_neither_as_an_event_nor_as_inconsistent() {
    let mut world = play("0s connected");
    assert_eq!(correct(&mut world, Corrected::Disconnected, 100), RECORDED);
    assert_eq!((state(&world), world.input().events()), (Some((false, 100)), [1, 0, 0]));
    assert_eq!(counters(&world), ([0, 0], 1, 100));
    let durations = world.fold.state().durations(at(5000)).session_duration;
    assert_eq!((durations.count(), durations.sum_micros()), (1, 100_000_000));

    assert_eq!(correct(&mut world, Corrected::Connected, 300), RECORDED);
    assert_eq!((state(&world), world.input().events()), (Some((true, 300)), [1, 0, 0]));
    assert_eq!(counters(&world), ([0, 0], 2, 4800));
    assert_eq!(world.input().last_event(), [Some(at(0)), None, None]);
}

#[test]
fn first_event_after_a_correction_confirms_it_and_the_next_one_is_inconsistent() {
    let mut world = play("0s connected");
    correct(&mut world, Corrected::Disconnected, 100);
    assert_eq!(apply_event(&mut world, "disconnected", 110), RECORDED);
    assert_eq!((state(&world), counters(&world).0), (Some((false, 100)), [0, 0]));
    assert_eq!(world.input().evidence().unwrap().updated_at, at(110));
    assert_eq!(apply_event(&mut world, "disconnected", 120), Verdict::Recorded(Some(Note::Inconsistent)));
    assert_eq!((state(&world), counters(&world).0), (Some((false, 100)), [0, 1]));
}

#[test]
fn later_event_changes_the_corrected_state_and_a_late_one_takes_its_place_before_the_correction() {
    let mut world = play("0s connected");
    correct(&mut world, Corrected::Disconnected, 100);
    assert_eq!(apply_event(&mut world, "disconnected", 90), RECORDED);
    assert_eq!((state(&world), counters(&world)), (Some((false, 90)), ([0, 0], 1, 90)));
    assert_eq!(apply_event(&mut world, "connected", 200), RECORDED);
    assert_eq!((state(&world), counters(&world)), (Some((true, 200)), ([0, 0], 2, 4890)));
}

#[test]
fn correction_takes_effect_although_the_newest_event_is_ahead_of_the_clock() {
    let mut world = play("0s disconnected; 200s connected");
    assert_eq!(correct(&mut world, Corrected::Disconnected, 50), RECORDED);
    assert_eq!(state(&world), Some((false, 200)));
    assert_eq!(correct(&mut world, Corrected::Connected, 51), RECORDED);
    assert_eq!(state(&world), Some((true, 200)));
}

#[test]
fn shown_counter_does_not_fall_by_a_correction() {
    let mut world = play("0s connected; 800s scrape");
    correct(&mut world, Corrected::Disconnected, 100);
    assert_eq!(world.input().counters(at(801), &rules()).connected_time.as_secs(), 800);
}

#[test]
fn reconnect_by_a_correction_and_an_event_at_one_time_is_observed_once() {
    let mut world = play("0s disconnected");
    correct(&mut world, Corrected::Connected, 50);
    apply_event(&mut world, "connected", 50);
    for second in [2000, 3000, 4000] {
        world.shown_until = at(second);
        world.apply(&event(1, "ERR_UNHEALTHY", at(second), at(second)));
    }
    assert_eq!(world.fold.state().durations(at(5000)).reconnect_delay.count(), 1);
}

#[test]
fn correction_that_changes_nothing_is_a_duplicate() {
    for (scenario, to) in
        [("0s connected", Corrected::Connected), ("0s connected; 5s disconnected", Corrected::Disconnected)]
    {
        let mut world = play(scenario);
        let before = world.input();
        assert_eq!((correct(&mut world, to, 100), world.input()), (Verdict::Duplicate, before), "{scenario}");
    }
    let mut world = play("0s connected");
    let verdicts = [100, 101].map(|second| correct(&mut world, Corrected::Disconnected, second));
    assert_eq!((verdicts, state(&world)), ([RECORDED, Verdict::Duplicate], Some((false, 100))));
    let verdicts = [102, 103].map(|second| correct(&mut world, Corrected::Forgotten, second));
    assert_eq!((verdicts, world.known()), ([RECORDED, Verdict::Duplicate], vec![]));
}

#[test]
fn correction_of_an_unknown_input_changes_nothing() {
    let mut world = World::new();
    for to in Corrected::ALL {
        assert_eq!((correct(&mut world, to, 100), world.known()), (Verdict::UnknownInput, vec![]), "{to:?}");
    }
    // A forgotten input is not known either.
    let mut world = play("0s connected");
    correct(&mut world, Corrected::Forgotten, 100);
    assert_eq!((correct(&mut world, Corrected::Connected, 101), world.known()), (Verdict::UnknownInput, vec![]));
}

#[test]
fn connected_input_that_is_forgotten_comes_back_only_with_a_newer_event() {
    let mut world = play("0s connected; 10s disconnected; 90s connected; 200s ERR_NEW");
    assert_eq!(correct(&mut world, Corrected::Forgotten, 100), RECORDED);
    assert_eq!(world.known(), []);
    // The finished session is kept. The error is ahead of the clock.
    assert_eq!(world.finished_sessions(at(1000)), 1);
    let too_old = Verdict::Ignored(IgnoredReason::TooOld);
    for (name, second) in [("connected", 90), ("disconnected", 100), ("ERR_NEW", 200)] {
        assert_eq!(apply_event(&mut world, name, second), too_old, "{name}");
    }
    assert_eq!(apply_event(&mut world, "connected", 201), RECORDED);
    assert_eq!((state(&world), counters(&world).1), (Some((true, 201)), 1));
}

#[test]
fn configured_input_that_is_forgotten_is_known_without_a_state() {
    let mut world = World::new();
    world.change_rules(Rules { configured: [input_id(1)].into(), ..rules() });
    assert_eq!(correct(&mut world, Corrected::Forgotten, 1), Verdict::Duplicate, "nothing is known about it");
    apply_event(&mut world, "connected", 5);
    assert_eq!(correct(&mut world, Corrected::Forgotten, 100), RECORDED);
    assert_eq!((world.known(), world.input()), (vec![input_id(1)], Input::default()));
    assert_eq!(correct(&mut world, Corrected::Forgotten, 101), Verdict::Duplicate);
    assert_eq!(apply_event(&mut world, "connected", 50), Verdict::Ignored(IgnoredReason::TooOld));
    assert_eq!(correct(&mut world, Corrected::Connected, 102), RECORDED);
    assert_eq!((state(&world), counters(&world).1), (Some((true, 102)), 1));
}

#[test]
fn silence_before_forgetting_is_counted_from_the_correction() {
    let mut world = play("0s connected");
    correct(&mut world, Corrected::Disconnected, 100);
    let limits = SearchLimits { visited: 9, found: 9 };
    let silent = |world: &World, horizon| world.fold.state().silent_inputs(at(horizon), None, limits).found;
    assert_eq!((silent(&world, 100), silent(&world, 101)), (vec![], vec![input_id(1)]));
}
