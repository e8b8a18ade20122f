//! Sends notifications when they are due, without waiting for earlier responses.
//!
//! Notification `i` is due `i / rate` after the start; a burst is due with its first notification. One
//! thread puts due notifications into the queues of the workers. Each worker has one connection. All
//! notifications of an input use the same worker, so that they are sent in the order of the script. The
//! queues are short: a target slower than the schedule delays the schedule, which lowers the achieved rate.
//!
//! ```text
//! script -- schedule --> queue --> worker --> target
//!                        queue --> worker --> target
//! ```

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;

use super::cloudflare::Cloudflare;
use super::scenario::Script;
use super::tally::Tally;
use super::target::Target;
use crate::clock::{Stopwatch, now};
use crate::config::positive_duration;
use crate::event::InputId;
use crate::simulate::{Fact, Notification};
use crate::text::escaped;

const QUEUE_LENGTH: usize = 64;

/// Queued notifications are still posted within this time after the end of the plan.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Notifications per second
    #[arg(long, value_name = "PER_SECOND", default_value_t = 5.0, value_parser = parse_rate)]
    pub(super) rate: f64,

    /// How long to post, such as 60s, 5m or 1h30m
    #[arg(long, default_value = "60s", value_parser = positive_duration)]
    pub(super) duration: Duration,

    /// Number of connections
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) connections: u16,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("expected a number greater than 0".to_owned()),
    }
}

/// Posts notifications of the script until the end of the plan or an interrupt.
pub(super) fn deliver(
    plan: &Plan,
    script: Script,
    (target, cloudflare): (&Target, &Cloudflare),
    interrupt: &Interrupt,
    progress: &ProgressBar,
) -> Tally {
    let run = Run { plan, target, cloudflare, interrupt, progress, stopwatch: Stopwatch::start() };
    thread::scope(|scope| {
        let (queues, workers): (Vec<_>, Vec<_>) = (0..plan.connections)
            .map(|_| {
                let (queue, notifications) = mpsc::sync_channel(QUEUE_LENGTH);
                (queue, scope.spawn(|| run.post(notifications)))
            })
            .unzip();
        let lost = run.keep_schedule(script, &queues);
        // A worker ends when its queue is closed and empty.
        drop(queues);
        let tallies =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|cause| panic::resume_unwind(cause)));
        tallies.fold(Tally { lost, ..Tally::default() }, Tally::plus)
    })
}

struct Run<'a> {
    plan: &'a Plan,
    target: &'a Target,
    cloudflare: &'a Cloudflare,
    interrupt: &'a Interrupt,
    progress: &'a ProgressBar,
    stopwatch: Stopwatch,
}

impl Run<'_> {
    /// Queues every notification when it is due, unless it is lost. Returns the events whose notification was lost, at
    /// the end of the plan or on an interrupt.
    fn keep_schedule(&self, mut script: Script, queues: &[SyncSender<Notification>]) -> Vec<Fact> {
        let (mut position, mut lost) = (0, Vec::new());
        let mut loss = self.cloudflare.loss();
        loop {
            self.interrupt.wait(self.stopwatch, self.plan.due(position).min(self.plan.duration));
            if self.interrupt.is_raised() || self.stopwatch.elapsed() >= self.plan.duration {
                return lost;
            }
            for notification in script.next_burst(now()) {
                self.cloudflare.learn(&notification);
                if loss.applies_to(&notification.fact) {
                    script.pause(notification.fact.input_id, self.plan.events_in(self.cloudflare.lost_state()));
                    lost.push(notification.fact);
                    self.progress.inc(1);
                    position += 1;
                    continue;
                }
                let queue = &queues[queue_index(&notification.fact.input_id, queues.len())];
                if queue.send(notification).is_err() {
                    return lost;
                }
                position += 1;
            }
        }
    }

    fn post(&self, notifications: Receiver<Notification>) -> Tally {
        let agent = Target::connect();
        let mut tally = Tally::default();
        for notification in notifications {
            if self.interrupt.is_raised() || self.stopwatch.elapsed() >= self.plan.duration + GRACE {
                tally.unposted += 1;
                continue;
            }
            let stopwatch = Stopwatch::start();
            let answer = self.target.post(&agent, &notification);
            let latency = stopwatch.elapsed();
            self.cloudflare.note(answer.is_accepted());
            if !answer.is_accepted() {
                self.progress.set_message(escaped(&answer.to_string()).into_owned());
            }
            tally.count(notification.fact, answer, latency);
            self.progress.inc(1);
        }
        tally
    }
}

fn queue_index(input_id: &InputId, queues: usize) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(input_id);
    usize::try_from(hash % queues as u64).expect("a remainder is smaller than its divisor")
}

impl Plan {
    /// When the notification at this position is due, after the start.
    fn due(&self, position: u64) -> Duration {
        Duration::try_from_secs_f64(position as f64 / self.rate).unwrap_or(Duration::MAX)
    }

    /// Number of notifications in the schedule, without the excess of a storm's last burst.
    pub(super) fn notifications(&self) -> u64 {
        self.events_in(self.duration)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "neither factor is negative, and the cast saturates"
    )]
    fn events_in(&self, duration: Duration) -> u64 {
        (duration.as_secs_f64() * self.rate).ceil() as u64
    }
}

/// A request to end early.
pub(super) struct Interrupt {
    raised: Arc<AtomicBool>,
}

impl Interrupt {
    /// Raises the interrupt on Ctrl-C and ends a [`wait`](Self::wait) of the calling thread. Can be called once
    /// per process.
    pub(super) fn on_ctrl_c() -> Result<Self, ctrlc::Error> {
        let interrupt = Self { raised: Arc::default() };
        let (raised, waiting) = (interrupt.raised.clone(), thread::current());
        ctrlc::set_handler(move || {
            raised.store(true, Ordering::Relaxed);
            waiting.unpark();
        })?;
        Ok(interrupt)
    }

    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Waits until the stopwatch shows this time or the interrupt is raised.
    pub(super) fn wait(&self, stopwatch: Stopwatch, until: Duration) {
        // `park_timeout` may return early.
        while !self.is_raised() {
            match until.saturating_sub(stopwatch.elapsed()) {
                Duration::ZERO => return,
                remaining => thread::park_timeout(remaining),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positive_durations_with_units_are_accepted() {
        for (text, seconds) in [("60s", 60), ("5m", 300), ("1h30m", 5400)] {
            assert_eq!(positive_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "60", "0s", "-5m", "soon"] {
            assert!(positive_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rate_must_be_a_finite_number_greater_than_zero() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for text in ["", "0", "-1", "inf", "NaN", "fast"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn notifications_are_due_at_constant_intervals() {
        let plan = Plan { rate: 4.0, duration: Duration::from_secs(60), connections: 1 };
        assert_eq!([0, 1, 6].map(|position| plan.due(position)), [0, 250, 1500].map(Duration::from_millis));
        assert_eq!(plan.notifications(), 240);
    }

    #[test]
    fn due_time_of_the_lowest_rate_saturates() {
        let plan = Plan { rate: f64::MIN_POSITIVE, duration: Duration::from_secs(1), connections: 1 };
        assert_eq!(plan.due(1), Duration::MAX);
        assert_eq!(plan.notifications(), 1);
    }

    #[test]
    fn interrupt_ends_the_wait() {
        let interrupt = Interrupt { raised: Arc::default() };
        interrupt.wait(Stopwatch::start(), Duration::from_millis(1));
        assert!(!interrupt.is_raised());
        let (raised, waiting) = (interrupt.raised.clone(), thread::current());
        let interrupter = thread::spawn(move || {
            raised.store(true, Ordering::Relaxed);
            waiting.unpark();
        });
        interrupt.wait(Stopwatch::start(), Duration::MAX);
        interrupter.join().unwrap();
    }
}
