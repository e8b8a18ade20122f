use ureq::http::Uri;

use super::super::answer::{Answer, Outcome};
use super::super::fact::{Fact, Happening};
use super::super::scenario::Scenario;
use super::*;
use crate::event::{InputId, Timestamp};

fn report(answers: &[(Answer, u64)], rate: f64, interrupted: bool) -> String {
    let fact =
        Fact { input_id: InputId::from_bytes([1; 16]), happening: Happening::Connected, updated_at: Timestamp::EPOCH };
    let mut tally = Tally::default();
    for (answer, count) in answers {
        (0..*count).for_each(|_| tally.count(fact, answer.clone(), Duration::from_micros(1500)));
    }
    let arguments = Arguments {
        url: Uri::from_static("http://127.0.0.1:10418/webhook"),
        secret_file: "data/webhook-secret".into(),
        scenario: Scenario::Steady,
        inputs: 20,
        rate,
        duration: Duration::from_secs(60),
        seed: 1,
        connections: 8,
        truth_file: None,
    };
    Report { arguments: &arguments, elapsed: arguments.duration, interrupted, tally: &tally }.to_string()
}

#[test]
fn says_what_was_done_and_where_to_look_next() {
    let answers = [(Answer::Accepted(Outcome::Recorded), 290), (Answer::Accepted(Outcome::Duplicate), 10)];
    let expected = "\
The scenario steady with seed 1 posted 300 notifications about 20 inputs
to http://127.0.0.1:10418/webhook in 60.0 s.

  rate     5.0 per second
  answers  290 recorded
            10 duplicate
  latency  min 1.50  p50 1.50  p90 1.50  p99 1.50  max 1.50 ms

All were accepted: the daemon's /metrics and /api/v1/inputs say what became of them.
";
    assert_eq!(report(&answers, 5.0, false), expected);
}

#[test]
fn makes_the_causes_of_failure_plain() {
    let answers = [
        (Answer::Refused(401), 25),
        (Answer::Lost("timeout: receive response".to_owned()), 4),
        (Answer::Unreachable("io: Connection refused (os error 111)".to_owned()), 1),
    ];
    let expected = "\
The scenario steady with seed 1 posted 30 notifications about 20 inputs
to http://127.0.0.1:10418/webhook in 60.0 s, then was interrupted.

  rate     0.5 per second, of 5 asked for: the target was slower than the schedule
  answers  25 refused with 401: the secret in data/webhook-secret is not one that the daemon knows
            4 without an answer (timeout: receive response): the daemon may have recorded it all the same
            1 not delivered (io: Connection refused (os error 111)): is the daemon running, and is the URL right?
  latency  min 1.50  p50 1.50  p90 1.50  p99 1.50  max 1.50 ms

30 of 30 were not accepted: the daemon's log and /metrics say more.
";
    assert_eq!(report(&answers, 5.0, true), expected);
}

#[test]
fn without_an_answer_there_is_no_latency() {
    let report = report(&[(Answer::Unreachable("host not found".to_owned()), 1)], 0.01, false);
    assert!(!report.contains("latency"), "{report}");
}
