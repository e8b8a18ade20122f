//! Failures of replicas: kills, restarts with other rules, wrong clocks, and a record that they do not know.

use super::{PHASE, Servers, Site, rounds};
use crate::daemon::eventually;
use crate::faults::clock::faketime;

/// A record of a kind that no release has.
const UNKNOWN_KIND: &str = "BEGIN; SET search_path = stream_live_exporter; SELECT FROM head FOR UPDATE; \
    INSERT INTO records (position, recorded_at, shown_until, kind) \
        SELECT position + 1, recorded_until, time, 'of_the_future' FROM head; \
    UPDATE head SET position = position + 1, batch_id = gen_random_uuid(); \
    INSERT INTO batches (id, position) SELECT batch_id, position FROM head; COMMIT";
/// As if the replicas were upgraded to a release that knows the kind: it becomes one that they know.
const UPGRADE: &str = "UPDATE stream_live_exporter.records SET kind = 'clock_set_back' WHERE kind = 'of_the_future'";

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_1_replicas_that_are_killed_lose_nothing() {
    let Some(mut site) = Site::start("1-kills", Servers::One) else { return };
    let run = site.run();
    for round in 0..rounds(4, 12) {
        run.wait(PHASE);
        let replica = &mut site.replicas[round % 3];
        replica.kill();
        replica.start();
    }
    run.wait(PHASE);
    run.finish(&site);
}

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_7_rolling_restart_with_a_changed_rule_loses_nothing() {
    let Some(mut site) = Site::start("7-restart", Servers::One) else { return };
    let run = site.run();
    for window in ["5s", "45s"].iter().take(rounds(1, 2)) {
        for replica in &mut site.replicas {
            run.wait(PHASE);
            replica.stop();
            replica.start_with(&format!("[inputs]\nreconnect_window = \"{window}\"\n"));
            replica.wait_until_ready();
        }
        run.wait(PHASE);
        site.primary.stop();
        site.primary.start();
    }
    run.wait(PHASE);
    run.finish(&site);
    let rules = "SELECT count(*) FROM stream_live_exporter.records WHERE kind = 'rules' AND data LIKE '%\"secs\":5,%'";
    assert_ne!(site.journal().psql(rules), "0", "the changed rule is a record");
}

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_9_clock_skew_of_a_minute_loses_nothing() {
    let Some(library) = faketime() else { return };
    let Some(mut site) = Site::prepare("9-clocks", Servers::One, "") else { return };
    for (replica, seconds) in site.replicas.iter_mut().zip([0, 60, -60]) {
        replica.skew(seconds, &library);
        replica.start();
        replica.wait_until_ready();
    }
    let run = site.run();
    run.wait(PHASE * 3);
    // A restart with a clock that is behind what the others recorded.
    site.replicas[2].kill();
    site.replicas[2].start();
    run.wait(PHASE);
    run.finish(&site);
}

#[test]
#[ignore = "needs root and namespaces: run tests/replicas"]
fn failure_11_record_of_an_unknown_kind_stops_a_replica_until_its_upgrade() {
    let Some(mut site) = Site::start("11-unknown", Servers::One) else { return };
    let run = site.run();
    run.wait(PHASE);
    site.primary.psql(UNKNOWN_KIND);
    let position = site.position();
    for replica in &site.replicas {
        eventually("the replica is not ready", || !replica.is_ready());
        eventually("the replica logs an error", || replica.daemon().log().iter().any(|line| line["level"] == "ERROR"));
    }
    run.wait(PHASE);
    for scrape in run.newest() {
        let applied = scrape.applied().expect("metrics show what was applied");
        assert!(applied < position, "replica {} applied {applied}, and {position} is unknown", scrape.replica);
    }
    site.primary.psql(UPGRADE);
    for replica in &mut site.replicas {
        replica.stop();
        replica.start();
        replica.wait_until_ready();
    }
    run.wait(PHASE);
    run.finish(&site);
}
