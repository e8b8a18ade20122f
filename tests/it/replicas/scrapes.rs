//! Scrapes of every replica, five times a second, with all their values.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;

use super::check::{Scrape, Values};

const INTERVAL: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Scrapes until it is finished.
pub struct Scraper {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    stopwatch: Stopwatch,
    over: AtomicBool,
    scrapes: Mutex<Vec<Scrape>>,
    /// Each series once, because every scrape has the same ones.
    series: Mutex<HashSet<Arc<str>>>,
}

impl Scraper {
    /// Starts to scrape these URLs.
    pub fn start(urls: Vec<String>) -> Self {
        let shared = Arc::new(Shared {
            stopwatch: Stopwatch::start(),
            over: AtomicBool::new(false),
            scrapes: Mutex::default(),
            series: Mutex::default(),
        });
        let thread = |(replica, url): (usize, String)| {
            let shared = shared.clone();
            thread::spawn(move || shared.scrape_until_over(replica, &url))
        };
        Self { threads: urls.into_iter().enumerate().map(thread).collect(), shared }
    }

    /// The newest response of each replica that began since this time.
    pub fn newest(&self, since: Duration) -> Vec<Scrape> {
        let scrapes = self.shared.scrapes.lock().expect("no scraper panicked");
        let newest = (0..self.threads.len()).filter_map(|replica| {
            scrapes.iter().rev().find(|scrape| scrape.replica == replica && scrape.from >= since).cloned()
        });
        newest.collect()
    }

    /// All responses so far, in order.
    pub fn all(&self) -> Vec<Scrape> {
        let mut scrapes = self.shared.scrapes.lock().expect("no scraper panicked").clone();
        scrapes.sort_by_key(|scrape| scrape.from);
        scrapes
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.shared.stopwatch.elapsed()
    }

    /// Ends the scrapes and returns all responses, in order.
    pub fn finish(mut self) -> Vec<Scrape> {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("no scraper panicked");
        }
        self.all()
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn scrape_until_over(&self, replica: usize, url: &str) {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(true);
        let agent: ureq::Agent = config.proxy(None).build().into();
        let mut due = Duration::ZERO;
        while !self.over.load(Ordering::Relaxed) {
            let from = self.stopwatch.elapsed();
            if from < due {
                thread::park_timeout(due.saturating_sub(from));
                continue;
            }
            due = from + INTERVAL;
            // The replica may be down, or not restored yet.
            let Ok(mut response) = agent.get(url).call() else { continue };
            let Ok(text) = response.body_mut().read_to_string() else { continue };
            let until = self.stopwatch.elapsed();
            let scrape = Scrape { replica, from, until, values: self.values(&text) };
            self.scrapes.lock().expect("no scraper panicked").push(scrape);
        }
    }

    fn values(&self, text: &str) -> Values {
        let mut known = self.series.lock().expect("no scraper panicked");
        let mut shared = |series: &str| {
            known.get(series).cloned().unwrap_or_else(|| {
                let series = Arc::<str>::from(series);
                known.insert(series.clone());
                series
            })
        };
        let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        lines.map(|(series, value)| (shared(series), value.parse().expect("a value is a number"))).collect()
    }
}
