//! One exporter of the timeline: the product's own stages, with the timeline's time in place of a clock.
//!
//! What the daemon does with a request is done here in the same order, but for sockets and files: read
//! it, fold it against what was shown until then, count it. A scrape is the product's own exposition.

use std::time::Duration;

use anyhow::{Context, ensure};
use stream_live_exporter::accept;
use stream_live_exporter::event::{Event, Notification, Timestamp};
use stream_live_exporter::http::Rejection;
use stream_live_exporter::live::{Draft, Fold, Note, Rules, Verdict, View};
use stream_live_exporter::metrics::{Exporter, Exposition, Format};
use stream_live_exporter::recorder::Outcome;

use super::actions::{ActionKind, Delivery};
use super::process::Process;

const RULES: Rules = Rules { reconnect_window: Duration::from_secs(60), max_inputs: 10_000 };
/// As in the recorder: an event that is older when it arrives is folded against the last view.
const LATE: Duration = Duration::from_secs(60);
/// An empty journal and what an event adds to it, in bytes.
const JOURNAL_SIZE: (u64, u64) = (57_344, 410);

/// An exporter.
pub struct Replica {
    /// The value of the label `instance`.
    pub instance: &'static str,
    fold: Fold,
    journal_events: u64,
    /// The time of the newest view that somebody may have been shown.
    latest: Timestamp,
    chance: fastrand::Rng,
    running: Option<Running>,
}

/// What ends with the process.
struct Running {
    metrics: Exporter,
    process: Process,
    restored_inputs: usize,
}

impl Replica {
    /// An exporter that has never been started.
    pub fn new(instance: &'static str, seed: u64) -> Self {
        Self {
            instance,
            fold: Fold::new(RULES),
            journal_events: 0,
            latest: Timestamp::EPOCH,
            chance: fastrand::Rng::with_seed(seed),
            running: None,
        }
    }

    /// Lets something happen to it.
    pub fn apply(&mut self, at: Timestamp, what: &ActionKind) -> anyhow::Result<()> {
        match what {
            ActionKind::Start(configuration) => {
                // The journal, and with it the fold, outlives the process. It has no input without events.
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
        self.running.as_ref().with_context(|| format!("{} is not running", self.instance))
    }

    fn receive(&mut self, at: Timestamp, delivery: &Delivery) -> anyhow::Result<()> {
        let reading = accept::read(&delivery.body, at)?;
        let commit = self.duration(0.0006, 0.006);
        let answered = commit + self.duration(0.0001, 0.0008);
        if !is_late(&reading.notification) {
            self.latest = self.latest.max(at);
        }
        let metrics = &self.running()?.metrics;
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
        let outcome = judge(&mut draft, &reading.notification, delivery)?;
        ensure!(outcome == delivery.outcome, "{outcome:?} and not {:?} at {at}", delivery.outcome);
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
        // Short ones are the rule.
        Duration::from_secs_f64(least + (most - least) * self.chance.f64().powi(3))
    }

    /// What a scrape at this time is answered; `None` when nobody answers.
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
        Some(running.process.in_place_of_ours(&exposition, at))
    }
}

fn is_late(notification: &Notification) -> bool {
    match notification {
        Notification::Event(event) => event.received_at > event.updated_at.plus(LATE),
        Notification::Test | Notification::Ignored(_) => false,
    }
}

/// What becomes of a notification; fails when it is something else than the timeline says.
fn judge(draft: &mut Draft<'_>, notification: &Notification, delivery: &Delivery) -> anyhow::Result<Outcome> {
    Ok(match notification {
        Notification::Test => Outcome::Test,
        Notification::Ignored(reason) => Outcome::Ignored(*reason),
        Notification::Event(event) => match draft.consider(event) {
            Verdict::Recorded(note) => {
                check_note(event, note, delivery)?;
                Outcome::Recorded
            }
            Verdict::Duplicate => Outcome::Duplicate,
            Verdict::Ignored(reason) => Outcome::Ignored(reason),
        },
    })
}

fn check_note(event: &Event, note: Note, delivery: &Delivery) -> anyhow::Result<()> {
    let meaning = delivery.fact.context("the timeline knows of no event")?.meaning;
    ensure!(note == meaning.note(), "{note:?} and not {meaning:?}: {event:?}");
    Ok(())
}
