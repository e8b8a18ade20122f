//! The sender: notifications at a fixed rate, each repeated until a replica answers 2xx.
//!
//! It goes from one replica to the next, as a load balancer does, and to the next one after a response 5xx, a timeout or
//! a closed connection. After a response 2xx it never sends the notification again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;
use stream_live_exporter::simulate::Fact;

use super::events::{Events, Identity, Sent};

pub const SECRET: &str = "of-the-replicas-0123456789abcdef";
/// Notifications per second.
pub const RATE: u64 = 200;
/// Notifications that wait for a response at the same time.
const SENDERS: usize = 48;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts of a notification.
const PAUSE: Duration = Duration::from_millis(200);

/// An attempt to deliver a notification.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it began, since the start of the run.
    pub at: Duration,
    pub took: Duration,
    /// The status; `None` if there was no response.
    pub status: Option<u16>,
}

/// Sends until it is stopped.
pub struct Sender {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    webhooks: Vec<String>,
    stopwatch: Stopwatch,
    over: AtomicBool,
    number: AtomicU64,
    events: Mutex<Events>,
    sent: Mutex<Sent>,
    attempts: Mutex<Vec<Attempt>>,
}

impl Sender {
    /// Starts to send to these webhooks.
    pub fn start(webhooks: Vec<String>, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            webhooks,
            stopwatch: Stopwatch::start(),
            over: AtomicBool::new(false),
            number: AtomicU64::new(0),
            events: Mutex::new(Events::new(seed)),
            sent: Mutex::default(),
            attempts: Mutex::default(),
        });
        let thread = || {
            let shared = shared.clone();
            thread::spawn(move || shared.send())
        };
        Self { threads: (0..SENDERS).map(|_| thread()).collect(), shared }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.shared.stopwatch.elapsed()
    }

    /// All attempts so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        lock(&self.shared.attempts).clone()
    }

    /// Delivers one event to a replica, once. Returns the status of the response, if there is one.
    pub fn deliver(&self, replica: usize, fact: Fact) -> Option<u16> {
        let (event, body) = (Identity::of(&fact), lock(&self.shared.events).body(fact));
        lock(&self.shared.sent).sending(&event);
        let status = self.shared.attempt(&agent(), replica, &body);
        if matches!(status, Some(200..300)) {
            lock(&self.shared.sent).answered_2xx(event);
        }
        status
    }

    /// Ends the load, and waits until everything that was sent has been answered 2xx.
    pub fn finish(mut self) -> (Sent, Vec<Attempt>) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("no sender panicked");
        }
        (lock(&self.shared.sent).clone(), self.attempts())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn send(&self) {
        let agent = agent();
        loop {
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            let due = Duration::from_secs(number) / u32::try_from(RATE).unwrap_or(1);
            while self.stopwatch.elapsed() < due && !self.is_over() {
                thread::park_timeout(due.saturating_sub(self.stopwatch.elapsed()).min(Duration::from_millis(100)));
            }
            if self.is_over() {
                return;
            }
            let (event, body) = lock(&self.events).next();
            lock(&self.sent).sending(&event);
            let mut replica = usize::try_from(number).unwrap_or_default();
            loop {
                replica = (replica + 1) % self.webhooks.len();
                match self.attempt(&agent, replica, &body) {
                    Some(200..300) => break lock(&self.sent).answered_2xx(event),
                    None | Some(500..) => thread::park_timeout(PAUSE),
                    Some(status) => panic!("a correct notification was answered {status}"),
                }
            }
        }
    }

    fn attempt(&self, agent: &ureq::Agent, replica: usize, body: &[u8]) -> Option<u16> {
        let at = self.stopwatch.elapsed();
        let answer = agent.post(&self.webhooks[replica]).header("cf-webhook-auth", SECRET).send(body);
        let status = answer.ok().map(|answer| answer.status().as_u16());
        let took = self.stopwatch.elapsed().saturating_sub(at);
        lock(&self.attempts).push(Attempt { at, took, status });
        status
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
    config.proxy(None).build().into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no sender panicked")
}
