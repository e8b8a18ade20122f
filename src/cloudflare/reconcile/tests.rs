use serde_json::json;

use super::*;
use crate::event::{Event, EventKind, InputId, Origin, Record, RecordKind, Rules};
use crate::live::{Fold, apply};

const ENTERED: &str = "2026-11-20T18:00:00Z";

fn entered() -> Timestamp {
    ENTERED.parse().unwrap()
}

/// This many seconds after [`ENTERED`], or before it.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(entered().as_nanos() + seconds * 1_000_000_000)
}

/// An input with these changes.
fn input(changes: &[(i64, bool)]) -> Input {
    let mut fold = Fold::new(Rules { max_inputs: 9, ..Rules::default() });
    let input_id = InputId::from_bytes([3; 16]);
    for (seconds, connected) in changes {
        let event = Event {
            input_id,
            kind: if *connected { EventKind::Connected } else { EventKind::Disconnected },
            updated_at: at(*seconds),
            sent_at: None,
            received_at: at(*seconds),
            origin: Origin::default(),
        };
        let record = Record { recorded_at: at(*seconds), ..Record::new(RecordKind::Event(event, None)) };
        let (changes, _) = apply(&fold, &[record]);
        fold.adopt(changes);
    }
    fold.state().known_input(&input_id).map(|entry| entry.input.clone()).unwrap_or_default()
}

/// What the finding is, with its time in seconds after [`ENTERED`].
fn found(finding: Finding) -> (&'static str, Option<i64>) {
    match finding {
        Finding::Agreement => ("agreement", None),
        Finding::NoEvidence => ("no evidence", None),
        Finding::Disagreement(it) => {
            ("disagreement", Some((it.at.as_nanos() - entered().as_nanos()).div_euclid(1_000_000_000)))
        }
    }
}

#[test]
fn every_status_word_in_every_shape_has_its_meaning() {
    let words = [
        ("connected", Some(true)),
        ("reconnected", Some(true)),
        ("new_configuration_accepted", Some(true)),
        ("disconnected", Some(false)),
        ("client_disconnect", Some(false)),
        ("ttl_exceeded", Some(false)),
        ("failed_to_connect", Some(false)),
        ("failed_to_reconnect", Some(false)),
        ("reconnecting", None),
        ("Connected", None),
        ("something new", None),
        ("", None),
    ];
    for (word, connected) in words {
        for (status, entered_at) in [
            (json!(word), None),
            (json!({ "current": { "state": word } }), None),
            (json!({ "current": { "state": word, "statusEnteredAt": null } }), None),
            (json!({ "current": { "state": word, "statusEnteredAt": "yesterday" } }), None),
            (json!({ "current": { "state": word, "statusEnteredAt": 1_795_197_600 } }), None),
            (json!({ "current": { "state": word, "statusEnteredAt": "0001-01-01T00:00:00Z" } }), None),
            (json!({ "current": { "state": word, "statusEnteredAt": ENTERED } }), Some(entered())),
            (
                json!({ "current": { "state": word, "statusEnteredAt": ENTERED }, "state": "connected" }),
                Some(entered()),
            ),
            (json!({ "state": word }), None),
            (json!({ "state": word, "statusEnteredAt": ENTERED }), Some(entered())),
            (json!({ "current": null, "state": word }), None),
            (json!({ "current": { "state": 7 }, "state": word, "history": [] }), None),
        ] {
            assert_eq!(Status::read(&status), Status { connected, entered_at }, "{status}");
        }
    }
}

#[test]
fn other_shapes_say_nothing() {
    for status in [
        json!(null),
        json!(true),
        json!(7),
        json!([]),
        json!(["connected"]),
        json!({}),
        json!({ "current": "connected" }),
        json!({ "current": ["connected"] }),
        json!({ "current": {} }),
        json!({ "state": { "state": "connected" } }),
        json!({ "history": [{ "state": "connected" }] }),
    ] {
        assert_eq!(Status::read(&status).connected, None, "{status}");
    }
}

#[test]
fn status_contradicts_only_older_evidence_of_the_opposite() {
    const UP: Option<bool> = Some(true);
    const DOWN: Option<bool> = Some(false);
    // Changes of the input, what the API says, with its time, and when it answers. All in seconds after ENTERED.
    for (changes, connected, has_time, now, expected) in [
        // Nothing is said.
        (&[(-900, true)][..], None, true, 10, ("no evidence", None)),
        (&[], None, false, 10, ("no evidence", None)),
        // The same is said.
        (&[(-900, true)], UP, true, 10, ("agreement", None)),
        (&[(-900, false)], DOWN, false, 10, ("agreement", None)),
        (&[(-1, true)], UP, false, 0, ("agreement", None)),
        // The opposite is said, with its time.
        (&[(-900, true)], DOWN, true, 10, ("disagreement", Some(0))),
        (&[(-900, true), (-800, false)], UP, true, 10, ("disagreement", Some(0))),
        (&[(-1, true)], DOWN, true, 10, ("disagreement", Some(0))),
        (&[(0, true)], DOWN, true, 500, ("no evidence", None)),
        (&[(1, true)], DOWN, true, 500, ("no evidence", None)),
        // And without.
        (&[(-900, true)], DOWN, false, 10, ("disagreement", Some(10))),
        (&[(0, true)], DOWN, false, 119, ("no evidence", None)),
        (&[(0, true)], DOWN, false, 120, ("disagreement", Some(120))),
        (&[(60, true)], DOWN, false, 10, ("no evidence", None)),
        // A time in the future, by a little and by more.
        (&[(-60, true)], DOWN, true, -4, ("disagreement", Some(-4))),
        (&[(-60, true)], DOWN, true, -6, ("no evidence", None)),
        (&[(-900, true)], DOWN, true, -6, ("disagreement", Some(-6))),
        // An input without a state.
        (&[], UP, true, 10, ("disagreement", Some(0))),
        (&[], UP, false, 10, ("disagreement", Some(10))),
        (&[], DOWN, true, 10, ("no evidence", None)),
        (&[], DOWN, false, 10, ("no evidence", None)),
    ] {
        let status = Status { connected, entered_at: has_time.then(entered) };
        for date in [None, Some(at(now)), Some(at(now - 5)), Some(at(now + 5))] {
            let finding = reconcile(&input(changes), status, date, at(now));
            assert_eq!(found(finding), expected, "{changes:?} {status:?} {now} {date:?}");
        }
    }
}

#[test]
fn times_of_an_api_whose_clock_differs_are_converted_and_settled_evidence_is_needed() {
    for (changes, ahead, now, expected) in [
        // The API entered the status at 0 by its clock.
        (&[(-900, true)][..], 60, 100, ("disagreement", Some(-60))),
        (&[(-900, true)], -60, 100, ("disagreement", Some(60))),
        (&[(-900, true)], -60, 50, ("disagreement", Some(50))),
        (&[(-900, true)], -60, 30, ("disagreement", Some(30))),
        // Evidence between the two times.
        (&[(-30, true)], 60, 500, ("no evidence", None)),
        (&[(30, true)], -60, 100, ("no evidence", None)),
        (&[(30, true)], -60, 500, ("disagreement", Some(60))),
    ] {
        let status = Status { connected: Some(false), entered_at: Some(entered()) };
        let finding = reconcile(&input(changes), status, Some(at(now + ahead)), at(now));
        assert_eq!(found(finding), expected, "{changes:?} {ahead} {now}");
    }
}

#[test]
fn disagreement_is_confirmed_by_the_same_one_without_an_event_in_between() {
    let up = &[(-900, true)][..];
    let again = &[(-900, true), (-800, true)][..];
    let disagreement = |changes: &[(i64, bool)], connected, entered_at, now| match reconcile(
        &input(changes),
        Status { connected: Some(connected), entered_at },
        None,
        at(now),
    ) {
        Finding::Disagreement(disagreement) => disagreement,
        Finding::Agreement | Finding::NoEvidence => panic!("no disagreement"),
    };
    let exact = Some(entered());
    for (earlier, later, since) in [
        (disagreement(up, false, exact, 10), disagreement(up, false, exact, 25), Some(at(0))),
        (disagreement(up, false, None, 10), disagreement(up, false, None, 25), Some(at(10))),
        (disagreement(up, false, None, 10), disagreement(up, false, exact, 25), Some(at(0))),
        (disagreement(up, false, exact, 10), disagreement(again, false, exact, 25), None),
        (disagreement(up, false, exact, 10), disagreement(&[], true, exact, 25), None),
    ] {
        assert_eq!(later.confirms(&earlier), since, "{earlier:?} {later:?}");
    }
}
