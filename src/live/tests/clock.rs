//! The clock was wrong, and is set back.

use super::*;

const YEAR: u64 = 365 * 86_400;

fn set_back(world: &mut World, recorded_at: u64) {
    let record = Record { recorded_at: at(recorded_at), ..record(RecordKind::ClockSetBack, world.shown_until) };
    let (changes, _) = apply(&world.fold, &[record]);
    world.fold.adopt(changes);
    world.shown_until = at(recorded_at);
}

/// Counters of all inputs, and all observations of durations.
fn shown(world: &World) -> (Vec<Counters>, Durations) {
    let (state, as_of) = (world.fold.state(), world.shown_until);
    let counters = state.inputs().values().map(|entry| entry.input.counters(as_of, state.rules())).collect();
    (counters, state.durations(as_of))
}

#[test]
fn what_a_wrong_clock_has_shown_is_kept_and_new_connections_count_by_the_right_time() {
    let mut world = World::new();
    for (input, name, second) in [
        (1, "connected", 100),
        (2, "connected", 100),
        (2, "disconnected", 190),
        (2, "connected", 195),
        (2, "disconnected", 200),
    ] {
        world.apply(&event(input, name, at(second), at(second)));
    }
    world.shown_until = at(YEAR);
    let before = shown(&world);
    assert_eq!(before.0[0].connected_time, Duration::from_secs(YEAR - 100));
    set_back(&mut world, 300);
    for second in [301, 400, 3000] {
        world.shown_until = at(second);
        assert_eq!(shown(&world), before, "{second}");
    }
    for (name, second) in [("connected", 3100), ("disconnected", 3110)] {
        world.apply(&event(3, name, at(second), at(second)));
    }
    world.apply(&event(1, "disconnected", at(3120), at(3120)));
    world.shown_until = at(3130);
    let (counters, _) = shown(&world);
    assert_eq!(counters[0].connected_time, before.0[0].connected_time);
    assert_eq!(counters[2].connected_time, Duration::from_secs(10));
    // The true value of the first input has reached what was shown.
    world.apply(&event(1, "connected", at(YEAR), at(YEAR)));
    world.shown_until = at(2 * YEAR);
    let (counters, _) = shown(&world);
    assert_eq!(counters[0].connected_time, Duration::from_secs(YEAR + 3020));
}

#[test]
fn input_that_was_forgotten_by_a_wrong_clock_is_known_again_after_its_next_event() {
    let mut world = play("0s connected; 10s disconnected");
    world.shown_until = at(YEAR);
    world.record(RecordKind::Forgotten(input_id(1)));
    set_back(&mut world, 300);
    assert_eq!(world.apply(&event(1, "connected", at(290), at(300))), Verdict::Ignored(IgnoredReason::TooOld));
    assert_eq!(world.apply(&event(1, "connected", at(310), at(310))), Verdict::Recorded(None));
}

#[test]
fn old_event_about_an_input_that_is_no_longer_listed_is_too_old() {
    let mut world = play("0s connected; 10s disconnected; 100s scrape");
    world.record(RecordKind::Forgotten(input_id(1)));
    world.fold.drop_forgotten(&[input_id(1)]);
    for (input, second, verdict) in [
        (1, 0, Verdict::Ignored(IgnoredReason::TooOld)),
        (2, 100, Verdict::Ignored(IgnoredReason::TooOld)),
        (2, 101, Verdict::Recorded(None)),
        (2, 99, Verdict::Recorded(None)),
    ] {
        assert_eq!(world.apply(&event(input, "connected", at(second), at(200))), verdict, "{input} {second}");
    }
}
