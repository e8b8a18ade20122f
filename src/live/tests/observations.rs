//! What Cloudflare's API said, mixed with events.

use super::*;

pub(super) const ACCOUNT: AccountId = AccountId::from_bytes([0xac; 16]);

/// What the API says about the input as it is now.
pub(super) fn observation(fold: &Fold, input: u8, found: Observed, at: Timestamp) -> RecordKind {
    let input_id = input_id(input);
    let events = fold.state().inputs().get(&input_id).map_or(0, |entry| entry.input.event_count());
    RecordKind::Observation(Observation { input_id, found, at, events, account_id: ACCOUNT })
}

/// Observes input 1 of a world.
fn observe(world: &mut World, found: Observed, second: u64) -> Verdict {
    world.record(observation(&world.fold, 1, found, at(second)))
}

fn apply_event(world: &mut World, name: &str, second: u64, received: u64) -> Verdict {
    world.apply(&event(1, name, at(second), at(received)))
}

#[test]
fn lost_disconnect_is_repaired_and_counts_neither_as_an_event_nor_as_inconsistent() {
    let mut world = play("0s connected");
    assert_eq!(observe(&mut world, Observed::Disconnected, 100), RECORDED);
    assert_eq!((state(&world), world.input().events()), (Some((false, 100)), [1, 0, 0]));
    assert_eq!(counters(&world), ([0, 0], 1, 100));
    assert_eq!(world.finished_sessions(at(5000)), 1);
    assert_eq!(world.input().account_id, Some(ACCOUNT));
    // The next connect is the begin of the next session, and fits.
    assert_eq!(apply_event(&mut world, "connected", 300, 300), RECORDED);
    assert_eq!((state(&world), counters(&world)), (Some((true, 300)), ([0, 0], 2, 4800)));
}

#[test]
fn lost_connect_of_an_input_that_no_event_reported_is_repaired() {
    let mut world = World::new();
    assert_eq!(observe(&mut world, Observed::Connected, 100), RECORDED);
    assert_eq!((state(&world), counters(&world)), (Some((true, 100)), ([0, 0], 1, 4900)));
    assert_eq!(world.input().events(), [0, 0, 0]);
}

#[test]
fn notification_that_arrives_after_all_replaces_its_observation() {
    for (second, since) in [(70, 70), (100, 100), (130, 130)] {
        let mut world = play("0s connected");
        observe(&mut world, Observed::Disconnected, 100);
        assert_eq!(apply_event(&mut world, "disconnected", second, 200), RECORDED, "{second}");
        assert_eq!((state(&world), counters(&world)), (Some((false, since)), ([0, 0], 1, since)), "{second}");
    }
    // It is another disconnect, and the observation stays between.
    for (second, since) in [(69, 69), (131, 100)] {
        let mut world = play("0s connected");
        observe(&mut world, Observed::Disconnected, 100);
        assert_eq!(apply_event(&mut world, "disconnected", second, 200), RECORDED, "{second}");
        assert_eq!((state(&world), counters(&world)), (Some((false, since)), ([0, 0], 1, since)), "{second}");
    }
}

#[test]
fn event_that_replaces_an_observation_is_not_observed_in_a_histogram_twice() {
    let mut world = play("0s connected");
    observe(&mut world, Observed::Disconnected, 100);
    world.shown_until = at(2000);
    // This record keeps what the scrape showed.
    world.apply(&event(1, "ERR_UNHEALTHY", at(2000), at(2000)));
    assert_eq!(world.fold.state().totals().durations.session_duration.count(), 1);
    apply_event(&mut world, "disconnected", 110, 2001);
    assert_eq!(world.finished_sessions(at(5000)), 1);
    assert_eq!((state(&world), counters(&world).0), (Some((false, 110)), [0, 0]));
}

#[test]
fn correction_by_an_operator_is_not_replaced() {
    let mut world = play("0s connected");
    world.record(corrections::correction(1, Corrected::Disconnected, at(100)));
    apply_event(&mut world, "disconnected", 110, 110);
    assert_eq!(state(&world), Some((false, 100)));
}

#[test]
fn first_event_after_an_observation_confirms_it_and_the_next_one_is_inconsistent() {
    let mut world = play("0s connected");
    observe(&mut world, Observed::Disconnected, 100);
    assert_eq!(apply_event(&mut world, "disconnected", 140, 140), RECORDED);
    assert_eq!(counters(&world).0, [0, 0]);
    assert_eq!(apply_event(&mut world, "disconnected", 150, 150), Verdict::Recorded(Some(Note::Inconsistent)));
    assert_eq!((state(&world), counters(&world).0), (Some((false, 100)), [0, 1]));
}

#[test]
fn observation_that_changes_nothing_or_is_not_newer_than_the_evidence_is_a_duplicate() {
    for (scenario, found, second) in [
        ("0s connected", Observed::Connected, 100),
        ("0s connected; 50s disconnected", Observed::Disconnected, 100),
        ("0s disconnected; 50s connected", Observed::Disconnected, 50),
        ("0s disconnected; 50s connected", Observed::Disconnected, 49),
    ] {
        let mut world = play(scenario);
        let before = world.input();
        assert_eq!((observe(&mut world, found, second), world.input()), (Verdict::Duplicate, before), "{scenario}");
    }
}

#[test]
fn observation_is_dropped_if_an_event_was_recorded_after_its_view() {
    for name in ["connected", "disconnected", "ERR_UNHEALTHY"] {
        let mut world = play("0s connected");
        let outdated = observation(&world.fold, 1, Observed::Disconnected, at(100));
        apply_event(&mut world, name, 90, 99);
        let before = world.input();
        assert_eq!((world.record(outdated), world.input()), (Verdict::Duplicate, before), "{name}");
    }
    // A repetition of a known event is none.
    let mut world = play("0s connected");
    let current = observation(&world.fold, 1, Observed::Disconnected, at(100));
    assert_eq!(apply_event(&mut world, "connected", 0, 99), Verdict::Duplicate);
    assert_eq!(world.record(current), RECORDED);
}

#[test]
fn counter_that_a_scrape_has_shown_does_not_fall_by_an_observation() {
    let mut world = play("0s connected; 800s scrape");
    observe(&mut world, Observed::Disconnected, 100);
    assert_eq!(world.input().counters(at(801), &rules()).connected_time.as_secs(), 800);
}

#[test]
fn deleted_input_is_forgotten_and_a_late_event_does_not_bring_it_back() {
    let mut world = play("0s connected; 10s disconnected; 90s connected");
    assert_eq!(observe(&mut world, Observed::Deleted, 100), RECORDED);
    assert_eq!((world.known(), world.finished_sessions(at(5000))), (vec![], 1));
    assert_eq!(observe(&mut world, Observed::Deleted, 101), RECORDED, "it is later");
    assert_eq!(observe(&mut world, Observed::Deleted, 101), Verdict::Duplicate);
    assert_eq!(apply_event(&mut world, "disconnected", 95, 120), Verdict::Ignored(IgnoredReason::TooOld));
    assert_eq!(observe(&mut world, Observed::Connected, 95), Verdict::Duplicate);
    assert_eq!(apply_event(&mut world, "connected", 130, 130), RECORDED);
    assert_eq!(world.known(), [input_id(1)]);
}

#[test]
fn deleted_input_without_records_is_remembered_as_forgotten() {
    let mut world = World::new();
    assert_eq!(observe(&mut world, Observed::Deleted, 100), RECORDED);
    assert_eq!(world.fold.state().forgotten().get(&input_id(1)), Some(at(100)));
    assert_eq!(apply_event(&mut world, "connected", 90, 120), Verdict::Ignored(IgnoredReason::TooOld));
    // It exists after all.
    assert_eq!(observe(&mut world, Observed::Connected, 130), RECORDED);
    assert_eq!((world.known(), world.fold.state().forgotten().len()), (vec![input_id(1)], 0));
}

#[test]
fn deleted_input_that_is_configured_is_known_without_a_state() {
    let mut world = World::new();
    world.change_rules(Rules { configured: [input_id(1)].into(), ..rules() });
    apply_event(&mut world, "connected", 5, 5);
    assert_eq!(observe(&mut world, Observed::Deleted, 100), RECORDED);
    assert_eq!((world.known(), world.input()), (vec![input_id(1)], Input::default()));
    assert_eq!(observe(&mut world, Observed::Deleted, 101), Verdict::Duplicate);
}

#[test]
fn observation_of_a_new_input_respects_the_maximum_number_of_inputs() {
    let mut world = World::new();
    for (input, verdict) in
        [(1, RECORDED), (2, RECORDED), (3, RECORDED), (4, Verdict::Ignored(IgnoredReason::TooManyInputs))]
    {
        let observed = observation(&world.fold, input, Observed::Connected, at(100));
        assert_eq!(world.record(observed), verdict, "{input}");
    }
}
