//! Which problems the banner shows, and in which order.

use serde_json::json;

use super::*;
use crate::http::private::page::world::{World, at, input_id};
use crate::http::unused_deliveries::Rejected;
use crate::live::{LastSeen, SharedStatus, View};
use crate::schedule::Expectation::{Always, Never};

/// The names of the problems, and the level.
fn problems(snapshot: &Snapshot) -> (Vec<String>, Level) {
    let overview = snapshot.view.as_ref().map(Overview::of).unwrap_or_default();
    let banner = Banner::of(snapshot, &overview);
    let html = banner.render().unwrap();
    assert_eq!(html.matches("<h1>").count(), 1, "{html}");
    assert_eq!(html.matches("<h2>").count(), banner.problems.len().saturating_sub(1), "{html}");
    let text = |problem: &Problem<'_>| match problem {
        Problem::Restoring(_) => "restoring".to_owned(),
        Problem::Draining => "draining".to_owned(),
        Problem::NotReady { since, .. } => format!("not ready {}", since.is_some()),
        Problem::JournalAway { since, spooled, limit } => {
            format!("journal away {}: {spooled} of {limit}", since.is_some())
        }
        Problem::NotReceiving(NotReceiving::Rejected { count, cause, .. }) => format!("{count} rejected: {cause}"),
        Problem::NotReceiving(NotReceiving::DestinationFailing { account, .. }) => format!("destination {account}"),
        Problem::NotReceiving(NotReceiving::PolicyNotDelivering { account }) => format!("policy {account}"),
        Problem::NotReceiving(NotReceiving::NothingReceived) => "nothing received".to_owned(),
        Problem::OffAir { count, .. } => format!("{count} of {} off air", banner.expected),
        Problem::Unknown { count, .. } => format!("{count} of {} unknown", banner.expected),
    };
    (banner.problems.iter().map(text).collect(), banner.level())
}

/// Two expected inputs on air, one that is not expected, and the last delivery at 0 s.
fn all_well() -> World {
    let configured = [(1, "Hall", Always), (2, "Yard", Always), (3, "Attic", Never)];
    World::new(at(1000), &configured).event(1, "connected", at(0)).event(2, "connected", at(0))
}

fn rejected(seconds: u64, reason: &'static str, detail: Option<&'static str>) -> Rejected {
    Rejected { received_at: at(seconds), status: 401, reason, detail, peer: None, size: None, advice: "fix it" }
}

#[test]
fn each_cause_is_a_problem_and_the_worst_is_first() {
    let failing = "journal: notifications cannot be made durable: the disk is full";
    let off_air = || all_well().event(1, "disconnected", at(500));
    for (snapshot, expected, level) in [
        (all_well().snapshot(), vec![], Level::Ok),
        (World::new(at(1000), &[]).snapshot(), vec![], Level::Ok),
        (off_air().snapshot(), vec!["1 of 2 off air"], Level::Bad),
        (off_air().event(2, "disconnected", at(600)).snapshot(), vec!["2 of 2 off air"], Level::Bad),
        (World::new(at(1000), &[(1, "Hall", Always)]).snapshot(), vec!["1 of 1 unknown"], Level::Warn),
        (
            Snapshot { failing: Some(failing.into()), failing_since: Some(at(900)), ..off_air().snapshot() },
            vec!["not ready true", "1 of 2 off air"],
            Level::Bad,
        ),
        (Snapshot { view: None, ..Snapshot::default() }, vec!["restoring"], Level::Warn),
        (
            Snapshot { failing: Some("restoring: the journal is being read".into()), ..Snapshot::default() },
            vec!["restoring"],
            Level::Warn,
        ),
        (Snapshot { failing: Some("draining: x".into()), ..all_well().snapshot() }, vec!["draining"], Level::Warn),
        (
            Snapshot { rejected: vec![rejected(900, "secret", Some("wrong"))], ..off_air().snapshot() },
            vec!["1 of 2 off air", "1 rejected: its secret was wrong"],
            Level::Bad,
        ),
        (
            Snapshot { rejected: vec![rejected(900, "too_large", None)], ..off_air().snapshot() },
            vec!["1 rejected: its body was larger than webhook.max_body_size", "1 of 2 off air"],
            Level::Bad,
        ),
        (
            Snapshot { rejected: vec![rejected(900, "secret", Some("wrong"))], ..all_well().snapshot() },
            vec!["1 rejected: its secret was wrong"],
            Level::Warn,
        ),
    ] {
        assert_eq!(problems(&snapshot), (expected.iter().map(ToString::to_string).collect(), level));
    }
}

#[test]
fn journal_that_is_away_comes_after_not_ready_and_before_not_receiving() {
    let away = |failing: Option<&'static str>| {
        let world = all_well().event(1, "disconnected", at(500));
        let shared = SharedStatus {
            away_since: Some(at(900)),
            spooled_records: 7,
            spool_limit_records: 9,
            ..SharedStatus::default()
        };
        let view = Some(View { shared: Some(shared), ..world.view() });
        let rejected = vec![rejected(900, "too_large", None)];
        Snapshot { view, rejected, failing: failing.map(Into::into), ..world.snapshot() }
    };
    let (problem, off_air) = ("journal away true: 7 of 9".to_owned(), "1 of 2 off air".to_owned());
    let rejected = "1 rejected: its body was larger than webhook.max_body_size".to_owned();
    assert_eq!(problems(&away(None)), (vec![problem.clone(), rejected, off_air.clone()], Level::Bad));
    let full = problems(&away(Some("journal: the journal is away, and the spool is full")));
    assert_eq!(full, (vec!["not ready false".to_owned(), problem, off_air], Level::Bad));
    let mut connected = away(None);
    connected.view.as_mut().unwrap().shared = Some(SharedStatus { connected: true, ..SharedStatus::default() });
    assert_eq!(problems(&connected).0.len(), 2);
    let snapshot = away(None);
    let html = Banner::of(&snapshot, &Overview::of(snapshot.view.as_ref().unwrap())).render().unwrap();
    assert!(html.contains("#streamliveexporterjournalaway"), "{html}");
}

#[test]
fn rejections_count_from_the_last_accepted_delivery_if_they_had_a_secret() {
    let snapshot = |rejected: Vec<Rejected>| Snapshot { rejected, ..all_well().snapshot() };
    let nothing = |rejected: Vec<Rejected>| {
        let mut world = World::new(at(1000), &[]);
        world.fold.set_last_seen(LastSeen::default());
        Snapshot { rejected, ..world.snapshot() }
    };
    let missing = |seconds| rejected(seconds, "secret", Some("missing"));
    for (snapshot, expected) in [
        // An earlier one says nothing about now.
        (snapshot(vec![rejected(0, "secret", Some("wrong"))]), vec![]),
        (snapshot(vec![rejected(1, "secret", Some("wrong"))]), vec!["1 rejected: its secret was wrong"]),
        (
            snapshot(vec![rejected(3, "path", None), missing(2), rejected(1, "not_json", None)]),
            vec!["2 rejected: it was sent to another path than webhook.path"],
        ),
        // Anyone can send a request without a secret, but until the first delivery it is a likely mistake.
        (snapshot(vec![missing(1)]), vec![]),
        (nothing(vec![missing(2), missing(1)]), vec!["2 rejected: it had no secret"]),
        (nothing(vec![rejected(1, "method", Some("unauthenticated"))]), vec!["nothing received"]),
        (nothing(vec![]), vec!["nothing received"]),
    ] {
        assert_eq!(problems(&snapshot).0, expected);
    }
}

#[test]
fn facts_of_the_api_are_problems_until_a_later_delivery_disproves_them() {
    let account = |last_success: u64, last_failure: u64, delivering: bool| {
        json!({ "name": "main", "account_id": "ab", "destination": {
            "last_success": at(last_success).to_string(),
            "last_failure": at(last_failure).to_string(),
            "policy_delivering": delivering,
        } })
    };
    for (account, expected) in [
        (account(20, 10, true), vec![]),
        (account(10, 20, true), vec!["destination main"]),
        (account(10, 20, false), vec!["destination main"]),
        (account(20, 10, false), vec!["policy main"]),
        (json!({ "name": "", "account_id": "ab", "destination": { "policy_delivering": false } }), vec!["policy ab"]),
        (json!({ "destination": { "last_failure": at(5).to_string() } }), vec!["destination "]),
        (json!({ "destination": { "last_failure": null, "policy_delivering": null } }), vec![]),
        (json!({}), vec![]),
    ] {
        let snapshot = Snapshot { api_accounts: vec![account.clone()], ..all_well().snapshot() };
        assert_eq!(problems(&snapshot).0, expected, "{account}");
    }
    let mut world = all_well();
    world.fold.set_last_seen(LastSeen { last: Some(at(21)), ..LastSeen::default() });
    let snapshot = Snapshot { api_accounts: vec![account(10, 20, true)], ..world.snapshot() };
    assert_eq!(problems(&snapshot), (vec![], Level::Ok));
}

#[test]
fn longest_outages_are_named_with_their_cause() {
    let configured = [(1, "A", Always), (2, "B", Always), (3, "", Always), (4, "D", Always), (5, "E", Always)];
    let mut world = World::new(at(5000), &configured);
    for (input, seconds) in [(1, 400), (2, 300), (3, 200), (4, 100)] {
        world = world.event(input, "disconnected", at(seconds));
    }
    // An old error did not end the broadcast of B.
    let snapshot = world
        .event(4, "ERR_UNSUPPORTED_VIDEO_CODEC", at(90))
        .event(5, "connected", at(0))
        .event(5, "ERR_UNHEALTHY", at(4900))
        .snapshot();
    let overview = Overview::of(snapshot.view.as_ref().unwrap());
    let banner = Banner::of(&snapshot, &overview);
    let [Problem::OffAir { named, count: 4 }] = &banner.problems[..] else { panic!("{banner:?}") };
    let found: Vec<_> = named.iter().map(|input| (input.id, input.since, input.error.clone())).collect();
    let error = Some(("ERR_UNSUPPORTED_VIDEO_CODEC".into(), Time(at(90))));
    let since = |seconds| Some(Time(at(seconds)));
    assert_eq!(
        found,
        [(input_id(4), since(100), error), (input_id(3), since(200), None), (input_id(2), since(300), None)]
    );
    assert_eq!((banner.expected, banner.on_air, banner.known, banner.recent_errors), (5, 1, 5, 1));
    let html = banner.render().unwrap();
    for text in [&format!("inputs/{}", input_id(4)), "?state=off-expected", "H.264", &input_id(3).to_string()] {
        assert!(html.contains(text), "{html}");
    }
    assert!(!html.contains(&input_id(1).to_string()), "only the first three are named: {html}");
}

#[test]
fn names_and_causes_are_escaped() {
    let world = World::new(at(1000), &[(1, "<b>&\"Hall\"", Always)]).event(1, "disconnected", at(1)).event(
        1,
        "<script>",
        at(2),
    );
    let snapshot = world.snapshot();
    let html = Banner::of(&snapshot, &Overview::of(snapshot.view.as_ref().unwrap())).render().unwrap();
    assert!(!html.contains("<b>") && !html.contains("<script>"), "{html}");
}
