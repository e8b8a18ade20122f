//! Notifications go out when they are due, whether or not the ones before were answered.
//!
//! One thread keeps the schedule: notification `i` is due `i / rate` after the start, and a burst is
//! due with its first. Workers, one connection each, post what waits in their queue. An input
//! always has the same worker, so its notifications leave in the order of the script. Queues are
//! short: a target that is slower than the schedule holds the schedule up, and the achieved rate
//! says so.
//!
//! ```text
//! script -- schedule --> queue --> worker --> target
//!                        queue --> worker --> target
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;

use super::notification::Notification;
use super::scenario::Script;
use super::tally::Tally;
use super::target::Target;
use crate::clock::{Stopwatch, now};
use crate::event::InputId;

/// How many notifications may wait for one worker.
const QUEUE_LENGTH: usize = 64;

/// How long after the end what came due in time is still posted.
const GRACE: Duration = Duration::from_secs(2);

/// How many, how fast and for how long.
#[derive(Debug)]
pub(super) struct Plan {
    /// Notifications per second, more than 0.
    pub(super) rate: f64,
    pub(super) duration: Duration,
    pub(super) connections: u16,
}

/// Posts what the script says until the plan's duration is over or somebody interrupts.
pub(super) fn deliver(
    plan: &Plan,
    script: Script,
    target: &Target,
    interrupt: &Interrupt,
    progress: &ProgressBar,
) -> Tally {
    let stopwatch = Stopwatch::start();
    thread::scope(|scope| {
        let (queues, workers): (Vec<_>, Vec<_>) = (0..plan.connections)
            .map(|_| {
                let (queue, waiting) = mpsc::sync_channel(QUEUE_LENGTH);
                let deadline = Deadline { stopwatch, at: plan.duration + GRACE, interrupted: interrupt.raised.clone() };
                (queue, scope.spawn(move || work(waiting, target, &deadline, progress)))
            })
            .unzip();
        keep_schedule(plan, script, &queues, stopwatch, interrupt);
        // A worker ends when its queue has closed and is empty.
        drop(queues);
        let tallies =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|cause| panic::resume_unwind(cause)));
        tallies.fold(Tally::default(), Tally::plus)
    })
}

/// Returns when all that was due is in its queue, or on an interrupt.
fn keep_schedule(
    plan: &Plan,
    mut script: Script,
    queues: &[SyncSender<Notification>],
    stopwatch: Stopwatch,
    interrupt: &Interrupt,
) {
    let mut position = 0;
    loop {
        let due = plan.due(position).min(plan.duration);
        if interrupt.within(due.saturating_sub(stopwatch.elapsed())) || stopwatch.elapsed() >= plan.duration {
            return;
        }
        for notification in script.next_burst(now()) {
            let queue = &queues[place(&notification.fact.input_id, queues.len())];
            if queue.send(notification).is_err() {
                return;
            }
            position += 1;
        }
    }
}

/// The place of an input among so many workers.
fn place(input_id: &InputId, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    input_id.hash(&mut hasher);
    usize::try_from(hasher.finish() % workers as u64).expect("a remainder is smaller than its divisor")
}

fn work(waiting: Receiver<Notification>, target: &Target, deadline: &Deadline, progress: &ProgressBar) -> Tally {
    let connection = target.connect();
    let mut tally = Tally::default();
    for notification in waiting {
        if deadline.has_passed() {
            tally.unposted += 1;
            continue;
        }
        let stopwatch = Stopwatch::start();
        let answer = connection.post(&notification);
        let latency = stopwatch.elapsed();
        if !answer.is_accepted() {
            progress.set_message(answer.to_string());
        }
        tally.count(notification.fact, answer, latency);
        progress.inc(1);
    }
    tally
}

impl Plan {
    /// When the notification at this position is due, from the start.
    fn due(&self, position: u64) -> Duration {
        Duration::try_from_secs_f64(position as f64 / self.rate).unwrap_or(Duration::MAX)
    }

    /// How many notifications the schedule has, but for the last burst of a storm.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "neither factor is negative, and a schedule that is too long reads as the longest"
    )]
    pub(super) fn notifications(&self) -> u64 {
        (self.duration.as_secs_f64() * self.rate).ceil() as u64
    }
}

/// When the workers drop what still waits.
struct Deadline {
    stopwatch: Stopwatch,
    at: Duration,
    interrupted: Arc<AtomicBool>,
}

impl Deadline {
    fn has_passed(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || self.stopwatch.elapsed() >= self.at
    }
}

/// Somebody's wish to end early, which everyone hears at once.
pub(super) struct Interrupt {
    raised: Arc<AtomicBool>,
    /// Wakes the one who waits.
    bell: Receiver<()>,
}

impl Interrupt {
    /// Turns Ctrl-C into an interrupt, once in the life of the process.
    pub(super) fn on_ctrl_c() -> Result<Self, ctrlc::Error> {
        let raised = Arc::new(AtomicBool::new(false));
        let (ring, bell) = mpsc::channel();
        let interrupt = Self { raised: raised.clone(), bell };
        ctrlc::set_handler(move || {
            raised.store(true, Ordering::Relaxed);
            // Nobody hears it once the run is over.
            let _ = ring.send(());
        })?;
        Ok(interrupt)
    }

    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Waits so long at most; whether there was an interrupt by then.
    fn within(&self, timeout: Duration) -> bool {
        if !timeout.is_zero() && !self.is_raised() {
            // Which of the two ended the wait, the flag tells.
            let _ = self.bell.recv_timeout(timeout);
        }
        self.is_raised()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_are_due_at_an_even_pace() {
        let plan = Plan { rate: 4.0, duration: Duration::from_secs(60), connections: 1 };
        assert_eq!([0, 1, 6].map(|position| plan.due(position)), [0, 250, 1500].map(Duration::from_millis));
        assert_eq!(plan.notifications(), 240);
    }

    #[test]
    fn the_slowest_rate_is_due_at_the_end_of_time() {
        let plan = Plan { rate: f64::MIN_POSITIVE, duration: Duration::from_secs(1), connections: 1 };
        assert_eq!(plan.due(1), Duration::MAX);
        assert_eq!(plan.notifications(), 1);
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let (ring, bell) = mpsc::channel();
        let interrupt = Interrupt { raised: Arc::new(AtomicBool::new(false)), bell };
        assert!(!interrupt.within(Duration::from_millis(1)));
        let raised = interrupt.raised.clone();
        let caller = thread::spawn(move || {
            raised.store(true, Ordering::Relaxed);
            ring.send(()).unwrap();
        });
        assert!(interrupt.within(Duration::MAX));
        caller.join().unwrap();
    }
}
