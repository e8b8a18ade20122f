//! One replica of the exporter: the stages of the library, at the times of the timeline.
//!
//! It handles deliveries in the same order as the daemon, without sockets and files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use stream_live_exporter::accept;
use stream_live_exporter::event::{
    Corrected, Correction, EventSource, InputId, Notification, Observation, Observed, Record, RecordKind, Rules,
    Timestamp,
};
use stream_live_exporter::http::Rejection;
use stream_live_exporter::live::{Downtime, Fold, LastSeen, Verdict, View, apply};
use stream_live_exporter::metrics::{Exporter, Exposition, Format};
use stream_live_exporter::recorder::Outcome;
use stream_live_exporter::schedule::Configured;
use stream_live_exporter::simulate::{Fact, FactKind};

use super::actions::{ActionKind, CERTIFICATE_VALIDITY, Delivery};
use super::api::{Api, quality};
use super::inputs::{ACCOUNTS, Input};
use super::process::Process;

const RECONNECT_WINDOW: Duration = Duration::from_secs(60);
const MAX_INPUTS: usize = 10_000;
/// Size of an empty journal, and of an event, in bytes.
const JOURNAL_SIZE: (u64, u64) = (57_344, 410);

/// A replica. The journal, and with it the fold, outlives the process.
pub struct Replica {
    /// The value of the label `instance`.
    pub instance: &'static str,
    fold: Fold,
    /// Number of records in the journal.
    position: u64,
    journal_events: u64,
    last_seen: LastSeen,
    api: Api,
    /// The beginning of the timeline.
    begin: Timestamp,
    stopped_at: Option<Timestamp>,
    /// Time of the latest scrape.
    shown_until: Timestamp,
    rng: fastrand::Rng,
    running: Option<Running>,
}

struct Running {
    metrics: Exporter,
    process: Process,
    started_at: Timestamp,
    downtime: Option<Downtime>,
    restored_inputs: usize,
}

impl Replica {
    /// A replica that has not been started yet.
    pub fn new(instance: &'static str, seed: u64, begin: Timestamp) -> Self {
        Self {
            instance,
            fold: Fold::default(),
            position: 0,
            journal_events: 0,
            last_seen: LastSeen::default(),
            api: Api::default(),
            begin,
            stopped_at: None,
            shown_until: Timestamp::EPOCH,
            rng: fastrand::Rng::with_seed(seed),
            running: None,
        }
    }

    pub fn apply(&mut self, at: Timestamp, action: &ActionKind) -> anyhow::Result<()> {
        match action {
            ActionKind::Start(configuration) => {
                // Configured inputs without events are not in the journal.
                let journaled = self.fold.state().inputs().values().filter(|entry| entry.input.known_since.is_some());
                let restored_inputs = journaled.count();
                let metrics = Exporter::new(at, false);
                metrics.reloaded(at, true);
                metrics.watch_certificate("webhook", move || at.plus(CERTIFICATE_VALIDITY));
                metrics.watch_dropped_log_lines(|| 0);
                // A proxy and Prometheus.
                metrics.connections.with_label_values(&["webhook"]).set(2.0);
                metrics.connections.with_label_values(&["web"]).set(1.0);
                self.configure(at, configuration.inputs(self.begin));
                self.fold.set_accounts(ACCOUNTS.map(|account| (account.id(), account.0.into())).into());
                let process = Process::new(at);
                let downtime = self.stopped_at.map(|from| Downtime { from, until: at, backfill_from: Some(from) });
                self.running = Some(Running { metrics, process, started_at: at, downtime, restored_inputs });
            }
            ActionKind::Stop => {
                self.running = None;
                self.stopped_at = Some(at);
            }
            ActionKind::Reload(configuration) => {
                self.configure(at, configuration.inputs(self.begin));
                self.running()?.metrics.reloaded(at, true);
            }
            ActionKind::FailReload => self.running()?.metrics.reloaded(at, false),
            ActionKind::Reject(reason) => {
                let duration = self.duration(0.0001, 0.0006);
                let metrics = &self.running()?.metrics;
                metrics.rejected.with_label_values(&[reason]).inc();
                metrics.request_duration.observe(duration.as_secs_f64());
            }
            ActionKind::RefuseConnection(reason) => {
                self.running()?.metrics.connections_refused.with_label_values(&["webhook", *reason]).inc();
            }
            ActionKind::Deliver(delivery) => self.receive(at, delivery)?,
            ActionKind::Observe(fact) => self.observe(at, fact)?,
            ActionKind::Correct(fact) => self.correct(at, fact)?,
            ActionKind::Backfill(delivery) => self.backfill(at, delivery)?,
            ActionKind::CompleteBackfill => {
                let running = self.running.as_mut().context("the replica is not running")?;
                running.downtime.as_mut().context("there was no downtime")?.backfill_from = None;
                self.api.read_history(&running.metrics, at);
            }
        }
        Ok(())
    }

    fn running(&self) -> anyhow::Result<&Running> {
        self.running.as_ref().context("the replica is not running")
    }

    fn configure(&mut self, at: Timestamp, configured: BTreeMap<InputId, Configured>) {
        let rules = Rules {
            reconnect_window: RECONNECT_WINDOW,
            reorder_window: Duration::from_secs(300),
            max_inputs: MAX_INPUTS,
            configured: configured.keys().copied().collect(),
        };
        self.record(at, RecordKind::Rules(Arc::new(rules)));
        self.fold.set_configured(configured);
    }

    /// Applies a record.
    fn record(&mut self, at: Timestamp, kind: RecordKind) -> Verdict {
        let record = Record { recorded_at: at, shown_until: self.shown_until, ..Record::new(kind) };
        let (changes, verdicts) = apply(&self.fold, &[record]);
        self.fold.adopt(changes);
        self.position += 1;
        verdicts[0]
    }

    /// Applies a notification.
    fn outcome(&mut self, at: Timestamp, notification: Notification) -> Outcome {
        match notification {
            Notification::Test => Outcome::Test,
            Notification::Ignored(reason) => Outcome::Ignored(reason),
            Notification::NotJson => Outcome::NotJson,
            Notification::Event(event) => match self.record(at, RecordKind::Event(event, None)) {
                Verdict::Recorded(_) => Outcome::Recorded,
                // Only corrections have the last one.
                Verdict::Duplicate | Verdict::UnknownInput => Outcome::Duplicate,
                Verdict::Ignored(reason) => Outcome::Ignored(reason),
            },
        }
    }

    fn receive(&mut self, at: Timestamp, delivery: &Delivery) -> anyhow::Result<()> {
        let reading = accept::read(&delivery.body, at)?;
        let commit = self.duration(0.0006, 0.006);
        let answered = commit + self.duration(0.0001, 0.0008);
        let metrics = &self.running.as_ref().context("the replica is not running")?.metrics;
        metrics.request_duration.observe(answered.as_secs_f64());
        if reading.lenient {
            metrics.lenient.inc();
        }
        if let Some(input) = delivery.event.and_then(|event| Input::of(event.fact.input_id)) {
            self.api.deliver(input, at, !delivery.journal_fails);
        }
        if delivery.journal_fails {
            metrics.append_failures.inc();
            metrics.rejected.with_label_values(&[Rejection::Journal.reason()]).inc();
            return Ok(());
        }
        self.last_seen.record(at, Some(delivery.secret), reading.notification == Notification::Test);
        self.fold.set_last_seen(self.last_seen.clone());
        let outcome = self.outcome(at, reading.notification);
        ensure!(outcome == delivery.outcome, "{outcome:?} instead of {:?} at {at}", delivery.outcome);
        let events = usize::from(outcome == Outcome::Recorded);
        let metrics = &self.running.as_ref().context("the replica is not running")?.metrics;
        if events > 0 || outcome.ignored().is_some() {
            metrics.committed(events, commit);
        }
        metrics.notified(outcome.name(), outcome.ignored());
        self.journal_events += events as u64;
        Ok(())
    }

    fn observe(&mut self, at: Timestamp, fact: &Fact) -> anyhow::Result<()> {
        let found = if fact.kind == FactKind::Connected { Observed::Connected } else { Observed::Disconnected };
        let input = Input::of(fact.input_id).context("an observation of an unknown input")?;
        let (_, account_id) = input.account().context("an observation without an account")?;
        let entry = self.fold.state().inputs().get(&fact.input_id).context("an observation of an unknown input")?;
        let events = entry.input.events().iter().sum();
        let observation = Observation { input_id: fact.input_id, found, at: fact.updated_at, events, account_id };
        let verdict = self.record(at, RecordKind::Observation(observation));
        ensure!(verdict == Verdict::Recorded(None), "{verdict:?} for {fact:?}");
        self.running()?.metrics.corrections.with_label_values(&["cloudflare", found.label()]).inc();
        Ok(())
    }

    fn correct(&mut self, at: Timestamp, fact: &Fact) -> anyhow::Result<()> {
        let to = if fact.kind == FactKind::Connected { Corrected::Connected } else { Corrected::Disconnected };
        let (user, reason) = (Some("operator".into()), Some("the encoder is off".into()));
        let correction = Correction { input_id: fact.input_id, to, at: fact.updated_at, user, reason };
        let verdict = self.record(at, RecordKind::Correction(correction));
        ensure!(verdict == Verdict::Recorded(None), "{verdict:?} for {fact:?}");
        self.running()?.metrics.corrections.with_label_values(&["operator", to.label()]).inc();
        Ok(())
    }

    /// Records an event of the notification history.
    fn backfill(&mut self, at: Timestamp, delivery: &Delivery) -> anyhow::Result<()> {
        let Notification::Event(mut event) = accept::read(&delivery.body, at)?.notification else { return Ok(()) };
        event.origin.source = EventSource::History;
        let verdict = self.record(at, RecordKind::Event(event, None));
        ensure!(matches!(verdict, Verdict::Recorded(_)), "{verdict:?} for {:?}", delivery.event);
        self.running()?.metrics.appends.inc();
        self.journal_events += 1;
        Ok(())
    }

    fn duration(&mut self, least: f64, most: f64) -> Duration {
        // Most durations are short.
        Duration::from_secs_f64(least + (most - least) * self.rng.f64().powi(3))
    }

    /// The response to a scrape; `None` while the process is stopped.
    pub fn scrape(&mut self, at: Timestamp) -> Option<String> {
        let view = self.view(at);
        let (metrics, process) = self.running_metrics()?;
        Some(process.replace_in(&expose(view, metrics), at))
    }

    /// What a scrape shows, also while the process is stopped.
    pub fn view(&mut self, at: Timestamp) -> View {
        self.shown_until = self.shown_until.max(at);
        for (account_id, quality) in quality(self.fold.state(), at) {
            self.fold.set_quality(account_id, quality);
        }
        let running = self.running.as_ref();
        if let Some(running) = running {
            self.api.show(&running.metrics, running.started_at, at);
        }
        View {
            state: self.fold.state().clone(),
            gauges: None,
            as_of: self.shown_until,
            wall_clock: at,
            journal_events: self.journal_events,
            journal_size_bytes: JOURNAL_SIZE.0 + (self.journal_events * JOURNAL_SIZE.1).next_multiple_of(4096),
            oldest_event: None,
            committed_at: None,
            restored_inputs: running.map_or(0, |running| running.restored_inputs),
            downtime: running.and_then(|running| running.downtime),
            pending: Default::default(),
            shared: None,
        }
    }

    /// Number of records in the journal.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The metrics of the process; `None` while it is stopped.
    pub fn running_metrics(&self) -> Option<(&Exporter, &Process)> {
        self.running.as_ref().map(|running| (&running.metrics, &running.process))
    }
}

/// The text of a scrape.
pub fn expose(view: View, metrics: &Exporter) -> String {
    let chunks: Vec<_> = Exposition::new(view, metrics, Format::OpenMetrics).collect();
    String::from_utf8(chunks.concat()).expect("the exposition is text")
}
