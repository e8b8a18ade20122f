//! Replicas that share a journal: all of them show its state, and each has its own process.

use std::time::Duration;

use stream_live_exporter::event::Timestamp;
use stream_live_exporter::live::{SharedStatus, View};
use stream_live_exporter::metrics::Exporter;

use super::actions::{Outage, Timeline, time};
use super::process::Process;
use super::replica::{Replica, expose};
use super::rules::Grid;
use super::samples::Samples;
use super::{INSTANCES, JOB};

/// The replica without a downtime of its own, whose journal is never away.
pub const UNDISTURBED: &str = "exporter-3:10419";
const DISTURBED: &str = "exporter-2:10419";
const SPOOL_LIMIT: u64 = 100_000;
/// When the shared journal is away for one replica, and when that replica connects without applying records: offsets
/// from the beginning.
const AWAY: (&str, &str) = ("2:30:00", "2:44:00");
const LAGGING: (&str, &str) = ("4:10:00", "4:12:00");
/// When all replicas restore everything.
const RELOAD: &str = "1:15:00";

/// A replica that shows the state of the journal. It runs whenever any replica of the timeline does.
struct Follower {
    instance: &'static str,
    metrics: Exporter,
    process: Process,
    /// What it showed when it was last up to date.
    applied: Option<View>,
}

/// Applies the actions of the first replica, and scrapes it with two others that share its journal.
pub fn scrape(timeline: &Timeline, grid: Grid, samples: &mut Samples<'_>) -> anyhow::Result<()> {
    let mut first = Replica::new(INSTANCES[0], 1, timeline.begin);
    let mut followers = [DISTURBED, UNDISTURBED].map(|instance| Follower::new(instance, grid.begin));
    let outages = timeline.outages();
    let mut actions = timeline.actions.iter().filter(|action| action.replica == 0).peekable();
    for at in grid.times() {
        while let Some(action) = actions.next_if(|action| action.at <= at) {
            first.apply(action.at, &action.kind)?;
        }
        let out = outages.iter().any(|Outage { from, until }| *from <= at && at < *until);
        let view = first.view(at);
        let status = SharedStatus { reloads: u64::from(at >= time(timeline.begin, RELOAD)), ..status(&first) };
        let own = first.running_metrics().map(|(metrics, process)| {
            let shared = Some(SharedStatus { lease_holder: true, ..status });
            process.replace_in(&expose(View { shared, ..view.clone() }, metrics), at)
        });
        let mut lease_is_free = own.is_none();
        let mut scraped = vec![(first.instance, own)];
        for follower in &mut followers {
            let shown = (!out).then(|| follower.scrape(&view, status, &mut lease_is_free, timeline.begin, at));
            scraped.push((follower.instance, shown));
        }
        for (instance, exposition) in scraped {
            let target = [("instance", instance), ("job", JOB)];
            samples.add("up", &target, at, f64::from(u8::from(exposition.is_some())))?;
            if let Some(exposition) = exposition {
                samples.scrape(&exposition, &target, at)?;
            }
        }
    }
    Ok(())
}

/// The status of a replica that has applied everything.
fn status(first: &Replica) -> SharedStatus {
    let position = first.position();
    SharedStatus {
        position,
        applied_position: position,
        connected: true,
        spool_limit_records: SPOOL_LIMIT,
        synchronous_commit: true,
        ..SharedStatus::default()
    }
}

impl Follower {
    fn new(instance: &'static str, started_at: Timestamp) -> Self {
        let metrics = Exporter::new(started_at, false);
        metrics.reloaded(started_at, true);
        Self { instance, metrics, process: Process::new(started_at), applied: None }
    }

    /// The response to a scrape. The replica takes the lease if it is free.
    fn scrape(
        &mut self,
        journal: &View,
        status: SharedStatus,
        lease_is_free: &mut bool,
        begin: Timestamp,
        at: Timestamp,
    ) -> String {
        let within = |(from, until): (&str, &str)| {
            self.instance == DISTURBED && time(begin, from) <= at && at < time(begin, until)
        };
        let (away, lagging) = (within(AWAY), within(LAGGING));
        let mut view = View { wall_clock: at, shared: Some(status), ..journal.clone() };
        match &self.applied {
            Some(applied) if away || lagging => {
                let old = applied.shared.unwrap_or_default();
                let spooled_records = if away { seconds(time(begin, AWAY.0), at) / 6 } else { 0 };
                let position = if away { old.position } else { status.position };
                let shared =
                    SharedStatus { position, applied_position: old.applied_position, spooled_records, ..status };
                let gauges = away.then(|| journal.state.clone());
                let shared = Some(SharedStatus { connected: !away, ..shared });
                view = View { wall_clock: at, gauges, shared, ..applied.clone() };
            }
            _ => self.applied = Some(view.clone()),
        }
        if let Some(shared) = &mut view.shared {
            shared.lease_holder = *lease_is_free && shared.connected;
            *lease_is_free &= !shared.lease_holder;
        }
        self.process.replace_in(&expose(view, &self.metrics), at)
    }
}

fn seconds(from: Timestamp, until: Timestamp) -> u64 {
    until.since(from).map_or(0, |time: Duration| time.as_secs())
}
