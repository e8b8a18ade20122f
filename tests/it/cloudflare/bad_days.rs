//! Answers that are no answers: each is counted, changes nothing, and is recovered from.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use stream_live_exporter::clock::{self, Stopwatch};
use stream_live_exporter::simulate::cloudflare::{Fault, STREAM_KEY, serve};

use super::{
    FAILED, LAST_SUCCESS, MAIN, Mock, RECOVERED, TOKEN, account, account_id, daemon, input_id, logged, requests,
    section,
};
use crate::daemon::{Daemon, eventually, notification};

const PAGES: [&str; 5] = ["/", "/metrics", "/api/v1/inputs", "/api/v1/events?limit=1000", "/-/ready"];
/// The default share of 1200 requests in 300 seconds.
const SECONDS_PER_REQUEST: f64 = 1.0;

/// Each fault, and the label `result` of its request.
fn faults(elsewhere: &str) -> Vec<(Fault, &'static str)> {
    let error = |status, code| Fault::Error { status, code };
    vec![
        (error(401, 10000), "client_error"),
        (error(403, 10000), "client_error"),
        (error(403, 10002), "client_error"),
        (error(404, 7003), "client_error"),
        (error(404, 10003), "client_error"),
        (error(400, 10004), "client_error"),
        (Fault::RateLimited(Some(Duration::from_secs(2))), "rate_limited"),
        (Fault::RateLimited(None), "rate_limited"),
        (error(500, 10001), "server_error"),
        (Fault::ErrorPage(502), "server_error"),
        (Fault::Slow(Duration::from_secs(2)), "ok"),
        (Fault::Slow(Duration::from_secs(30)), "timeout"),
        (Fault::Truncated, "network"),
        (Fault::Huge, "invalid"),
        (Fault::NotJson, "invalid"),
        (Fault::NoEnvelope, "invalid"),
        (Fault::WrongResult(json!("inputs")), "invalid"),
        (Fault::Redirect(elsewhere.to_owned()), "invalid"),
        (Fault::PartialList, "ok"),
    ]
}

/// Notifications are answered and shown as without the API.
fn assert_receiver_is_unaffected(daemon: &Daemon, minute: usize) {
    for (second, event) in [(0, "connected"), (30, "disconnected"), (31, "connected")] {
        let at = format!("2026-11-20T18:{minute:02}:{second:02}Z");
        let answer = daemon.post(&notification(MAIN, event, &at));
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"outcome":"recorded"}"#), "{at}");
    }
    assert_eq!(daemon.get("/-/ready").status, 200);
    let connected = daemon.samples("cloudflare_stream_live_input_connected");
    assert_eq!(
        connected,
        BTreeMap::from([(format!("cloudflare_stream_live_input_connected{{input_id=\"{MAIN}\"}}"), 1.0)])
    );
}

/// All files in a folder.
pub(super) fn contents(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.flat_map(|file| fs::read(file).unwrap()).collect()
}

pub(super) fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn every_bad_answer_is_counted_changes_nothing_and_is_recovered_from() {
    let (folder, mock, elsewhere) =
        (tempfile::tempdir().unwrap(), Mock::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let faults = faults(&format!("http://{}/", elsewhere.local_addr().unwrap()));
    let mut configuration =
        section(&mock.base_url(), "inventory = true\ninventory_interval = \"1s\"\nreconcile = true");
    for (number, (fault, _)) in faults.iter().enumerate() {
        let id = account_id(number);
        for input in 2 * number..2 * number + 2 {
            mock.api().account(id).add_input(input_id(input), format!("input {input}"), clock::now());
        }
        mock.api().inject(format!("{id}/stream/live_inputs?"), fault.clone());
        fs::write(folder.path().join(format!("token-{number}")), format!("{TOKEN}-{number}")).unwrap();
        configuration += &format!(
            "[[cloudflare.accounts]]\nname = \"a{number}\"\naccount_id = \"{id}\"\ntoken_file = \"token-{number}\"\n"
        );
    }
    let running = Stopwatch::start();
    let daemon = daemon(folder.path(), &configuration);
    assert_receiver_is_unaffected(&daemon, 0);

    let mut expected: BTreeMap<&str, f64> = BTreeMap::new();
    for (_, result) in faults.iter().filter(|(_, result)| *result != "ok") {
        *expected.entry(result).or_default() += 1.0;
    }
    let counted = || expected.keys().map(|result| (*result, requests(&daemon, "inputs", result).unwrap()));
    eventually("all faults are counted", || counted().collect::<BTreeMap<_, _>>() == expected);
    assert_receiver_is_unaffected(&daemon, 1);

    // A refused token is not tried for minutes, unless it is replaced. One that sent too many requests is blocked for five
    // minutes, and another token of the same user is, too.
    let is_blocked = |number: usize| matches!(faults[number].0, Fault::RateLimited(None));
    for number in 0..faults.len() {
        fs::write(folder.path().join(format!("token-{number}")), format!("{TOKEN}-{number}-new")).unwrap();
    }
    let recovered = |number: &usize| {
        daemon.metric(&format!("{LAST_SUCCESS}{{account=\"a{number}\",task=\"inventory\"}}")).is_some()
    };
    eventually("all accounts are listed", || (0..faults.len()).all(|number| is_blocked(number) || recovered(&number)));
    let blocked = (0..faults.len()).filter(|number| is_blocked(*number) && !recovered(number)).count();
    assert_eq!(blocked, 1);
    assert_receiver_is_unaffected(&daemon, 2);
    let failing = faults.iter().filter(|(_, result)| *result != "ok").count();
    let of_inventory = |message| logged(&daemon, message).iter().filter(|line| line["task"] == "inventory").count();
    eventually("each recovery is logged", || of_inventory(RECOVERED) == failing - blocked);
    assert_eq!(of_inventory(FAILED), failing, "one line for each account");
    assert_eq!(counted().collect::<BTreeMap<_, _>>(), expected);

    let (sent, elapsed) = (mock.api().requests() as f64, running.elapsed().as_secs_f64());
    let budget = faults.len() as f64 * (elapsed / SECONDS_PER_REQUEST + 1.0);
    assert!(sent <= budget, "{sent} requests in {elapsed} s");
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "the redirect was followed");

    let pages = PAGES.map(|page| daemon.get(page).body);
    daemon.signal("TERM");
    let (ended, log) = daemon.wait_and_read();
    assert!(ended.success());
    let journal = contents(&folder.path().join("data"));
    assert!(has(&journal, "input 1") && log.contains(&account_id(0).to_string()));
    for text in [TOKEN, STREAM_KEY] {
        assert!(!has(&journal, text) && !log.contains(text), "{text} is in the journal or the log");
        assert!(!pages.iter().any(|page| page.contains(text)), "{text} is on a page");
    }
}

#[test]
fn api_that_never_answers_delays_neither_reload_nor_stop() {
    let folder = tempfile::tempdir().unwrap();
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", api.local_addr().unwrap());
    let daemon = daemon(folder.path(), &account(&url, "inventory = true"));
    let (_first, _) = api.accept().unwrap();
    assert_receiver_is_unaffected(&daemon, 0);
    // Another account is asked while the request about the first one hangs.
    let changed = account(&url, "inventory = true").replace(&account_id(1).to_string(), &account_id(2).to_string());
    fs::write(folder.path().join("exporter.toml"), changed).unwrap();
    assert_eq!(daemon.post_private("/-/reload").status, 200);
    let (_second, _) = api.accept().unwrap();
    assert_eq!(requests(&daemon, "inputs", "timeout"), Some(0.0), "the reload waited for the request");
    daemon.signal("TERM");
    let (ended, log) = daemon.wait_and_read();
    assert!(ended.success() && !log.contains(FAILED), "the stop waited for a request");
}

#[test]
fn api_that_refuses_connections_is_asked_again() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    let address = mock.served.address();
    mock.api().account(account_id(1)).add_input(input_id(1), "Main stage", clock::now());
    let (api, url) = (mock.api.clone(), mock.base_url());
    drop(mock);
    let daemon = daemon(folder.path(), &account(&url, "inventory = true"));
    eventually("the refusal is counted", || requests(&daemon, "inputs", "network") >= Some(1.0));
    assert_receiver_is_unaffected(&daemon, 0);
    let _served = serve(address, api, clock::now).unwrap();
    eventually("the inputs are listed", || {
        daemon.metric(&format!("{LAST_SUCCESS}{{account=\"\",task=\"inventory\"}}")).is_some()
    });
    assert_eq!(logged(&daemon, FAILED).len(), 1);
    assert_receiver_is_unaffected(&daemon, 1);
}
