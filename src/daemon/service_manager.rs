//! Messages to systemd, or to another service manager that sets `NOTIFY_SOCKET`: state, status and watchdog.
//!
//! Without such a variable nothing is sent. The watchdog is fed by the main loop, and only while the recorder makes
//! progress or waits for the disk: a restart helps against neither a hanging nor a full disk.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::interval;

use crate::recorder::StateReader;

/// Interval between checks of the status and of the recorder.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How much longer the start may take, from each check on: the start with a long journal or a migration must not time out.
const START_EXTENSION_MICROS: u32 = 30_000_000;
/// The interval of the watchdog if there is none.
const NO_WATCHDOG: Duration = Duration::from_secs(3_600);

/// The state that the service manager knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Stopping,
}

/// The service manager, as the daemon sees it.
pub(super) struct ServiceManager {
    phase: Mutex<Phase>,
}

impl ServiceManager {
    pub(super) fn new() -> Self {
        Self { phase: Mutex::new(Phase::Starting) }
    }

    /// The daemon serves.
    pub(super) fn ready(&self) {
        self.enter(Phase::Serving);
        send(&[NotifyState::Ready]);
    }

    /// A reload begins. Before the daemon is ready, the service manager must not take its end for readiness.
    pub(super) fn reloading(&self) {
        if self.phase() == Phase::Serving {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => send(&[NotifyState::Reloading, now]),
                Err(error) => tracing::debug!(%error, "time of the reload is not known"),
            }
        }
    }

    /// A reload has ended, whether it succeeded or not.
    pub(super) fn reloaded(&self, result: &'static str) {
        if self.phase() == Phase::Serving {
            send(&[NotifyState::Ready, NotifyState::Status(result)]);
        }
    }

    /// The daemon stops.
    pub(super) fn stopping(&self) {
        self.enter(Phase::Stopping);
        send(&[NotifyState::Stopping, NotifyState::Status("stopping: finishing in-flight requests")]);
    }

    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Sends the status when it changes, extends a long start, and feeds the watchdog, until the daemon ends.
    pub(super) async fn watch(&self, state_reader: StateReader) {
        let disk = state_reader.readiness().disk();
        let watchdog = sd_notify::watchdog_enabled();
        // Half of its time, as systemd recommends.
        let feeding = watchdog.map_or(NO_WATCHDOG, |timeout| timeout / 2).max(Duration::from_millis(1));
        let (mut checks, mut feedings) = (interval(CHECK_INTERVAL), interval(feeding));
        let (mut sent, mut was_stuck) = (None, false);
        loop {
            tokio::select! {
                _ = checks.tick() => {
                    let status = state_reader.readiness().failing().unwrap_or("ready".into());
                    self.report(status, &mut sent);
                    let is_stuck = disk.is_recorder_stuck();
                    match (was_stuck, is_stuck) {
                        (false, true) => tracing::error!("recorder makes no progress, and does not wait for the disk"),
                        (true, false) => tracing::warn!("recorder makes progress again"),
                        (true, true) | (false, false) => {}
                    }
                    was_stuck = is_stuck;
                }
                _ = feedings.tick() => {
                    if watchdog.is_some() && !disk.is_recorder_stuck() {
                        send(&[NotifyState::Watchdog]);
                    }
                }
            }
        }
    }

    /// Sends the status unless it is the one that was `sent` before.
    fn report(&self, status: Cow<'static, str>, sent: &mut Option<Cow<'static, str>>) {
        let phase = self.phase();
        if phase == Phase::Starting {
            send(&[NotifyState::ExtendTimeoutUsec(START_EXTENSION_MICROS)]);
        }
        if phase != Phase::Stopping && sent.as_ref() != Some(&status) {
            send(&[NotifyState::Status(&status)]);
            *sent = Some(status);
        }
    }
}

/// Without a service manager, this does nothing.
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, ?states, "service manager cannot be notified");
    }
}
