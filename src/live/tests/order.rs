//! Within the reorder window, the order of arrival makes no difference.

use proptest::prelude::*;

use super::*;

const WINDOW: u64 = 300;

/// An event with the delay of its arrival.
type Sent = (u8, &'static str, u64, u64);

/// Events of two inputs, with ties and repeats, delayed within the reorder window.
fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let names = prop::sample::select(vec!["connected", "disconnected", "ERR_UNHEALTHY"]);
    let delay = prop_oneof![2 => Just(0), 3 => 0..WINDOW];
    let events = prop::collection::vec((1u8..3, names, 0u64..90, delay), 1..60);
    (events, prop::sample::select(vec![2, 20, 60])).prop_map(|(sent, pace)| {
        sent.into_iter().map(|(input, name, step, delay)| (input, name, step * pace, delay)).collect()
    })
}

fn received(sent: &Sent) -> Event {
    let (input, name, second, delay) = *sent;
    event(input, name, at(second), at(second + delay))
}

/// In the order of arrival.
fn arriving(sent: &[Sent]) -> Vec<Event> {
    let mut events: Vec<_> = sent.iter().map(received).collect();
    events.sort_by_key(|event| event.received_at);
    events
}

/// Each event once, in the order of event time, at its event time.
fn in_order(sent: &[Sent]) -> Vec<Event> {
    let mut sent = sent.to_vec();
    sent.iter_mut().for_each(|(.., delay)| *delay = 0);
    sent.sort_by_key(|(input, name, second, _)| (*second, *input, *name));
    sent.dedup();
    arriving(&sent)
}

/// State, counters, events, newest events, errors.
type InputValues = (Option<(bool, Timestamp, Timestamp)>, Counters, [u64; 3], [Option<Timestamp>; 3], Errors);

/// The values that a history leads to, of both inputs.
#[derive(Debug, PartialEq, Eq)]
struct Values {
    inputs: Vec<InputValues>,
    durations: Durations,
}

fn values(fold: &Fold, as_of: Timestamp) -> Values {
    let inputs = [1, 2].map(|input| {
        let entry = fold.state().inputs().get(&input_id(input)).cloned().unwrap_or_default();
        let input = &entry.input;
        let evidence = input.evidence().map(|evidence| (evidence.connected, evidence.updated_at, evidence.since));
        let counters = input.counters(as_of, fold.state().rules());
        (evidence, counters, input.events(), input.last_event(), input.errors.clone())
    });
    Values { inputs: inputs.into(), durations: fold.state().durations(as_of) }
}

/// The fold after a restart that reads everything from a checkpoint.
fn restarted(fold: &Fold) -> Fold {
    let mut restarted = Fold::new(rules());
    restarted.restore_totals(fold.state().totals().clone(), 0);
    for (input_id, entry) in fold.state().inputs() {
        let (input, _) = Input::decode(Input::VERSION, &entry.input.encode(None)).unwrap();
        let seen = SeenEvents::decode(&entry.seen.encode()).unwrap();
        restarted.restore_input(*input_id, InputEntry { input, seen });
    }
    restarted
}

/// Folds events in batches of the given sizes, with a restart after each batch of an even size.
fn folded(events: &[Event], mut sizes: impl Iterator<Item = usize>) -> Fold {
    let mut fold = Fold::new(rules());
    let mut rest = events;
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (batch, later) = rest.split_at(size);
        rest = later;
        let records = batch.iter().map(|event| Record {
            recorded_at: event.received_at,
            ..record(RecordKind::Event(event.clone(), None), at(0))
        });
        let (changes, _) = apply(&fold, &records.collect::<Vec<_>>());
        fold.adopt(changes);
        if size.is_multiple_of(2) {
            fold = restarted(&fold);
        }
    }
    fold
}

/// A direct computation from all changes of one input in order: connected, sessions, reconnects, inconsistent events,
/// connected seconds, reconnect delays, durations of finished sessions.
fn expected(events: &[Event], input: u8, end: u64) -> (Option<bool>, [u64; 4], u64, Vec<u64>, Vec<u64>) {
    let window = rules().reconnect_window.as_secs();
    let second = |event: &Event| event.updated_at.since(at(0)).unwrap().as_secs();
    let mut changes: Vec<(u64, bool)> = events
        .iter()
        .filter(|event| event.input_id == input_id(input) && event.is_change())
        .map(|event| (second(event), event.kind == EventKind::Connected))
        .collect();
    changes.sort_unstable();
    let (mut state, mut since, mut began) = (None, 0, None);
    let (mut counts, mut connected, mut delays, mut sessions) = ([0; 4], 0, vec![], vec![]);
    while let Some((at, _)) = changes.first().copied() {
        let both = changes.get(1).is_some_and(|(next, _)| *next == at);
        let kinds: Vec<bool> = match (both, state) {
            (true, Some(true)) => vec![false, true],
            (true, _) => vec![true, false],
            (false, _) => vec![changes[0].1],
        };
        changes.drain(..kinds.len());
        for kind in kinds {
            match (state, kind) {
                (Some(before), _) if before == kind => {
                    counts[if kind { 2 } else { 3 }] += 1;
                    continue;
                }
                (Some(true), _) => connected += at - since,
                (Some(false), _) => {
                    delays.push(at - since);
                    if at - since > window {
                        sessions.extend(began.take().map(|began| since - began));
                        counts[0] += 1;
                    } else {
                        counts[1] += 1;
                    }
                    began = began.or(Some(at));
                }
                (None, true) => {
                    counts[0] += 1;
                    began = Some(at);
                }
                (None, false) => {}
            }
            (state, since) = (Some(kind), at);
        }
    }
    match state {
        Some(true) => connected += end - since,
        _ => sessions.extend(began.map(|began| since - began)),
    }
    delays.retain(|delay| *delay <= 3600);
    (state, counts, connected, delays, sessions)
}

fn scrapes() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0u64..3000, 0..40)
}

/// The world after these events with scrapes in between, and the counters that the last scrape showed. No counter may
/// fall from one scrape to the next.
fn scraped(sent: &[Sent], scrapes: &[u64]) -> (World, Vec<u64>) {
    let second = |event: &Event| event.received_at.since(at(0)).unwrap().as_secs();
    let events = arriving(sent).into_iter().map(|event| (second(&event), Some(event)));
    let mut steps: Vec<_> = events.chain(scrapes.iter().map(|second| (*second, None))).collect();
    steps.sort_by_key(|(second, _)| *second);
    let mut world = World::new();
    let mut shown = properties::counters(&world.fold, at(0));
    for (second, event) in steps {
        if let Some(event) = event {
            world.apply(&event);
            continue;
        }
        world.shown_until = at(second).max(world.shown_until.plus(Duration::from_micros(1)));
        let now = properties::counters(&world.fold, world.shown_until);
        assert!(now.iter().zip(&shown).all(|(now, before)| now >= before), "{shown:?} then {now:?}");
        shown = now;
    }
    (world, shown)
}

proptest! {
    #[test]
    fn arrival_within_the_window_gives_the_state_of_the_events_in_order(
        sent in sent(),
        sizes in prop::collection::vec(1usize..9, 0..20),
    ) {
        let sorted = in_order(&sent);
        let end = at(9000);
        let actual = values(&folded(&arriving(&sent), sizes.into_iter()), end);
        prop_assert_eq!(&actual, &values(&folded(&sorted, std::iter::repeat(1)), end));

        let mut expected_delays = Histogram::new(&[]);
        let mut expected_sessions = Histogram::new(&[]);
        for (input, (evidence, counters, ..)) in (1..).zip(&actual.inputs) {
            let (connected, counts, seconds, delays, sessions) = expected(&sorted, input, 9000);
            prop_assert_eq!(evidence.map(|(connected, ..)| connected), connected);
            let Counters { sessions: begun, reconnects, inconsistent: [connects, disconnects], connected_time } = *counters;
            prop_assert_eq!([begun, reconnects, connects, disconnects], counts);
            prop_assert_eq!(connected_time, Duration::from_secs(seconds));
            delays.iter().for_each(|delay| expected_delays.observe(Duration::from_secs(*delay)));
            sessions.iter().for_each(|session| expected_sessions.observe(Duration::from_secs(*session)));
        }
        let Durations { session_duration, reconnect_delay } = &actual.durations;
        for (histogram, expected) in [(session_duration, expected_sessions), (reconnect_delay, expected_delays)] {
            prop_assert_eq!((histogram.count(), histogram.sum_micros()), (expected.count(), expected.sum_micros()));
        }
    }

    #[test]
    fn no_counter_falls_and_each_reaches_the_truth_or_what_was_shown(
        sent in sent(),
        scrapes in scrapes(),
        late in prop::collection::vec(0u64..2000, 0..4),
    ) {
        let mut sent = sent;
        for ((.., delay), late) in sent.iter_mut().zip(late) {
            *delay += late;
        }
        let (world, shown) = scraped(&sent, &scrapes);
        let (unseen, _) = scraped(&sent, &[]);
        let [now, truth] = [&world, &unseen].map(|world| properties::counters(&world.fold, at(9000)));
        prop_assert!(now.iter().zip(&shown).all(|(now, before)| now >= before), "{shown:?} then {now:?}");
        for index in 0..properties::PER_INPUT * 2 {
            prop_assert_eq!(now[index], truth[index].max(shown[index]), "{}", index);
        }
    }

    #[test]
    fn what_a_scrape_shows_as_settled_is_final(sent in sent(), scrapes in scrapes(), lag in 0u64..900) {
        // A backlog arrives late as a whole, without a pause as long as the window.
        let sent: Vec<Sent> =
            sent.into_iter().map(|(input, name, second, delay)| (input, name, second, delay + lag)).collect();
        let events = arriving(&sent);
        let pauses = (1..3u8).flat_map(|input| {
            // A repeat is not recorded.
            let mut seen = BTreeSet::new();
            let mut is_new = |event: &&Event| seen.insert(dedup::Identity::of(event));
            let of_input: Vec<_> =
                events.iter().filter(|event| event.input_id == input_id(input) && is_new(event)).collect();
            of_input.windows(2).map(|pair| pair[1].received_at.since(pair[0].received_at)).collect::<Vec<_>>()
        });
        prop_assume!(lag == 0 || pauses.into_iter().all(|pause| pause < Some(rules().reorder_window)));
        let (world, _) = scraped(&sent, &scrapes);
        let (unseen, _) = scraped(&sent, &[]);
        let [with, without] = [&world, &unseen].map(|world| values(&world.fold, at(9000)));
        prop_assert_eq!(with.durations, without.durations);
        for (with, without) in with.inputs.iter().zip(&without.inputs) {
            prop_assert_eq!(with.1.inconsistent, without.1.inconsistent);
        }
    }
}
