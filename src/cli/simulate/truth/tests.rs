use std::time::Duration;

use serde_json::json;

use super::super::answer::Answer;
use super::*;

fn fact(input: u8, millis: u64, happening: Happening) -> Fact {
    let updated_at = Timestamp::from_seconds(1_800_000_000).plus(Duration::from_millis(millis));
    Fact { input_id: InputId::from_bytes([input; 16]), happening, updated_at }
}

fn truth(answers: &[(Fact, Answer)]) -> serde_json::Value {
    let mut tally = Tally::default();
    for (fact, answer) in answers {
        tally.count(*fact, answer.clone(), Duration::ZERO);
    }
    serde_json::to_value(Truth::of(&tally)).unwrap()
}

fn recorded() -> Answer {
    Answer::Accepted(Outcome::Recorded)
}

#[test]
fn the_latest_by_event_time_holds_in_whatever_order_it_came() {
    let truth = truth(&[
        (fact(0xab, 3000, Happening::Disconnected), recorded()),
        (fact(0xab, 1000, Happening::Connected), recorded()),
        (fact(0xab, 4000, Happening::Errored(&COMPLAINTS[0])), recorded()),
        (fact(0xab, 3500, Happening::Errored(&COMPLAINTS[7])), recorded()),
        (fact(0xab, 2000, Happening::Connected), recorded()),
    ]);
    let expected = json!({
        "connected": 0,
        "state_timestamp_ms": 1_800_000_003_000_i64,
        "events": { "connected": 2, "disconnected": 1, "errored": 2 },
        "errors": {
            "ERR_GOP_OUT_OF_RANGE": 1,
            "ERR_UNSUPPORTED_VIDEO_CODEC": 0,
            "ERR_UNSUPPORTED_AUDIO_CODEC": 0,
            "ERR_STORAGE_QUOTA_EXHAUSTED": 0,
            "ERR_MISSING_SUBSCRIPTION": 0,
            "ERR_UNHEALTHY": 0,
            "other": 1,
        },
        "last_event_ms": {
            "connected": 1_800_000_002_000_i64,
            "disconnected": 1_800_000_003_000_i64,
            "errored": 1_800_000_004_000_i64,
        },
    });
    assert_eq!(truth["inputs"]["abababababababababababababababab"], expected);
}

#[test]
fn without_evidence_nothing_is_said_of_the_connection() {
    let truth = truth(&[(fact(1, 0, Happening::Errored(&COMPLAINTS[0])), recorded())]);
    let input = truth["inputs"]["01010101010101010101010101010101"].as_object().unwrap();
    assert_eq!(input.keys().collect::<Vec<_>>(), ["errors", "events", "last_event_ms"]);
    assert_eq!(input["last_event_ms"].as_object().unwrap().len(), 1);
}

#[test]
fn a_fact_counts_once_however_often_it_was_acknowledged() {
    let connected = fact(1, 0, Happening::Connected);
    let truth = truth(&[(connected, recorded()), (connected, Answer::Accepted(Outcome::Duplicate))]);
    assert_eq!(truth["inputs"]["01010101010101010101010101010101"]["events"]["connected"], 1);
    assert_eq!(truth["outcomes"], json!({ "recorded": 1, "duplicate": 1, "test": 0, "ignored": 0 }));
    assert_eq!(truth["posted"], 2);
}

#[test]
fn only_what_was_acknowledged_counts() {
    let truth = truth(&[
        (fact(1, 0, Happening::Connected), Answer::Refused(503)),
        (fact(2, 0, Happening::Connected), Answer::Accepted(Outcome::Ignored)),
        (fact(3, 0, Happening::Connected), Answer::Lost("timeout: receive response".to_owned())),
    ]);
    assert_eq!((&truth["inputs"], &truth["posted"], &truth["uncertain"]), (&json!({}), &json!(3), &json!(1)));
}

#[test]
fn a_lost_answer_is_forgotten_once_the_fact_is_acknowledged() {
    let lost = Answer::Lost("timeout: receive response".to_owned());
    let [certain, uncertain] = [1, 2].map(|input| fact(input, 0, Happening::Connected));
    let truth = truth(&[(certain, lost.clone()), (certain, recorded()), (uncertain, lost.clone()), (uncertain, lost)]);
    assert_eq!(truth["uncertain"], 1);
}
