//! One replica of the exporter: the stages of the library, at the times of the timeline.
//!
//! It handles deliveries in the same order as the daemon, without sockets and files.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use stream_live_exporter::accept;
use stream_live_exporter::event::{InputId, Notification, Timestamp};
use stream_live_exporter::http::Rejection;
use stream_live_exporter::live::{Draft, Fold, Note, Rules, Verdict, View};
use stream_live_exporter::metrics::{Exporter, Exposition, Format};
use stream_live_exporter::recorder::Outcome;
use stream_live_exporter::simulate::{InputTruth, Meaning};

use super::actions::{ActionKind, Delivery};
use super::process::Process;

const RULES: Rules = Rules { reconnect_window: Duration::from_secs(60), max_inputs: 10_000 };
/// As in the recorder: an event that arrives with a longer delay is folded against the last view.
const LATE: Duration = Duration::from_secs(60);
/// Size of an empty journal, and of an event, in bytes.
const JOURNAL_SIZE: (u64, u64) = (57_344, 410);

/// A replica. The journal, and with it the fold, outlives the process.
pub struct Replica {
    /// The value of the label `instance`.
    pub instance: &'static str,
    fold: Fold,
    /// The expected result of the fold.
    model: BTreeMap<InputId, InputTruth>,
    journal_events: u64,
    /// The time of the newest view.
    latest: Timestamp,
    rng: fastrand::Rng,
    running: Option<Running>,
}

/// The state of the process.
struct Running {
    metrics: Exporter,
    process: Process,
    restored_inputs: usize,
}

impl Replica {
    /// A replica that has not been started yet.
    pub fn new(instance: &'static str, seed: u64) -> Self {
        Self {
            instance,
            fold: Fold::new(RULES),
            model: BTreeMap::new(),
            journal_events: 0,
            latest: Timestamp::EPOCH,
            rng: fastrand::Rng::with_seed(seed),
            running: None,
        }
    }

    /// Applies an action.
    pub fn apply(&mut self, at: Timestamp, action: &ActionKind) -> anyhow::Result<()> {
        match action {
            ActionKind::Start(configuration) => {
                // Configured inputs without events are not in the journal.
                let journaled = self.fold.state().inputs().values().filter(|known| known.input.known_since.is_some());
                let restored_inputs = journaled.count();
                let metrics = Exporter::new(at, false);
                metrics.reloaded(at, true);
                self.fold.configure(configuration.inputs());
                self.running = Some(Running { metrics, process: Process::new(at), restored_inputs });
            }
            ActionKind::Stop => self.running = None,
            ActionKind::Reload(configuration) => {
                self.latest = self.latest.max(at);
                self.fold.configure(configuration.inputs());
                self.running()?.metrics.reloaded(at, true);
            }
            ActionKind::FailReload => self.running()?.metrics.reloaded(at, false),
            ActionKind::Reject(reason) => {
                let duration = self.duration(0.0001, 0.0006);
                let metrics = &self.running()?.metrics;
                metrics.rejected.with_label_values(&[reason]).inc();
                metrics.request_duration.observe(duration.as_secs_f64());
            }
            ActionKind::Deliver(delivery) => self.receive(at, delivery)?,
        }
        Ok(())
    }

    fn running(&self) -> anyhow::Result<&Running> {
        self.running.as_ref().context("the replica is not running")
    }

    fn receive(&mut self, at: Timestamp, delivery: &Delivery) -> anyhow::Result<()> {
        let reading = accept::read(&delivery.body, at)?;
        let commit = self.duration(0.0006, 0.006);
        let answered = commit + self.duration(0.0001, 0.0008);
        if !is_late(&reading.notification) {
            self.latest = self.latest.max(at);
        }
        let metrics = &self.running.as_ref().context("the replica is not running")?.metrics;
        metrics.request_duration.observe(answered.as_secs_f64());
        if reading.lenient {
            metrics.lenient.inc();
        }
        if delivery.journal_fails {
            metrics.append_failures.inc();
            metrics.rejected.with_label_values(&[Rejection::Journal.reason()]).inc();
            return Ok(());
        }
        let mut draft = self.fold.draft(self.latest);
        draft.record_delivery(at, delivery.secret, reading.notification == Notification::Test);
        let outcome = judge(&mut draft, &mut self.model, &reading.notification, delivery)?;
        ensure!(outcome == delivery.outcome, "{outcome:?} instead of {:?} at {at}", delivery.outcome);
        let events = usize::from(outcome == Outcome::Recorded);
        let ignored = if let Outcome::Ignored(reason) = outcome { Some(reason) } else { None };
        if events > 0 || ignored.is_some() {
            metrics.committed(events, commit);
        }
        metrics.notified(outcome.name(), ignored);
        let changes = draft.finish();
        self.fold.adopt(changes);
        self.journal_events += events as u64;
        Ok(())
    }

    fn duration(&mut self, least: f64, most: f64) -> Duration {
        // Most durations are short.
        Duration::from_secs_f64(least + (most - least) * self.rng.f64().powi(3))
    }

    /// The response to a scrape; `None` while the process is stopped.
    pub fn scrape(&mut self, at: Timestamp) -> Option<String> {
        let running = self.running.as_mut()?;
        self.latest = self.latest.max(at);
        let snapshot = View {
            state: self.fold.state().clone(),
            as_of: self.latest,
            journal_events: self.journal_events,
            journal_size_bytes: JOURNAL_SIZE.0 + (self.journal_events * JOURNAL_SIZE.1).next_multiple_of(4096),
            restored_inputs: running.restored_inputs,
        };
        let chunks: Vec<_> = Exposition::new(snapshot, &running.metrics, Format::OpenMetrics).collect();
        let exposition = String::from_utf8(chunks.concat()).expect("the exposition is text");
        Some(running.process.replace_in(&exposition, at))
    }
}

fn is_late(notification: &Notification) -> bool {
    match notification {
        Notification::Event(event) => event.received_at > event.updated_at.plus(LATE),
        Notification::Test | Notification::Ignored(_) => false,
    }
}

/// Folds a notification. Fails if the fold and the model disagree about an event.
fn judge(
    draft: &mut Draft<'_>,
    model: &mut BTreeMap<InputId, InputTruth>,
    notification: &Notification,
    delivery: &Delivery,
) -> anyhow::Result<Outcome> {
    Ok(match notification {
        Notification::Test => Outcome::Test,
        Notification::Ignored(reason) => Outcome::Ignored(*reason),
        Notification::Event(event) => match draft.consider(event) {
            Verdict::Recorded(note) => {
                let fact = delivery.event.context("an unexpected event was recorded")?.fact;
                let meaning = model.entry(fact.input_id).or_default().learn(&fact);
                ensure!(note == expected_note(meaning), "{note:?} does not match {meaning:?}: {event:?}");
                Outcome::Recorded
            }
            Verdict::Duplicate => Outcome::Duplicate,
            Verdict::Ignored(reason) => Outcome::Ignored(reason),
        },
    })
}

fn expected_note(meaning: Meaning) -> Note {
    match meaning {
        Meaning::SessionStart | Meaning::Reconnect | Meaning::Disconnect | Meaning::Error => Note::Plain,
        Meaning::Repeat => Note::Inconsistent,
        Meaning::OutOfOrder => Note::OutOfOrder,
    }
}
