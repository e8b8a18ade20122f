//! The clocks. No other module reads one.
//!
//! The stages take the time as an argument, so that the same journal always folds to the same state.

#![expect(clippy::disallowed_methods, reason = "only this module reads clocks")]

mod steady;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::event::Timestamp;
pub use steady::TOLERANCE;
use steady::{Read, SteadyClock};

/// The time. It follows the wall clock, except that a jump by more than [`TOLERANCE`] counts only once it has lasted
/// for ten seconds: one wrong second of the wall clock must not get into the journal or into a counter.
pub fn now() -> Timestamp {
    static STEADY: Mutex<Option<SteadyClock>> = Mutex::new(None);
    let mut steady = STEADY.lock().unwrap_or_else(PoisonError::into_inner);
    let (wall_clock, uptime) = (wall(), uptime());
    let Read { now, jumped } =
        steady.get_or_insert_with(|| SteadyClock::new(wall_clock, uptime)).read(wall_clock, uptime);
    drop(steady);
    if jumped {
        tracing::warn!(%wall_clock, time = %now, "system clock jumped; it is followed if the jump lasts");
    }
    now
}

/// The wall clock as the system has it. It can jump forward and backward. Schedules follow it.
pub fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since_epoch)
}

/// The earlier of the time and the wall clock. A decision about schedules is in force at once with it, because they follow
/// the wall clock, which may be behind.
pub fn earlier() -> Timestamp {
    now().min(wall())
}

/// The time since the system started. Unlike `Instant`, it goes on while the system sleeps.
fn uptime() -> Duration {
    let uptime = clock_gettime(ClockId::Boottime);
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    Duration::from_secs(part(uptime.tv_sec)) + Duration::from_nanos(part(uptime.tv_nsec))
}

/// Measures durations with the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
