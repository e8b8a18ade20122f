//! A share of the notifications is lost: state, sessions and connected time become right, and no secret is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use stream_live_exporter::clock;
use stream_live_exporter::event::Timestamp;
use stream_live_exporter::simulate::cloudflare::{STREAM_KEY, StatusForm};
use stream_live_exporter::simulate::{Fact, FactKind, InputTruth, Meaning};

use super::bad_days::{contents, has};
use super::{Mock, TOKEN, account, account_id, daemon, input_id};
use crate::daemon::{Daemon, notification, within};

const ACCOUNT_OF_FIXTURES: &str = "9035f53656ca2b7a4e1b0f5b1f2b9c4d";
const INPUTS: usize = 12;
const MINUTE: Duration = Duration::from_secs(60);
/// Each input is asked twice, with 15 seconds between. The rest is for a busy machine.
const REPAIR: Duration = Duration::from_secs(150);

/// Whether the input is connected at the end of a phase.
fn is_connected(input: usize, phase: usize) -> bool {
    (input / 3 + phase).is_multiple_of(2)
}

/// Whether its last notification of a phase is lost.
fn is_lost(input: usize, phase: usize) -> bool {
    (input + phase).is_multiple_of(3)
}

/// A status that is only a word has no time, so the exporter takes that of its request.
fn has_time(input: usize) -> bool {
    input % 6 != 5
}

/// What happens to an input in a phase, which begins at this time.
fn facts(input: usize, phase: usize, begin: Timestamp) -> Vec<Fact> {
    let was_connected = phase > 0 && is_connected(input, phase - 1);
    let (connected, disconnected) = (FactKind::Connected, FactKind::Disconnected);
    let kinds = match (was_connected, is_connected(input, phase)) {
        (true, true) => vec![disconnected, connected],
        (true, false) => vec![disconnected],
        (false, true) => vec![connected],
        (false, false) => vec![connected, disconnected],
    };
    let fact = |(minutes, kind)| Fact { input_id: input_id(input), kind, updated_at: begin.plus(MINUTE * minutes) };
    (0..).step_by(4).zip(kinds).map(fact).collect()
}

/// The connected time of an input that is disconnected at the end.
fn connected_seconds(facts: &[Fact]) -> f64 {
    let connections = facts.windows(2).filter(|pair| pair[0].kind == FactKind::Connected);
    connections.map(|pair| pair[1].updated_at.since(pair[0].updated_at).unwrap().as_secs_f64()).sum()
}

/// The inputs that the API lists as connected. A scrape would make counters hold what is not corrected yet.
fn connected(daemon: &Daemon) -> Vec<String> {
    let listed: Value = serde_json::from_str(&daemon.get("/api/v1/inputs").body).unwrap();
    let connected = listed["inputs"].as_array().unwrap().iter().filter(|input| input["state"] == "connected");
    connected.map(|input| input["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lost_notifications_are_repaired_and_no_token_or_stream_key_is_kept() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    // In whole seconds, so that the truth in milliseconds is exact.
    let begin = Timestamp::from_seconds(clock::now().minus(60 * MINUTE).as_millis() / 1000);
    for input in 0..INPUTS {
        let form = if has_time(input) { StatusForm::Object } else { StatusForm::Word };
        mock.api().account(account_id(1)).add_input(input_id(input), format!("Input {input}"), begin).status = form;
    }
    let keys = "inventory = true\nreconcile = true\nrequest_share = 1";
    let daemon = daemon(folder.path(), &account(&mock.base_url(), keys));
    let (mut all, mut delivered) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, u64>::new());
    for phase in 0..2 {
        for input in 0..INPUTS {
            let facts = facts(input, phase, begin.plus(20 * MINUTE * u32::try_from(phase).unwrap()));
            // The truth of a phase is there before its first notification.
            facts.iter().for_each(|fact| mock.api().account(account_id(1)).learn(fact));
            let sent = &facts[..facts.len() - usize::from(is_lost(input, phase))];
            for fact in sent {
                let body = notification(&fact.input_id.to_string(), fact.kind.name(), &fact.updated_at.to_string());
                let body = body.replace(ACCOUNT_OF_FIXTURES, &account_id(1).to_string());
                assert_eq!(daemon.post(&body).status, 200);
            }
            *delivered.entry(input).or_default() += sent.len() as u64;
            all.entry(input).or_default().extend(facts);
        }
        let expected: Vec<_> = (0..INPUTS).filter(|input| is_connected(*input, phase)).collect();
        let expected: Vec<_> = expected.into_iter().map(|input| input_id(input).to_string()).collect();
        within(REPAIR, "the state of all inputs is right", || connected(&daemon) == expected);
    }

    let metric = |input: usize, name: &str| {
        daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{}\"}}", input_id(input)))
    };
    let events = daemon.samples("cloudflare_stream_live_input_events_total");
    for (input, facts) in all {
        let mut truth = InputTruth::default();
        let sessions = facts.iter().filter(|fact| truth.learn(fact) == Meaning::SessionStart).count();
        assert_eq!(metric(input, "connected"), truth.connected.map(|connected| f64::from(u8::from(connected))));
        assert_eq!(metric(input, "sessions_total"), Some(sessions as f64), "sessions of input {input}");
        if has_time(input) {
            let seconds = truth.state_timestamp_ms.map(|millis| millis as f64 / 1000.0);
            assert_eq!(metric(input, "state_timestamp_seconds"), seconds, "input {input}");
        }
        if has_time(input) && truth.connected == Some(false) {
            let (shown, expected) = (metric(input, "connected_seconds_total").unwrap(), connected_seconds(&facts));
            assert!((shown - expected).abs() < 0.01, "input {input} was connected for {expected} s, not {shown} s");
        }
        let counted = events.iter().filter(|(series, _)| series.contains(&input_id(input).to_string()));
        assert_eq!(counted.map(|(_, value)| value).sum::<f64>(), delivered[&input] as f64, "events of input {input}");
    }
    let correction = |to: &str| {
        daemon.metric(&format!("stream_live_exporter_corrections_total{{source=\"cloudflare\",to=\"{to}\"}}"))
    };
    assert_eq!((correction("connected"), correction("disconnected")), (Some(4.0), Some(4.0)));

    let pages = ["/metrics", "/api/v1/inputs", "/api/v1/cloudflare"].map(|page| daemon.get(page).body);
    daemon.signal("TERM");
    let (ended, log) = daemon.wait_and_read();
    assert!(ended.success());
    let journal = contents(&folder.path().join("data"));
    assert!(has(&journal, "Input 1") && log.contains(&input_id(1).to_string()));
    for text in [TOKEN, STREAM_KEY] {
        assert!(!has(&journal, text) && !log.contains(text), "{text} is in the journal or the log");
        assert!(!pages.iter().any(|page| page.contains(text)), "{text} is on a page");
    }
}
