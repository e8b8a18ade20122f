//! Timelines, compared with a direct computation and with the counters of the fold.

use proptest::prelude::*;

use super::corrections::correction;
use super::observations::observation;
use super::*;

/// What happens, some time after the step before.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// An event that arrives late by this many seconds.
    Event {
        name: &'static str,
        late: u64,
    },
    Observe(Observed),
    Correct(Corrected),
}

fn event_step(latest: u64) -> impl Strategy<Value = Step> {
    let names = prop::sample::select(vec!["connected", "connected", "disconnected", "disconnected", "ERR_UNHEALTHY"]);
    (names, prop_oneof![2 => Just(0), 1 => 0..=latest]).prop_map(|(name, late)| Step::Event { name, late })
}

/// Steps with their distances in seconds.
pub(super) fn steps(latest: u64) -> impl Strategy<Value = Vec<(u64, Step)>> {
    let observe = prop::sample::select(Observed::ALL.to_vec()).prop_map(Step::Observe);
    let correct = prop::sample::select(Corrected::ALL.to_vec()).prop_map(Step::Correct);
    let step = prop_oneof![8 => event_step(latest), 1 => observe, 1 => correct];
    proptest::collection::vec((40u64..400, step), 1..40)
}

/// Applies the steps. Returns the records of a journal, and the time of the last step.
pub(super) fn record_all(world: &mut World, steps: &[(u64, Step)]) -> (Vec<Record>, u64) {
    let (mut records, mut now, mut forgotten) = (Vec::new(), 3000, 0);
    for (distance, step) in steps {
        now += distance;
        let kind = match step {
            Step::Event { name, late } => {
                RecordKind::Event(event(1, name, at((now - late).max(forgotten)), at(now)), None)
            }
            Step::Observe(found) => observation(&world.fold, 1, *found, at(now)),
            Step::Correct(to) => correction(1, *to, at(now)),
        };
        let verdict = world.record(kind.clone());
        if world.input().known_since.is_none() {
            // The events of a forgotten input that are late are not recorded until it has a new one.
            forgotten = now + 1;
        }
        if let Verdict::Recorded(note) = verdict {
            let mut kind = kind;
            if let RecordKind::Event(_, noted) = &mut kind {
                *noted = note;
            }
            let position = records.len() as u64 + 1;
            records.push(Record { position, recorded_at: at(now), ..record(kind, at(0)) });
        }
    }
    (records, now)
}

pub(super) fn timeline(start: Timeline, records: &[Record]) -> Timeline {
    let mut timeline = start;
    records.iter().for_each(|record| timeline.apply(record));
    timeline
}

fn state_at(timeline: &Timeline, time: Timestamp) -> Option<bool> {
    let states = timeline.states(true);
    states[states.partition_point(|(at, _)| *at <= time) - 1].1
}

/// The changes that the records have, in the order of their times: `None` where the input was forgotten.
fn direct_changes(records: &[Record]) -> Vec<(Timestamp, Option<bool>)> {
    let mut changes: Vec<(Timestamp, Option<bool>)> = Vec::new();
    for (position, record) in (1..).zip(records) {
        let (at, state) = match &record.kind {
            RecordKind::Event(_, Some(Note::OutOfOrder)) => continue,
            RecordKind::Event(event, _) if event.is_change() => {
                (event.updated_at, Some(event.kind == EventKind::Connected))
            }
            // A later event reports what was observed.
            RecordKind::Observation(observation) if is_reported(observation, &records[position..]) => continue,
            RecordKind::Observation(Observation { found, at, .. }) => {
                (*at, (*found != Observed::Deleted).then_some(*found == Observed::Connected))
            }
            RecordKind::Correction(Correction { to, at, .. }) => {
                (*at, (*to != Corrected::Forgotten).then_some(*to == Corrected::Connected))
            }
            RecordKind::Event(..)
            | RecordKind::Forgotten(_)
            | RecordKind::Exception(_)
            | RecordKind::Rules(_)
            | RecordKind::ClockSetBack => continue,
        };
        changes.push((at, state));
    }
    changes.sort_by_key(|(at, _)| *at);
    changes
}

fn is_reported(observation: &Observation, later: &[Record]) -> bool {
    later.iter().any(|record| {
        let RecordKind::Event(event, note) = &record.kind else { return false };
        let distance = event.updated_at.as_nanos().abs_diff(observation.at.as_nanos());
        let kind =
            if observation.found == Observed::Connected { EventKind::Connected } else { EventKind::Disconnected };
        observation.found != Observed::Deleted
            && *note != Some(Note::OutOfOrder)
            && event.kind == kind
            && distance <= 30_000_000_000
    })
}

/// The state at this time.
fn direct_state(changes: &[(Timestamp, Option<bool>)], time: Timestamp) -> Option<bool> {
    let until = &changes[..changes.partition_point(|(at, _)| *at <= time)];
    until.chunk_by(|one, next| one.0 == next.0).fold(None, |before, instant| {
        match instant {
            [(_, state)] => *state,
            _ if instant.iter().all(|(_, state)| *state == instant[0].1) => instant[0].1,
            // Connects and disconnects alternate, so the state is as before.
            _ => Some(before == Some(true)),
        }
    })
}

proptest! {
    #[test]
    fn states_equal_those_of_a_direct_computation_and_the_last_one_is_that_of_the_input(steps in steps(1500)) {
        let mut world = World::new();
        let (records, now) = record_all(&mut world, &steps);
        let timeline = timeline(Timeline::complete(), &records);
        prop_assert_eq!(state_at(&timeline, at(now)), world.input().evidence().map(|evidence| evidence.connected));
        let changes = direct_changes(&records);
        for second in (0..=now).step_by(13) {
            prop_assert_eq!(state_at(&timeline, at(second)), direct_state(&changes, at(second)), "at {} s", second);
        }
    }

    #[test]
    fn part_agrees_with_the_counters_of_two_views(
        before in proptest::collection::vec((400u64..800, event_step(300)), 0..12),
        after in proptest::collection::vec((400u64..800, event_step(300)), 1..12),
    ) {
        let (mut world, mut later) = (World::new(), World::new());
        let (_, midnight) = record_all(&mut world, &before);
        let steps = [before, after].concat();
        let (records, now) = record_all(&mut later, &steps);
        let timeline = timeline(Timeline::complete(), &records);
        let part = timeline.part(true, at(midnight), at(now), rules().reconnect_window);

        let counters = |world: &World, second| world.input().counters(at(second), &rules());
        let (old, new) = (counters(&world, midnight), counters(&later, now));
        prop_assert_eq!(part.connected_time, new.connected_time - old.connected_time);
        prop_assert_eq!(part.reconnects, new.reconnects - old.reconnects);
        // An event at midnight belongs to the day that begins.
        let at_midnight = records.iter().filter_map(Record::event).filter(|event| {
            event.updated_at == at(midnight) && event.kind == EventKind::Disconnected
        });
        let disconnects = later.input().events()[1] - world.input().events()[1];
        prop_assert_eq!(part.disconnects, disconnects + at_midnight.count() as u64);
    }

    #[test]
    fn sessions_agree_with_the_counters_and_durations_of_the_fold(steps in proptest::collection::vec((20u64..400, event_step(300)), 1..40)) {
        let mut world = World::new();
        let (records, now) = record_all(&mut world, &steps);
        let sessions = timeline(Timeline::complete(), &records).sessions(true, rules().reconnect_window);
        let counters = world.input().counters(at(now), &rules());
        // A session whose connect is not known, and that goes on after a reconnect, is not counted.
        let is_first = direct_changes(&records).first().is_some_and(|(_, state)| *state == Some(false));
        prop_assert!(sessions.len() as u64 - counters.sessions <= u64::from(is_first));
        prop_assert_eq!(sessions.iter().map(|session| u64::from(session.reconnects)).sum::<u64>(), counters.reconnects);
        let durations = world.fold.state().durations(at(now + 10_000)).session_duration;
        let ended = sessions.iter().filter_map(|session| session.ended?.since(session.began?));
        prop_assert_eq!(durations.sum_micros(), ended.map(|length| length.as_secs()).sum::<u64>() * 1_000_000);
        let is_connected = state(&world).is_some_and(|(connected, _)| connected);
        prop_assert_eq!(sessions.last().is_some_and(|session| session.ended.is_none()), is_connected);
    }

    #[test]
    fn state_before_the_first_change_follows_from_its_note(
        steps in proptest::collection::vec((400u64..800, event_step(300)), 2..30),
        split in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        let (records, now) = record_all(&mut world, &steps);
        let changes = |records: &[Record]| -> Vec<Record> {
            records.iter().filter(|record| record.event().is_some_and(Event::is_change)).cloned().collect()
        };
        let records = changes(&records);
        prop_assume!(records.len() > 1);
        let split = 1 + split.index(records.len() - 1);
        let whole = timeline(Timeline::complete(), &records);
        let mut rest = timeline(Timeline::default(), &records[split..]);
        let begin = records[split - 1].recorded_at.since(at(0)).unwrap().as_secs();
        for second in (begin..=now).step_by(29) {
            prop_assert_eq!(state_at(&rest, at(second)), state_at(&whole, at(second)), "at {} s", second);
        }
        let horizon = begin + (now - begin) / 2;
        rest.drop_until(at(horizon));
        for second in (horizon..=now).step_by(29) {
            prop_assert_eq!(state_at(&rest, at(second)), state_at(&whole, at(second)), "at {} s, without older changes", second);
        }
    }
}
