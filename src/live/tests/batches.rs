//! The state does not depend on batches and restarts, also at the limits.

use proptest::prelude::*;

use super::*;

/// Records of few inputs, so that they affect each other: events, forgettings, and rules with other limits and windows.
fn kind() -> impl Strategy<Value = RecordKind> {
    let names = prop::sample::select(vec!["connected", "disconnected", "ERR_UNHEALTHY", "ERR_NEW"]);
    let event = (1u8..5, names, 0u64..40)
        .prop_map(|(input, name, step)| RecordKind::Event(event(input, name, at(step * 15), at(900)), None));
    let windows = || prop::sample::select(vec![0u64, 60, 600]).prop_map(Duration::from_secs);
    let rules = (windows(), windows(), 1usize..5, prop::collection::btree_set(1u8..5, 0..2));
    let rules = rules.prop_map(|(reconnect_window, reorder_window, max_inputs, configured)| {
        let configured = configured.into_iter().map(input_id).collect();
        RecordKind::Rules(Arc::new(Rules { reconnect_window, reorder_window, max_inputs, configured }))
    });
    let corrected = (1u8..5, prop::sample::select(&Corrected::ALL[..]), 0u64..40);
    let correction = corrected.prop_map(|(input, to, step)| corrections::correction(input, to, at(step * 15)));
    let excepted = (1u8..5, prop::option::of(any::<bool>()), 0u64..40, 1u64..40);
    let exception = excepted.prop_map(|(input, expected, step, length)| {
        exceptions::exception(input, expected, at(step * 15), at((step + length) * 15))
    });
    let found = prop::sample::select(&Observed::ALL[..]);
    let observation = (1u8..5, found, 0u64..40, 0u64..4).prop_map(|(input, found, step, events)| {
        let (input_id, at) = (input_id(input), at(step * 15));
        RecordKind::Observation(Observation { input_id, found, at, events, account_id: observations::ACCOUNT })
    });
    let forgotten = (1u8..5).prop_map(|input| RecordKind::Forgotten(input_id(input)));
    prop_oneof![12 => event, 2 => correction, 4 => exception, 4 => observation, 2 => forgotten, 1 => rules]
}

/// Records with the scrapes in between.
pub(super) fn records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec((kind(), any::<bool>()), 1..60).prop_map(|steps| {
        let mut shown_until = at(0);
        let steps = (600..).step_by(7).zip(steps);
        let record = |(second, (kind, scrape)): (u64, _)| {
            if scrape {
                shown_until = at(second);
            }
            Record { position: 0, recorded_at: at(second), shown_until, kind }
        };
        steps.map(record).collect()
    })
}

/// A fold without records, with an inventory of two inputs.
pub(super) fn new_fold() -> Fold {
    with_inventory(Fold::new(rules()))
}

fn with_inventory(mut fold: Fold) -> Fold {
    fold.set_accounts([(observations::ACCOUNT, "".into())].into());
    let listed = [1, 2].map(|input| (input_id(input), Listed { name: "".into(), enabled: None }));
    fold.set_inventory(Inventory { account_id: observations::ACCOUNT, inputs: listed.into() });
    fold
}

/// A fold in which input 1 has a full deduplication memory.
fn full_memory() -> Fold {
    let mut fold = new_fold();
    let events = (0..dedup::MAX_SEEN_EVENTS as u64).map(|nanos| {
        let at = at(200).plus(Duration::from_nanos(nanos));
        record(RecordKind::Event(event(1, "ERR_UNHEALTHY", at, at), None), at)
    });
    let (changes, _) = apply(&fold, &events.collect::<Vec<_>>());
    fold.adopt(changes);
    fold
}

fn adopt_in_batches<'a>(fold: &mut Fold, batches: impl Iterator<Item = &'a [Record]>) -> Vec<Verdict> {
    let mut all = Vec::new();
    for batch in batches {
        let (changes, verdicts) = apply(fold, batch);
        fold.adopt(changes);
        all.extend(verdicts);
    }
    all
}

pub(super) fn assert_same(one: &Fold, other: &Fold) {
    let (one, other) = (one.state(), other.state());
    assert_eq!(one.inputs(), other.inputs());
    assert_eq!(one.totals(), other.totals());
    assert_eq!(one.forgotten(), other.forgotten());
    assert_eq!(one.exceptions(), other.exceptions());
    assert_eq!(one.rules(), other.rules());
    assert_eq!(one.seen_limits, other.seen_limits);
}

/// The fold after a restart. Rows are from the given positions, the checkpoint is from the earliest of them.
pub(super) fn restored(
    folds: &[(u64, Fold)],
    appended: &[Record],
    row_moment: impl Fn(&InputId) -> usize,
    mut adopt: impl FnMut(&mut Fold, &[Record]),
) -> Fold {
    let (position, first) = &folds[0];
    let (last, newest) = folds.last().unwrap();
    let mut fold = Fold::new(first.state().rules().clone());
    fold.restore_totals(newest.state().totals().clone(), *last);
    for input_id in (1..5).map(input_id) {
        let (position, moment) = &folds[row_moment(&input_id)];
        let entry = moment.state().inputs().get(&input_id);
        let exception = moment.state().exceptions().get(&input_id);
        if let Some(exception) = exception {
            fold.restore_exception(input_id, exception.clone());
            fold.set_input_position(input_id, *position);
        }
        if let Some(entry) = entry.filter(|entry| entry.input.known_since.is_some()) {
            let (input, decoded) = Input::decode(Input::VERSION, &entry.input.encode(exception)).unwrap();
            assert_eq!(decoded.as_ref(), exception);
            fold.restore_input(input_id, InputEntry { input, seen: SeenEvents::decode(&entry.seen.encode()).unwrap() });
            fold.set_input_position(input_id, *position);
        } else if let Some(at) = moment.state().forgotten().get(&input_id) {
            fold.restore_forgotten(input_id, at);
            fold.set_input_position(input_id, *position);
        }
    }
    let replayed: Vec<_> = appended.iter().filter(|record| record.position > *position).cloned().collect();
    replayed.chunks(7).for_each(|batch| adopt(&mut fold, batch));
    fold.end_replay();
    fold
}

proptest! {
    #[test]
    fn any_split_into_batches_gives_the_same_state_and_verdicts(
        records in records(),
        splits in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        full in any::<bool>(),
    ) {
        let start = || if full { full_memory() } else { new_fold() };
        let (mut alone, mut together) = (start(), start());
        let verdicts_alone = adopt_in_batches(&mut alone, records.chunks(1));
        let mut splits: Vec<_> = splits.iter().map(|split| split.index(records.len() + 1)).collect();
        splits.extend([0, records.len()]);
        splits.sort_unstable();
        let batches = splits.windows(2).map(|range| &records[range[0]..range[1]]);
        let verdicts = adopt_in_batches(&mut together, batches);
        prop_assert_eq!(verdicts, verdicts_alone);
        assert_same(&together, &alone);
    }

    #[test]
    fn restart_from_rows_of_different_moments_changes_nothing(
        records in records(),
        moments in prop::collection::vec(any::<prop::sample::Index>(), 3),
        rows in prop::collection::vec(0usize..3, 5),
    ) {
        let mut moments: Vec<_> = moments.iter().map(|moment| moment.index(records.len() + 1)).collect();
        moments.sort_unstable();
        let (mut fold, mut appended, mut folds) = (new_fold(), Vec::new(), Vec::new());
        let mut save = |fold: &Fold, appended: &[Record], count| {
            for _ in moments.iter().filter(|moment| **moment == count) {
                let mut copy = Fold::new(rules());
                let (changes, _) = apply(&copy, appended);
                copy.adopt(changes);
                assert_same(&copy, fold);
                folds.push((appended.len() as u64, copy));
            }
        };
        save(&fold, &appended, 0);
        for (count, record) in (1..).zip(records) {
            let verdicts = adopt_in_batches(&mut fold, std::iter::once(std::slice::from_ref(&record)));
            if matches!(verdicts[..], [Verdict::Recorded(_)]) {
                let position = appended.len() as u64 + 1;
                appended.push(Record { position, ..record });
            }
            save(&fold, &appended, count);
        }
        let row_moment = |input_id: &InputId| rows[usize::from(input_id.digits()[1] - b'0')];
        let restarted = restored(&folds, &appended, row_moment, |fold, batch| {
            adopt_in_batches(fold, std::iter::once(batch));
        });
        assert_same(&restarted, &fold);
    }
}
