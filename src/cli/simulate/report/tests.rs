use ureq::http::Uri;

use super::super::answer::{Answer, Outcome};
use super::super::cloudflare::CloudflareArguments;
use super::super::delivery::Plan;
use super::super::scenario::Scenario;
use super::*;
use crate::event::{InputId, Timestamp};
use crate::simulate::{Fact, FactKind};

fn report(answers: &[(Answer, u64)], rate: f64, interrupted: bool) -> String {
    let fact = Fact { input_id: InputId::from_bytes([1; 16]), kind: FactKind::Connected, updated_at: Timestamp::EPOCH };
    let mut tally = Tally::default();
    for (answer, count) in answers {
        (0..*count).for_each(|_| tally.count(fact, answer.clone(), Duration::from_micros(1500)));
    }
    let arguments = Arguments {
        url: Uri::from_static("http://127.0.0.1:10418/webhook"),
        secret_file: "data/webhook-secret".into(),
        scenario: Scenario::Steady,
        inputs: 20,
        plan: Plan { rate, duration: Duration::from_secs(60), connections: 8 },
        cloudflare: CloudflareArguments::default(),
        seed: 1,
        truth_file: None,
    };
    Report { arguments: &arguments, elapsed: arguments.plan.duration, interrupted, tally: &tally }.to_string()
}

fn assert_contains(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "{part} is missing in:\n{report}");
    }
}

#[test]
fn report_of_a_successful_run_has_its_numbers_and_the_urls_of_the_results() {
    let answers = [(Answer::Accepted(Outcome::Recorded), 290), (Answer::Accepted(Outcome::Duplicate), 10)];
    let report = report(&answers, 5.0, false);
    assert_contains(&report, &["steady", "seed 1", "300 notifications", "20 inputs", "in 60.0 s"]);
    assert_contains(
        &report,
        &["http://127.0.0.1:10418/webhook", "5.0 per second\n", "290 recorded\n", " 10 duplicate\n"],
    );
    assert_contains(&report, &["min 1.50  p50 1.50  p90 1.50  p99 1.50  max 1.50 ms", "/metrics", "/api/v1/inputs"]);
    assert!(!report.contains("interrupted"), "{report}");
}

#[test]
fn report_of_a_failed_run_has_counts_and_causes() {
    let answers = [
        (Answer::Refused(401), 25),
        (Answer::Lost("timeout: receive response".to_owned()), 4),
        (Answer::Unreachable("io: Connection refused (os error 111)".to_owned()), 1),
    ];
    let report = report(&answers, 5.0, true);
    assert_contains(&report, &["30 notifications", "interrupted", "0.5 per second, 5 requested", "30 of 30"]);
    assert_contains(
        &report,
        &["25 refused with 401", "data/webhook-secret", " 4 no response (timeout: receive response)"],
    );
    assert_contains(&report, &[" 1 not sent (io: Connection refused (os error 111))", "p50 1.50"]);
}

#[test]
fn report_without_a_response_has_no_latency() {
    let report = report(&[(Answer::Unreachable("host not found".to_owned()), 1)], 0.01, false);
    assert!(!report.contains("latency"), "{report}");
}
