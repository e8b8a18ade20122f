use Status::{Done, Failed, Open};
use serde_json::json;

use super::*;
use crate::event::Timestamp;

const EARLY: Timestamp = Timestamp::EPOCH;
const LATE: Timestamp = Timestamp::MAX;
const ANSWERED: Api = Api { destination_exists: Some(true), is_failing: false, policy_delivers: Some(true) };

fn rejected(reason: &'static str) -> Option<Rejected> {
    let (detail, peer, size) = (None, None, None);
    Some(Rejected { received_at: LATE, status: 401, reason, detail, peer, size, advice: "advice" })
}

fn seen(test: bool) -> LastSeen {
    LastSeen { last: Some(EARLY), last_test: test.then_some(EARLY), ..LastSeen::default() }
}

#[test]
fn each_step_is_ticked_as_it_happens_and_the_one_that_fails_is_marked() {
    let nothing = Facts { bound: "http://127.0.0.1:10418/webhook", ..Facts::default() };
    let public = Facts { public_urls: vec!["https://live.example.com/webhook"], ..nothing.clone() };
    let with_api = |api| Facts { api: Some(api), ..public.clone() };
    for (case, facts, expected) in [
        ("nothing", nothing.clone(), [Open, Open, Open, Open, Open, Open]),
        ("test", Facts { last_seen: seen(true), ..nothing.clone() }, [Done, Done, Done, Done, Open, Open]),
        ("no test", Facts { last_seen: seen(false), ..nothing.clone() }, [Done, Done, Done, Open, Open, Open]),
        (
            "wrong secret",
            Facts { rejected: rejected("secret"), ..nothing.clone() },
            [Open, Failed, Open, Open, Open, Open],
        ),
        ("other path", Facts { rejected: rejected("path"), ..nothing.clone() }, [Failed, Open, Open, Open, Open, Open]),
        (
            "too large",
            Facts { rejected: rejected("too_large"), ..nothing.clone() },
            [Open, Open, Open, Failed, Open, Open],
        ),
        (
            "secret was changed after the test",
            Facts { last_seen: seen(true), rejected: rejected("secret"), ..nothing.clone() },
            [Done, Failed, Done, Done, Open, Open],
        ),
        ("public", public.clone(), [Done, Open, Open, Open, Open, Open]),
        ("API not asked", with_api(Api::default()), [Done, Open, Open, Open, Open, Open]),
        (
            "no destination",
            with_api(Api { destination_exists: Some(false), policy_delivers: Some(false), ..ANSWERED }),
            [Done, Open, Open, Open, Open, Open],
        ),
        (
            "failing destination",
            Facts { last_seen: seen(true), ..with_api(Api { is_failing: true, ..ANSWERED }) },
            [Done, Done, Failed, Done, Done, Open],
        ),
        (
            "no policy",
            Facts { last_seen: seen(true), ..with_api(Api { policy_delivers: Some(false), ..ANSWERED }) },
            [Done, Done, Done, Done, Open, Open],
        ),
        (
            "all but the event",
            Facts { last_seen: seen(true), ..with_api(ANSWERED) },
            [Done, Done, Done, Done, Done, Open],
        ),
    ] {
        let steps = steps(&facts);
        assert_eq!(steps.iter().map(|step| step.status).collect::<Vec<_>>(), expected, "{case}");
        assert!(steps.iter().all(|step| step.status == Done || !step.to_do.is_empty()), "{case}: {steps:?}");
        let by_command = steps.iter().any(|step| step.command.is_some());
        assert_eq!(by_command, facts.api.is_some() && expected[..5] != [Done; 5], "{case}: {steps:?}");
        assert_eq!(steps.iter().any(|step| step.link.is_some()), facts.api.is_none(), "{case}: {steps:?}");
    }
}

#[test]
fn steps_have_the_public_url_before_the_bound_one_and_the_place_of_each_secret() {
    let file = ConfiguredSecret { name: "default".into(), file: Some("/data/webhook-secret".into()) };
    let variable = ConfiguredSecret { name: "old".into(), file: None };
    let secrets = [file, variable];
    let mut facts = Facts { bound: "http://127.0.0.1:10418/webhook", secrets: &secrets, ..Facts::default() };
    assert_eq!(steps(&facts)[0].values, ["http://127.0.0.1:10418/webhook"]);
    assert_eq!(steps(&facts)[1].values.len(), 2);
    assert_eq!(steps(&facts)[1].values[0], "/data/webhook-secret");
    facts.public_urls = vec!["https://live.example.com/webhook"];
    assert_eq!(steps(&facts)[0].values, ["https://live.example.com/webhook"]);
}

#[test]
fn rejections_before_the_last_accepted_delivery_and_of_monitors_do_not_count() {
    let view = |last| {
        let mut view = View::default();
        let mut fold = crate::live::Fold::default();
        fold.set_last_seen(std::sync::Arc::new(LastSeen { last, ..LastSeen::default() }));
        view.state = fold.state().clone();
        view
    };
    let reason = |last, rejected: &[Rejected]| {
        let (view, configuration) = (view(last), Configuration::default());
        Facts::of(&view, &configuration, rejected, &[]).rejected.map(|rejected| rejected.reason)
    };
    let [secret, method] = ["secret", "method"].map(|reason| rejected(reason).unwrap());
    assert_eq!(reason(None, &[method, secret]), Some("secret"));
    assert_eq!(reason(Some(EARLY), &[secret]), Some("secret"));
    assert_eq!(reason(Some(LATE), &[secret]), None);
    assert_eq!(reason(None, &[method]), None);
}

#[test]
fn one_of_several_accounts_is_enough() {
    let account = |found: Value, failure: &str| {
        json!({"destination": {
            "found": found,
            "policy_delivering": found,
            "last_success": "2026-11-20T18:00:00Z",
            "last_failure": failure,
        }})
    };
    let [never, earlier, later] = ["", "2026-11-20T17:59:59Z", "2026-11-20T18:00:01Z"];
    assert_eq!(Api::of(&[]), None);
    assert_eq!(Api::of(&[json!({})]), Some(Api::default()));
    for (accounts, found, is_failing) in [
        (vec![account(json!(null), never)], None, false),
        (vec![account(json!(false), never)], Some(false), false),
        (vec![account(json!(false), never), account(json!(true), earlier)], Some(true), false),
        (vec![account(json!(true), later)], Some(true), true),
    ] {
        let expected = Api { destination_exists: found, is_failing, policy_delivers: found };
        assert_eq!(Api::of(&accounts), Some(expected), "{accounts:?}");
    }
}
