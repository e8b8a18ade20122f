//! The journal is away: partitions, a stopped server, a full spool, a pooler that restarts.

use std::time::Duration;

use stream_live_exporter::clock::now;
use stream_live_exporter::simulate::{Fact, FactKind};

use super::events::input;
use super::network::Net;
use super::{PHASE, Pooler, Servers, Site, rounds};
use crate::daemon::{eventually, fixture};

/// How long PostgreSQL is away.
const OUTAGE: Duration = Duration::from_secs(60);
/// An input that only these tests use.
const OTHER_INPUT: usize = 900;
const REJECTED: &str = "stream_live_exporter_requests_rejected_total{reason=\"spool\"}";

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_4_partitions_lose_nothing() {
    let Some(site) = Site::start("4-partitions", Servers::One) else { return };
    let run = site.run();
    run.wait(PHASE);
    let mut partitions = Vec::new();
    for _ in 0..rounds(1, 3) {
        for replica in &site.replicas {
            let from = run.sender.elapsed();
            replica.host.set_connected(Net::Database, false);
            run.wait(PHASE);
            replica.host.set_connected(Net::Database, true);
            partitions.push((from, run.sender.elapsed()));
            run.wait_until_current();
            replica.host.set_connected(Net::Webhook, false);
            // Longer than the sender waits.
            run.wait(PHASE + PHASE / 2);
            replica.host.set_connected(Net::Webhook, true);
        }
    }
    run.wait(PHASE);
    let finished = run.finish(&site);
    for (from, until) in partitions {
        finished.assert_answered(from, until, &[Some(200)]);
    }
}

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_5_without_the_server_nothing_is_answered_503_and_replicas_show_what_goes_off_air() {
    let Some(mut site) = Site::start("5-away", Servers::One) else { return };
    let run = site.run();
    let event = |kind| Fact { input_id: input(OTHER_INPUT), kind, updated_at: now() };
    let state = format!("cloudflare_stream_live_input_connected{{input_id=\"{}\"}}", input(OTHER_INPUT));
    let shows = |replica: usize, value: f64| {
        let newest = run.newest();
        newest.iter().any(|scrape| scrape.replica == replica && scrape.value(&state) == Some(value))
    };
    assert_eq!(run.sender.deliver(0, event(FactKind::Connected)), Some(200));
    eventually("all replicas show that it is connected", || (0..3).all(|replica| shows(replica, 1.0)));
    run.wait(PHASE);
    let from = run.sender.elapsed();
    site.primary.stop();
    run.wait_until_spooled();
    for replica in &site.replicas {
        assert!(replica.is_ready(), "a replica with room in its spool is ready");
        assert_eq!(replica.post(&fixture("save-and-test-properly")).body, r#"{"outcome":"test"}"#);
    }
    assert_eq!(run.sender.deliver(0, event(FactKind::Disconnected)), Some(200));
    eventually("its replica shows that it is off air", || shows(0, 0.0));
    site.replicas[1].stop();
    site.replicas[1].start();
    site.replicas[1].wait_until_ready();
    site.replicas[2].kill();
    site.replicas[2].start();
    site.replicas[2].wait_until_ready();
    assert_eq!(site.replicas[1].post(&fixture("save-and-test-properly")).body, r#"{"outcome":"test"}"#);
    run.wait(OUTAGE.saturating_sub(run.sender.elapsed() - from));
    let until = run.sender.elapsed();
    site.primary.start();
    run.wait_until_current();
    eventually("all replicas show that it is off air", || (0..3).all(|replica| shows(replica, 0.0)));
    let finished = run.finish(&site);
    // No response while a replica is down.
    finished.assert_answered(from, until, &[Some(200), None]);
}

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_6_full_spool_answers_503_until_it_drains() {
    const LIMIT: u64 = 300;
    let Some(mut site) = Site::prepare("6-full", Servers::One, &format!("spool_max = {LIMIT}")) else { return };
    for replica in &mut site.replicas {
        replica.start();
        replica.wait_until_ready();
    }
    let run = site.run();
    run.wait(PHASE);
    site.primary.kill();
    for replica in &site.replicas {
        eventually("the replica is not ready", || !replica.is_ready());
        eventually("503 is counted", || replica.daemon().metric(REJECTED).is_some_and(|rejected| rejected > 0.0));
        let test = replica.post(&fixture("save-and-test-properly"));
        assert_eq!(test.body, r#"{"outcome":"test"}"#, "Save and Test works with a full spool");
    }
    run.wait(PHASE);
    let spooled: Vec<_> = run.newest().iter().filter_map(super::Scrape::spooled).collect();
    assert!(spooled.len() == 3 && spooled.iter().all(|spooled| (1..=LIMIT).contains(spooled)), "{spooled:?}");
    let answers = run.sender.attempts();
    assert!(answers.iter().any(|answer| answer.status == Some(503)), "the spools are full");
    site.primary.start();
    run.wait_until_current();
    run.wait(PHASE);
    let finished = run.finish(&site);
    let most = finished.scrapes.iter().filter_map(super::Scrape::spooled).max();
    assert!(most <= Some(LIMIT), "{most:?} records in a spool");
}

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_10_pooler_in_transaction_mode_loses_nothing() {
    let Some(mut site) = Site::start("10-pooler", Servers::Pooler) else { return };
    let run = site.run();
    for round in 0..rounds(1, 3) {
        run.wait(PHASE);
        site.replicas[round % 3].kill();
        site.replicas[round % 3].start();
        run.wait(PHASE);
        site.primary.stop();
        site.primary.start();
        run.wait_until_current();
        site.pooler.as_mut().expect("it has one").restart();
        run.wait_until_current();
    }
    run.wait(PHASE);
    run.finish(&site);
    let log = site.pooler.as_ref().map(Pooler::log).unwrap_or_default();
    assert!(!log.contains("unsupported"), "{log}");
}
