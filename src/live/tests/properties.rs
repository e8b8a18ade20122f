//! Properties of arbitrary sequences of events and scrapes.

use proptest::prelude::*;

use super::observations::observation;
use super::*;

/// An event with its delay, an observation, or a scrape.
#[derive(Debug, Clone)]
enum Step {
    Event {
        input: u8,
        name: &'static str,
        updated_at: u64,
        delay: u64,
    },
    /// What Cloudflare's API says now about a state that began this long ago.
    Observe {
        input: u8,
        found: Observed,
        ago: u64,
    },
    Scrape,
}

fn step() -> impl Strategy<Value = Step> {
    let names = prop_oneof!["connected", "disconnected", "ERR_UNHEALTHY", "ERR_NEW", "ERR_NEWER"]
        .prop_map(|name: String| -> &'static str { name.leak() });
    let event = (1u8..3, names, 0u64..40, prop_oneof![4 => 0u64..3, 1 => 0u64..400])
        .prop_map(|(input, name, minute, delay)| Step::Event { input, name, updated_at: minute * 15, delay });
    prop_oneof![4 => event, 1 => Just(Step::Scrape)]
}

/// Without deletions, which end the counters of an input.
fn step_or_observation() -> impl Strategy<Value = Step> {
    let found = prop::sample::select(vec![Observed::Connected, Observed::Disconnected]);
    let observe = (1u8..3, found, 0u64..60).prop_map(|(input, found, ago)| Step::Observe { input, found, ago });
    prop_oneof![3 => step(), 1 => observe]
}

/// Applies the steps, seven seconds apart.
fn fold_all(world: &mut World, steps: &[Step], mut after: impl FnMut(&mut World)) {
    for (second, step) in (600..).step_by(7).zip(steps) {
        match step {
            Step::Scrape => world.shown_until = world.shown_until.max(at(second)),
            Step::Event { input, name, updated_at, delay } => {
                world.apply(&event(*input, name, at(updated_at + delay), at(second)));
            }
            Step::Observe { input, found, ago } => {
                world.record(observation(&world.fold, *input, *found, at(second - ago)));
            }
        }
        after(world);
    }
}

/// The part of the state that does not depend on the order of arrival.
pub(super) fn order_free(fold: &Fold) -> Vec<String> {
    let inputs = fold.state().inputs().iter();
    let parts = inputs.map(|(id, known)| {
        let input = &known.input;
        let evidence = input.evidence().map(|evidence| (evidence.connected, evidence.updated_at));
        let (events, last_event, errors) = (input.events(), input.last_event(), &input.errors);
        format!("{id} {evidence:?} {events:?} {last_event:?} {errors:?}")
    });
    parts.collect()
}

/// Number of counters of each of the two inputs, which come first in [`counters`].
pub(super) const PER_INPUT: usize = 15;

/// Every counter, at this time.
pub(super) fn counters(fold: &Fold, as_of: Timestamp) -> Vec<u64> {
    let mut counters = Vec::new();
    for known in [1, 2].map(|input| fold.state().inputs().get(&input_id(input)).cloned().unwrap_or_default()) {
        let input = &known.input;
        let counted = input.counters(as_of, fold.state().rules());
        let connected = u64::try_from(counted.connected_time.as_nanos()).unwrap();
        counters.extend([connected, counted.sessions, counted.reconnects]);
        counters.extend(input.events().into_iter().chain(input.errors.counts()).chain(counted.inconsistent));
    }
    let state = fold.state();
    let totals = state.totals();
    let durations = state.durations(as_of);
    let histograms =
        [&durations.session_duration, &durations.reconnect_delay, &totals.source_delay, &totals.delivery_delay];
    for histogram in histograms {
        counters.extend(histogram.buckets().map(|(_, count)| count));
        counters.extend([histogram.count(), histogram.sum_micros()]);
    }
    counters.extend([totals.out_of_order, totals.clock_skew]);
    counters
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_change_the_order_independent_state(
        (steps, shuffled) in proptest::collection::vec(step(), 1..60).prop_flat_map(|steps| {
            let repeated = steps.iter().chain(&steps).cloned().collect::<Vec<_>>();
            (Just(steps), Just(repeated).prop_shuffle())
        })
    ) {
        let (mut world, mut other) = (World::new(), World::new());
        fold_all(&mut world, &steps, |_| {});
        fold_all(&mut other, &shuffled, |_| {});
        prop_assert_eq!(order_free(&world.fold), order_free(&other.fold));
    }

    #[test]
    fn counters_never_fall_between_scrapes(steps in proptest::collection::vec(step_or_observation(), 1..80)) {
        let mut world = World::new();
        let mut before = counters(&world.fold, world.shown_until);
        fold_all(&mut world, &steps, |world| {
            let now = counters(&world.fold, world.shown_until);
            assert!(now.iter().zip(&before).all(|(now, before)| now >= before), "{before:?} then {now:?}");
            before = now;
        });
    }
}
