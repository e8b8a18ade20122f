//! Silent and forgotten inputs.

use super::*;

#[test]
fn event_that_is_not_newer_than_the_forgetting_is_too_old() {
    let mut world = play("0s connected; 10s disconnected; 100s scrape");
    world.record(RecordKind::Forgotten(input_id(1)));
    for second in [10, 50, 100] {
        let verdict = world.apply(&event(1, "disconnected", at(second), at(200)));
        assert_eq!(verdict, Verdict::Ignored(IgnoredReason::TooOld), "{second}");
    }
    assert_eq!(world.apply(&event(1, "connected", at(101), at(200))), Verdict::Recorded(None));
    assert!(world.fold.state().forgotten().is_empty());
}

#[test]
fn surplus_has_old_forgotten_inputs_and_those_above_the_limit() {
    let mut world = World::new();
    for input in 1..=5 {
        world.shown_until = at(100 + u64::from(input));
        world.apply(&event(input, "disconnected", at(1), at(1)));
        world.record(RecordKind::Forgotten(input_id(input)));
    }
    for (horizon, max, surplus) in [(0, 9, vec![]), (103, 9, vec![1, 2]), (0, 4, vec![1]), (103, 2, vec![1, 2, 3])] {
        let found: Vec<_> = world.fold.state().forgotten().surplus(at(horizon), max).collect();
        assert_eq!(found, surplus.into_iter().map(input_id).collect::<Vec<_>>(), "{horizon} {max}");
    }
    world.fold.drop_forgotten(&[input_id(1), input_id(4)]);
    assert_eq!(world.fold.state().forgotten().get(&input_id(4)), None);
    assert_eq!(world.fold.state().forgotten().len(), 3);
}

#[test]
fn configured_input_that_is_forgotten_becomes_unknown() {
    let mut world = World::new();
    world.change_rules(Rules { configured: [input_id(1)].into(), ..rules() });
    world.apply(&event(1, "connected", at(1), at(1)));
    world.record(RecordKind::Forgotten(input_id(1)));
    assert_eq!((world.known(), world.input()), (vec![input_id(1)], Input::default()));
}

#[test]
fn only_disconnected_silent_inputs_that_are_not_configured_are_found() {
    let mut world = World::new();
    world.change_rules(Rules { configured: [input_id(3)].into(), ..rules() });
    for (input, name) in [(1, "disconnected"), (2, "connected"), (3, "disconnected")] {
        world.apply(&event(input, name, at(10), at(10)));
    }
    let everything = SearchLimits { visited: 9, found: 9 };
    let found = |horizon, limits| world.fold.state().silent_inputs(at(horizon), None, limits).found;
    assert_eq!(found(10, everything), []);
    assert_eq!(found(11, SearchLimits { found: 0, ..everything }), []);
    assert_eq!(found(11, everything), [input_id(1)]);
}

#[test]
fn search_in_parts_visits_every_input_once_and_finds_no_more_than_its_limit() {
    let mut world = World::new();
    world.change_rules(Rules { max_inputs: 9, ..rules() });
    for input in 1..=8 {
        let name = if input % 2 == 0 { "connected" } else { "disconnected" };
        world.apply(&event(input, name, at(10), at(10)));
    }
    for (visited, found) in [(1, 9), (2, 9), (9, 1), (9, 3), (3, 2), (9, 9), (8, 9), (9, 8)] {
        let (mut after, mut parts, mut all) = (None, 0, Vec::new());
        loop {
            let search = world.fold.state().silent_inputs(at(11), after, SearchLimits { visited, found });
            assert!(search.found.len() <= found);
            all.extend(search.found);
            parts += 1;
            let Some(resume_after) = search.resume_after else { break };
            assert!(after.is_none_or(|after| after < resume_after));
            after = Some(resume_after);
        }
        assert_eq!(all, [1, 3, 5, 7].map(input_id), "{visited} {found}");
        assert!(parts >= (8usize / visited).max(4 / found), "{parts}");
    }
}
