//! Ctrl-C: whoever measures asks now and then, and ends what it started on the way out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

static RAISED: AtomicBool = AtomicBool::new(false);

pub fn listen() -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(|| RAISED.store(true, Ordering::Relaxed))?)
}

/// # Errors
///
/// Somebody wants it to end.
pub fn check() -> anyhow::Result<()> {
    ensure!(!RAISED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

pub fn sleep(duration: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        check()?;
        thread::sleep(end.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
    }
    Ok(())
}
