//! Logs when the recorder's operation on the disk hangs, and when it has ended.

use std::time::Duration;

use tokio::time::interval;

use crate::recorder::StateReader;

/// Interval between two checks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Watches until the daemon ends.
pub(super) async fn run(state_reader: StateReader) {
    let disk = state_reader.readiness().disk();
    let (mut checks, mut logged) = (interval(INTERVAL), None);
    loop {
        checks.tick().await;
        let hanging = disk.hanging();
        if hanging == logged {
            continue;
        }
        match (hanging, logged) {
            (Some(operation), _) => tracing::error!(
                operation = operation.name, since = %operation.since,
                "disk hangs; notifications are answered 503 until it responds"
            ),
            (None, Some(operation)) => {
                tracing::warn!(operation = operation.name, since = %operation.since, "disk responds again");
            }
            (None, None) => {}
        }
        logged = hanging;
    }
}
