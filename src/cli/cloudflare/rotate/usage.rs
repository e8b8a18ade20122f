//! When the running daemon last saw a secret and a test message, by its metrics.

use std::thread;
use std::time::Duration;

use anyhow::bail;

use crate::cli::client::Client;
use crate::clock::Stopwatch;

/// How long Cloudflare's test message may take after the request that sends it.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// The running daemon.
pub(super) struct Daemon {
    pub(super) client: Client,
    pub(super) telemetry_path: String,
}

/// Values of gauges, as written; empty if absent. A value that differs from an earlier one means another use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Used {
    secret: String,
    test: String,
}

impl Daemon {
    /// When a secret was last used, and when a test message last arrived.
    pub(super) fn used(&self, secret: &str) -> anyhow::Result<Used> {
        let metrics = self.client.get(&self.telemetry_path)?;
        let secret = format!("stream_live_exporter_secret_last_used_timestamp_seconds{{secret=\"{secret}\"}}");
        let value = |series: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.unwrap_or_default().to_owned()
        };
        Ok(Used { secret: value(&secret), test: value("stream_live_exporter_last_test_timestamp_seconds") })
    }

    /// Waits until a test message with this secret has arrived since.
    pub(super) fn wait_for_test(&self, secret: &str, before: &Used) -> anyhow::Result<()> {
        let waiting = Stopwatch::start();
        loop {
            let now = self.used(secret)?;
            if now.secret != before.secret && now.test != before.test {
                return Ok(());
            }
            if waiting.elapsed() > TEST_TIMEOUT {
                bail!(
                    "Cloudflare has changed the secret, but the daemon has not received its test message within {} \
                     seconds. Both secrets stay valid; `stream-live-exporter cloudflare check` looks for the cause. \
                     Then run this command again",
                    TEST_TIMEOUT.as_secs()
                );
            }
            thread::sleep(SHORTEST_PAUSE);
        }
    }

    /// Waits until these secrets have not been used for this long.
    pub(super) fn wait_for_silence(&self, secrets: &[String], silence: Duration) -> anyhow::Result<()> {
        let used = || secrets.iter().map(|secret| Ok(self.used(secret)?.secret)).collect::<anyhow::Result<Vec<_>>>();
        let mut silent = Silent { last: used()?, since: Duration::ZERO };
        let waiting = Stopwatch::start();
        while silent.lasts(used().ok(), waiting.elapsed()) < silence {
            thread::sleep((silence / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        }
        Ok(())
    }
}

/// Since when secrets have not been used.
struct Silent {
    last: Vec<String>,
    since: Duration,
}

impl Silent {
    /// How long they have not been used at this time. While the daemon does not answer, nothing is known.
    fn lasts(&mut self, used: Option<Vec<String>>, now: Duration) -> Duration {
        if used.as_ref() != Some(&self.last) {
            self.since = now;
        }
        self.last = used.unwrap_or_default();
        now.saturating_sub(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_begins_with_the_last_use_or_when_the_daemon_answers_again() {
        let mut silent = Silent { last: vec!["1".to_owned()], since: Duration::ZERO };
        for (now, used, lasts) in [
            (1, Some("1"), 1),
            (5, Some("1"), 5),
            (6, Some("5.5"), 0),
            (9, Some("5.5"), 3),
            (10, None, 0),
            (12, None, 0),
            (13, Some("5.5"), 0),
            (20, Some("5.5"), 7),
        ] {
            let used = used.map(|used| vec![used.to_owned()]);
            assert_eq!(silent.lasts(used, Duration::from_secs(now)), Duration::from_secs(lasts), "{now}");
        }
    }
}
