//! Deduplication memory and its encoding.

use super::*;

#[test]
fn seen_events_are_decoded_completely_in_any_order_or_not_at_all() {
    let seen = &play("5s ERR_NEW; 3s ERR_NEW").fold.state().inputs()[&input_id(1)].seen.clone();
    let encoded = seen.encode();
    assert_eq!((seen.encoded_size(), encoded.len()), (24, 24));
    assert_eq!(SeenEvents::decode(&encoded).as_ref(), Some(seen));
    assert_eq!(SeenEvents::decode(&[&encoded[12..], &encoded[..12]].concat()).as_ref(), Some(seen));
    assert_eq!(SeenEvents::decode(&[&encoded[..], &[0]].concat()), None);
}

#[test]
fn checkpoint_format_of_seen_events_is_stable() {
    let mut world = play("1s connected; 2s ERR_NEW; 3s ERR_UNHEALTHY; 4s disconnected; 5s ERR_UNHEALTHY");
    world.record(RecordKind::Rules(Arc::new(Rules { reorder_window: Duration::ZERO, ..rules() })));
    // The first bytes of SHA-256: printf ERR_NEW | sha256sum
    let (new, unhealthy) = ([0x79, 0xca, 0x76, 0x00], [0xe9, 0x81, 0x76, 0x38]);
    let kinds = [(1, [0, 0, 0, 0]), (4, [1, 0, 0, 0]), (2, new), (3, unhealthy), (5, unhealthy)];
    let form = kinds.map(|(second, kind)| [&at(second).as_nanos().to_le_bytes()[..], &kind].concat());
    let encoded = world.fold.state().inputs()[&input_id(1)].seen.encode();
    assert_eq!(encoded, form.concat());
}

#[test]
fn late_change_is_recorded_although_there_are_more_errors_than_the_memory_holds() {
    let mut world = play("0s connected");
    for nanos in 0..dedup::MAX_SEEN_EVENTS as u64 + 2 {
        let at = at(500).plus(Duration::from_nanos(nanos));
        world.apply(&event(1, "ERR_UNHEALTHY", at, at));
    }
    assert_eq!(world.apply(&event(1, "disconnected", at(300), at(501))), Verdict::Recorded(None));
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
