//! Exceptions to schedules.

use super::*;

pub(super) fn exception(input: u8, expected: Option<bool>, at: Timestamp, until: Timestamp) -> RecordKind {
    RecordKind::Exception(ScheduleException {
        input_id: input_id(input),
        expected,
        until,
        at,
        user: None,
        reason: None,
    })
}

/// Decides at a second on input 1 of a world.
fn except(world: &mut World, second: u64, expected: bool, until: u64) -> Verdict {
    world.record(exception(1, Some(expected), at(second), at(until)))
}

fn clear(world: &mut World, second: u64) -> Verdict {
    world.record(exception(1, None, at(second), at(second)))
}

/// Whether input 1 is expected at each of these seconds.
fn expected(world: &World, seconds: &[u64]) -> Vec<bool> {
    seconds.iter().map(|second| world.fold.state().expected(&input_id(1), at(*second))).collect()
}

fn configure(world: &mut World, expectation: Expectation) {
    world.fold.set_configured([(input_id(1), Configured { name: "".into(), expectation })].into());
}

#[test]
fn exception_replaces_the_configuration_from_its_decision_to_its_end() {
    let seconds = [99, 100, 199, 200];
    for (expectation, expected_before) in
        [(None, false), (Some(Expectation::Never), false), (Some(Expectation::Always), true)]
    {
        let mut world = play("0s connected");
        expectation.into_iter().for_each(|expectation| configure(&mut world, expectation));
        assert_eq!(expected(&world, &seconds), [expected_before; 4]);
        assert_eq!(except(&mut world, 100, !expected_before, 200), RECORDED);
        assert_eq!(expected(&world, &seconds), [expected_before, !expected_before, !expected_before, expected_before]);
        let in_force = seconds.map(|second| world.fold.state().exception(&input_id(1), at(second)).is_some());
        assert_eq!(in_force, [false, true, true, false]);
    }
}

#[test]
fn exception_changes_no_state_and_no_counter() {
    let mut world = play("0s connected; 10s disconnected");
    let before = (world.input(), world.fold.state().totals().clone());
    except(&mut world, 100, true, 200);
    clear(&mut world, 150);
    assert_eq!((world.input(), world.fold.state().totals().clone()), before);
}

#[test]
fn newer_exception_replaces_an_earlier_one_and_a_repetition_is_a_duplicate() {
    let mut world = play("0s connected");
    assert_eq!(except(&mut world, 100, true, 500), RECORDED);
    assert_eq!(except(&mut world, 110, true, 500), Verdict::Duplicate);
    assert_eq!(except(&mut world, 120, true, 400), RECORDED);
    assert_eq!(except(&mut world, 130, false, 300), RECORDED);
    assert_eq!(expected(&world, &[299, 300, 450]), [false; 3]);
    // Another reason is recorded.
    let RecordKind::Exception(repeated) = exception(1, Some(false), at(140), at(300)) else { unreachable!() };
    let explained = RecordKind::Exception(ScheduleException { reason: Some("plans".into()), ..repeated });
    assert_eq!([explained.clone(), explained].map(|kind| world.record(kind)), [RECORDED, Verdict::Duplicate]);
    assert_eq!(world.fold.state().exceptions().len(), 1);
}

#[test]
fn exception_is_cleared_once_and_the_time_before_keeps_it() {
    let mut world = play("0s connected");
    assert_eq!(clear(&mut world, 50), Verdict::Duplicate);
    except(&mut world, 100, true, 500);
    assert_eq!([clear(&mut world, 200), clear(&mut world, 201)], [RECORDED, Verdict::Duplicate]);
    assert_eq!(expected(&world, &[150, 200, 300]), [true, false, false]);
    except(&mut world, 600, true, 700);
    assert_eq!(clear(&mut world, 700), Verdict::Duplicate, "it has ended by itself");
}

#[test]
fn exception_of_an_unknown_input_is_refused_and_that_of_a_listed_one_is_recorded() {
    let mut world = World::new();
    assert_eq!(except(&mut world, 100, true, 500), Verdict::UnknownInput);
    assert_eq!(clear(&mut world, 100), Verdict::UnknownInput);
    let account_id = observations::ACCOUNT;
    world.fold.set_accounts([(account_id, "".into())].into());
    let listed = Listed { name: "".into(), enabled: None };
    world.fold.set_inventory(Inventory { account_id, inputs: [(input_id(1), listed)].into() });
    assert_eq!((except(&mut world, 100, true, 500), world.known()), (RECORDED, vec![]));
    assert_eq!(expected(&world, &[100, 500]), [true, false]);
    // Deleted at Cloudflare: what is left of it can be cleared.
    world.fold.set_inventory(Inventory { account_id, inputs: [].into() });
    assert_eq!(except(&mut world, 101, false, 500), Verdict::UnknownInput);
    assert_eq!([clear(&mut world, 102), clear(&mut world, 103)], [RECORDED, Verdict::UnknownInput]);
}

#[test]
fn configured_input_without_events_can_have_an_exception() {
    let mut world = World::new();
    world.change_rules(Rules { configured: [input_id(1)].into(), ..rules() });
    assert_eq!((except(&mut world, 100, true, 500), expected(&world, &[100])), (RECORDED, vec![true]));
    assert_eq!(world.input(), Input::default());
}

#[test]
fn number_of_exceptions_is_limited_by_the_maximum_number_of_inputs() {
    let mut world = World::new();
    let configured = [1, 2, 3, 4].map(input_id).into();
    world.change_rules(Rules { configured, max_inputs: 3, ..rules() });
    let mut set = |input, second| world.record(exception(input, Some(true), at(second), at(500)));
    assert_eq!([1, 2, 3].map(|input| set(input, 100)), [RECORDED; 3]);
    assert_eq!((set(4, 101), set(3, 102)), (Verdict::Ignored(IgnoredReason::TooManyInputs), Verdict::Duplicate));
}

#[test]
fn forgotten_or_deleted_input_loses_its_exception() {
    let forget = |world: &mut World| world.record(corrections::correction(1, Corrected::Forgotten, at(200)));
    let forget_silent = |world: &mut World| world.record(RecordKind::Forgotten(input_id(1)));
    let delete = |world: &mut World| {
        let deleted = observations::observation(&world.fold, 1, Observed::Deleted, at(200));
        world.record(deleted)
    };
    for end in [forget, forget_silent, delete] {
        let mut world = play("0s connected; 5s disconnected");
        except(&mut world, 100, true, 500);
        assert_eq!((end(&mut world), world.fold.state().exceptions().len()), (RECORDED, 0));
    }
}

#[test]
fn input_with_an_exception_is_not_forgotten_as_silent() {
    let limits = SearchLimits { visited: 9, found: 9 };
    let mut world = play("0s disconnected");
    let silent = |world: &World| world.fold.state().silent_inputs(at(900), None, limits).found;
    assert_eq!(silent(&world), [input_id(1)]);
    except(&mut world, 100, true, 500);
    assert_eq!(silent(&world), []);
    world.fold.drop_exceptions(&[input_id(1)]);
    assert_eq!(silent(&world), [input_id(1)]);
}

#[test]
fn exception_that_was_decided_while_the_clock_was_ahead_is_in_force_after_it_was_set_back() {
    let mut world = play("0s connected");
    except(&mut world, 5000, true, 6000);
    assert_eq!(expected(&world, &[300]), [false]);
    world.shown_until = at(200);
    world.record(RecordKind::ClockSetBack);
    assert_eq!(expected(&world, &[199, 200, 300, 6000]), [false, true, true, false]);
}
