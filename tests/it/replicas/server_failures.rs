//! Failures of PostgreSQL: crashes, failover to a standby, commits that the standby does not confirm.

use std::time::Duration;

use super::check::Loss;
use super::network::Net;
use super::replica::Replica;
use super::{PHASE, Servers, Site, rounds};
use crate::daemon::eventually;
use crate::tools::report;

const RELOADS: &str = "stream_live_exporter_journal_reloads_total";
/// Cancels commits that wait for the standby; returns their number.
const CANCEL: &str = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_2_crashes_of_the_server_lose_nothing() {
    let Some(mut site) = Site::start("2-crash", Servers::One) else { return };
    let run = site.run();
    for round in 0..rounds(3, 6) {
        run.wait(PHASE);
        site.primary.kill();
        if round % 2 == 1 {
            run.wait(PHASE);
        }
        site.primary.start();
        run.wait_until_current();
    }
    run.finish(&site);
}

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_3_failover_to_the_synchronous_standby_loses_nothing() {
    let Some(mut site) = Site::start("3-failover", Servers::SynchronousStandby) else { return };
    let run = site.run();
    run.wait(PHASE * 2);
    site.primary.kill();
    run.wait(PHASE / 2);
    site.promote_standby();
    run.wait_until_current();
    run.wait(PHASE);
    run.finish(&site);
}

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_8_commits_that_the_standby_does_not_confirm_are_tried_again_and_recorded_once() {
    let Some(mut site) = Site::start("8-cancelled", Servers::SynchronousStandby) else { return };
    let run = site.run();
    for _ in 0..rounds(1, 3) {
        run.wait(PHASE);
        let standby = site.standby.as_mut().expect("it has one");
        standby.stop();
        let mut cancelled = 0;
        eventually("waits are cancelled", || {
            cancelled += site.primary.psql(CANCEL).parse::<u32>().expect("a number");
            cancelled > 5
        });
        run.wait_until_spooled();
        run.wait(PHASE);
        site.standby.as_mut().expect("it has one").start();
        run.wait_until_current();
    }
    run.wait(PHASE);
    let finished = run.finish(&site);
    finished.assert_answered(Duration::ZERO, Duration::MAX, &[Some(200)]);
}

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_8b_failover_to_a_standby_without_the_tail_is_noticed_and_reloaded() {
    let Some(mut site) = Site::start("8b-tail", Servers::AsynchronousStandby) else { return };
    let run = site.run();
    run.wait(PHASE);
    let link = site.standby.as_ref().expect("it has one").host().clone();
    link.set_connected(Net::Database, false);
    run.wait(PHASE);
    let before = site.position();
    site.primary.kill();
    link.set_connected(Net::Database, true);
    site.promote_standby();
    let (since, promoted) = (run.sender.elapsed(), site.position());
    assert!(promoted < before, "the standby has {promoted} of {before} records, so it lacks none");
    eventually("every replica reloads", || {
        let newest = run.newest();
        newest.len() == site.replicas.len() && newest.iter().all(|scrape| scrape.value(RELOADS) == Some(1.0))
    });
    report(&format!(
        "replicas: 8b: every replica shows its reload {:?} after the promotion",
        run.sender.elapsed() - since
    ));
    // The first replica that reloads is exact: the others may have appended since.
    let said = site.replicas.iter().map(records_lost_at_least).max().unwrap_or_default();
    run.wait_until_current();
    run.wait(PHASE);
    let finished = run.finish_with(&site, Loss::OfServer);
    let lost = finished.sent.accepted().filter(|event| !finished.events.contains(event)).count();
    report(&format!("replicas: 8b: replicas say that {said} records are lost; {lost} of them were answered 2xx"));
    assert!(lost > 0, "the test lost nothing");
    assert!(u64::try_from(lost).is_ok_and(|lost| lost <= said), "more is lost than replicas say");
}

/// The number of lost records that a replica has logged.
fn records_lost_at_least(replica: &Replica) -> u64 {
    replica.daemon().log().iter().filter_map(|line| line["lost_at_least"].as_u64()).sum()
}
