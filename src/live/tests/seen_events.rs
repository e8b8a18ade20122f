//! What is remembered of events, and in which form.

use super::*;

#[test]
fn identities_are_read_whole_and_in_order_or_not_at_all() {
    let mut fold = Fold::new(RULES);
    for second in [5, 3] {
        fold.replay(&event(1, "connected", at(second), at(6)), at(0), true);
    }
    let InputEntry { input, identities } = &*fold.state().inputs()[&input_id(1)];
    let encoded = identities.encode(input);
    assert_eq!((identities.encoded_size(), encoded.len()), (12, 24), "the newest is told by the state");
    assert_eq!(SeenEvents::decode(&encoded, input).as_ref(), Some(identities));
    assert_eq!(SeenEvents::decode(&[&encoded[..], &[0]].concat(), input), None);
    assert_eq!(SeenEvents::decode(&[&encoded[12..], &encoded[..12]].concat(), input), None);
}

#[test]
fn identities_keep_their_form_and_those_that_the_state_tells_are_among_them() {
    let mut fold = Fold::new(RULES);
    for (second, name) in
        [(1, "connected"), (2, "ERR_NEW"), (3, "ERR_UNHEALTHY"), (4, "disconnected"), (5, "ERR_UNHEALTHY")]
    {
        fold.replay(&event(1, name, at(second), at(6)), at(0), true);
    }
    let InputEntry { input, identities } = &*fold.state().inputs()[&input_id(1)];
    // The first bytes of SHA-256: printf ERR_NEW | sha256sum
    let (new, unhealthy) = ([0x79, 0xca, 0x76, 0x00], [0xe9, 0x81, 0x76, 0x38]);
    let kinds = [[0, 0, 0, 0], new, unhealthy, [1, 0, 0, 0], unhealthy];
    let form = (1..).zip(kinds).map(|(second, kind)| [&at(second).as_nanos().to_le_bytes()[..], &kind].concat());
    let encoded = identities.encode(input);
    assert_eq!(encoded, form.collect::<Vec<_>>().concat());
    let read = SeenEvents::decode(&encoded, input).unwrap();
    assert_eq!((&read, read.encoded_size()), (identities, 12), "all but one are the newest of their kind");
}

#[test]
fn what_is_older_than_a_full_memory_is_too_old() {
    let mut world = World::new();
    let remembered = dedup::MAX_SEEN_EVENTS as u64;
    world.apply(&event(1, "ERR_NEW", at(0), at(0)));
    for second in 1..=remembered + 2 {
        world.apply(&event(1, "ERR_UNHEALTHY", at(second), at(second)));
    }
    let identities = &world.fold.state().inputs()[&input_id(1)].identities;
    assert_eq!(identities.encoded_size(), dedup::MAX_SEEN_EVENTS * 12, "no more than that are remembered");
    let verdict = |world: &mut World, second| world.apply(&event(1, "ERR_UNHEALTHY", at(second), at(9999)));
    assert_eq!(verdict(&mut world, 1), Verdict::Ignored(crate::event::IgnoredReason::TooOld));
    assert_eq!(verdict(&mut world, 2), Verdict::Duplicate);
    assert_eq!(verdict(&mut world, remembered + 2), Verdict::Duplicate);
    let other = |world: &mut World, second| world.apply(&event(1, "ERR_NEW", at(second), at(9999)));
    assert_eq!(other(&mut world, 0), Verdict::Duplicate, "older than all, but still the newest of its class");
    assert_eq!(other(&mut world, 1), Verdict::Ignored(crate::event::IgnoredReason::TooOld));
    assert_eq!(world.apply(&event(2, "connected", at(1), at(9999))), Verdict::Recorded(Note::Plain));
}
