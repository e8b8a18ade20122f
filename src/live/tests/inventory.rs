//! Inputs that only Cloudflare's API knows, names and accounts.

use std::collections::BTreeMap;

use super::observations::ACCOUNT;
use super::*;

const OTHER: AccountId = AccountId::from_bytes([0xcc; 16]);

fn listed(account_id: AccountId, inputs: &[u8]) -> Inventory {
    let listed =
        |input: &u8| (input_id(*input), Listed { name: format!("listed {input}").into(), enabled: Some(true) });
    Inventory { account_id, inputs: inputs.iter().map(listed).collect() }
}

/// A world whose account has these inputs.
fn world(inputs: &[u8]) -> World {
    let mut world = World::new();
    world.fold.set_accounts([(ACCOUNT, "main".into()), (OTHER, "".into())].into());
    world.fold.set_inventory(listed(ACCOUNT, inputs));
    world
}

/// The known inputs, each part of the list read on its own.
fn known(world: &World) -> Vec<u8> {
    let state = world.fold.state();
    let mut known: Vec<u8> = Vec::new();
    let mut after = None;
    while let Some((input_id, _)) = state.known(after).next() {
        known.push(input_id.bytes()[0]);
        after = Some(input_id);
    }
    assert_eq!((known.len(), state.known(None).count()), (state.known_count(), state.known_count()));
    assert!(known.iter().all(|input| state.known_input(&input_id(*input)).is_some()));
    known
}

#[test]
fn listed_input_is_known_with_its_name_and_without_a_state_before_its_first_event() {
    let mut world = world(&[1, 3]);
    world.apply(&event(2, "connected", at(1), at(1)));
    assert_eq!(known(&world), [1, 2, 3]);
    let state = world.fold.state();
    assert_eq!([1, 2, 3].map(|input| state.name(&input_id(input))), ["listed 1", "", "listed 3"]);
    let (_, entry) = state.known(None).next().unwrap();
    assert_eq!((entry.input.evidence(), entry.input.events()), (None, [0, 0, 0]));
    assert_eq!(world.known(), [input_id(2)], "it is not part of the fold");
}

#[test]
fn configured_name_precedes_the_listed_one() {
    let mut world = world(&[1, 2]);
    let configured = |name: &str| Configured { name: name.into(), expectation: Expectation::Never };
    world.fold.set_configured([(input_id(1), configured("Chapel")), (input_id(2), configured(""))].into());
    assert_eq!([1, 2].map(|input| world.fold.state().name(&input_id(input))), ["Chapel", "listed 2"]);
}

#[test]
fn inputs_that_are_only_listed_give_way_to_inputs_with_events() {
    let mut world = world(&[1, 2, 3, 4, 5]);
    assert_eq!(known(&world), [1, 2, 3], "the maximum is 3");
    for (input, expected) in [(9, vec![1, 2, 9]), (1, vec![1, 2, 9]), (8, vec![1, 8, 9])] {
        assert_eq!(world.apply(&event(input, "connected", at(1), at(1))), Verdict::Recorded(None), "{input}");
        assert_eq!(known(&world), expected, "{input}");
    }
    assert_eq!(world.apply(&event(7, "connected", at(1), at(1))), Verdict::Ignored(IgnoredReason::TooManyInputs));
    world.change_rules(Rules { max_inputs: 5, ..rules() });
    assert_eq!(known(&world), [1, 2, 3, 8, 9]);
    world.change_rules(Rules { max_inputs: 4, ..rules() });
    assert_eq!(known(&world), [1, 2, 8, 9]);
}

#[test]
fn input_that_is_forgotten_stays_known_while_it_is_listed() {
    let mut world = world(&[1]);
    world.apply(&event(1, "connected", at(1), at(1)));
    world.record(RecordKind::Forgotten(input_id(1)));
    assert_eq!((world.known(), known(&world)), (vec![], vec![1]));
    world.fold.set_inventory(listed(ACCOUNT, &[]));
    assert!(known(&world).is_empty());
}

#[test]
fn listed_input_is_not_silent() {
    let mut world = world(&[1]);
    world.apply(&event(1, "disconnected", at(1), at(1)));
    world.apply(&event(2, "disconnected", at(1), at(1)));
    let limits = SearchLimits { visited: 9, found: 9 };
    assert_eq!(world.fold.state().silent_inputs(at(100), None, limits).found, [input_id(2)]);
}

#[test]
fn inputs_of_an_account_that_is_no_longer_configured_are_not_listed() {
    let mut world = world(&[1]);
    world.fold.set_inventory(listed(OTHER, &[2]));
    assert_eq!(known(&world), [1, 2]);
    world.fold.set_accounts([(OTHER, "".into())].into());
    assert_eq!(known(&world), [2]);
    assert_eq!((world.fold.state().inventory(&ACCOUNT), world.fold.state().listed(&input_id(1))), (None, None));
}

#[test]
fn account_is_the_configured_name_or_the_id_of_the_newest_envelope_or_of_the_list() {
    let account = |world: &World| {
        let state = world.fold.state();
        let input = state.known_input(&input_id(1)).map(|entry| entry.input.clone()).unwrap_or_default();
        state.account(&input_id(1), &input).into_owned()
    };
    let mut world = world(&[]);
    assert_eq!(account(&world), "");
    world.fold.set_inventory(listed(OTHER, &[1]));
    assert_eq!(account(&world), OTHER.to_string(), "it has no name");
    let mut from = |account_id: Option<AccountId>, second| {
        let origin = Origin { account_id, ..Origin::default() };
        world.apply(&Event { origin, ..event(1, "ERR_UNHEALTHY", at(second), at(second)) });
        account(&world)
    };
    assert_eq!(from(Some(ACCOUNT), 1), "main");
    assert_eq!(from(None, 2), "main", "an envelope without an id changes nothing");
    let unknown = AccountId::from_bytes([0xdd; 16]);
    assert_eq!(from(Some(unknown), 3), unknown.to_string());
}

#[test]
fn quality_is_that_of_the_newest_answer() {
    let mut world = world(&[1]);
    let quality = Quality { bitrate: Statistics { avg: Some(5e6), max: None }, ..Quality::default() };
    world.fold.set_quality(ACCOUNT, [(input_id(1), quality)].into());
    assert_eq!(world.fold.state().quality(&input_id(1)), Some(&quality));
    world.fold.set_quality(ACCOUNT, BTreeMap::new());
    assert_eq!(world.fold.state().quality(&input_id(1)), None);
}
