//! What holds for any sequence of events and views.

use proptest::prelude::*;

use super::*;

/// Something that happens: an event with its delay, or a view.
#[derive(Debug, Clone)]
enum Happening {
    Event { input: u8, name: &'static str, updated_at: u64, delay: u64 },
    View,
}

fn happening() -> impl Strategy<Value = Happening> {
    let names = prop_oneof!["connected", "disconnected", "ERR_UNHEALTHY", "ERR_NEW", "ERR_NEWER"]
        .prop_map(|name: String| -> &'static str { name.leak() });
    let event = (1u8..3, names, 0u64..40, prop_oneof![4 => 0u64..3, 1 => 0u64..400])
        .prop_map(|(input, name, step, delay)| Happening::Event { input, name, updated_at: step * 15, delay });
    prop_oneof![4 => event, 1 => Just(Happening::View)]
}

/// The happenings as a fold sees them: arriving one second after the other.
fn fold_all(world: &mut World, happenings: &[Happening], mut after: impl FnMut(&mut World)) {
    for (second, happening) in (600..).step_by(7).zip(happenings) {
        match happening {
            Happening::View => world.shown_until = world.shown_until.max(at(second)),
            Happening::Event { input, name, updated_at, delay } => {
                world.apply(&event(*input, name, at(updated_at + delay), at(second)));
            }
        }
        after(world);
    }
}

/// What must not depend on the order of arrival.
fn order_free(fold: &Fold) -> Vec<String> {
    let inputs = fold.state().inputs().iter();
    let parts = inputs.map(|(id, known)| {
        let input = &known.input;
        let evidence = input.evidence().map(|evidence| (evidence.connected, evidence.updated_at));
        let (events, last_event, errors) = (input.events(), input.last_event(), &input.errors);
        format!("{id} {evidence:?} {events:?} {last_event:?} {errors:?}")
    });
    parts.collect()
}

/// Everything that is exposed as a counter, at this time.
fn counters(fold: &Fold, as_of: Timestamp) -> Vec<u64> {
    let mut counters = Vec::new();
    for known in [1, 2].map(|input| fold.state().inputs().get(&input_id(input)).cloned().unwrap_or_default()) {
        let input = &known.input;
        let connected = u64::try_from(input.connected_time(as_of).as_nanos()).unwrap();
        counters.extend([connected, input.sessions, input.reconnects]);
        counters.extend(input.events().into_iter().chain(input.errors.counts()).chain(input.inconsistent));
    }
    let state = fold.state();
    let totals = state.totals();
    let durations = state.session_durations(as_of);
    for histogram in [&durations, &totals.reconnect_delay, &totals.source_delay, &totals.delivery_delay] {
        counters.extend(histogram.buckets().map(|(_, count)| count));
        counters.extend([histogram.count(), histogram.sum_micros()]);
    }
    counters.extend([totals.out_of_order, totals.clock_skew]);
    counters
}

/// The fold as a restart finds it: through its serialized parts.
fn restarted(fold: &Fold) -> Fold {
    let mut copy = Fold::new(fold.state().rules());
    let through_json = |value: serde_json::Value| value.to_string();
    let totals = through_json(serde_json::to_value(fold.state().totals()).unwrap());
    let deliveries = through_json(serde_json::to_value(fold.state().last_seen()).unwrap());
    copy.restore_totals(serde_json::from_str(&totals).unwrap());
    copy.restore_last_seen(serde_json::from_str(&deliveries).unwrap());
    for (id, known) in fold.state().inputs() {
        let input = serde_json::from_str(&serde_json::to_string(&known.input).unwrap()).unwrap();
        let identities = SeenEvents::decode(&known.identities.encode(&known.input), &input).unwrap();
        copy.restore_input(*id, input, identities);
    }
    copy
}

proptest! {
    #[test]
    fn any_shuffle_and_repetition_gives_the_same_order_free_part(
        (happenings, shuffled) in proptest::collection::vec(happening(), 1..60).prop_flat_map(|happenings| {
            let repeated = happenings.iter().chain(&happenings).cloned().collect::<Vec<_>>();
            (Just(happenings), Just(repeated).prop_shuffle())
        })
    ) {
        let (mut world, mut other) = (World::new(), World::new());
        fold_all(&mut world, &happenings, |_| {});
        fold_all(&mut other, &shuffled, |_| {});
        prop_assert_eq!(order_free(&world.fold), order_free(&other.fold));
    }

    #[test]
    fn no_counter_ever_falls_between_views(happenings in proptest::collection::vec(happening(), 1..80)) {
        let mut world = World::new();
        let mut before = counters(&world.fold, world.shown_until);
        fold_all(&mut world, &happenings, |world| {
            let now = counters(&world.fold, world.shown_until);
            assert!(now.iter().zip(&before).all(|(now, before)| now >= before), "{before:?} then {now:?}");
            before = now;
        });
    }

    #[test]
    fn a_batch_is_folded_like_its_events_one_after_the_other(
        happenings in proptest::collection::vec(happening(), 1..60),
        split in any::<prop::sample::Index>(),
        max_inputs in 0usize..3,
    ) {
        let events = happenings.iter().filter_map(|happening| match happening {
            Happening::Event { input, name, updated_at, .. } => Some(event(*input, name, at(*updated_at), at(600))),
            Happening::View => None,
        });
        let events: Vec<_> = events.collect();
        let fold_in = |batches: &mut dyn Iterator<Item = &[Event]>| {
            let mut fold = Fold::new(Rules { max_inputs, ..RULES });
            let mut verdicts = Vec::new();
            for batch in batches {
                let mut draft = fold.draft(at(0));
                verdicts.extend(batch.iter().map(|event| draft.consider(event)));
                let changes = draft.finish();
                fold.adopt(changes);
            }
            (fold, verdicts)
        };
        let (alone, verdicts_alone) = fold_in(&mut events.chunks(1));
        let (before, after) = events.split_at(split.index(events.len() + 1));
        let (together, verdicts) = fold_in(&mut [before, after].into_iter());
        prop_assert_eq!(verdicts, verdicts_alone);
        prop_assert_eq!(together.state().inputs(), alone.state().inputs());
        prop_assert_eq!(together.state().totals(), alone.state().totals());
    }

    #[test]
    fn a_restart_anywhere_changes_nothing(
        happenings in proptest::collection::vec(happening(), 1..60),
        split in any::<prop::sample::Index>(),
    ) {
        let split = split.index(happenings.len());
        let (mut whole, mut parts, mut steps) = (World::new(), World::new(), 0);
        fold_all(&mut whole, &happenings, |_| {});
        fold_all(&mut parts, &happenings, |world| {
            if steps == split {
                world.fold = restarted(&world.fold);
            }
            steps += 1;
        });
        prop_assert_eq!(parts.fold.state().inputs(), whole.fold.state().inputs());
        prop_assert_eq!(parts.fold.state().totals(), whole.fold.state().totals());
        prop_assert_eq!(order_free(&parts.fold), order_free(&whole.fold));
    }
}
