//! The checks find faults that are planted, and accept what the promise excepts.

use std::time::Duration;

use super::check::{Loss, Scrape, Values, disagreements, fallen_counters, journal_faults, metric_faults};
use super::events::{Events, Identity, Sent};

const ID: &str = "00000000000000000000000000000001";

/// A scrape in the given second, with the series of one input that is connected.
fn scrape(replica: usize, second: u64, position: u64) -> Scrape {
    let labels = format!("{{input_id=\"{ID}\"}}");
    let series = [
        ("stream_live_exporter_journal_applied_position".to_owned(), position as f64),
        ("stream_live_exporter_journal_position".to_owned(), position as f64),
        ("stream_live_exporter_journal_connected".to_owned(), 1.0),
        ("stream_live_exporter_spooled_records".to_owned(), 0.0),
        ("stream_live_exporter_notifications_total".to_owned(), second as f64),
        ("process_start_time_seconds".to_owned(), 1.0),
        (format!("cloudflare_stream_live_input_connected{labels}"), 1.0),
        (format!("cloudflare_stream_live_input_sessions_total{labels}"), position as f64),
        (format!("cloudflare_stream_live_input_connected_seconds_total{labels}"), second as f64),
    ];
    let values: Values = series.into_iter().map(|(series, value)| (series.into(), value)).collect();
    let from = Duration::from_secs(second);
    Scrape { replica, from, until: from + Duration::from_millis(10), values }
}

fn with(mut scrape: Scrape, series: &str, value: f64) -> Scrape {
    let series = if series.ends_with("_records") || !series.starts_with("cloudflare") || series.contains('{') {
        series.to_owned()
    } else {
        format!("{series}{{input_id=\"{ID}\"}}")
    };
    scrape.values.insert(series.into(), value);
    scrape
}

const SESSIONS: &str = "cloudflare_stream_live_input_sessions_total";
const STATE: &str = "cloudflare_stream_live_input_connected";
const TIME: &str = "cloudflare_stream_live_input_connected_seconds_total";
const OWN: &str = "stream_live_exporter_notifications_total";

#[track_caller]
fn check_fallen(scrapes: &[Scrape], faults: usize) {
    let found = fallen_counters(scrapes, Loss::None);
    assert_eq!(found.len(), faults, "{found:?}");
}

#[test]
fn counter_that_falls_or_disappears_is_found() {
    check_fallen(&[scrape(0, 1, 5), scrape(0, 2, 6)], 0);
    check_fallen(&[scrape(0, 1, 5), scrape(0, 2, 4)], 1);
    // Of two replicas, each has its own sequence.
    check_fallen(&[scrape(0, 1, 5), with(scrape(1, 1, 5), SESSIONS, 4.0), scrape(0, 2, 5)], 0);
    let mut without = scrape(0, 2, 5);
    without.values.retain(|series, _| !series.contains("sessions"));
    check_fallen(&[scrape(0, 1, 5), without], 1);
}

#[test]
fn own_counters_may_begin_again_with_the_process_and_counters_of_inputs_may_not() {
    let restarted = |scrape| with(scrape, "process_start_time_seconds", 2.0);
    check_fallen(&[scrape(0, 1, 5), with(scrape(0, 2, 5), OWN, 0.0)], 1);
    check_fallen(&[scrape(0, 1, 5), restarted(with(scrape(0, 2, 5), OWN, 0.0))], 0);
    check_fallen(&[scrape(0, 1, 5), restarted(with(scrape(0, 2, 5), SESSIONS, 4.0))], 1);
}

#[test]
fn counters_may_fall_only_at_a_reload_and_only_if_the_server_lost_records() {
    let reloaded = with(scrape(0, 2, 4), "stream_live_exporter_journal_reloads_total", 1.0);
    check_fallen(&[scrape(0, 1, 5), reloaded.clone()], 1);
    assert_eq!(fallen_counters(&[scrape(0, 1, 5), reloaded], Loss::OfServer).len(), 0);
    assert_eq!(fallen_counters(&[scrape(0, 1, 5), scrape(0, 2, 4)], Loss::OfServer).len(), 1);
}

#[track_caller]
fn check_equal(first: Scrape, second: Scrape, expected: (usize, usize)) {
    let (faults, pairs) = disagreements(&[first, second], Loss::None);
    assert_eq!((faults.len(), pairs), expected, "{faults:?}");
}

#[test]
fn unequal_series_at_equal_positions_are_found() {
    check_equal(scrape(0, 1, 5), scrape(1, 2, 5), (0, 1));
    check_equal(scrape(0, 1, 5), scrape(1, 2, 6), (0, 0));
    check_equal(scrape(0, 1, 5), with(scrape(1, 2, 5), SESSIONS, 6.0), (1, 1));
    check_equal(scrape(0, 1, 5), with(scrape(1, 2, 5), STATE, 0.0), (1, 1));
    check_equal(scrape(0, 1, 5), with(scrape(1, 2, 5), "cloudflare_stream_live_more", 0.0), (1, 1));
    check_equal(scrape(0, 1, 5), with(scrape(1, 2, 5), OWN, 7.0), (0, 1));
}

#[test]
fn positions_may_be_used_again_only_after_a_reload_and_only_if_the_server_lost_records() {
    let reloads = "stream_live_exporter_journal_reloads_total";
    let scrapes = [with(scrape(0, 1, 5), reloads, 0.0), with(with(scrape(1, 2, 5), SESSIONS, 6.0), reloads, 1.0)];
    assert_eq!(disagreements(&scrapes, Loss::OfServer), (Vec::new(), 0));
    assert_eq!(disagreements(&scrapes, Loss::None).0.len(), 1);
}

#[test]
fn time_connected_may_only_grow_between_scrapes_and_stands_still_for_a_disconnected_input() {
    check_equal(scrape(0, 1, 5), with(scrape(1, 2, 5), TIME, 0.5), (1, 1));
    let off = |replica, second, time| with(with(scrape(replica, second, 5), STATE, 0.0), TIME, time);
    check_equal(off(0, 1, 1.0), off(1, 2, 1.0), (0, 1));
    check_equal(off(0, 1, 1.0), off(1, 2, 2.0), (1, 1));
}

#[test]
fn gauges_of_a_replica_that_is_away_may_differ_and_its_counters_may_not() {
    for (series, value) in
        [("stream_live_exporter_spooled_records", 1.0), ("stream_live_exporter_journal_connected", 0.0)]
    {
        let away = with(scrape(1, 2, 5), series, value);
        check_equal(scrape(0, 1, 5), with(away.clone(), STATE, 0.0), (0, 1));
        check_equal(scrape(0, 1, 5), with(away, SESSIONS, 6.0), (1, 1));
    }
}

/// The identities of 1000 notifications, and what a sender knows of them.
fn sent() -> (Vec<Identity>, Sent) {
    let (mut events, mut sent, mut journal) = (Events::new(1), Sent::default(), Vec::new());
    for _ in 0..1000 {
        let (event, _) = events.next();
        sent.sending(&event);
        sent.answered_2xx(event.clone());
        if !journal.contains(&event) {
            journal.push(event);
        }
    }
    (journal, sent)
}

#[test]
fn lost_repeated_and_unknown_events_are_found_in_the_journal() {
    let (mut journal, sent) = sent();
    assert_eq!(journal_faults(&journal, &sent, Loss::None).len(), 0);
    let last = journal.pop().unwrap();
    assert_eq!(journal_faults(&journal, &sent, Loss::None).len(), 1);
    assert_eq!(journal_faults(&journal, &sent, Loss::OfServer).len(), 0);
    journal.extend([last.clone(), last.clone()]);
    assert_eq!(journal_faults(&journal, &sent, Loss::OfServer).len(), 1);
    *journal.last_mut().unwrap() = Identity { updated_at: 1, ..last };
    assert_eq!(journal_faults(&journal, &sent, Loss::None).len(), 1);
}

#[test]
fn metrics_that_differ_from_the_journal_are_found() {
    let event = |kind: &str, updated_at| Identity {
        input_id: ID.into(),
        kind: kind.into(),
        updated_at,
        code: if kind == "errored" { "other".into() } else { String::new() },
    };
    let journal = [event("connected", 3), event("disconnected", 2), event("errored", 4)];
    let label = |name: &str, label: &str| format!("cloudflare_stream_live_input_{name}{{input_id=\"{ID}\",{label}}}");
    let mut shown = scrape(0, 1, 3);
    for kind in ["connected", "disconnected", "errored"] {
        shown = with(shown, &label("events_total", &format!("event=\"{kind}\"")), 1.0);
    }
    let shown = with(shown, &label("errors_total", "code=\"other\""), 1.0);
    assert_eq!(metric_faults(&shown, &journal), Vec::<String>::new());
    assert_eq!(metric_faults(&with(shown.clone(), STATE, 0.0), &journal).len(), 1);
    let other = with(shown, &label("errors_total", "code=\"other\""), 2.0);
    assert_eq!(metric_faults(&other, &journal).len(), 1);
}
