use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::simulate::{ERRORS, FactKind};

const INPUTS: u32 = 20;

fn start() -> Timestamp {
    "2026-11-20T18:00:00Z".parse().unwrap()
}

/// The first bursts of a script, at this interval.
fn bursts(scenario: Scenario, seed: u64, count: u32, interval: Duration) -> Vec<Vec<Notification>> {
    let mut script = Script::new(scenario, seed, INPUTS);
    (0..count).map(|position| script.next_burst(start().plus(interval * position))).collect()
}

fn notifications(scenario: Scenario) -> Vec<Notification> {
    bursts(scenario, 1, 2000, Duration::from_millis(200)).concat()
}

fn kinds(scenario: Scenario, seed: u64, interval: Duration) -> Vec<(InputId, FactKind)> {
    let notifications = bursts(scenario, seed, 500, interval).concat();
    notifications.into_iter().map(|notification| (notification.fact.input_id, notification.fact.kind)).collect()
}

/// The events of each input, in the order of delivery.
fn by_input(notifications: &[Notification]) -> BTreeMap<InputId, Vec<Fact>> {
    let mut facts = BTreeMap::<_, Vec<_>>::new();
    for Notification { fact, .. } in notifications {
        facts.entry(fact.input_id).or_default().push(*fact);
    }
    facts
}

fn errors(facts: &[Fact]) -> usize {
    facts.iter().filter(|fact| matches!(fact.kind, FactKind::Errored(_))).count()
}

#[test]
fn same_seed_gives_the_same_notifications() {
    let interval = Duration::from_millis(200);
    for scenario in Scenario::value_variants() {
        assert_eq!(bursts(*scenario, 1, 500, interval), bursts(*scenario, 1, 500, interval), "{scenario:?}");
        assert_ne!(kinds(*scenario, 1, interval), kinds(*scenario, 2, interval), "{scenario:?}");
    }
}

#[test]
fn events_do_not_depend_on_the_time() {
    for scenario in Scenario::value_variants() {
        let [slow, fast] = [Duration::from_secs(10), Duration::from_millis(1)];
        assert_eq!(kinds(*scenario, 7, slow), kinds(*scenario, 7, fast), "{scenario:?}");
    }
}

#[test]
fn every_scenario_reaches_every_input() {
    for scenario in Scenario::value_variants() {
        assert_eq!(by_input(&notifications(*scenario)).len(), INPUTS as usize, "{scenario:?}");
    }
}

#[test]
fn events_of_an_input_have_different_times() {
    for scenario in Scenario::value_variants() {
        for interval in [Duration::ZERO, Duration::from_millis(200)] {
            let notifications = bursts(*scenario, 1, 500, interval).concat();
            let mut facts = BTreeMap::new();
            for Notification { fact, .. } in &notifications {
                let known = facts.insert((fact.input_id, fact.updated_at), fact);
                assert!(known.is_none_or(|known| known == fact), "{scenario:?}: {fact:?} and {known:?}");
            }
        }
    }
}

#[test]
fn sent_at_is_a_whole_second_between_event_and_delivery() {
    for scenario in Scenario::value_variants() {
        for (position, burst) in (0..).zip(bursts(*scenario, 1, 500, Duration::from_secs(1))) {
            for notification in burst {
                let sent_at = notification.sent_at;
                assert!(notification.fact.updated_at <= sent_at, "{scenario:?}: {notification:?}");
                assert!(sent_at <= start().plus(Duration::from_secs(position)), "{scenario:?}: {notification:?}");
                assert_eq!(sent_at, whole_second(sent_at));
            }
        }
    }
}

#[test]
fn inputs_connect_and_disconnect_alternately() {
    for scenario in [Scenario::Steady, Scenario::Flapping, Scenario::Errors, Scenario::Storm] {
        for (input_id, facts) in by_input(&notifications(scenario)) {
            assert!(facts.is_sorted_by_key(|fact| fact.updated_at), "{scenario:?} {input_id}");
            let turns = facts.iter().filter(|fact| !matches!(fact.kind, FactKind::Errored(_)));
            for (turn, fact) in turns.enumerate() {
                assert_eq!(fact.kind == FactKind::Connected, turn % 2 == 0, "{scenario:?} {input_id} {turn}");
            }
        }
    }
}

#[test]
fn steady_has_most_inputs_live_and_few_errors() {
    let notifications = notifications(Scenario::Steady);
    let facts = by_input(&notifications);
    let live = facts.values().filter(|facts| {
        let mut turns = facts.iter().filter(|fact| !matches!(fact.kind, FactKind::Errored(_)));
        turns.next_back().is_some_and(|fact| fact.kind == FactKind::Connected)
    });
    assert!(live.count() >= 17);
    let errors: usize = facts.values().map(|facts| errors(facts)).sum();
    assert!((1..=100).contains(&errors), "{errors}");
}

#[test]
fn flapping_concentrates_on_a_tenth_of_the_inputs() {
    let mut counts: Vec<_> = by_input(&notifications(Scenario::Flapping)).values().map(Vec::len).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let (flapping, steady) = counts.split_at(2);
    assert!(flapping.iter().all(|count| *count > 600), "{counts:?}");
    assert!(steady.iter().all(|count| *count < 100), "{counts:?}");
}

#[test]
fn flapping_with_one_input_flaps_that_input() {
    let mut script = Script::new(Scenario::Flapping, 1, 1);
    let kinds = [(); 4].map(|()| script.next_burst(start())[0].fact.kind);
    let [on, off] = [FactKind::Connected, FactKind::Disconnected];
    assert_eq!(kinds, [on, off, on, off]);
}

#[test]
fn errors_has_every_code_and_affects_live_inputs_only() {
    let notifications = notifications(Scenario::Errors);
    for error in &ERRORS {
        let count = notifications.iter().filter(|it| it.fact.kind == FactKind::Errored(error)).count();
        assert!(count > 100, "{error:?}");
    }
    for facts in by_input(&notifications).values() {
        let mut connected = false;
        for fact in facts {
            match fact.kind {
                FactKind::Connected => connected = true,
                FactKind::Disconnected => connected = false,
                FactKind::Errored(_) => assert!(connected, "{fact:?}"),
            }
        }
    }
}

#[test]
fn storm_toggles_all_inputs_in_each_burst() {
    for (turn, burst) in bursts(Scenario::Storm, 1, 5, Duration::from_secs(4)).iter().enumerate() {
        let expected = if turn % 2 == 0 { FactKind::Connected } else { FactKind::Disconnected };
        assert!(burst.iter().all(|notification| notification.fact.kind == expected));
        assert_eq!((burst.len(), by_input(burst).len()), (INPUTS as usize, INPUTS as usize));
    }
}

#[test]
fn out_of_order_reorders_events_of_an_input_and_repeats_none() {
    let notifications = notifications(Scenario::OutOfOrder);
    let late = |facts: &Vec<Fact>| !facts.is_sorted_by_key(|fact| fact.updated_at);
    assert!(by_input(&notifications).values().filter(|facts| late(facts)).count() > 10);
    let distinct: BTreeSet<_> = notifications.iter().map(|it| (it.fact.input_id, it.fact.updated_at)).collect();
    assert_eq!(distinct.len(), notifications.len());
}

#[test]
fn duplicates_come_from_one_to_three_policies() {
    let notifications = notifications(Scenario::Duplicates);
    let mut copies = BTreeMap::<_, Vec<_>>::new();
    for it in &notifications {
        copies.entry((it.fact.input_id, it.fact.updated_at)).or_default().push(it);
    }
    for copies in copies.values() {
        let same_policy = |other: &&&Notification| other.policy == copies[0].policy;
        assert_eq!(copies.iter().filter(same_policy).count(), 1, "{copies:?}");
    }
    for count in 1..=3 {
        assert!(copies.values().filter(|copies| copies.len() == count).count() > 100, "{count}");
    }
}

#[test]
fn paused_input_has_no_event_until_others_had_theirs() {
    for scenario in [Scenario::Steady, Scenario::Flapping] {
        let mut script = Script::new(scenario, 1, 8);
        let paused = script.next_burst(start())[0].fact.input_id;
        script.pause(paused, 20);
        let next = (1..)
            .find(|second| script.next_burst(start().plus(Duration::from_secs(*second)))[0].fact.input_id == paused)
            .unwrap();
        assert!(next > 20, "{scenario}: {next}");
    }
}

#[test]
fn half_of_the_inputs_have_events_if_all_are_paused() {
    let mut script = Script::new(Scenario::Steady, 1, 8);
    let ids: Vec<_> = script.inputs().collect();
    for id in ids {
        script.pause(id, u64::MAX);
    }
    assert_eq!(script.inputs().count(), 4);
    script.next_burst(start());
}
