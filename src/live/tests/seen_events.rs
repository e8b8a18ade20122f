//! Deduplication memory and its encoding.

use super::*;

#[test]
fn seen_events_are_decoded_completely_and_in_order_or_not_at_all() {
    let seen = &play("5s connected; 3s connected").fold.state().inputs()[&input_id(1)].seen.clone();
    let encoded = seen.encode();
    assert_eq!((seen.encoded_size(), encoded.len()), (24, 24));
    assert_eq!(SeenEvents::decode(&encoded).as_ref(), Some(seen));
    assert_eq!(SeenEvents::decode(&[&encoded[..], &[0]].concat()), None);
    assert_eq!(SeenEvents::decode(&[&encoded[12..], &encoded[..12]].concat()), None);
}

#[test]
fn checkpoint_format_of_seen_events_is_stable() {
    let world = play("1s connected; 2s ERR_NEW; 3s ERR_UNHEALTHY; 4s disconnected; 5s ERR_UNHEALTHY");
    // The first bytes of SHA-256: printf ERR_NEW | sha256sum
    let (new, unhealthy) = ([0x79, 0xca, 0x76, 0x00], [0xe9, 0x81, 0x76, 0x38]);
    let kinds = [[0, 0, 0, 0], new, unhealthy, [1, 0, 0, 0], unhealthy];
    let form = (1..).zip(kinds).map(|(second, kind)| [&at(second).as_nanos().to_le_bytes()[..], &kind].concat());
    let encoded = world.fold.state().inputs()[&input_id(1)].seen.encode();
    assert_eq!(encoded, form.collect::<Vec<_>>().concat());
}

#[test]
fn event_older_than_a_full_memory_is_too_old() {
    let mut world = World::new();
    let max = dedup::MAX_SEEN_EVENTS as u64;
    for second in 1..=max + 2 {
        world.apply(&event(1, "ERR_UNHEALTHY", at(second), at(second)));
    }
    let seen = &world.fold.state().inputs()[&input_id(1)].seen;
    assert_eq!(seen.encoded_size(), dedup::MAX_SEEN_EVENTS * 12);
    for (second, verdict) in [
        (2, Verdict::Ignored(IgnoredReason::TooOld)),
        (3, Verdict::Duplicate),
        (max + 2, Verdict::Duplicate),
        (max + 3, Verdict::Recorded(None)),
    ] {
        assert_eq!(world.apply(&event(1, "ERR_UNHEALTHY", at(second), at(9999))), verdict, "{second}");
    }
    assert_eq!(world.apply(&event(2, "connected", at(1), at(9999))), Verdict::Recorded(None));
}
