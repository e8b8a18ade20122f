use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::cloudflare::{RateLimit, Response, TransportError};

const ACCOUNT: &str = "f037e56e89293a057740de681ac9abbe";
const NOW: &str = "2026-11-20T19:00:00Z";
const HOUR: Duration = Duration::from_secs(3600);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at(NOW)
}

fn view(downtime: Option<Downtime>) -> View {
    View { as_of: now(), wall_clock: now(), downtime, ..View::default() }
}

/// The exporter was down for the last hour.
fn an_hour_down() -> View {
    let from = now().minus(HOUR);
    view(Some(Downtime { from, until: now(), backfill_from: Some(from) }))
}

/// How the API deviates from its documentation.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    /// Largest length of a page, whatever was asked for.
    cap: Option<usize>,
    without_info: bool,
    /// Every page is the first one.
    repeats: bool,
    /// Before each page, a new notification is sent.
    shifts: bool,
    /// The period is not considered.
    ignores_period: bool,
    /// Every page is full of new entries.
    endless: bool,
}

/// A notification history, newest first.
struct History {
    /// Seconds from the begin of the last hour to the event.
    sent: Vec<u64>,
    faults: Faults,
    requests: usize,
}

impl History {
    fn new(sent: impl IntoIterator<Item = u64>, faults: Faults) -> Self {
        Self { sent: sent.into_iter().collect(), faults, requests: 0 }
    }

    fn answer(&mut self, request: &Request) -> Answer {
        self.requests += 1;
        let (path, query) = request.path.split_once('?').unwrap();
        assert_eq!(path, format!("/accounts/{ACCOUNT}/alerting/v3/history"));
        let parameters: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let number = |name| parameters[name].parse::<usize>().unwrap();
        let Faults { cap, without_info, repeats, shifts, ignores_period, endless } = self.faults;
        if shifts {
            self.sent.push(3600 + self.requests as u64);
        }
        if endless {
            self.sent = vec![self.requests as u64];
        }
        let (since, before) = (at(parameters["since"]), at(parameters["before"]));
        let is_asked = |second: &&u64| ignores_period || (since..=before).contains(&event_time(**second));
        let asked: Vec<u64> = self.sent.iter().rev().filter(is_asked).copied().collect();
        let per_page = number("per_page").min(cap.unwrap_or(1000));
        let page = if repeats || endless { 1 } else { number("page") };
        let entries: Vec<_> =
            asked.iter().skip((page - 1) * per_page).take(per_page).map(|second| entry(*second)).collect();
        let mut body = json!({ "success": true, "errors": [], "messages": [], "result": entries });
        if !without_info {
            body["result_info"] =
                json!({ "page": page, "per_page": per_page, "count": entries.len(), "total_count": asked.len() });
        }
        ok(&body)
    }
}

fn event_time(second: u64) -> Timestamp {
    now().minus(HOUR).plus(Duration::from_secs(second))
}

fn entry(second: u64) -> Value {
    let kind = ["connected", "disconnected"][usize::from(second % 2 == 1)];
    let data = json!({ "input_id": format!("{:032x}", second % 7), "event_type": format!("live_input.{kind}"),
                       "updated_at": event_time(second).to_string() });
    json!({ "id": second.to_string(), "alert_type": "stream_live_notifications", "alert_body": data })
}

fn response(status: u16, body: &Value) -> Answer {
    Ok(Response { status, limit: RateLimit::default(), date: None, body: body.to_string().into_bytes() })
}

fn ok(body: &Value) -> Answer {
    response(200, body)
}

fn settings(backfill: bool) -> Settings {
    Settings {
        account_id: ACCOUNT.parse().unwrap(),
        is_only_account: true,
        webhook_url: None,
        request_share: 0.25,
        inventory: None,
        reconcile: false,
        backfill,
        destination: None,
        quality: None,
    }
}

fn new() -> Backfill {
    Backfill::new(&settings(true))
}

fn progress(backfill: &Backfill) -> Option<BackfillProgress> {
    let mut facts = Facts::default();
    backfill.report(&mut facts);
    facts.backfill
}

/// Runs until no request is due, and returns the event times of each recorded batch, and whether it was complete.
fn run(backfill: &mut Backfill, history: &mut History, view: &View) -> (Vec<Vec<Timestamp>>, bool) {
    let mut time = now();
    let (mut recorded, mut complete) = (Vec::new(), false);
    while let Some(due) = backfill.due(time, view) {
        time = time.max(due.at);
        let request = backfill.request(time, view).unwrap();
        assert_eq!(backfill.due(time, view), None, "a request is in flight");
        let answer = history.answer(&request);
        let mut effects = Vec::new();
        let answered = backfill.answered(&request, &answer, time, view, &mut effects);
        assert!(answered.is_ok() || progress(backfill).unwrap().error.is_some());
        for effect in effects {
            match effect {
                Effect::Record(ref events) => recorded.push(events.iter().map(|event| event.updated_at).collect()),
                Effect::Backfilled => complete = true,
                Effect::Observe(_) | Effect::Inventory(_) | Effect::Quality(..) => panic!("{effect:?}"),
            }
        }
    }
    (recorded, complete)
}

fn all_times(sent: impl IntoIterator<Item = u64>) -> Vec<Timestamp> {
    sent.into_iter().map(event_time).collect()
}

#[test]
fn history_since_the_downtime_is_recorded_in_ascending_event_time() {
    for faults in [
        Faults::default(),
        Faults { without_info: true, ..Faults::default() },
        Faults { cap: Some(25), ..Faults::default() },
        Faults { cap: Some(25), without_info: true, ..Faults::default() },
        Faults { shifts: true, cap: Some(25), ..Faults::default() },
    ] {
        let (mut backfill, mut history) = (new(), History::new(0..100, faults));
        let (recorded, complete) = run(&mut backfill, &mut history, &an_hour_down());
        assert!(complete, "{faults:?}");
        // Each page that shifts has one entry more.
        let sent = history.sent.clone();
        assert_eq!(recorded.concat()[..100], all_times(0..100), "{faults:?}");
        let entries = progress(&backfill).unwrap().entries;
        assert!(entries.read == entries.events && entries.read <= sent.len() as u64, "{faults:?}");
        assert!(progress(&backfill).unwrap().ended.is_some());
    }
}

#[test]
fn period_begins_some_minutes_before_the_downtime() {
    let request = new().request(now(), &an_hour_down()).unwrap();
    let query = format!("since={}&before={}&", now().minus(HOUR + MARGIN), now().plus(MARGIN));
    assert!(request.path.contains(&query), "the API's clock may be ahead: {}", request.path);
    let mut history = History::new([], Faults::default());
    let mut backfill = new();
    assert!(run(&mut backfill, &mut history, &an_hour_down()).1);
    let period = Period { since: now().minus(HOUR + MARGIN), before: now() };
    assert_eq!(progress(&backfill).unwrap().period, period);
    assert_eq!(history.requests, 1, "the first page is empty");
}

#[test]
fn long_part_is_halved_and_still_recorded_in_order() {
    let faults = Faults { cap: Some(5), without_info: true, ..Faults::default() };
    let (mut backfill, mut history) = (new(), History::new(0..600, faults));
    let (recorded, complete) = run(&mut backfill, &mut history, &an_hour_down());
    assert!(complete);
    let times = recorded.concat();
    assert!(times.is_sorted());
    assert_eq!(BTreeSet::from_iter(times), BTreeSet::from_iter(all_times(0..600)));
    assert!(recorded.iter().all(|batch| batch.len() <= BATCH));
    assert!(history.requests < 500, "{}", history.requests);
}

#[test]
fn pages_that_repeat_or_never_end_end_the_backfill() {
    let repeats = Faults { repeats: true, cap: Some(25), without_info: true, ..Faults::default() };
    let mut history = History::new(0..100, repeats);
    let (recorded, complete) = run(&mut new(), &mut history, &an_hour_down());
    assert!(complete);
    assert_eq!(recorded.concat(), all_times(75..100), "the newest page");
    assert_eq!(history.requests, 2);

    let ignores_period = Faults { ignores_period: true, cap: Some(5), without_info: true, ..Faults::default() };
    let mut history = History::new(0..600, ignores_period);
    let (recorded, complete) = run(&mut new(), &mut history, &an_hour_down());
    assert!(complete && !recorded.is_empty());

    let endless = Faults { endless: true, cap: Some(1), ignores_period: true, without_info: true, ..Faults::default() };
    let mut history = History::new([], endless);
    let mut backfill = new();
    backfill.begin(now().minus(HOUR * 24 * 30), now());
    let (_, complete) = run(&mut backfill, &mut history, &an_hour_down());
    assert!(!complete, "it is not known what is missing");
    assert_eq!(history.requests as u64, MAX_PAGES_IN_ALL);
    assert!(progress(&backfill).unwrap().error.is_some());
}

#[test]
fn entries_that_several_mechanisms_sent_are_one_event() {
    let mut part = Part::default();
    let twice = |id: &str| {
        let mut entry = entry(7);
        entry["id"] = json!(id);
        entry
    };
    let page = vec![twice("a"), twice("b"), twice("b"), json!({ "alert_type": "billing_usage_alert" })];
    part.add(page, PageInfo::default(), ACCOUNT.parse().unwrap(), now());
    let unusable = BTreeMap::from([("alert_type", 1)]);
    assert_eq!(part.entries, Entries { read: 3, events: 1, unusable });
}

#[test]
fn downtime_that_is_longer_than_the_history_is_kept_is_backfilled_from_where_it_begins() {
    let from = now().minus(HOUR * 24 * 365);
    let view = view(Some(Downtime { from, until: now(), backfill_from: Some(from) }));
    let (mut backfill, mut history) = (new(), History::new(0..3, Faults::default()));
    let (recorded, complete) = run(&mut backfill, &mut history, &view);
    assert!(complete && recorded.concat() == all_times(0..3));
    assert_eq!(progress(&backfill).unwrap().period.since, now().minus(KEPT));
}

#[test]
fn nothing_is_read_without_downtime_or_if_switched_off() {
    let backfilled = Downtime { from: now(), until: now(), backfill_from: None };
    assert_eq!(new().due(now(), &view(None)), None);
    assert_eq!(new().due(now(), &view(Some(backfilled))), None);
    let mut backfill = Backfill::new(&settings(false));
    assert_eq!(backfill.due(now(), &an_hour_down()), None);
    backfill.configure(&settings(true));
    assert!(backfill.due(now(), &an_hour_down()).is_some());
    backfill.request(now(), &an_hour_down());
    backfill.configure(&settings(false));
    assert_eq!(progress(&backfill), None);
    assert_eq!(backfill.due(now(), &an_hour_down()), None);
}

#[test]
fn downtime_is_backfilled_once_also_while_other_accounts_are_not() {
    let (mut backfill, mut history) = (new(), History::new([], Faults::default()));
    assert!(run(&mut backfill, &mut history, &an_hour_down()).1);
    assert_eq!(backfill.due(now(), &an_hour_down()), None);
    // A backfill on request from a later time on does not complete a downtime; one from an earlier time on does.
    for (since, complete) in [(1, false), (2, true)] {
        let mut backfill = Backfill::new(&settings(false));
        backfill.begin(now().minus(HOUR * since).plus(Duration::from_secs(1)), now());
        assert_eq!(run(&mut backfill, &mut history, &an_hour_down()).1, complete, "{since}");
    }
}

#[test]
fn backfill_that_begins_again_reads_from_the_earlier_time_and_drops_the_old_answer() {
    let (mut backfill, mut history) = (new(), History::new([3000, 3500], Faults::default()));
    backfill.begin(event_time(3400), now());
    let request = backfill.request(now(), &view(None)).unwrap();
    backfill.begin(event_time(2900), now());
    let mut effects = Vec::new();
    let answer = history.answer(&request);
    let answered = backfill.answered(&request, &answer, now(), &view(None), &mut effects);
    assert_eq!((answered, effects.as_slice()), (Ok(Progress::Continues), [].as_slice()));
    let (recorded, _) = run(&mut backfill, &mut history, &view(None));
    assert_eq!(recorded.concat(), all_times([3000, 3500]));
    // From then on, a request in the future reads nothing.
    backfill.begin(now().plus(HOUR), now());
    assert_eq!(progress(&backfill).unwrap().period, Period { since: now(), before: now() });
}

#[test]
fn errors_are_waited_out_and_end_a_backfill_on_request() {
    let refused = || response(403, &json!({ "success": false, "errors": [{ "code": 10000, "message": "m" }] }));
    let failing = || response(500, &json!({}));
    let invalid = || ok(&json!({ "success": true, "result": { "a": 1 } }));
    for (answer, on_request, attempts) in [
        (refused as fn() -> Answer, true, Some(1)),
        (failing, true, Some(5)),
        (invalid, true, Some(5)),
        (|| Err(TransportError::Timeout), true, Some(5)),
        (refused, false, None),
        (failing, false, None),
    ] {
        let (mut backfill, mut time) = (new(), now());
        let view = if on_request { view(None) } else { an_hour_down() };
        if on_request {
            backfill.begin(event_time(0), time);
        }
        let mut asked = 0;
        while let Some(due) = backfill.due(time, &view).filter(|_| asked < 20) {
            time = time.max(due.at);
            let request = backfill.request(time, &view).unwrap();
            assert!(backfill.answered(&request, &answer(), time, &view, &mut Vec::new()).is_err());
            asked += 1;
        }
        assert_eq!(asked, attempts.unwrap_or(20));
        assert!(progress(&backfill).unwrap().error.is_some());
        if attempts.is_none() {
            // It continues where it was.
            let mut history = History::new(0..10, Faults::default());
            assert!(run(&mut backfill, &mut history, &view).1);
            assert_eq!(progress(&backfill).unwrap().error, None);
        }
    }
}
