//! While the shared journal is away, gauges show a copy of the state with what waits for it, and counters do not.

use super::super::*;

/// A state with an input that is on air, one that is off air, one that was forgotten, and a scrape at 100 s.
fn world() -> World {
    let mut world = World::new();
    for (input, name, second) in [(1, "connected", 10), (2, "disconnected", 20), (3, "connected", 30)] {
        world.apply(&event(input, name, at(second), at(second)));
    }
    world.record(RecordKind::Forgotten(input_id(3)));
    world.shown_until = at(100);
    world
}

fn view(world: &World, waiting: &[Record]) -> View {
    let mut overlay = world.fold.clone();
    for batch in waiting.chunks(2) {
        overlay.extend(batch);
    }
    let (state, gauges) = (world.fold.state().clone(), Some(overlay.state().clone()));
    View { state, gauges, as_of: at(200), wall_clock: at(200), ..View::default() }
}

fn waiting(input: u8, name: &str, second: u64) -> Record {
    record(RecordKind::Event(event(input, name, at(second), at(190)), None), at(100))
}

/// Whether each input is connected, by the gauges.
fn connected(view: &View) -> Vec<(InputId, Option<bool>)> {
    let evidence = |entry: &InputEntry| entry.input.evidence().map(|evidence| evidence.connected);
    view.gauge_state().known(None).map(|(input_id, entry)| (input_id, evidence(entry))).collect()
}

#[test]
fn gauges_follow_what_waits_and_counters_stand_still() {
    let mut world = world();
    world.record(RecordKind::Correction(Correction {
        input_id: input_id(2),
        to: Corrected::Connected,
        at: at(50),
        user: None,
        reason: None,
    }));
    let before = format!("{:?}", world.fold);
    let records = [
        // Known, out of order within the window, a repeat of an event, corrected, and forgotten until now.
        waiting(1, "disconnected", 120),
        waiting(1, "connected", 115),
        waiting(1, "connected", 10),
        waiting(2, "disconnected", 130),
        waiting(3, "ERR_UNHEALTHY", 29),
        waiting(3, "connected", 140),
    ];
    let view = view(&world, &records);
    assert_eq!(format!("{:?}", world.fold), before, "the original was changed");
    let expected = [(1, false), (2, false), (3, true)];
    assert_eq!(connected(&view), expected.map(|(input, connected)| (input_id(input), Some(connected))));
    for (input_id, entry) in view.gauge_state().known(None) {
        let durable = view.state.known_input(&input_id).unwrap_or(InputEntry::empty());
        assert_eq!(view.counted(&input_id, &entry.input), &durable.input);
    }
    assert_eq!(view.gauge_state().known_input(&input_id(1)).unwrap().input.newest_event(), Some(at(120)));
    assert_eq!(view.counted(&input_id(3), &Input::default()).events(), [0; 3], "it has no counters");
}

#[test]
fn forgotten_input_keeps_its_counters_and_loses_its_gauges() {
    let world = world();
    let view = view(&world, &[record(RecordKind::Forgotten(input_id(1)), at(100))]);
    assert_eq!(connected(&view), [(input_id(2), Some(false))]);
    assert_eq!(view.state.known_input(&input_id(1)).unwrap().input.events(), [1, 0, 0]);
}

#[test]
fn input_above_the_maximum_has_no_gauges() {
    let world = world();
    let view = view(&world, &[waiting(4, "connected", 120), waiting(5, "connected", 121)]);
    let known: Vec<_> = connected(&view).into_iter().map(|(input_id, _)| input_id).collect();
    assert_eq!(known, [1, 2, 4].map(input_id));
}
