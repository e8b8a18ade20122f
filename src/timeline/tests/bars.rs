//! Bars of given states.

use super::*;
use crate::timeline::{Bar, BarState};

const ALWAYS: [(Timestamp, bool); 1] = [(Timestamp::EPOCH, true)];
const NEVER: [(Timestamp, bool); 1] = [(Timestamp::EPOCH, false)];

/// Runs of steps, from the oldest.
fn runs(bar: &Bar) -> Vec<(usize, &'static str)> {
    bar.steps().chunk_by(|one, next| one == next).map(|run| (run.len(), run[0].class())).collect()
}

#[test]
fn bar_shows_24_hours_up_to_the_end_of_the_current_step() {
    let states = [(Timestamp::EPOCH, None), (at("06:00:00"), Some(true)), (at("12:00:00"), Some(false))];
    let expected = [(Timestamp::EPOCH, true), (at("13:00:00"), false)];
    let bar = Bar::new(at("18:02:03"), &states, &expected);
    assert_eq!(runs(&bar), [(143, "unknown"), (72, "live"), (12, "off-expected"), (61, "off")]);
    let durations = BarState::ALL.map(|state| bar.duration(state).as_secs());
    // Unknown since 18:05 of the day before, and up to the begin of the current step.
    assert_eq!(durations, [11 * 3600 + 55 * 60, 5 * 3600, 6 * 3600, 3600]);
}

#[test]
fn short_interruption_is_visible_only_if_the_input_is_expected() {
    let states = [(Timestamp::EPOCH, Some(true)), (at("12:01:00"), Some(false)), (at("12:01:05"), Some(true))];
    let bar = Bar::new(at("18:00:00"), &states, &ALWAYS);
    assert_eq!(runs(&bar), [(215, "live"), (1, "off-expected"), (72, "live")]);
    assert_eq!(bar.duration(BarState::OffExpected), Duration::from_secs(5));
    assert_eq!(runs(&Bar::new(at("18:00:00"), &states, &NEVER)), [(288, "live")]);
    let states = [(Timestamp::EPOCH, Some(false)), (at("12:01:00"), Some(true)), (at("12:01:05"), Some(false))];
    assert_eq!(runs(&Bar::new(at("18:00:00"), &states, &NEVER)), [(215, "off"), (1, "live"), (72, "off")]);
}

#[test]
fn image_is_small_and_stays_the_same_during_a_step() {
    let mut states = vec![(Timestamp::EPOCH, None)];
    let mut expected = vec![(Timestamp::EPOCH, false)];
    for (hour, connected) in [("02", true), ("04", false), ("08", true), ("10", false), ("17", true)] {
        states.push((at(&format!("{hour}:03:00")), Some(connected)));
        expected.push((at(&format!("{hour}:00:00")), connected));
    }
    let svg = Bar::new(at("18:00:00"), &states, &expected).svg();
    assert!(svg.len() <= 500, "{} bytes: {svg}", svg.len());
    assert_eq!(Bar::new(at("18:04:59"), &states, &expected).svg(), svg);
    assert_ne!(Bar::new(at("18:05:00"), &states, &expected).svg(), svg);
}

#[test]
fn image_of_an_input_that_flaps_all_day_is_bounded() {
    let begin = at("18:00:00").minus(hours(24));
    let flap = |number: u64| (begin.plus(Duration::from_secs(number)), Some(number.is_multiple_of(2)));
    let states: Vec<_> = (0..86_400).map(flap).collect();
    let bar = Bar::new(at("18:00:00"), &states, &NEVER);
    assert_eq!(runs(&bar), [(287, "live"), (1, "off")]);
    let change = |step: u64| (begin.plus(Duration::from_secs(300 * step)), Some(step.is_multiple_of(2)));
    let svg = Bar::new(at("18:00:00"), &(1..=288).map(change).collect::<Vec<_>>(), &NEVER).svg();
    assert!(svg.len() < 2500, "{} bytes", svg.len());
}

#[test]
fn times_of_all_states_add_up_to_the_time_that_the_bar_counts() {
    let states: Vec<_> = (0..2000u64)
        .map(|number| {
            let state = [None, Some(true), Some(false)][usize::try_from(number * number % 3).unwrap()];
            (at("00:00:00").minus(hours(10)).plus(Duration::from_secs(number * 61)), state)
        })
        .collect();
    let bar = Bar::new(at("18:02:00"), &states, &ALWAYS);
    let sum: Duration = BarState::ALL.into_iter().map(|state| bar.duration(state)).sum();
    assert_eq!(sum, hours(24) - Duration::from_secs(300));
}
